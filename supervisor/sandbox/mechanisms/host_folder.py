"""The job's work folder as a plain folder of the host, where there is no private root.

Invariant: fresh and empty for each job, mode 0700, owned by the job's uid.
Never: limits its size: no disk quota is to be had this way.
"""

from __future__ import annotations

import os

from supervisor.sandbox import folder
from supervisor.sandbox.site import Room, Site

_PRIVATE_WORK = "/job/"


def make(site: Site, room: Room) -> None:
    slot_fd = folder.open_folder(site.folder)
    try:
        folder.make_fresh(slot_fd, room.name, site.uid, site.gid)
        room.work_fd = folder.open_folder(room.name, slot_fd)
    finally:
        os.close(slot_fd)
    room.job_dir = f"{site.folder}/{room.name}"
    for source, target, _writable in site.binds:
        if target.startswith(_PRIVATE_WORK):
            _link(site, room.work_fd, target.removeprefix(_PRIVATE_WORK), source)


def _link(site: Site, work_fd: int, path: str, source: str) -> None:
    """What a private root would bind below the job's folder; what is made on the way belongs to the job."""
    *parents, _name = path.split("/")
    place = "."
    for parent in parents:
        place = f"{place}/{parent}"
        try:
            os.mkdir(place, 0o755, dir_fd=work_fd)
        except FileExistsError:
            continue
        os.chown(place, site.uid, site.gid, dir_fd=work_fd)
    os.symlink(source, path, dir_fd=work_fd)
