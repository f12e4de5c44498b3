"""How a job ended is told as it was, and what could not be started is told apart from what failed."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from sandbox_bench import Bench

from supervisor.sandbox import Ended, LaunchFailed, Prepared, Started


@pytest.mark.parametrize("code", [0, 7, 137])
def test_exit_code_is_reported_as_it_was(bench: Bench, code: int) -> None:
    result = bench.node(f"process.exit({code})")
    assert result.code == code
    assert [type(event) for event in result.events] == [Prepared, Started, Ended]
    assert result.ended.killed_for is None
    assert not result.ended.on_request
    assert not result.ended.stuck


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGXCPU, signal.SIGABRT])
def test_a_signal_that_the_job_sent_to_itself_is_no_kill_of_ours(bench: Bench, number: int) -> None:
    result = bench.shell(f"kill -{int(number)} $$")
    assert result.code == -number
    assert result.ended.killed_for is None
    assert not result.ended.on_request


def test_node_runs_an_es_module(bench: Bench) -> None:
    source = "import fs from 'node:fs'; console.log(typeof fs.readFileSync, process.argv[2]); process.exitCode = 4"
    result = bench.run(["/usr/bin/node", "job.mjs", "word"], files={"job.mjs": source})
    assert (result.code, result.out) == (4, "function word\n"), result.err


def test_a_missing_interpreter_is_a_launch_failure_with_errno(bench: Bench) -> None:
    failure = bench.run(["/usr/bin/no-such-interpreter", "x"]).failure
    assert (failure.step, failure.errno, failure.kind) == ("exec", errno.ENOENT, "exec")
    assert "no-such-interpreter" in failure.message


def test_a_file_that_may_not_be_executed_is_a_launch_failure(bench: Bench) -> None:
    failure = bench.run(["/etc/passwd"]).failure
    assert (failure.errno, failure.kind) == (errno.EACCES, "exec")


def test_a_file_of_no_known_format_is_a_launch_failure(bench: Bench) -> None:
    with bench.open_job(["/bin/true"]) as job:
        job.finish()
    job = bench.open_job(["/bin/sh", "-c", "printf '\\1\\2\\3' > x; chmod +x x; exec ./x; exit 9"])
    with job:
        assert job.finish().code in (9, 126, 127)


def test_arguments_that_are_too_long_are_a_launch_failure(bench: Bench) -> None:
    one_too_long = bench.run(["/bin/true", "x" * (200 << 10)]).failure
    assert (one_too_long.errno, one_too_long.kind) == (errno.E2BIG, "exec")
    too_many = bench.run(["/bin/true", *["x" * 1000] * 5000]).failure
    assert (too_many.errno, too_many.kind) == (errno.E2BIG, "exec")


def test_a_missing_working_directory_is_a_launch_failure(bench: Bench) -> None:
    failure = bench.run(["/bin/true"], cwd="/no/such/folder").failure
    assert (failure.step, failure.errno, failure.kind) == ("cwd", errno.ENOENT, "exec")


def test_a_limit_of_no_known_name_is_a_failure_of_the_sandbox(bench: Bench) -> None:
    failure = bench.run(["/bin/true"], rlimits={"NONSENSE": (1, 1)}).failure
    assert failure.kind == "sandbox"


def test_the_slot_is_usable_again_after_a_failed_launch(bench: Bench) -> None:
    assert isinstance(bench.run(["/nowhere"]).last, LaunchFailed)
    assert bench.run(["/bin/true"]).code == 0


def test_two_megabytes_of_output_before_an_abrupt_exit_are_all_there(bench: Bench) -> None:
    result = bench.node("for (let i = 0; i < 2048; i++) console.log('x'.repeat(1023)); process.exit(3)")
    assert result.code == 3
    assert len(result.out) == 2 << 20


def test_the_working_directory_is_the_job_folder_and_a_script_can_read_what_was_put_there(bench: Bench) -> None:
    with bench.open_job(["/bin/sh", "-c", "pwd; cat given; echo made > new"], files={"given": "hello\n"}) as job:
        result = job.finish()
        assert result.out == f"{job.job_dir}\nhello\n"
        # Readable when everything of the job is dead.
        fd = os.open("new", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=job.work_fd)
        with open(fd) as made:
            assert made.read() == "made\n"
        state = os.fstat(job.work_fd)
        assert state.st_mode & 0o777 == 0o700
