"""Reading output in ranges: all of it, or its last lines found by reading backwards."""

from __future__ import annotations

from ctl.follow import bytes_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Reader = Callable[[int, str, int | None, int, int], dict[str, Any]]

PIECE_BYTES = 256 << 10
_LARGEST_BYTES = 512 << 10


def pieces(
    read: Reader, job: int, stream: str, attempt: int | None, offset: int = 0
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The answers and their bytes from `offset` to what is the end now; at least one answer.

    The attempt is held: one that starts in between does not mix in.
    """
    while True:
        answer = read(job, stream, attempt, offset, PIECE_BYTES)
        data = bytes_of(answer)
        yield answer, data
        attempt = answer["attempt"]
        offset = answer["offset"] + len(data)
        if not data or offset >= answer["size"]:
            return


def tail_offset(read: Reader, job: int, stream: str, attempt: int | None, lines: int) -> tuple[int, int | None]:
    """The byte offset at which the last `lines` lines begin, and the attempt they belong to.

    A last line without a newline counts as a line.
    """
    answer = read(job, stream, attempt, 0, 0)
    attempt, end = answer["attempt"], answer["size"]
    if lines <= 0 or attempt is None:
        return end, attempt
    missing = lines
    at_end = True
    length = 4 << 10
    while end > 0:
        begin = max(0, end - length)
        data = _exactly(read, job, stream, attempt, begin, end)
        searched = len(data)
        if at_end and data.endswith(b"\n"):
            searched -= 1
        at_end = False
        while missing and (searched := data.rfind(b"\n", 0, searched)) >= 0:
            missing -= 1
        if not missing:
            return begin + searched + 1, attempt
        end = begin
        length = min(length * 4, _LARGEST_BYTES)
    return 0, attempt


def _exactly(read: Reader, job: int, stream: str, attempt: int | None, begin: int, end: int) -> bytes:
    """The bytes from `begin` to `end`; an answer may hold fewer than asked for. Fewer only if they are gone."""
    data = b""
    while len(data) < end - begin:
        piece = bytes_of(read(job, stream, attempt, begin + len(data), end - begin - len(data)))
        if not piece:
            break
        data += piece
    return data
