"""A delegated cgroup on top of every level: on a tree of plain files that a test drives, and on what the machine has.

The tree of plain files shows what is written and how what is read is taken; that a kernel then does what its
documentation says about memory.*, pids.* and cpu.max was not run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_bench import ROOT, Bench, Job, jobs_of, wait_until

from supervisor.sandbox import Prepared, delegated_cgroup, delegation, kill_orphans

UNIFIED = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
MIB = 1 << 20


@pytest.fixture
def tree(level: str) -> Iterator[Bench]:
    """A bench whose delegated folder is a plain one."""
    place = Path(tempfile.mkdtemp(prefix="sandbox-cgroup-"))
    place.joinpath("cgroup.subtree_control").write_text("cpu memory pids\n")
    bench = Bench(level, cgroup=str(place))
    yield bench
    bench.close()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def real(level: str) -> Iterator[Bench]:
    """A bench in a real cgroup v2, made by root, or delegated to this user by whoever started the tests."""
    place = f"{UNIFIED}/sandbox-test-{uuid.uuid4().hex}"
    if ROOT:
        try:
            os.mkdir(place)
        except OSError:
            pytest.skip("no cgroup v2 can be written here")
        if not os.path.exists(f"{place}/cgroup.procs"):
            os.rmdir(place)
            pytest.skip(f"{UNIFIED} is no cgroup v2")
    else:
        own, _why = delegated_cgroup()
        if own is None:
            pytest.skip("no cgroup v2 was delegated to this user")
        place = own
    bench = Bench(level, cgroup=place)
    yield bench
    bench.close()
    assert [entry for entry in os.scandir(place) if entry.is_dir() and entry.name != "daemon"] == []
    if ROOT:
        os.rmdir(place)


def group_of(bench: Bench, number: int = 2) -> Path:
    """The first slot was the holder's own trial."""
    assert bench.cgroup is not None
    return Path(bench.cgroup) / f"slot1.job-{number}"


def sleeper(bench: Bench, **options: object) -> Job:
    return bench.open_job(["/bin/sh", "-c", "echo up; exec sleep 600"], **options).until_output("up").started()


def kill_from_outside(bench: Bench) -> None:
    for pid in jobs_of(bench):
        os.kill(pid, signal.SIGKILL)


def test_limits_are_written_and_the_job_is_moved_before_its_program_runs(tree: Bench) -> None:
    with sleeper(tree, memory_bytes=200 * MIB, processes=40, cores=1.5) as job:
        written = {path.name: path.read_text() for path in group_of(tree).iterdir()}
        job.slot.end(kill=True)
        assert job.finish().code == -9
    assert written == {
        "memory.max": str(200 * MIB), "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "40",
        "cpu.max": "150000 100000", "cgroup.procs": "0",
    }  # fmt: skip
    assert group_of(tree).joinpath("cgroup.kill").read_text() == "1"
    told = tree.holder.enforced
    assert "memory.max" in told["memory"]
    assert "pids.max" in told["processes"]
    assert told["cgroup"].startswith(f"below {tree.cgroup}")


def test_a_kill_by_the_kernel_for_memory_is_a_memory_limit(tree: Bench) -> None:
    with sleeper(tree, memory_bytes=200 * MIB) as job:
        group_of(tree).joinpath("memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\n")
        group_of(tree).joinpath("memory.peak").write_text(f"{199 * MIB}\n")
        kill_from_outside(tree)
        ended = job.finish().ended
    assert (ended.status, ended.killed_for, ended.charged_peak_bytes) == (9, "memory", 199 * MIB)
    assert ended.peak_memory_bytes < 199 * MIB, "page cache is no measure of what a program wanted"


@pytest.mark.parametrize("events", ["oom 0\noom_kill 0\n", "oom 0\noom_kill 3\n", "nonsense"])
def test_a_kill_by_anybody_else_is_none(tree: Bench, events: str) -> None:
    """By a person, by a machine that ran out of memory itself, by a kernel that counts otherwise."""
    with sleeper(tree, memory_bytes=200 * MIB) as job:
        group_of(tree).joinpath("memory.events").write_text(events)
        kill_from_outside(tree)
        assert job.finish().ended.killed_for is None
    with sleeper(tree, memory_bytes=200 * MIB) as job:
        job.slot.end(kill=True)
        assert job.finish().ended.killed_for is None


