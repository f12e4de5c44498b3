"""The mixed load of the campaign: what is submitted, how often, and how each kind may end.

A job at `plain` makes a mark for its attempt that can be made once (O_EXCL), and holds a lock that one process of the
job may have. A job whose key is unique holds the key's lock too.
"""

from __future__ import annotations

import pathlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ctl import Client
from ctl.errors import WorkerctlError
from tests.campaign.oracle import Acknowledged, Oracle

MOST_QUEUED: Final = 150
KEYS: Final = 5

_SHELL: Final = """
umask 0
o=$1; n=$JOB_ID.$JOB_ATTEMPT
told() { [ $1 -gt 128 ] || : > "$o/$2"; }  # above 128 the campaign has killed this very child: nothing is known
(set -C; : > "$o/attempt.$n") 2>/dev/null || told $? "TWICE.$n.$$"
exec 9>>"$o/lock.$JOB_ID"; flock -n 9 || told $? "OVERLAP.$n"
%s
: > "$o/done.$n"
"""
_PYTHON: Final = r"""
import fcntl, os, sys, time
os.umask(0)
oracle = sys.argv[1]
job, attempt = os.environ["JOB_ID"], os.environ["JOB_ATTEMPT"]
def tell(name):
    try: os.close(os.open(f"{oracle}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError: return False
    return True
if not tell(f"attempt.{job}.{attempt}"): tell(f"TWICE.{job}.{attempt}.{os.getpid()}")
lock = os.open(f"{oracle}/lock.{job}", os.O_CREAT | os.O_RDWR, 0o666)
try: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError: tell(f"OVERLAP.{job}.{attempt}")
for i in range(int(sys.argv[2])):
    print(f"{job} {i}")
    time.sleep(0.01)
tell(f"done.{job}.{attempt}")
"""
_NODE: Final = r"""
const steps = Number(process.argv[2]);
let i = 0;
const timer = setInterval(() => {
  if (i === steps) { clearInterval(timer); process.send({type: "result", value: steps}); return; }
  process.send({type: "progress", percentage: 100 * i / steps});
  console.log(`${process.env.JOB_ID} ${i++}`);
}, 5);
"""


def _nothing(_: random.Random) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Kind:
    """A kind of job: how often, its script, its options, and the (state, reason) that it ends with if nobody kills it."""

    weight: int
    file: str
    text: str
    ends: tuple[str, str] = ("completed", "ok")
    options: Callable[[random.Random], dict[str, Any]] = _nothing
    plain: bool = True
    prints: bool = False


def _shell(name: str, weight: int, body: str = "", **fields: Any) -> Kind:
    return Kind(weight, f"{name}.sh", _SHELL % body, **fields)


KINDS: Final = {
    "quick": _shell("quick", 48, options=lambda dice: {"priority": dice.randint(-5, 5)}),
    "prints": _shell(
        "prints", 8, 'i=0; while [ $i -lt $2 ]; do echo "$JOB_ID $i"; i=$((i+1)); done', prints=True
    ),
    "retried": _shell(
        "retried", 8, "[ $JOB_ATTEMPT -ge 3 ] || exit 9", options=lambda _: {"retries": 10, "backoff": "10ms"}
    ),
    "fails": _shell(
        "fails", 6, "exit 3", ends=("failed", "exit"), options=lambda _: {"retries": 1, "backoff": "10ms"}
    ),
    "times_out": _shell(
        "times_out", 3, "sleep 30", ends=("failed", "timeout"), options=lambda _: {"timeout": "200ms"}
    ),
    "cancelled": _shell("cancelled", 6, "sleep 0.2"),
    "scheduled": _shell("scheduled", 8, options=lambda dice: {"delay": f"{dice.randint(50, 1500)}ms"}),
    "once": _shell("once", 4, "sleep 0.05", options=lambda _: {"on_loss": "fail"}),
    "unique": _shell(
        "unique", 4, 'exec 8>>"$o/key.$2"; flock -n 8 || told $? "OVERLAP.$n"; sleep 0.02',
        options=lambda dice: {"unique": f"key-{dice.randrange(KEYS)}"},
    ),
    "after": _shell("after", 5, options=lambda _: {"after": "any"}),
    "python": Kind(3, "python.py", _PYTHON, prints=True),
    "node": Kind(3, "node.js", _NODE, plain=False, prints=True),
}  # fmt: skip


def write_scripts(folder: pathlib.Path) -> None:
    """The scripts of all kinds."""
    folder.mkdir()
    for kind in KINDS.values():
        (folder / kind.file).write_text(kind.text)


@dataclass
class Submitter(threading.Thread):
    """Submits jobs until told to stop, cancels some; what was acknowledged goes into the journal first."""

    socket: str
    oracle: Oracle
    scripts: pathlib.Path
    dice: random.Random
    pause_s: float
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__()
        self._last: int | None = None

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        count = 0
        while not self.stopping.wait(self.pause_s):
            count += 1
            try:
                with Client(socket=self.socket) as client:
                    for _ in range(10):
                        self._submit(client)
                    while count % 2 == 0 and client.status()["jobs"]["queued"] > MOST_QUEUED:
                        if self.stopping.wait(0.2):
                            return
            except WorkerctlError as error:
                self.oracle.refused.append(f"{error.code}: {error}")
                time.sleep(0.05)  # the daemon is being restarted

    def _submit(self, client: Client) -> None:
        dice = self.dice
        name = dice.choices(list(KINDS), [kind.weight for kind in KINDS.values()])[0]
        kind, steps, after = KINDS[name], dice.randint(3, 20), None
        options = kind.options(dice)
        if "after" in options:
            after = self._last
            options = {} if after is None else {"after": [f"{after}:any"]}
        arguments = [str(self.oracle.marks), options.get("unique", str(steps))] if kind.plain else [str(steps)]
        made = client.submit(
            str(self.scripts / kind.file), args=arguments, isolation="plain" if kind.plain else "namespace", **options
        )
        if getattr(made, "existing", False):
            return
        self._last = made.id
        self.oracle.journal.submitted(Acknowledged(made.id, name, steps, after))
        if name == "cancelled":
            time.sleep(dice.uniform(0, 0.1))  # so that it is met in any state
            self._cancel(client, made.id)

    def _cancel(self, client: Client, job: int) -> None:
        try:
            client.cancel(job)
        except WorkerctlError as error:
            if error.code != "wrong_state":
                raise
            return
        self.oracle.journal.cancelled(job)
