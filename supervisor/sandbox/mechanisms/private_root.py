"""A root of its own: the system read-only, everything writable fresh for each job.

Invariant: the template (one a holder) is read-only and holds nothing of a job; /tmp, /dev/shm, /job and /proc
are mounted anew in the mount namespace of each keeper, so nothing a job does there reaches the next one.
Never: shows a folder of the host that is not in the lists below or in the caller's binds.
"""

from __future__ import annotations

import os

from supervisor.sandbox import folder, syscalls
from supervisor.sandbox.mechanisms import private_etc
from supervisor.sandbox.mechanisms.binds import refuse_binds_of_state
from supervisor.sandbox.site import Room, Site
from supervisor.sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC, mount

_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
                 "stderr": "/proc/self/fd/2"}  # fmt: skip
_FRESH = ("/tmp", "/dev/shm", "/job")  # noqa: S108 - inside the private root
_LINK_TO_TMP = "/var/tmp/"  # noqa: S108 - inside the private root
_SLOT, _BINDS, _SPARE = "/.slot", "/.binds", "/run"
_ROOT = "root"


def build_template(site: Site) -> None:
    """Gives the holder a mount namespace with the template as its root."""
    refuse_binds_of_state(site)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    mount(None, "/", None, MS_REC | syscalls.MS_PRIVATE)
    slot_fd = folder.open_folder(site.folder)
    root = f"{site.folder}/{_ROOT}"
    folder.make_fresh(slot_fd, _ROOT, os.geteuid(), os.getegid())
    os.close(slot_fd)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755")
    for place in (*_FRESH, "/proc", _SLOT, _BINDS, _SPARE, "/etc", "/var", "/dev"):
        os.makedirs(root + place, 0o755, exist_ok=True)
    os.symlink("/tmp", root + "/var/tmp")  # noqa: S108 - inside the private root
    _show_system(root)
    _show_devices(root)
    private_etc.build(site, root)
    for bind in site.binds:
        _show_bind(site, root, *bind)
    mount(site.folder, root + _SLOT, None, MS_BIND)  # without what is mounted below: the template itself
    syscalls.harden_mount(root + _SLOT, writable=True)
    # A user namespace may mount a fresh /proc only while it sees one in full; each keeper takes this one away.
    mount("/proc", root + "/proc", None, MS_BIND | MS_REC)
    _enter(root)


def mount_fresh(site: Site, room: Room) -> None:
    """Mounts in the keeper's own mount namespace what belongs to this job alone."""
    mount("proc", _SPARE, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    syscalls.unmount("/proc")
    mount(_SPARE, "/proc", None, syscalls.MS_MOVE)
    for place in ("/tmp", "/dev/shm"):  # noqa: S108 - inside the private root
        mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, f"size={room.tmp_bytes},nr_inodes=65536,mode=1777")
    room.tmpfs += ["/tmp", "/dev/shm"]  # noqa: S108 - inside the private root
    _WORK[room.work](site, room)
    syscalls.unmount(_SLOT)
    if room.network:
        private_etc.use_host_network_files()
    for stash, target, is_folder in site.late_binds:
        _show_late_bind(site, stash, target, is_folder)
    room.job_dir = "/job"
    room.work_fd = folder.open_folder("/job")


def _work_in_memory(site: Site, room: Room) -> None:
    options = f"mode=700,uid={site.uid},gid={site.gid}"
    if room.disk_bytes is not None:
        options += f",size={room.disk_bytes}"
    if room.inodes is not None:
        options += f",nr_inodes={room.inodes}"
    mount("tmpfs", "/job", "tmpfs", MS_NOSUID | MS_NODEV, options)
    room.tmpfs.append("/job")


def _work_on_disk(site: Site, room: Room) -> None:
    slot_fd = folder.open_folder(_SLOT)
    folder.make_fresh(slot_fd, room.name, site.uid, site.gid)
    os.close(slot_fd)
    _bind(f"{_SLOT}/{room.name}", "/job", writable=True)


_WORK = {"tmpfs": _work_in_memory, "disk": _work_on_disk}


def _show_system(root: str) -> None:
    for name in _SYSTEM:
        host = f"/{name}"
        if os.path.islink(host):
            os.symlink(os.readlink(host), root + host)
        elif os.path.isdir(host):
            os.mkdir(root + host, 0o755)
            _bind(host, root + host, writable=False)


def _show_devices(root: str) -> None:
    for name in _DEVICES:
        _touch(f"{root}/dev/{name}")
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
    for name, goal in _DEVICE_LINKS.items():
        os.symlink(goal, f"{root}/dev/{name}")


def _show_bind(site: Site, root: str, source: str, target: str, writable: bool) -> None:
    is_folder = os.path.isdir(source)
    if target.startswith(_LINK_TO_TMP):  # an absolute link: before the root is entered it leads to the host's
        target = target.removeprefix("/var")
    if any(target.startswith(place + "/") for place in _FRESH):
        stash = f"{_BINDS}/{len(site.late_binds)}"
        site.late_binds.append((stash, target, is_folder))
        target = stash
    _make_place(root + target, is_folder)
    _bind(source, root + target, writable=writable)


def _show_late_bind(site: Site, stash: str, target: str, is_folder: bool) -> None:
    """A bind below a folder that is fresh for each job; what is made on the way belongs to the job."""
    for depth in range(2, target.count("/")):
        parent = "/".join(target.split("/")[: depth + 1])
        if not os.path.isdir(parent):
            os.mkdir(parent, 0o755)
            os.chown(parent, site.uid, site.gid)
    _make_place(target, is_folder)
    mount(stash, target, None, MS_BIND | MS_REC)  # the copy keeps the stash's read-only flag


def _make_place(path: str, is_folder: bool) -> None:
    os.makedirs(path if is_folder else os.path.dirname(path), 0o755, exist_ok=True)
    if not is_folder and not os.path.exists(path):
        _touch(path)


def _bind(source: str, target: str, *, writable: bool) -> None:
    mount(source, target, None, MS_BIND | MS_REC)
    syscalls.harden_mount(target, writable=writable)


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _enter(root: str) -> None:
    os.chdir(root)
    syscalls.pivot_root_here()
    syscalls.unmount(".")
    os.chdir("/")
    flags = syscalls.MS_REMOUNT | MS_BIND | syscalls.MS_RDONLY | MS_NOSUID | MS_NODEV
    mount(None, "/", None, flags)