def test_an_exit_of_its_own_stands_although_a_child_was_killed_for_memory(tree: Bench) -> None:
    with tree.open_job(["/bin/sh", "-c", "echo up; while [ ! -e go ]; do sleep 0.01; done; exit 5"]) as job:
        job.until_output("up")
        group_of(tree).joinpath("memory.events").write_text("oom 1\noom_kill 1\n")
        os.close(os.open("go", os.O_CREAT | os.O_WRONLY, dir_fd=job.work_fd))
        result = job.finish()
    assert (result.code, result.ended.killed_for) == (5, None)


def test_refused_processes_are_told_and_cpu_is_taken_from_the_kernel(tree: Bench) -> None:
    with sleeper(tree, cpu_s=5) as job:
        group_of(tree).joinpath("pids.events").write_text("max 3\n")
        group_of(tree).joinpath("cpu.stat").write_text("usage_usec 5250000\nuser_usec 1\nsystem_usec 1\n")
        ended = job.finish().ended
    assert ended.pids_refused
    assert (ended.killed_for, ended.cpu_s) == ("cpu", 5.25)
    assert not tree.shell("exit 0").ended.pids_refused


def test_a_tree_that_vanishes_costs_its_services_and_no_job(tree: Bench) -> None:
    assert tree.cgroup is not None
    with sleeper(tree, memory_bytes=200 * MIB) as job:
        shutil.rmtree(tree.cgroup)
        kill_from_outside(tree)
        assert job.finish().ended.killed_for is None
    result = tree.shell("exit 4")
    assert result.code == 4
    prepared = result.events[0]
    assert isinstance(prepared, Prepared)
    assert prepared.fallbacks["cgroup"].startswith("not used for this job")


def test_what_cannot_be_written_is_said_and_nothing_else_changes(level: str) -> None:
    for place in ("/proc", "/no/such/folder", "/etc/passwd"):
        bench = Bench(level, cgroup=place)
        try:
            assert bench.holder.enforced["cgroup"].startswith(f"not used: {place}: ")
            assert "sampled" in bench.holder.enforced["memory"]
            assert bench.shell("exit 4").code == 4
        finally:
            bench.close()


def test_a_real_group_holds_the_whole_tree_and_accounts_for_it(real: Bench) -> None:
    # Accounted although it left its parent's account: its parent ignores its end, and the program is over at once.
    source = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    os._exit(0)
time.sleep(0.6)
"""
    ended = real.python(source).ended
    assert 0.3 <= ended.cpu_s < 1
    assert real.holder.enforced["cgroup"].startswith("below")
    with sleeper(real) as job:
        inside = group_of(real, 3).joinpath("cgroup.procs").read_text().split()
        assert {int(pid) for pid in inside} == set(jobs_of(real))
        group_of(real, 3).joinpath("cgroup.kill").write_text("1")
        result = job.finish()
    assert (result.code, result.ended.killed_for) == (-9, None)


def test_a_real_group_is_emptied_of_what_its_keeper_would_have_to_chase(real: Bench) -> None:
    storm = "import os\nfor _ in range(3): os.fork()\nwhile True:\n    if os.fork(): os._exit(0)\n    os.setsid()"
    with real.open_job(["/bin/sh", "-c", 'python3 -c "$1" & sleep 0.2', "sh", storm], processes=60) as job:
        result = job.finish()
    assert not result.ended.stuck
    assert not jobs_of(real)


def test_a_new_holder_removes_what_a_killed_one_left(real: Bench, subreaper: None) -> None:
    job = real.open_job(["/bin/sh", "-c", "setsid sleep 601 & echo up; exec sleep 600"]).until_output("up")
    os.kill(real.holder.pid, signal.SIGKILL)
    wait_until(lambda: not real.holder.alive(), "the holder's end")
    assert real.cgroup is not None
    left_behind = group_of(real)
    assert left_behind.exists()
    job.slot.close()
    real.holder.close()
    kill_orphans(set())
    real._next = 0  # the same slot
    real.holder = real.start_holder()
    assert not left_behind.exists()
    assert real.shell("exit 3").code == 3


def test_a_closed_holder_leaves_no_group(real: Bench) -> None:
    job = sleeper(real)
    assert group_of(real).exists()
    assert real.holder.close()
    assert not group_of(real).exists()
    assert job.slot.close()


def test_the_delegated_folder_is_found_only_where_it_was_delegated(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        Path(place, "cgroup.subtree_control").write_text("")
        found, sentence = delegated_cgroup(place)
        assert found == place
        assert Path(place, "daemon", "cgroup.procs").read_text() == "0"
        assert place in sentence
        monkeypatch.setattr(delegation, "_own_delegated", lambda: None)
        assert delegated_cgroup() == (None, "no delegated cgroup v2: with systemd, add Delegate=yes to the unit")
        assert delegated_cgroup("/no/such/folder")[0] is None
