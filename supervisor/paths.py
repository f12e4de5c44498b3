"""Where things are: the daemon's folders, its socket, its settings file. Standard library only.

Everything of a daemon lies in its state folder, closed to other users, but for the socket and (for root) the work
folder of the sandboxes, which the uids of jobs must be able to walk into. Nothing here is ever removed, and no mode
of a folder that is not recognisably ours is ever changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Final, NamedTuple

from supervisor.core.errors import SettingsError

NAME: Final = "worker-supervisor"
SOCKET_NAME: Final = "control.sock"
MAX_SOCKET_PATH_BYTES: Final = 107
WORK_ROOT: Final = "/var/tmp"  # noqa: S108  the name below it carries the instance id; owner and kind are checked


class Paths(NamedTuple):
    """The files of one daemon. `work_dir` is set by `prepare_folders` where the work folder lies elsewhere."""

    state_dir: str
    socket: str
    work_dir: str | None = None

    @property
    def lock(self) -> str:
        """The file whose flock says that somebody owns this state folder."""
        return f"{self.state_dir}/lock"

    @property
    def database(self) -> str:
        """The queue's database."""
        return f"{self.state_dir}/queue.db"

    @property
    def instance(self) -> str:
        """The file with this state folder's random id."""
        return f"{self.state_dir}/instance"

    @property
    def spool(self) -> str:
        """Folder of the sources too large for the database, by sha256."""
        return f"{self.state_dir}/spool"

    @property
    def outputs(self) -> str:
        """Folder of what jobs print: `outputs/<job>/<attempt>.stdout` and `.stderr`."""
        return f"{self.state_dir}/outputs"

    @property
    def work(self) -> str:
        """Folder under which the sandboxes of the worker slots live."""
        return self.work_dir or f"{self.state_dir}/work"

    @property
    def cache(self) -> str:
        """Folder of what can be made again."""
        return f"{self.state_dir}/cache"


def default_state_dir(env: Mapping[str, str] = os.environ) -> str:
    """The state folder of this user when nothing says otherwise."""
    if _is_root():
        return f"/var/lib/{NAME}"
    return f"{_xdg(env, 'XDG_STATE_HOME', '.local/state')}/{NAME}"


def default_config(env: Mapping[str, str] = os.environ) -> str:
    """The settings file of this user; it need not exist."""
    folder = "/etc" if _is_root() else _xdg(env, "XDG_CONFIG_HOME", ".config")
    return f"{folder}/{NAME}/config.toml"


def default_socket(env: Mapping[str, str] = os.environ) -> str:
    """The socket that a daemon of this user binds when nothing says otherwise."""
    return _own_sockets(env)[0]


def socket_candidates(env: Mapping[str, str] = os.environ) -> list[str]:
    """Where a client looks for the daemon, in order: WORKER_SOCKET alone if set, else the user's, then the system's."""
    if chosen := env.get("WORKER_SOCKET"):
        return [chosen]
    return list(dict.fromkeys([*_own_sockets(env), f"/run/{NAME}/{SOCKET_NAME}"]))


def _own_sockets(env: Mapping[str, str]) -> list[str]:
    if _is_root():
        return [f"/run/{NAME}/{SOCKET_NAME}"]
    folders = [env["XDG_RUNTIME_DIR"]] if os.path.isabs(env.get("XDG_RUNTIME_DIR", "")) else []
    return [f"{folder}/{NAME}/{SOCKET_NAME}" for folder in folders] + [f"{default_state_dir(env)}/{SOCKET_NAME}"]


def _xdg(env: Mapping[str, str], variable: str, below_home: str) -> str:
    folder = env.get(variable, "")
    # The XDG specification says that relative values are to be ignored.
    return folder if os.path.isabs(folder) else os.path.join(env.get("HOME") or os.path.expanduser("~"), below_home)


def _is_root() -> bool:
    return os.geteuid() == 0


def prepare_state_dir(paths: Paths) -> None:
    """Makes the state folder, 0700 and ours, so that it can be locked; raises SettingsError. Many may race."""
    check_socket_length(paths.socket)
    _make_private(paths.state_dir, known_by="lock")
    _check_parents(paths.state_dir)


def prepare_folders(paths: Paths, as_root: bool) -> Paths:
    """Makes every folder below the state folder; only under the lock. Raises SettingsError.

    Returns the paths to go on with: as root, jobs run under other uids, so that their work folder must be
    reachable (0711) from `/` down, while the state folder stays closed.
    """
    prepare_state_dir(paths)
    for folder in (paths.spool, paths.outputs, paths.cache):
        _make_private(folder)
    _make_socket_folder(paths.socket)
    instance = read_or_make_instance(paths)
    if not as_root:
        _make_private(paths.work)
        return paths
    elsewhere = _with_work_dir(paths, instance)
    _make_walkable(elsewhere.work)
    return elsewhere


