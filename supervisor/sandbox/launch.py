"""What the library's user asks for: binds, the class of a slot, and one job.

Invariant: frozen values; a Launch's descriptors stay the caller's, they are copied to the job.
Never: checks what only the kernel can know (whether argv[0] exists): that is reported as LaunchFailed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

_TAKEN = ("/", "/job", "/tmp", "/dev", "/proc", "/run")  # noqa: S108 - inside the private root


@dataclass(frozen=True)
class Bind:
    """A host path (file or folder) that jobs see at `target`. Without a private root they see it at `source`, and
    below their own folder as a link; where files are refused unless granted, the grant is for `source`.

    A target below /job or /tmp is made anew in each job. ValueError: a path that is not absolute and plain, or
    a target that every job gets fresh anyway.
    """

    source: str
    target: str
    writable: bool = False

    def __post_init__(self) -> None:
        for path in (self.source, self.target):
            if not path.startswith("/") or path != os.path.normpath(path):
                raise ValueError(f"a bind needs plain absolute paths, not {path!r}")
        if self.target in _TAKEN or self.target.startswith(("/proc/", "/dev/")):
            raise ValueError(f"nothing can be bound at {self.target}: every job gets its own")


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
        for name in ("disk_bytes", "inodes", "tmp_bytes"):
            value = getattr(self, name)
            if value is not None and value <= 0:  # to a tmpfs, 0 means without limit
                raise ValueError(f"{name} is {value}; it must be positive")


@dataclass(frozen=True)
class Launch:
    """One job. argv[0] is an absolute path as the job sees it; cwd None is the job's own folder.

    rlimits: names without RLIMIT_ to (soft, hard). stdin, stdout, stderr, channel: descriptors of the caller;
    channel becomes descriptor 3. memory_bytes and cpu_s hold for the whole tree and are sampled.
    processes sets RLIMIT_NPROC (threads count) unless rlimits name NPROC. cores: how many CPUs at most at once;
    only a delegated cgroup with the cpu controller can hold it.
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
    cores: float | None = None

    def __post_init__(self) -> None:
        if not self.argv or not os.fsencode(self.argv[0]).startswith(b"/"):
            raise ValueError(f"argv[0] must be an absolute path: {self.argv[:1]!r}")

    def fds(self) -> list[int]:
        """What becomes descriptor 0, 1, 2 and perhaps 3 of the job."""
        standard = [self.stdin, self.stdout, self.stderr]
        return standard if self.channel is None else [*standard, self.channel]
