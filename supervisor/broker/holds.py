"""Contents that are about to be needed: while they are held here, nobody removes them.

Everything that decides about files of the spool runs in the loop's thread: a submit holds its contents from before
it looks for them until it is answered, and a removal asks here, and asks the database, in the step in which it takes
them away. So a job is never stored whose content is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from supervisor.wire.control import JobRequest


class Holds:
    """What is held, by sha256. Counts: two may hold the same."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._all = 0

    def __contains__(self, sha256: str) -> bool:
        return self._all > 0 or self._held[sha256] > 0

    @contextmanager
    def hold_all(self) -> Iterator[None]:
        """Keeps everything: what exactly is needed is known later."""
        self._all += 1
        try:
            yield
        finally:
            self._all -= 1

    @contextmanager
    def hold(self, contents: Iterable[str]) -> Iterator[None]:
        """Keeps them as long as the `with` lasts."""
        held = list(contents)
        self._held.update(held)
        try:
            yield
        finally:
            self._held.subtract(held)
            for sha256 in held:
                if not self._held[sha256]:
                    del self._held[sha256]


def contents_of(*requests: JobRequest) -> list[str]:
    """The contents that these submits name."""
    return [
        sha256
        for request in requests
        for sha256 in (*(ref.sha256 for ref in request.contents), request.stdin_sha256)
        if sha256 is not None
    ]
