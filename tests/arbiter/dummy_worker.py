"""A worker without jobs: it does what the file `<pool>-<number>.does` of the test's folder says, and waits.

`quiet`: beats no more; `numb`: the same,
and ignores SIGABRT; `slow-start`: never beats. `fat`: takes 60 MiB. `die N`: exits with N. `speak`: dies of a SupervisorError. `defect`: dies of a Python exception. `busy`: ignores the
first SIGTERM. `deaf`: ignores all of them. `orphan`: leaves a process of its own session, with an empty environment,
whose parent is dead; `orphan-marked`: the same, with the mark; `namespace`: an orphan that has made a pid
namespace; `bomb`: leaves some that go on forking.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time

from dummy_broker import FOLDER, note_fds

from supervisor.child import MARK_VARIABLE, WorkerContext
from supervisor.core.errors import StorageError

terms = 0


def run(context: WorkerContext) -> int:
    file_name = f"{FOLDER}/{context.name.replace('/', '-')}"
    what = read(f"{file_name}.does")
    signal.signal(signal.SIGTERM, count_term)
    context.scoreboard.started = 42
    note_fds(context.name.replace("/", "-"))
    if what.startswith("die"):
        return int(what.split()[1])
    if what == "speak":
        raise StorageError("the broker has no lease for me")
    if what == "defect":
        raise ZeroDivisionError("a defect")
    if what in ("orphan", "orphan-marked", "namespace", "bomb"):
        mark = {MARK_VARIABLE: context.mark} if what == "orphan-marked" else {}
        leave_orphan(f"{file_name}.orphan", what, mark)
    ballast = b"x" * (60 << 20) if what == "fat" else b""
    with open(f"{file_name}.env", "w", encoding="utf-8") as file:
        file.write("".join(f"{name}={value}\n" for name, value in os.environ.items()))
    if what == "slow-start":
        time.sleep(100)
    context.scoreboard.beat()
    if what == "numb":
        faulthandler.disable()
        signal.signal(signal.SIGABRT, signal.SIG_IGN)
    tell_terms(file_name)
    needed = {"busy": 2, "deaf": 1_000_000}.get(what, 1)
    while terms < needed:
        signal.sigtimedwait([], 0.02)
        if what not in ("quiet", "numb"):
            context.scoreboard.beat()
        tell_terms(file_name)
    return 0 * len(ballast)


def count_term(number: int, frame: object) -> None:
    global terms
    terms += 1


def tell_terms(file_name: str) -> None:
    """Whole at each moment: somebody may be reading."""
    with open(f"{file_name}.draft", "w", encoding="ascii") as file:
        file.write(str(terms))
    os.replace(f"{file_name}.draft", f"{file_name}.terms")


def read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def leave_orphan(path: str, what: str, environment: dict[str, str]) -> None:
    if os.fork() != 0:
        while not read(path):
            time.sleep(0.005)
        return
    worker = os.getppid()
    os.setsid()
    if os.fork() != 0:
        # An orphan may be swept at once: first it says who it is, and a namespace is none before its worker dies.
        while not read(path) or (what == "namespace" and os.getppid() == worker):
            time.sleep(0.005)
        os._exit(0)
    program = "import time; time.sleep(100)"
    if what == "bomb":
        program = "import os,time\nfor n in range(20):\n  time.sleep(.002)\n  os.fork()\n  n>8 and time.sleep(100)"
    with open(path, "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    if what == "namespace":
        os.execve("/usr/bin/unshare", ["unshare", "--pid", "--fork", "/bin/sleep", "100"], {})
    os.execve(sys.executable, [sys.executable, "-S", "-c", program], environment)
