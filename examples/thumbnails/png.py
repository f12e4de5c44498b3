"""PNG by the standard library alone: pictures of three bytes a pixel (RGB), not interlaced. Pillow does all of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB = 2
MOST_PIXELS = 50_000_000  # A small file may unpack to a huge picture.


class Picture(NamedTuple):
    """Rows from the top, each `3 * width` bytes."""

    width: int
    height: int
    rows: list[bytes]


def write_png(picture: Picture) -> bytes:
    """The bytes of the file."""
    head = struct.pack(">IIBBBBB", picture.width, picture.height, 8, RGB, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in picture.rows))
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def read_png(data: bytes) -> Picture:
    """The picture of such a file; raises ValueError."""
    if not data.startswith(SIGNATURE):
        raise ValueError("this is no PNG")
    chunks = list(_chunks(data))
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    if (depth, colour, interlaced) != (8, RGB, 0):
        raise ValueError(f"depth {depth}, colour type {colour}: only 8-bit RGB that is not interlaced can be read")
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} is larger than {MOST_PIXELS} pixels")
    wanted = height * (3 * width + 1)
    plain = zlib.decompressobj().decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"), wanted)
    if len(plain) < wanted:
        raise ValueError("the picture is cut off")
    rows: list[bytes] = []
    above = bytes(3 * width)
    for at in range(0, wanted, 3 * width + 1):
        above = _unfiltered(plain[at], plain[at + 1 : at + 3 * width + 1], above)
        rows.append(above)
    return Picture(width, height, rows)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12


def _unfiltered(kind: int, row: bytes, above: bytes) -> bytes:
    """Each byte is stored as its difference to what its neighbours on the left (a), above (b) and between (c) foretell."""
    if kind == 0:
        return row
    out = bytearray(row)
    for at in range(len(out)):
        a, c = (out[at - 3], above[at - 3]) if at >= 3 else (0, 0)
        b = above[at]
        foretold = (0, a, b, (a + b) // 2, _nearest(a, b, c))[kind]
        out[at] = (out[at] + foretold) & 255
    return bytes(out)


def _nearest(a: int, b: int, c: int) -> int:
    return min((a, b, c), key=lambda one: abs(a + b - c - one))