def folders_of(paths: Paths, as_root: bool) -> Paths:
    """The paths of a daemon that has made its folders already; makes nothing. Raises FileNotFoundError where none has,
    SettingsError."""
    instance = read_instance(paths)
    return _with_work_dir(paths, instance) if as_root else paths


def _with_work_dir(paths: Paths, instance: str) -> Paths:
    return paths._replace(work_dir=f"{WORK_ROOT}/{NAME}-{instance}")


def check_socket_length(socket_path: str) -> None:
    """Raises SettingsError for a path that the kernel cannot bind."""
    length = len(os.fsencode(socket_path))
    if length > MAX_SOCKET_PATH_BYTES:
        raise SettingsError(
            f"the socket path {socket_path} has {length} bytes, the kernel takes at most {MAX_SOCKET_PATH_BYTES}: "
            "give a shorter one with --socket or WORKER_SOCKET"
        )


def read_or_make_instance(paths: Paths) -> str:
    """This state folder's random id, made at the first start; only under the lock. Raises SettingsError."""
    try:
        return read_instance(paths)
    except FileNotFoundError:
        return _make_instance(paths)


def read_instance(paths: Paths) -> str:
    """This state folder's random id; raises FileNotFoundError where no daemon ever was, SettingsError."""
    with open(paths.instance, encoding="ascii", errors="replace") as file:
        instance = file.read(65).strip()
    if len(instance) != 32 or not set(instance) <= set("0123456789abcdef"):
        raise SettingsError(f"{paths.instance} is damaged: remove it, the next start makes another")
    return instance


def _make_instance(paths: Paths) -> str:
    instance = os.urandom(16).hex()
    unfinished = f"{paths.instance}.new"
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, instance.encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(unfinished, paths.instance)
    return instance


def _make_private(folder: str, known_by: str | None = None) -> None:
    """Makes `folder` 0700. One that others may enter is closed only if empty or if it holds the file `known_by`."""
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        seen = os.stat(folder)
    except OSError as error:
        raise SettingsError(f"cannot make the folder {folder}: {error.strerror}") from error
    if seen.st_uid != os.geteuid():
        raise SettingsError(f"{folder} belongs to uid {seen.st_uid}, not to you (uid {os.geteuid()}): choose another")
    if stat.S_IMODE(seen.st_mode) == 0o700:
        return
    if known_by is not None and os.listdir(folder) and not os.path.lexists(f"{folder}/{known_by}"):
        raise SettingsError(
            f"{folder} is open to others (mode {stat.S_IMODE(seen.st_mode):o}) and holds files that are not the "
            f"daemon's: choose an empty folder, or close this one with chmod 700"
        )
    os.chmod(folder, 0o700)


def _check_parents(folder: str) -> None:
    """Who may write to a parent could put another folder in this one's place."""
    parent = os.path.dirname(os.path.realpath(folder))
    while True:
        seen = os.stat(parent)
        if others_may_replace(seen):
            raise SettingsError(
                f"{parent}, a parent of {folder}, can be written to by others (mode {stat.S_IMODE(seen.st_mode):o}): "
                f"choose another state folder, or close it with chmod go-w {parent}"
            )
        if parent == "/":
            return
        parent = os.path.dirname(parent)


def others_may_replace(seen: os.stat_result) -> bool:
    """Whether other users may put something else in the place of what lies in this folder."""
    if seen.st_mode & stat.S_ISVTX:
        return False
    if seen.st_mode & stat.S_IWOTH:
        return True
    return bool(seen.st_mode & stat.S_IWGRP) and not _is_private_group(seen)


def _is_private_group(seen: os.stat_result) -> bool:
    """Whether the group is the one of the same number that many systems give to each user alone."""
    return seen.st_uid == os.geteuid() and seen.st_gid in (0, seen.st_uid) and seen.st_gid == os.getegid()


def _make_socket_folder(socket_path: str) -> None:
    folder = os.path.dirname(socket_path)
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot make the folder {folder} for the socket: {error.strerror}") from error
    if others_may_replace(os.stat(folder)):
        raise SettingsError(f"{folder}, the socket's folder, can be written to by others: choose another with --socket")
    _check_parents(folder)


def _make_walkable(folder: str) -> None:
    try:
        os.mkdir(folder, 0o711)
    except FileExistsError:
        pass
    seen = os.lstat(folder)
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
        raise SettingsError(f"{folder} is not a folder of this user: remove it and start again")
    # Not mkdir's mode alone: the umask took from it.
    os.chmod(folder, 0o711)  # noqa: S103
