"""Random SIGKILLs of every kind of process under load, judged by an oracle outside the daemon.

300 kills by default; WORKER_CAMPAIGN_KILLS and WORKER_CAMPAIGN_SEED change how many and which.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal
import sqlite3
import time

import pytest

from tests.campaign.oracle import NAMESPACE_JOB, PLAIN_JOB, Oracle, Submitter
from tests.harness import Daemon, alive, children_of, tree_of, wait_until

KILLS = int(os.environ.get("WORKER_CAMPAIGN_KILLS", "300"))
SEED = int(os.environ.get("WORKER_CAMPAIGN_SEED", str(random.randrange(10**6))))
TARGETS = {"broker": 25, "worker": 30, "holder": 12, "keeper": 13, "arbiter": 12, "everything": 8}
LOST = {"worker_lost", "host_lost"}


class Chaos:
    """Kills what the dice say, and starts the supervisor again when it was the one."""

    def __init__(self, daemon: Daemon, dice: random.Random) -> None:
        self.daemon = daemon
        self.dice = dice
        self.done: dict[str, int] = dict.fromkeys(TARGETS, 0)
        self.history: list[tuple[float, str, dict[int, str | None]]] = []

    def strike(self) -> None:
        if self.daemon.ended():
            # Five brokers in a row that were killed as soon as they were ready: it asks to be started again.
            assert self.daemon.process.returncode == 75, self.daemon.process.returncode
            self.daemon.start()
        target = self.dice.choices(list(TARGETS), list(TARGETS.values()))[0]
        tree = tree_of(self.daemon.pid)
        if target == "everything":
            # All of the daemon's own; a job that is killed by a stranger is a job that failed by a signal.
            victims = [pid for pid, name in tree.items() if name.startswith("worker-supervisor: ")]
        else:
            named = {pid for pid, name in tree.items() if f": {target}" in name}
            # Between its fork and its exec a job looks like its keeper; killing it would be killing the job.
            victims = sorted(named - {child for pid in named for child in children_of(pid)})
            victims = [self.dice.choice(victims)] if victims else []
        if not victims:
            return
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.done[target] += 1
        self.history.append((time.time(), target, {pid: tree.get(pid) for pid in victims}))
        if self.daemon.pid in victims:
            self.daemon.process.wait(10)
            self.daemon.start()


@pytest.mark.campaign
@pytest.mark.timeout(240 + 3 * KILLS)
def test_nothing_acknowledged_is_lost_and_nothing_is_run_twice_at_once(tmp_path: pathlib.Path) -> None:
    print(f"seed {SEED}, {KILLS} kills")
    scripts, marks = tmp_path / "scripts", pathlib.Path(f"/var/tmp/workerctl-oracle-{os.getpid()}")
    scripts.mkdir()
    marks.mkdir()
    marks.chmod(0o1777)
    (scripts / "plain.py").write_text(PLAIN_JOB)
    (scripts / "namespace.js").write_text(NAMESPACE_JOB)
    daemon = Daemon(tmp_path / "d", 'kill_grace = "500ms"\n', workers=3)
    oracle = Oracle(marks)
    submitters = [Submitter(daemon.socket, oracle, scripts, number, pause_s=0.15) for number in range(2)]
    try:
        daemon.start()
        chaos = Chaos(daemon, random.Random(SEED))
        for submitter in submitters:
            submitter.start()
        mark = f"WORKER_SUPERVISOR_MARK={(daemon.state / 'instance').read_text().strip()}"
        while sum(chaos.done.values()) < KILLS:
            time.sleep(chaos.dice.uniform(0, 0.3))  # the moment of a kill is the dice's, not a wait
            chaos.strike()
            oracle.look_for_overlaps(mark)
        for submitter in submitters:
            submitter.stopping.set()
            submitter.join(30)
        judge(daemon, oracle, chaos)
    except BaseException:
        print(f"seed {SEED}\n---- the daemon's log\n" + daemon.words()[-20000:])
        raise
    finally:
        for submitter in submitters:
            submitter.stopping.set()
        daemon.clean()
        for name in os.listdir(marks):
            os.unlink(marks / name)
        marks.rmdir()


def judge(daemon: Daemon, oracle: Oracle, chaos: Chaos) -> None:
    """Everything that must be true at the end."""
    if any(worker["state"] == "parked" for worker in daemon.ask("status")["workers"]):
        daemon.kill()  # a parked worker is released by a new supervisor
        daemon.start()
    jobs = {}
    with daemon.client() as client:
        for known in oracle.acknowledged:
            jobs[known.job] = client.wait(known.job, timeout=60)
    print(f"{len(jobs)} jobs, kills {chaos.done}, refused while down {len(oracle.refused)}")
    assert len(jobs) == len({known.job for known in oracle.acknowledged}) > KILLS / 4
    ran_again = 0
    for known in oracle.acknowledged:
        job = jobs[known.job].raw
        attempts = job["attempts"]
        assert [a["number"] for a in attempts] == list(range(1, len(attempts) + 1)), job
        assert all(a["reason"] and a["finished_at"] for a in attempts), job
        losses = [a for a in attempts if a["reason"] in LOST]
        ran_again += bool(losses) and job["state"] == "completed"
        if job["state"] == "failed":
            assert job["reason"] in LOST, job
            assert len(losses) == 4, job
            continue
        assert job["state"] == "completed", job
        if not known.plain:
            assert job["result"] == known.steps, job
        output = daemon.ctl("logs", "--stdout", str(known.job)).stdout if known.job % 10 == 0 else None
        if output is not None:
            assert output == b"".join(b"%d %d\n" % (known.job, i) for i in range(known.steps)), job
    assert ran_again > 0 or KILLS < 50
    assert not oracle.marks("TWICE"), oracle.marks("TWICE")
    assert not oracle.marks("OVERLAP"), oracle.marks("OVERLAP")
    assert not oracle.overlaps, oracle.overlaps
    assert daemon.stop() == 0
    wait_until(lambda: not daemon.survivors(), 5, f"nothing left: {daemon.survivors()}")
    assert not [pid for pid in daemon.survivors() if alive(pid)]
    check_database(daemon)


def check_database(daemon: Daemon) -> None:
    """The file itself, read when nobody has it open any more."""
    database = sqlite3.connect(f"file:{daemon.state / 'queue.db'}?mode=ro", uri=True)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM attempts WHERE state = 'running'").fetchone() == (0,)
        counted = dict(database.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        kept = dict(database.execute("SELECT state, sum(n) FROM counters GROUP BY state HAVING sum(n) > 0").fetchall())
        assert counted == kept
    finally:
        database.close()
