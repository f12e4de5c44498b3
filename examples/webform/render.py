"""The job: draws a piece of the Mandelbrot set into `picture.png`, telling how far it is. Standard library alone."""

import json
import os
import struct
import zlib

LONGEST = 200  # So many steps decide whether a point belongs to the set.


def main() -> None:
    """What the visitor chose comes as JSON; the web program has checked it."""
    wanted = json.loads(os.environ["JOB_PARAMS"])
    width, height = wanted["width"], wanted["height"]
    step = 3 / wanted["zoom"] / width
    rows = []
    for y in range(height):
        imaginary = wanted["y"] + (y - height / 2) * step
        rows.append(b"\0" + bytes(shade(wanted["x"] + (x - width / 2) * step, imaginary) for x in range(width)))
        tell({"type": "progress", "percentage": 100 * (y + 1) / height, "message": f"row {y + 1} of {height}"})
    # What lies in this folder at the end is kept, and fetched from the daemon by its name.
    with open(os.path.join(os.environ["JOB_OUTPUT_DIR"], "picture.png"), "wb") as file:
        file.write(png(width, height, rows))


def tell(message: dict[str, object]) -> None:
    """A line of JSON to the daemon. It may come as often as you like: of progress, five a second are passed on."""
    os.write(int(os.environ["JOB_CHANNEL_FD"]), json.dumps(message).encode() + b"\n")


def shade(real: float, imaginary: float) -> int:
    """Black for a point of the set, the lighter the longer it takes to leave."""
    point, z = complex(real, imaginary), 0j
    for steps in range(LONGEST):
        if abs(z) > 2:
            return 40 + 215 * steps // LONGEST
        z = z * z + point
    return 0


def png(width: int, height: int, rows: list[bytes]) -> bytes:
    """A picture in grey, one byte a pixel; each row begins with a zero."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + chunk(b"IEND", b"")
    )


main()
