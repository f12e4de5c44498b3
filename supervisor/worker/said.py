"""What a runner and its worker say to each other: one JSON object a datagram. Types only."""

from __future__ import annotations

from typing import Final

import msgspec

LARGEST: Final = 1 << 20
"""Bytes of a datagram."""
NULL: Final = msgspec.Raw(b"null")


class Said(msgspec.Struct, frozen=True, tag_field="re"):
    """Base of what a runner says."""


class Ready(Said, frozen=True, tag="ready"):
    """It has set the handler up. `types` are those that the class names."""

    types: tuple[str, ...]
    cpu_s: float = 0.0
    rss_bytes: int = 0
    peak_bytes: int = 0


class Broken(Said, frozen=True, tag="broken"):
    """The handler could not be imported or set up; its traceback is in the runner's output."""

    message: str


class Told(Said, frozen=True, tag="progress"):
    """How far the job is."""

    percentage: float | None = None
    stage: str | None = None
    message: str | None = None


class Answered(Said, frozen=True):
    """Base of what came of a job. CPU time and peak are those of the process since its start, with what it waited for."""

    lease: int
    cpu_s: float = 0.0
    rss_bytes: int = 0
    peak_bytes: int = 0


class Done(Answered, frozen=True, tag="done"):
    """`execute` returned."""

    result: msgspec.Raw = NULL


class Raised(Answered, frozen=True, tag="raised"):
    """It raised; the traceback is in the job's stderr."""

    message: str = ""


class Declined(Answered, frozen=True, tag="declined"):
    """`can_process` said no."""


class Over(Answered, frozen=True, tag="ended"):
    """Mode fresh: the job's process has ended with this wait status, and nothing of it is left."""

    status: int = 0
    leftover: int = 0


class Give(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="job"):
    """A job for the runner; with it come the descriptors of its stdout and stderr."""

    lease: int
    id: int
    type: str
    params: msgspec.Raw
    attempt: int
    queue: str


_decoder: Final[msgspec.json.Decoder[Ready | Broken | Told | Done | Raised | Declined | Over]] = msgspec.json.Decoder(
    Ready | Broken | Told | Done | Raised | Declined | Over
)
encode: Final = msgspec.json.Encoder().encode


def decode(line: bytes) -> Said:
    """What a runner said; raises msgspec.DecodeError."""
    return _decoder.decode(line)
