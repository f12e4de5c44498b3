"""Random SIGKILLs and SIGSTOPs of every kind of process under a mixed load, judged by an oracle outside the daemon.

WORKER_CAMPAIGN_KILLS (80), WORKER_CAMPAIGN_JOBS (0: as many as come) and WORKER_CAMPAIGN_SEED say how many and which.
"""

from __future__ import annotations

import os
import pathlib
import random
import sqlite3
import time
from typing import Any

import pytest

from tests.campaign.chaos import Chaos
from tests.campaign.load import KINDS, Submitter, write_scripts
from tests.campaign.oracle import Acknowledged, Oracle, oracle_in
from tests.harness import Daemon, wait_until

KILLS = int(os.environ.get("WORKER_CAMPAIGN_KILLS", "80"))
JOBS = int(os.environ.get("WORKER_CAMPAIGN_JOBS", "0"))
SEED = int(os.environ.get("WORKER_CAMPAIGN_SEED", str(random.randrange(10**6))))
LOST = {"worker_lost", "host_lost"}
LOG_SHOWN = 20_000


@pytest.mark.campaign
@pytest.mark.timeout(300 + 3 * KILLS + JOBS // 4)
def test_nothing_acknowledged_is_lost_and_nothing_is_run_twice_at_once(tmp_path: pathlib.Path) -> None:
    print(f"seed {SEED}, {KILLS} kills")
    began = time.monotonic()
    write_scripts(tmp_path / "scripts")
    daemon = Daemon(tmp_path / "d", 'kill_grace = "500ms"\n', workers=4)
    with oracle_in(tmp_path) as oracle:
        submitters = [
            Submitter(daemon.socket, oracle, tmp_path / "scripts", random.Random(f"{SEED}.{number}"), pause_s=0.05)
            for number in range(2)
        ]
        try:
            daemon.start()
            mark = f"WORKER_SUPERVISOR_MARK={(daemon.state / 'instance').read_text().strip()}"
            chaos = Chaos(daemon, random.Random(SEED), oracle, mark)
            for submitter in submitters:
                submitter.start()
            while (kills := sum(chaos.kills.values())) < KILLS or oracle.journal.count < JOBS:
                time.sleep(chaos.dice.uniform(0, 0.3))  # the moment of a blow is the dice's, not a wait
                # On a slow machine the blows wait for the jobs, or there would be time for nothing but starts.
                if kills * JOBS <= oracle.journal.count * KILLS:
                    chaos.strike()
                else:
                    chaos.tend()
                oracle.look_for_overlaps(mark)
            chaos.go_on()
            end(submitters)
            judge(daemon, oracle)
            print(
                f"{oracle.journal.count} jobs in {time.monotonic() - began:.0f} s, kills {chaos.kills}, stops "
                f"{chaos.stops}, starts {chaos.restarts + 1}, refused while down {len(oracle.refused)}"
            )
        except BaseException:
            print(f"seed {SEED}\n---- the daemon's log\n" + daemon.words()[-LOG_SHOWN:])
            raise
        finally:
            end(submitters)
            daemon.clean()


def end(submitters: list[Submitter]) -> None:
    for submitter in submitters:
        submitter.stopping.set()
    for submitter in submitters:
        if submitter.ident is not None:
            submitter.join(30)


def judge(daemon: Daemon, oracle: Oracle) -> None:
    """Everything that must be true at the end."""
    if daemon.ended():
        daemon.start()
    if any(worker["state"] == "parked" for worker in daemon.ask("status")["workers"]):
        daemon.kill()  # a parked worker is released by a new supervisor
        daemon.start()
    known, cancelled = oracle.journal.read()
    with daemon.client() as client:
        jobs = {one.job: client.wait(one.job, timeout=120).raw for one in known}
    assert len(jobs) == len(known) > KILLS
    for one in known:
        judge_job(jobs[one.job], one, struck=one.job in oracle.struck, cancelled=one.job in cancelled)
    judge_marks(oracle, jobs)
    judge_outputs(daemon, oracle, jobs)
    assert any(attempt["reason"] in LOST for job in jobs.values() for attempt in job["attempts"])
    assert not oracle.overlaps, oracle.overlaps
    assert daemon.stop() == 0
    wait_until(lambda: not daemon.survivors(), 5, "the end of all processes")
    check_database(daemon, len(jobs))


def judge_job(job: dict[str, Any], known: Acknowledged, *, struck: bool, cancelled: bool) -> None:
    """One end, by one of the ways that its kind and its fate allow; each attempt numbered, and with one outcome."""
    attempts = job["attempts"]
    assert [attempt["number"] for attempt in attempts] == list(range(1, len(attempts) + 1)), job
    assert all(attempt["reason"] and attempt["finished_at"] for attempt in attempts), job
    assert all(attempt["started_at"] <= attempt["finished_at"] for attempt in attempts), job
    reasons = [attempt["reason"] for attempt in attempts]
    ran_into = sum(reason in LOST for reason in reasons)
    assert job["losses"] >= ran_into, job
    assert "ok" not in reasons[:-1], f"it was run again after its success: {job}"
    if cancelled:
        assert job["state"] == "cancelled", f"a cancel was acknowledged: {job}"
    elif job["state"] == "failed" and job["reason"] in LOST:
        assert (known.kind == "once" and ran_into == 1) or job["losses"] == 4, job
    elif not struck and known.kind != "cancelled":
        assert (job["state"], job["reason"]) == KINDS[known.kind].ends, job
    if known.kind == "once":
        assert ran_into <= 1, f"it must not be run twice: {job}"
    if known.kind == "node" and job["state"] == "completed":
        assert job["result"] == known.steps, job


def judge_marks(oracle: Oracle, jobs: dict[int, dict[str, Any]]) -> None:
    """What the jobs saw: every attempt that began is recorded, every success really came to its end."""
    assert not oracle.marked("TWICE"), oracle.marked("TWICE")
    assert not oracle.marked("OVERLAP"), oracle.marked("OVERLAP")
    began = {tuple(map(int, name.split(".")[1:])) for name in oracle.marked("attempt")}
    done = {tuple(map(int, name.split(".")[1:])) for name in oracle.marked("done")}
    recorded = {(job["id"], attempt["number"]) for job in jobs.values() for attempt in job["attempts"]}
    # A submit whose answer was lost for good is in nobody's journal; its marks are no one's either.
    assert {mark for mark in began if mark[0] in jobs} <= recorded
    plain = {one.job for one in oracle.journal.read()[0] if KINDS[one.kind].plain}
    succeeded = {
        (job["id"], attempt["number"])
        for job in jobs.values()
        for attempt in job["attempts"]
        if attempt["reason"] == "ok" and job["id"] in plain and job["id"] not in oracle.struck
    }
    assert succeeded <= done


def judge_outputs(daemon: Daemon, oracle: Oracle, jobs: dict[int, dict[str, Any]]) -> None:
    """The output of a job that completed is whole: looked at in one of five."""
    with daemon.client() as client:
        for one in oracle.journal.read()[0]:
            whole = jobs[one.job]["state"] == "completed" and one.job not in oracle.struck
            if KINDS[one.kind].prints and whole and one.job % 5 == 0:
                assert client.logs(one.job) == b"".join(b"%d %d\n" % (one.job, i) for i in range(one.steps)), one


def check_database(daemon: Daemon, acknowledged: int) -> None:
    """The file itself, read when nobody has it open any more."""
    database = sqlite3.connect(f"file:{daemon.state / 'queue.db'}?mode=ro", uri=True)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert database.execute("SELECT count(*) FROM attempts WHERE state = 'running'").fetchone() == (0,)
        unfinished = "SELECT count(*) FROM attempts WHERE reason IS NULL OR finished_us IS NULL"
        assert database.execute(unfinished).fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM jobs").fetchone()[0] >= acknowledged
        counted = dict(database.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        kept = dict(database.execute("SELECT state, sum(n) FROM counters GROUP BY state HAVING sum(n) > 0").fetchall())
        assert counted == kept
    finally:
        database.close()
