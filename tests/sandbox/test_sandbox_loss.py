"""Whoever is killed from outside, nothing of the job survives, and nobody calls it the job's own end."""

from __future__ import annotations

import errno
import os
import random
import select
import signal
import subprocess
import sys

import pytest
from sandbox_bench import ROOT, SLOT_UID, Bench, Job, jobs_of, processes_with, wait_until

from supervisor.sandbox import Ended, KeeperLost, SandboxError, Started, kill_orphans

FAMILY = "setsid sleep 601 & sleep 602 & (sleep 603 & exec sleep 604) & echo up; exec sleep 605"

WORKER = """
import os, select, sys
from supervisor.sandbox import *
level, root, token, uid, lock = sys.argv[1:]
lock = int(lock)
holder = Holder.start(level, work_root=root, name="w", slot_uid=int(uid) or None, keep_fds=[lock],
                      title=token + ": holder")
slot = holder.prepare(SlotClass())
poll = select.poll(); poll.register(slot, select.POLLIN)
while True:
    poll.poll()
    for event in slot.receive():
        if isinstance(event, Prepared):
            null = os.open("/dev/null", os.O_RDWR)
            slot.start(Launch(["/bin/sh", "-c", sys.stdin.readline()],
                              {"PATH": "/usr/bin:/bin", "TOKEN": token}, null, 1, 2))
"""


def family(bench: Bench) -> Job:
    return bench.open_job(["/bin/sh", "-c", FAMILY]).until_output("up").started()


def test_a_killed_worker_takes_everything_with_it(level: str) -> None:
    bench = Bench(level)
    try:
        hear, hold = os.pipe()
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, level, bench.root, bench.token, str(SLOT_UID if ROOT else 0), str(hold)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[hold],
        )  # fmt: skip
        os.close(hold)
        assert worker.stdin is not None
        assert worker.stdout is not None
        # What left its session or parent is beyond a killed subreaper's reach: that is for the arbiter to sweep.
        worker.stdin.write((FAMILY if bench.private else "echo up; exec sleep 605") + "\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "up\n"
        worker.kill()
        worker.wait()
        mine = bench.holder.pid
        wait_until(lambda: set(processes_with(bench.token)) <= {mine}, "the end of everything", 5)
        # Holder and keepers held the lock on purpose: it is free exactly when the last of them is gone.
        wait_until(lambda: select.select([hear], [], [], 0)[0], "the lock to be free", 5)
        assert os.read(hear, 1) == b""
        os.close(hear)
        worker.stdin.close()
        worker.stdout.close()
    finally:
        bench.close()


def test_a_killed_keeper_is_a_lost_keeper_and_its_tree_is_gone(private_bench: Bench) -> None:
    with family(private_bench) as job:
        assert job.slot.keeper_pid is not None
        os.kill(job.slot.keeper_pid, signal.SIGKILL)
        lost = job.finish().last
        assert isinstance(lost, KeeperLost)
        assert lost.gone
        assert not [text for text in processes_with(private_bench.token).values() if "sleep" in text]
    assert private_bench.shell("exit 4").code == 4, "the holder gives the next job a new keeper"


def test_a_killed_holder_is_a_lost_keeper_and_its_tree_is_gone(bench: Bench, subreaper: None) -> None:
    with family(bench) as job:
        os.kill(bench.holder.pid, signal.SIGKILL)
        lost = job.finish().last
        assert isinstance(lost, KeeperLost)
        assert lost.gone
        assert not [text for text in processes_with(bench.token).values() if "sleep" in text]
    assert not bench.holder.alive()


def test_without_a_subreaper_a_lost_plain_tree_is_not_called_gone() -> None:
    bench = Bench("plain")
    job = bench.open_job(["/bin/sleep", "600"]).started()
    os.kill(bench.holder.pid, signal.SIGKILL)
    lost = job.finish().last
    assert isinstance(lost, KeeperLost)
    assert not lost.gone
    assert job.slot.close()
    wait_until(lambda: not processes_with(bench.token), "the main process to die with its keeper")
    bench.close()


def test_a_stopped_keeper_does_not_stop_close(bench: Bench) -> None:
    job = bench.open_job(["/bin/sleep", "600"]).started()
    job.slot.end(kill=True)
    assert isinstance(job.finish().last, Ended)
    assert job.slot.close()
    assert job.slot.close(), "closing twice is fine"


def test_whoever_is_killed_at_whatever_moment_the_end_is_told_once_and_true(bench: Bench, subreaper: None) -> None:
    chance = random.Random(7)
    for _ in range(40):
        if not bench.holder.alive():
            assert bench.holder.close()
            bench.holder = bench.start_holder()
        with bench.open_job(["/bin/sh", "-c", FAMILY]) as job:
            select.select([], [], [], chance.random() * 0.01)
            victim = chance.choice([bench.holder.pid, job.slot.keeper_pid, None])
            if victim is None:
                job.slot.end(kill=True)
            else:
                os.kill(victim, signal.SIGKILL)
            last = job.finish().last
            assert isinstance(last, KeeperLost if victim else Ended), last
            assert not isinstance(last, KeeperLost) or last.gone
            assert not jobs_of(bench)
            last_ones = [event for event in job.events if isinstance(event, Ended | KeeperLost)]
            assert len(last_ones) == 1


def test_orphans_are_killed_and_the_known_spared(subreaper: None) -> None:
    known = subprocess.Popen(["/bin/sleep", "600"])
    brief = subprocess.Popen(["/bin/sh", "-c", "setsid sleep 601 & (setsid sh -c 'sleep 602 & sleep 603' &) ; exit 0"])
    brief.wait()
    assert kill_orphans({known.pid})
    assert known.poll() is None
    known.kill()
    known.wait()
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        assert file.read() == ""


def test_started_comes_before_the_end_even_of_a_killed_child(bench: Bench) -> None:
    with bench.open_job(["/bin/sleep", "600"]) as job:
        job.slot.end(kill=True)
        result = job.finish()
    assert result.code == -9
    assert isinstance(result.events[1], Started)


@pytest.mark.parametrize(
    ("step", "number", "lost"),
    [
        ("keeper", 0, True),
        ("holder", 0, True),
        ("keeper", errno.ETIMEDOUT, True),
        ("prepare", errno.EPIPE, True),
        ("clone", errno.EPERM, False),
        ("keeper", errno.EPERM, False),
        ("mount", 0, False),
    ],
)
def test_a_process_that_was_killed_while_it_was_tried_is_no_refusal_of_the_machine(
    step: str, number: int, lost: bool
) -> None:
    assert SandboxError(step, number, "it ended").lost is lost
