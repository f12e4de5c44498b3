"""All checks of `doctor`: the command's own, and those of the daemon or, where none runs, of `worker-supervisor doctor`.

The command itself tries no sandbox and opens no file of the daemon: it asks, or starts the program that does.
"""

from __future__ import annotations

import os
import stat

from ctl.client import sockets
from ctl.errors import NoDaemon, WorkerctlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any

    from ctl.client import Client

    Check = dict[str, Any]

OFFLINE_S = 120.0
HELD = 3
START = "start one with `worker-supervisor`, or name its socket with --socket PATH or WORKER_SOCKET"
_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from supervisor.cli import main; sys.exit(main())"
LOG = "the daemon's log says more"


def all_checks(client: Client, socket: str | None) -> list[Check]:
    """The daemon's answer, the way to it, and everything that it, or a look without it, has found."""
    try:
        status = client.status()
    except NoDaemon as error:
        if "sockets" not in error.data:
            return [_check("daemon", "fail", error.message, LOG), _check("machine", "skipped", "it would be asked")]
        return _without_daemon(socket, error)
    except WorkerctlError as error:
        return [_check("daemon", "fail", error.message, "")]
    checks = [_daemon(status), _version(str(status["version"])), socket_check(str(status["socket"]), os.geteuid())]
    try:
        return [*checks, *client.doctor()["checks"]]
    except WorkerctlError as error:
        if error.code == "permission_denied":
            return [*checks, _check("machine", "skipped", "only the daemon's own user and root may ask it for more")]
        return [*checks, _check("machine", "fail", error.message, LOG)]


def socket_check(path: str, uid: int) -> Check:
    """Whether what we talk to can only be the daemon of this user or of root."""
    name, folder = "socket_trust", os.path.dirname(path)
    try:
        seen, above = os.stat(path), os.stat(folder)
    except OSError as error:
        return _check(name, "warn", f"{path}: {(error.strerror or str(error)).lower()}", "")
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        return _check(name, "fail", f"{folder}: everybody may put another socket here", f"chmod o-w {folder}")
    if seen.st_uid not in (0, uid):
        found = f"{path} belongs to uid {seen.st_uid}, who sees what you submit"
        return _check(name, "ok" if uid == 0 else "warn", found, "")
    return _check(name, "ok", f"{path} belongs to uid {seen.st_uid}", "")


def _daemon(status: dict[str, Any]) -> Check:
    if status["state"] != "running":
        return _check(
            "daemon", "warn", f"it is {status['state']}, pid {status['pid']}", "start it again when it has gone"
        )
    return _check("daemon", "ok", f"it answers, pid {status['pid']}, up {status['uptime_s']:.0f} s", "")


def _version(theirs: str) -> Check:
    from supervisor import __version__

    if theirs != __version__:
        found = f"the daemon is {theirs}, this command {__version__}"
        return _check("version", "warn", found, "start the daemon again, so that both are of one release")
    return _check("version", "ok", theirs, "")


def _without_daemon(socket: str | None, error: NoDaemon) -> list[Check]:
    reason = error.message.partition("\n")[0]
    stale = [path for path in sockets(socket) if os.path.exists(path)]
    if stale:
        reason += f"; {stale[0]} was left by one that was killed: the next start removes it"
    code, checks, words = _supervisor_doctor(socket)
    if code == HELD:
        return [_check("daemon", "fail", f"{reason}; but {words}", "it listens elsewhere, or hangs: see its log")]
    daemon = _check("daemon", "warn", reason, START)
    workers = _check("workers", "skipped", "no daemon to ask")
    if checks is None:
        return [daemon, workers, _check("machine", "fail", words or f"the look at it ended with {code}", "")]
    return [daemon, workers, *checks]


def run_supervisor(words: list[str], socket: str | None) -> subprocess.CompletedProcess[bytes]:
    """What `worker-supervisor WORDS` comes to, of the daemon's code beside this command. Raises TimeoutExpired."""
    import subprocess
    import sys

    import supervisor

    # Never what lies in the folder that we are called in.
    home = os.path.dirname(os.path.dirname(os.path.abspath(supervisor.__file__)))
    where = ["--socket", os.path.abspath(socket)] if socket else []
    return subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, home, *words, *where],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=OFFLINE_S,
        check=False,
    )


def words_of(done: subprocess.CompletedProcess[bytes]) -> str:
    """What it complained of, without its name."""
    return done.stderr.decode(errors="replace").strip().removeprefix("worker-supervisor: ")


def _supervisor_doctor(socket: str | None) -> tuple[int, list[Check] | None, str]:
    """What `worker-supervisor doctor --json` ends with, its checks, and what it complained of."""
    import json
    import subprocess

    try:
        done = run_supervisor(["doctor", "--json"], socket)
    except subprocess.TimeoutExpired:
        return 1, None, f"the look at this machine took longer than {OFFLINE_S:g} s"
    try:
        return done.returncode, json.loads(done.stdout)["checks"], words_of(done)
    except (ValueError, KeyError, TypeError):
        return done.returncode, None, words_of(done)


def _check(name: str, status: str, found: str, remedy: str = "") -> Check:
    return {"name": name, "status": status, "found": found, "remedy": remedy}
