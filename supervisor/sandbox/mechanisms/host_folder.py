"""The job's work folder as a plain folder of the host, where there is no private root.

Invariant: fresh and empty for each job, mode 0700, owned by the job's uid.
Never: limits its size: no disk quota is to be had this way.
"""

from __future__ import annotations

import os

from supervisor.sandbox import folder
from supervisor.sandbox.site import Room, Site


def make(site: Site, room: Room) -> None:
    slot_fd = folder.open_folder(site.folder)
    try:
        folder.make_fresh(slot_fd, room.name, site.uid, site.gid)
        room.work_fd = folder.open_folder(room.name, slot_fd)
    finally:
        os.close(slot_fd)
    room.job_dir = f"{site.folder}/{room.name}"
