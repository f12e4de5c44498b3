"""The kinds of daemon processes: where each one's main is, and which descriptors it keeps.

Mains are named, not imported: this table is data. All of them are imported before the first fork, so that memory is
shared and no child mixes old and new code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Name = Literal["broker", "worker"]
Descriptor = Literal["lock", "listener", "channel"]


@dataclass(frozen=True)
class Kind:
    """`module` has a function `run(context) -> exit status`."""

    module: str
    fds: tuple[Descriptor, ...]

    def main(self) -> Callable[[Any], int]:
        """The function that lives the child's life."""
        run: Callable[[Any], int] = importlib.import_module(self.module).run
        return run


Kinds = Mapping[Name, Kind]

KINDS: Final[Kinds] = {
    "broker": Kind("supervisor.broker.main", ("lock", "listener", "channel")),
    "worker": Kind("supervisor.worker.main", ("lock",)),
}


def preload(kinds: Kinds) -> None:
    """Imports all of them."""
    for kind in kinds.values():
        kind.main()
