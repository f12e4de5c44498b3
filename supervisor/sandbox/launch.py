"""What the library's user asks for: binds, the class of a slot, and one job.

Invariant: frozen values; a Launch's descriptors stay the caller's, they are copied to the job.
Never: checks what only the kernel can know (whether argv[0] exists): that is reported as LaunchFailed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bind:
    """A host path (file or folder) that jobs see at `target`. Ignored where there is no private root."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class SlotClass:
    """What a slot offers to its job. Sizes in bytes; tmp_bytes holds for /tmp and for /dev/shm each.

    work: "tmpfs" (capped by disk_bytes and inodes, counts as memory) or "disk" (no cap).
    """

    network: bool = False
    disk_bytes: int | None = 256 << 20
    inodes: int | None = 65536
    tmp_bytes: int = 64 << 20
    work: str = "tmpfs"

    def __post_init__(self) -> None:
        if self.work not in ("tmpfs", "disk"):
            raise ValueError(f"work is {self.work!r}; legal are 'tmpfs' and 'disk'")


@dataclass(frozen=True)
class Launch:
    """One job. argv[0] is an absolute path as the job sees it; cwd None is the job's own folder.

    rlimits: names without RLIMIT_ to (soft, hard). stdin, stdout, stderr, channel: descriptors of the caller;
    channel becomes descriptor 3. memory_bytes and cpu_s hold for the whole tree and are sampled.
    processes sets RLIMIT_NPROC (threads count) unless rlimits name NPROC.
    """

    argv: list[bytes | str]
    env: dict[str, str]
    stdin: int
    stdout: int
    stderr: int
    cwd: str | None = None
    rlimits: dict[str, tuple[int, int]] = field(default_factory=dict)
    channel: int | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    processes: int | None = None

    def __post_init__(self) -> None:
        if not self.argv or not os.fsencode(self.argv[0]).startswith(b"/"):
            raise ValueError(f"argv[0] must be an absolute path: {self.argv[:1]!r}")

    def fds(self) -> list[int]:
        """What becomes descriptor 0, 1, 2 and perhaps 3 of the job."""
        standard = [self.stdin, self.stdout, self.stderr]
        return standard if self.channel is None else [*standard, self.channel]
