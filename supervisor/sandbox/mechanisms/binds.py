"""What holds for a caller's binds wherever they are shown or granted.

Invariant: no bind shows the folder in which this daemon keeps the work of its slots.
Never: changes a bind.
"""

from __future__ import annotations

import errno
import os

from supervisor.sandbox.fault import SandboxError
from supervisor.sandbox.site import Site


def refuse_binds_of_state(site: Site) -> None:
    state = os.path.realpath(site.folder) + "/"
    for source, _target, _writable in site.binds:
        if state.startswith(os.path.realpath(source).rstrip("/") + "/"):
            raise SandboxError("bind", errno.EPERM, f"{source} holds the daemon's own state: jobs may not see it")
