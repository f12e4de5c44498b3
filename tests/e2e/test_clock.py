"""A whole daemon whose wall clock is set forwards and back while it works. Its monotonic clock is the kernel's."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

from tests.harness import Daemon, wait_until

# Loaded by every Python of the daemon: the wall clock is off by what a file says.
JUMPING_CLOCK = """
import time
_time, _time_ns = time.time, time.time_ns
def _off():
    with open({path!r}) as file:
        return float(file.read() or 0)
time.time = lambda: _time() + _off()
time.time_ns = lambda: _time_ns() + int(_off() * 1e9)
"""
HOUR_S = 3600
FAILS_ONCE = "[ $JOB_ATTEMPT = 2 ]"


def set_off(clock: pathlib.Path, seconds: float) -> None:
    draft = clock.with_suffix(".new")
    draft.write_text(str(seconds))
    draft.rename(clock)


def test_jumps_of_the_clock_stop_no_job_and_show_no_time_that_ran_backwards(
    make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path
) -> None:
    clock, modules = tmp_path / "clock", tmp_path / "modules"
    set_off(clock, 0)
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(JUMPING_CLOCK.format(path=str(clock)))
    daemon = make_daemon(settings='[pools.scripts]\nisolation = "plain"\n', env={"PYTHONPATH": str(modules)}).start()
    script, retried = daemon.folder / "x.sh", daemon.folder / "retried.sh"
    script.write_text("sleep 0.3")
    retried.write_text(FAILS_ONCE)
    jobs: list[Any] = []
    with daemon.client() as client:
        tomorrow = client.submit(str(script), delay="24h").id
        for off in (2 * HOUR_S, -5 * HOUR_S, 0, -HOUR_S):
            jobs.append(client.submit(str(script), timeout="20s").id)
            wait_until(lambda job=jobs[-1]: client.show(job).state == "running", saying="the job's start")
            jobs.append(client.submit(str(retried), retries=1, backoff="100ms").id)
            set_off(clock, off)
            jobs.append(client.submit(str(script)).id)
        ended = [client.wait(job, timeout=30).raw for job in jobs]
        assert client.show(tomorrow).state == "scheduled"
        status = client.status()
        assert 0 <= status["uptime_s"] < HOUR_S
        set_off(clock, 25 * HOUR_S)
        client.submit(str(script), delay="1h")  # has it look now, where it would within 30 s
        wait_until(lambda: client.show(tomorrow).state != "scheduled", 35, "the job that people scheduled")
    for job in ended:
        assert job["state"] == "completed", job
        for attempt in job["attempts"]:
            assert attempt["started_at"] <= attempt["finished_at"], attempt
            assert 0 <= attempt["wall_s"] < 20, attempt
    assert daemon.stop() == 0
