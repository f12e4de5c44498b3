"""Ending a job: asked for, forced, by itself; and whatever it left behind is killed and counted."""

from __future__ import annotations

import errno
import signal

from sandbox_bench import Bench, Job, jobs_of, processes_with, wait_until

from supervisor.sandbox import LaunchFailed, SlotClass

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('daemon', flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
"""
UNTIL_THE_DAEMON_IS_UP = "while os.fstat(1).st_size == 0: time.sleep(0.01)\n"
TRACED = """
import ctypes, os, time
main = os.getpid()
hear, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    ctypes.CDLL(None).ptrace(0x4206, main, None, ctypes.c_void_p(0x40))  # PTRACE_SEIZE, PTRACE_O_TRACEEXIT
    os.write(tell, b'x')
    time.sleep(600)
os.read(hear, 1)
print('up', flush=True)
os._exit(7)
"""
COMET = """
import os, time
if os.fork() == 0:
    while True:
        if os.fork(): os._exit(0)
        os.setsid()
time.sleep(0.2)
"""


def stubborn(bench: Bench) -> Job:
    source = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)"
    return bench.open_job(["/usr/bin/python3", "job.py"], files={"job.py": source})


def test_a_job_that_obeys_sigterm_ends_by_it_on_request(bench: Bench) -> None:
    with bench.open_job(["/bin/sh", "-c", "echo up; exec sleep 600"]) as job:
        job.until_output("up").slot.end(kill=False)
        result = job.finish()
    assert result.code == -signal.SIGTERM
    assert result.ended.on_request
    assert result.ended.killed_for is None


def test_a_job_that_ignores_sigterm_ends_by_sigkill(bench: Bench) -> None:
    with stubborn(bench) as job:
        job.until_output("up")
        job.slot.end(kill=False)
        job.slot.end(kill=False)
        job.slot.end(kill=True)
        job.slot.end(kill=True)
        result = job.finish()
    assert result.code == -signal.SIGKILL
    assert result.ended.on_request
    assert result.ended.killed_for is None


def test_a_job_that_stopped_itself_still_hears_sigterm(bench: Bench) -> None:
    with bench.open_job(["/bin/sh", "-c", "echo up; kill -STOP $$; echo woken; exit 5"]) as job:
        job.until_output("up").slot.end(kill=False)
        result = job.finish()
    assert result.code == -signal.SIGTERM


def test_sigterm_reaches_every_process_of_the_tree(bench: Bench) -> None:
    child = "trap 'echo child heard; exit' TERM; echo up; while :; do sleep 0.01; done"
    source = f"trap 'wait; exit 6' TERM; setsid sh -c \"{child}\" & wait"
    with bench.open_job(["/bin/sh", "-c", source]) as job:
        job.until_output("up").slot.end(kill=False)
        result = job.finish()
    assert result.code == 6
    assert "child heard" in result.out


def test_a_handler_of_sigterm_may_choose_the_exit_code(bench: Bench) -> None:
    with bench.open_job(["/bin/sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done"]) as job:
        job.until_output("up").slot.end(kill=False)
        result = job.finish()
    assert (result.code, result.ended.on_request) == (3, True)


def test_a_request_after_the_end_changes_nothing(bench: Bench) -> None:
    with bench.open_job(["/bin/sh", "-c", "exit 7"]) as job:
        result = job.finish()
        job.slot.end(kill=True)
    assert (result.code, result.ended.on_request) == (7, False)
    assert bench.shell("exit 0").code == 0


def test_a_daemon_left_behind_is_killed_and_counted(bench: Bench) -> None:
    result = bench.python(DAEMON + UNTIL_THE_DAEMON_IS_UP)
    assert result.code == 0
    assert result.out == "daemon\n"
    assert result.ended.leftover_killed >= 1
    assert not jobs_of(bench)


def test_a_comet_of_forks_cannot_outrun_the_keeper(bench: Bench) -> None:
    result = bench.python(COMET, processes=60)
    assert result.code == 0
    assert not result.ended.stuck
    assert not jobs_of(bench)


def test_a_process_that_its_own_child_holds_in_its_exit_by_tracing_it_is_gone(bench: Bench) -> None:
    with bench.open_job(["/usr/bin/python3", "job.py"], files={"job.py": TRACED}) as job:
        job.until_output("up").slot.end(kill=True)
        result = job.finish()
    assert not result.ended.stuck
    assert not jobs_of(bench)
    assert bench.shell("exit 4").code == 4


def test_leftovers_that_ignore_everything_are_gone(bench: Bench) -> None:
    script = "trap '' TERM INT HUP; echo up >> ups; sleep 600"
    count = "touch ups; while [ $(wc -l < ups) -lt 5 ]; do :; done"
    source = f'for i in 1 2 3 4 5; do setsid sh -c "{script}" & done; {count}'
    result = bench.shell(source)
    assert result.code == 0
    assert result.ended.leftover_killed >= 5
    assert not jobs_of(bench)


def test_what_was_left_is_counted_though_there_was_no_time_for_a_sample(bench: Bench) -> None:
    result = bench.python("import os, time\nfor _ in range(12):\n    if os.fork() == 0: time.sleep(600)")
    assert result.ended.leftover_killed == 12
    assert result.ended.peak_processes >= 13


def test_a_slot_ended_before_it_was_started_is_a_cancelled_launch(bench: Bench) -> None:
    slot = bench.holder.prepare(SlotClass())
    slot.end(kill=True)
    events: list[object] = []
    wait_until(lambda: events.extend(slot.receive()) or any(isinstance(e, LaunchFailed) for e in events), "an end")
    last = events[-1]
    assert isinstance(last, LaunchFailed)
    assert last.errno == errno.ECANCELED
    assert slot.close()


def test_closing_a_slot_kills_what_runs_in_it(bench: Bench) -> None:
    with stubborn(bench) as job:
        job.until_output("up")
    assert not jobs_of(bench)
    assert bench.shell("exit 4").code == 4


def test_closing_an_unused_slot_leaves_nothing(bench: Bench) -> None:
    assert bench.holder.prepare(SlotClass()).close()
    assert bench.shell("exit 4").code == 4


def test_closing_the_holder_kills_what_runs_under_it(bench: Bench) -> None:
    job = stubborn(bench).until_output("up")
    assert bench.holder.close()
    assert not processes_with(bench.token)
    assert job.slot.close()
