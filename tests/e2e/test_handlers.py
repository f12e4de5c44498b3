"""Typed jobs for handler classes, by a real daemon: what comes of them, how they end, who pays for a crash."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ctl import Client
from tests.harness import ROOT, Daemon, alive, running_daemon, title_of, tree_of, wait_until

HANDLERS = ROOT / "tests" / "handlers"


def pool(name: str, handler: str, *more: str) -> str:
    """The table of a pool whose handler is one of the tests'."""
    lines = [f"[pools.{name}]", f'handler = "trial:{handler}"', f'python_path = ["{HANDLERS}"]', *more]
    return "\n".join([*lines, ""])


SETTINGS = (
    "kill_grace = '500ms'\n"
    + pool("trial", "Trial")
    + pool("fresh", "Fresh", "mode = 'fresh'")
    + pool("picky", "Picky")
    + pool("other", "Other", "types = ['pick', 'odd']")
    + pool("rare", "Picky", "types = ['rare']")
    + pool("absent", "Other", "types = ['rare']", "replicas = 0")
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("handlers") / "d", SETTINGS, workers=1) as running:
        wait_for_handlers(running, "trial/1", "fresh/1", "picky/1", "other/1")
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as connected:
        yield connected


def wait_for_handlers(daemon: Daemon, *names: str) -> None:
    """Until these workers can take jobs."""

    def idle() -> bool:
        states = {worker["name"]: worker["state"] for worker in daemon.ask("status")["workers"]}
        return all(states[name] == "idle" for name in names)

    wait_until(idle, 30, f"{names} idle")


def do(client: Client, what: str, kind: str = "trial", retries: int = 0, **more: Any) -> int:
    """Submits a job that does `what`; options of the submit are told from params by `opt_`."""
    options = {name.removeprefix("opt_"): more.pop(name) for name in list(more) if name.startswith("opt_")}
    return client.submit(type=kind, params={"do": what, **more}, retries=retries, **options).id


def done(client: Client, what: str, kind: str = "trial", **more: Any) -> Any:
    """The job of `what`, when it is final."""
    return client.wait(do(client, what, kind, **more), timeout=60)


def until_asleep(client: Client, job: int) -> None:
    wait_until(lambda: b"asleep" in client.logs(job), 20, "the job at work")


def runner_of(daemon: Daemon, worker: str) -> int:
    return daemon.pid_of(f"runner {worker}")


BOTH = pytest.mark.parametrize("kind", ["trial", "fresh"])


# What comes of a job


@BOTH
def test_a_job_has_its_result_its_progress_and_all_that_was_printed(client: Client, kind: str) -> None:
    job = done(client, "speak", kind, n=[1, {"a": None}])
    assert (job.state, job.reason, job.exit_code, job.message) == ("completed", "ok", 0, "completed")
    assert job.result == {"do": "speak", "n": [1, {"a": None}]} == job.raw["params"]
    assert job.progress == {"percentage": 50.0, "stage": "half", "message": "so far"}
    assert client.logs(job).decode().splitlines() == ["from python", "from a child", "from C"], "C flushes at the end"
    errors = client.logs(job, "stderr").decode().splitlines()
    assert errors[0] == "child error" and errors[1].endswith("WARNING from the log")
    attempt = job.attempts[0]
    assert (attempt.worker, attempt.isolation, attempt.stdout_bytes) == (f"{kind}/1", "none", 32)
    assert attempt.raw["enforced"]["memory"] == "sampled every 50 ms"
    assert attempt.peak_memory_bytes > 1 << 20


def test_with_merge_both_streams_are_one(client: Client) -> None:
    job = done(client, "speak", opt_merge=True)
    assert client.logs(job, "stderr") == b""
    assert client.logs(job).decode().splitlines()[1:3] == ["from a child", "child error"]


def test_a_resident_process_is_set_up_once_and_does_many_jobs(client: Client) -> None:
    first, second = done(client, "who").result, done(client, "who").result
    assert first["pid"] == second["pid"] and second["jobs"] == first["jobs"] + 1
    assert first["setups"] == second["setups"] == 1
    assert second["job"][1:] == ["trial", 1, "default"]


def test_a_fresh_process_is_set_up_for_each_job_by_a_runner_that_has_imported_the_module(client: Client) -> None:
    first, second = done(client, "who", "fresh").result, done(client, "who", "fresh").result
    assert first["pid"] != second["pid"] and first["parent"] == second["parent"]
    assert [first["jobs"], second["jobs"], first["setups"], second["setups"]] == [1, 1, 1, 1]


@BOTH
def test_a_handler_that_raises_fails_with_its_words_and_leaves_its_traceback(client: Client, kind: str) -> None:
    before = done(client, "who", kind).result
    job = done(client, "fail", kind)
    assert (job.state, job.reason, job.exit_code, job.signal) == ("failed", "exit", 1, None)
    assert job.message == "ValueError: the pond is empty"
    traceback = client.logs(job, "stderr").decode()
    assert 'raise ValueError("the pond is empty\\nreally")' in traceback and "performing.py" not in traceback
    assert job.result is None and job.attempts[0].evidence == "exact"
    if kind == "trial":
        assert done(client, "who").result["pid"] == before["pid"], "raising does not cost the process"


def test_sys_exit_of_a_handler_is_a_failure_of_the_job_and_not_the_end_of_the_process(client: Client) -> None:
    before = done(client, "who").result["pid"]
    assert done(client, "leave").message == "SystemExit: 3"
    assert done(client, "who").result["pid"] == before


@BOTH
@pytest.mark.parametrize(
    ("what", "more", "words"),
    [
        ("strange", {}, "its result is not JSON (TypeError: Object of type set is not JSON serializable)"),
        ("large", {"size": 300 << 10}, "its result has 300 KiB as JSON, at most 256 KiB are kept"),
    ],
)
def test_a_result_that_cannot_be_kept_is_a_failure_with_a_sentence(
    client: Client, kind: str, what: str, more: dict[str, Any], words: str
) -> None:
    job = done(client, what, kind, **more)
    assert job.state == "failed" and job.reason == "exit" and job.message.startswith(words)


def test_params_and_results_of_256_kib_pass(client: Client) -> None:
    job = done(client, "large", size=(256 << 10) - 2, padding="é" * (120 << 10))
    assert job.state == "completed" and len(job.result) == (256 << 10) - 2


def test_retries_are_three_unless_told_otherwise_and_each_keeps_its_output(client: Client) -> None:
    job = client.submit(type="trial", params={"do": "fail_first", "times": 2}, backoff="10ms")
    found = client.wait(job, timeout=60)
    assert (found.state, found.retries, found.attempt, found.result) == ("completed", 3, 3, 3)
    assert [attempt.reason for attempt in found.attempts] == ["exit", "exit", "ok"]
    assert b"ValueError: attempt 2" in client.logs(job, "stderr", attempt=2)


# How a job is ended


@BOTH
def test_a_job_over_its_time_is_told_and_then_killed(client: Client, daemon: Daemon, kind: str) -> None:
    deaf = done(client, "sleep", kind, s=1000, opt_timeout="300ms")
    assert (deaf.state, deaf.reason) == ("failed", "timeout"), deaf.raw
    wait_for_handlers(daemon, f"{kind}/1")
    heeding = done(client, "heed", kind, opt_timeout="300ms")
    assert (heeding.state, heeding.reason) == ("failed", "timeout")
    assert client.logs(heeding) == b"asleep\nheard it\n"
    assert done(client, "who", kind).state == "completed"


@BOTH
def test_a_cancelled_job_hears_of_it(client: Client, kind: str) -> None:
    job = do(client, "heed", kind)
    until_asleep(client, job)
    client.cancel(job)
    found = client.wait(job, timeout=30)
    assert (found.state, found.reason) == ("cancelled", "cancelled")
    assert b"heard it" in client.logs(job)


@BOTH
def test_a_cancelled_job_that_does_not_listen_is_killed_and_the_next_has_a_new_process(
    client: Client, kind: str
) -> None:
    before = done(client, "who", kind).result
    job = do(client, "sleep", kind, s=1000)
    until_asleep(client, job)
    client.cancel(job)
    assert client.wait(job, timeout=30).state == "cancelled"
    after = done(client, "who", kind).result
    assert before["pid"] != after["pid"]
    assert not alive(before["parent"] if kind == "fresh" else before["pid"])


@BOTH
def test_memory_cpu_and_output_limits_hold_and_are_named(client: Client, kind: str) -> None:
    memory = done(client, "eat", kind, opt_memory="120M")
    assert (memory.reason, memory.signal) == ("memory_limit", "SIGKILL"), memory.raw
    cpu = done(client, "burn", kind, s=60, opt_cpu="500ms")
    assert cpu.reason == "cpu_limit" and cpu.attempts[0].cpu_s < 10
    flood = done(client, "flood", kind, opt_output="64K")
    assert flood.reason == "output_limit" and len(client.logs(flood)) == 64 << 10
    short = done(client, "shout", kind, size=100 << 10, opt_output="64K")
    assert short.reason == "output_limit" and len(client.logs(short)) == 64 << 10
    assert done(client, "burn", kind, s=0.2, opt_cpu="10s").state == "completed"


def test_cpu_time_is_that_of_the_job_and_not_of_its_process(client: Client) -> None:
    assert done(client, "burn", s=0.5).attempts[0].cpu_s > 0.3
    assert done(client, "who").attempts[0].cpu_s < 0.3


@BOTH
def test_what_a_job_uses_is_told_while_it_runs_and_of_no_other_job(client: Client, kind: str) -> None:
    def seat(job: int) -> dict[str, Any]:
        return next((worker for worker in client.workers() if worker["job"] == job), {})

    done(client, "burn", kind, s=0.3)
    job = do(client, "burn", kind, s=60, opt_cpu="none")
    used = wait_until(lambda: seat(job) if (seat(job).get("cpu_s") or 0) > 0.4 else None, 30, "what it uses")
    assert used["memory_bytes"] > 1 << 20
    client.cancel(job)
    client.wait(job, timeout=60)
    slot = next(worker for worker in client.workers() if worker["name"] == used["name"])
    assert (slot["cpu_s"], slot["memory_bytes"]) == (None, None)
    following = do(client, "sleep", kind, s=60)
    until_asleep(client, following)
    assert (seat(following)["cpu_s"] or 0) < 0.4, "the next job has not used what the one before it did"
    client.cancel(following)
    client.wait(following, timeout=60)


# Crashes


@BOTH
@pytest.mark.parametrize(
    ("what", "more", "reason", "exit_code", "signal_name"),
    [
        ("crash", {}, "signal", None, "SIGSEGV"),
        ("die", {"signal": int(signal.SIGKILL)}, "signal", None, "SIGKILL"),
        ("os_exit", {"code": 7}, "exit", 7, None),
        ("os_exit", {"code": 0}, "exit", 0, None),
    ],
)
def test_a_crash_blames_the_job_that_ran_and_the_next_one_is_done(
    client: Client,
    kind: str,
    what: str,
    more: dict[str, Any],
    reason: str,
    exit_code: int | None,
    signal_name: str | None,
) -> None:
    guilty, innocent = do(client, what, kind, **more), do(client, "who", kind)
    found = client.wait(guilty, timeout=60)
    assert (found.state, found.reason, found.exit_code, found.signal) == ("failed", reason, exit_code, signal_name)
    assert found.attempts[0].evidence == "exact"
    after = client.wait(innocent, timeout=60)
    assert (after.state, after.attempt) == ("completed", 1)


def test_a_runner_killed_from_outside_between_jobs_costs_no_job(client: Client, daemon: Daemon) -> None:
    before = done(client, "who").result["pid"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: not alive(before), 10, "the end of the runner")
    found = done(client, "who")
    assert (found.state, found.attempt) == ("completed", 1) and found.result["pid"] != before


def test_what_a_fresh_job_leaves_behind_is_killed_with_it(client: Client) -> None:
    job = done(client, "abandon", "fresh")
    assert job.state == "completed" and job.attempts[0].leftover_killed == 1
    assert not alive(job.result["child"])


def test_what_a_resident_job_leaves_behind_lives_as_long_as_its_process(client: Client, daemon: Daemon) -> None:
    child = done(client, "abandon").result["child"]
    assert done(client, "who").state == "completed" and alive(child)
    done(client, "os_exit", code=1)
    wait_until(lambda: not alive(child), 10, "the end of the child")


def test_what_is_written_after_a_job_gets_into_no_other_job_s_output(client: Client, tmp_path: pathlib.Path) -> None:
    sign = tmp_path / "sign"
    haunted = done(client, "haunt", until=str(sign))
    silent = do(client, "wait_for", path=str(sign))
    wait_until(lambda: client.show(silent).state == "running", 20, "the silent job at work")
    sign.touch()
    assert client.wait(silent, timeout=60).state == "completed"
    assert (client.logs(silent), client.logs(haunted)) == (b"", b"")


def test_threads_of_a_resident_handler_do_not_keep_it_from_the_next_job(client: Client) -> None:
    assert done(client, "thread").state == "completed"
    assert done(client, "who").state == "completed"


# Who takes what


def test_a_declined_job_goes_to_another_pool_and_that_is_no_attempt(client: Client) -> None:
    for wanted, worker in (("Picky", "picky/1"), ("Other", "other/1")):
        found = client.wait(client.submit(type="pick", params={"for": wanted}), timeout=60)
        assert (found.state, found.result, found.attempt) == ("completed", wanted, 1)
        assert [attempt.worker for attempt in found.attempts] == [worker]


def test_a_job_that_every_pool_declines_is_rejected_and_may_be_asked_again(client: Client, daemon: Daemon) -> None:
    job = client.submit(type="pick", params={"for": "Nobody"})
    found = client.wait(job, timeout=60)
    assert (found.state, found.reason, found.attempts) == ("failed", "rejected", [])
    assert found.message == "every pool that takes type pick declined it: other, picky"
    client.retry(job)
    again = client.wait(job, timeout=60)
    assert again.reason == "rejected" and again.message == found.message
    kinds = [event.event for event in client.events(job=job.id)]
    assert kinds.count("released") == 2, "each time one pool gave it to the other"


def test_a_job_that_some_have_declined_is_explained(client: Client, daemon: Daemon) -> None:
    job = client.submit(type="rare", params={"for": "Nobody"})
    words = "Pool rare has declined it: it is for others to take."
    wait_until(lambda: words in daemon.ctl("explain", str(job.id)).stdout.decode(), 20, "its explanation")
    said = daemon.ctl("explain", str(job.id)).stdout.decode()
    assert "There are no workers that could take it (pool absent)." in said
    client.cancel(job)


def test_a_pool_that_is_only_starting_is_waited_for_and_one_that_has_gone_is_not(tmp_path: pathlib.Path) -> None:
    gate = tmp_path / "gate"
    (tmp_path / "late.py").write_text(
        "import os, time\nfrom supervisor import JobWorker\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
        "class Late(JobWorker):\n    types = {'pick'}\n    def execute(self, job, context): return 'late'\n"
    )
    first = "[pools.scripts]\nreplicas = 1\n" + pool("picky", "Picky")
    late = f'[pools.late]\nhandler = "late:Late"\npython_path = ["{tmp_path}"]\nreplicas = 1\n'
    declined = "Pool picky has declined it"
    with running_daemon(tmp_path / "d", first + late, workers=1) as daemon, daemon.client() as client:
        wait_for_handlers(daemon, "picky/1")
        job = client.submit(type="pick", params={"for": "nobody"})
        wait_until(lambda: declined in str(client.explain(job)), 20, "its decline")
        assert "Pool late has not said yet which types it takes" in str(client.explain(job))
        gate.touch()
        assert client.wait(job, timeout=60).result == "late"
        client.scale("late", 0)
        left = client.submit(type="pick", params={"for": "nobody"})
        wait_until(lambda: declined in str(client.explain(left)), 20, "its decline")
        daemon.settings.write_text(first)
        client.reload()
        rejected = client.wait(left, timeout=60)
        assert (rejected.reason, rejected.message) == ("rejected", "every pool that takes type pick declined it: picky")


def test_a_type_of_the_settings_alone_is_taken_too(client: Client) -> None:
    found = client.wait(client.submit(type="odd", params={"for": "Other"}), timeout=60)
    assert (found.state, found.result) == ("completed", "Other")


def test_a_type_that_nobody_takes_is_warned_of_and_explained(daemon: Daemon) -> None:
    submitted = daemon.ctl("submit", "--type", "nobody", "--params", "[1]")
    assert submitted.returncode == 0
    assert b"warning: no pool takes type 'nobody' from queue 'default' now" in submitted.stderr
    job = submitted.stdout.decode().strip()
    assert "No pool takes jobs of type nobody" in daemon.ctl("explain", job).stdout.decode()
    daemon.ctl("cancel", job, check=True)


def test_what_one_process_for_many_jobs_cannot_give_is_refused(daemon: Daemon) -> None:
    for words, exit_code, why in (
        (["--processes", "20"], 6, b"cannot be set for one job of a handler"),
        (["--isolation", "namespace"], 6, b"unsandboxed"),
        (["--no-network"], 6, b"unsandboxed"),
        (["--env", "A=1"], 2, b"takes `params` and not `env`"),
        (["--stdin", "/dev/null"], 2, b""),
    ):
        refused = daemon.ctl("submit", "--type", "trial", *words)
        assert refused.returncode == exit_code and why in refused.stderr, refused.stderr


def test_run_and_submit_take_params_from_a_file_and_from_standard_input(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "params.json"
    file.write_text('{"do": "speak"}')
    ran = daemon.ctl("run", "--type", "trial", "--params", f"@{file}")
    assert (ran.returncode, ran.stdout) == (0, b"from python\nfrom a child\nfrom C\n")
    failed = daemon.ctl("run", "--type", "trial", "--retries", "0", "--params", "@-", stdin=b'{"do": "fail"}')
    assert failed.returncode == 1 and failed.stderr.endswith(b"ValueError: the pond is empty\n")
    for wrong in ('{"do"', "NaN", "@/nowhere"):
        assert daemon.ctl("submit", "--type", "trial", "--params", wrong).returncode == 2


def test_status_tells_the_isolation_of_scripts_and_doctor_does_not_mind_handlers(daemon: Daemon) -> None:
    assert daemon.ask("status")["isolation"]["level"] != "none"
    checks = daemon.ctl("doctor").stdout.decode()
    assert "workers.trial" in checks and "isolation.none" not in checks


def test_processes_say_in_ps_what_they_are(daemon: Daemon) -> None:
    titles = tree_of(daemon.pid).values()
    assert any("runner trial/1" in title for title in titles) and any("runner fresh/1" in title for title in titles)


# Losses: each has its own daemon


@pytest.mark.parametrize("who", ["worker trial/1", "holder", "runner trial/1"])
def test_a_killed_worker_or_keeper_loses_the_attempt_and_a_killed_runner_fails_it(
    make_daemon: Callable[..., Daemon], who: str
) -> None:
    daemon = make_daemon(settings=pool("trial", "Trial"), workers=0).start()
    wait_for_handlers(daemon, "trial/1")
    with daemon.client() as client:
        job = do(client, "sleep", retries=1, s=1000, opt_backoff="10ms")
        until_asleep(client, job)
        runner = runner_of(daemon, "trial/1")
        os.kill(daemon.pid_of(who), signal.SIGKILL)
        wait_until(lambda: client.show(job).attempt == 2, 30, "the second attempt")
        first = client.show(job).attempts[0]
        assert first.reason == ("signal" if who.startswith("runner") else "worker_lost"), first.raw
        assert not alive(runner)
        until_asleep(client, job)
        client.cancel(job)
        assert client.wait(job, timeout=30).state == "cancelled"
    assert daemon.stop() == 0


def test_a_stop_lets_the_job_end_and_tears_the_handler_down(
    make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path
) -> None:
    place = tmp_path / "teardowns"
    daemon = make_daemon(settings=pool("trial", "Trial"), env={"TRIAL_TEARDOWNS": str(place)}).start()
    wait_for_handlers(daemon, "trial/1")
    with daemon.client() as client:
        job = do(client, "sleep", s=1)
        until_asleep(client, job)
        runner = runner_of(daemon, "trial/1")
    assert daemon.stop() == 0
    assert place.read_text() == f"{runner}\n"
    daemon.start()
    assert daemon.ask("show", str(job))["state"] == "completed"


SYSTEM_PYTHON = pathlib.Path("/usr/bin/python3")


def system_python_fits() -> bool:
    asked = [str(SYSTEM_PYTHON), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    return SYSTEM_PYTHON.exists() and subprocess.run(asked, check=False).returncode == 0


@pytest.mark.skipif(not system_python_fits(), reason="there is no other Python of at least 3.11")
def test_a_handler_runs_in_the_interpreter_and_as_the_user_of_its_pool(
    make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path
) -> None:
    """The other interpreter has none of the daemon's own dependencies. Only root can choose the user."""
    as_root = os.geteuid() == 0
    (tmp_path / "code").mkdir()
    shutil.copy(HANDLERS / "trial.py", tmp_path / "code")
    for place in (tmp_path, *tmp_path.parents):
        if as_root and not place.stat().st_mode & 0o001:
            place.chmod(0o755)
    user = "user = 'nobody'" if as_root else ""
    settings = pool("trial", "Trial", f"python = '{SYSTEM_PYTHON}'", user).replace(
        str(HANDLERS), str(tmp_path / "code")
    )
    daemon = make_daemon(settings=settings, workers=1).start()
    wait_for_handlers(daemon, "trial/1")
    with daemon.client() as client:
        who = done(client, "who").result
        assert who["uid"] == (pwd.getpwnam("nobody").pw_uid if as_root else os.geteuid())
        runner = pathlib.Path(f"/proc/{who['pid']}/status").read_text()
        assert f"\nUid:\t{who['uid']}\t{who['uid']}\t{who['uid']}" in runner
        assert not as_root or "\nCapEff:\t0000000000000000" in runner
        spoken = done(client, "speak")
        assert spoken.state == "completed" and b"from a child" in client.logs(spoken)
        assert done(client, "eat", opt_memory="120M").reason == "memory_limit"
        assert done(client, "sleep", s=1000, opt_timeout="200ms").reason == "timeout"


# Handlers that cannot be had


def test_a_handler_that_cannot_be_had_parks_its_workers_and_the_rest_of_the_daemon_works(
    make_daemon: Callable[..., Daemon],
) -> None:
    settings = (
        '[pools.absent]\nhandler = "no_such_module:Thing"\ntypes = ["absent"]\n'
        + pool("setup", "NoSetup")
        + pool("types", "NoTypes")
    )
    daemon = make_daemon(settings=settings)
    checked = daemon_check(daemon)
    assert checked.returncode == 2
    assert b"pool absent: the handler no_such_module:Thing cannot be had: ModuleNotFoundError" in checked.stderr
    assert b"pool types: the handler trial:NoTypes cannot be had: it names no types" in checked.stderr
    assert b"pool setup" not in checked.stderr, "what is wrong with its setup shows only when it is set up"
    daemon.start()
    with daemon.client() as client:
        assert client.wait(client.submit(source="console.log(1)", main="a.js"), timeout=60).state == "completed"
    wait_until(lambda: {w["state"] for w in handlers(daemon)} == {"parked"}, 60, "all three parked")
    notes = {worker["pool"]: worker["note"] for worker in handlers(daemon)}
    assert "ModuleNotFoundError: No module named 'no_such_module'" in notes["absent"]
    assert "RuntimeError: no database here" in notes["setup"]
    assert "it names no types" in notes["types"]
    health = daemon.ctl("health")
    assert health.returncode == 1 and b"no database here" in health.stdout
    log = daemon.words()
    assert "about to fail" in log and "Traceback (most recent call last)" in log


def handlers(daemon: Daemon) -> list[dict[str, Any]]:
    return [worker for worker in daemon.ask("status")["workers"] if worker["pool"] != "scripts"]


def daemon_check(daemon: Daemon) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "supervisor", "check-config", "--config", str(daemon.settings)],
        capture_output=True,
        cwd=ROOT,
        env=daemon.environment,
        check=False,
    )


# Room for a fresh one


def test_a_handler_that_leaks_is_replaced_between_jobs_and_no_job_notices(
    make_daemon: Callable[..., Daemon], tmp_path: pathlib.Path
) -> None:
    place = tmp_path / "teardowns"
    settings = pool("trial", "Trial", "max_rss = '80M'") + pool("fresh", "Fresh", "mode = 'fresh'", "max_jobs = 3")
    daemon = make_daemon(settings=settings, env={"TRIAL_TEARDOWNS": str(place)}).start()
    wait_for_handlers(daemon, "trial/1", "fresh/1")
    with daemon.client() as client:
        jobs = [do(client, "leak", size=20 << 20) for _ in range(12)]
        found = [client.wait(job, timeout=60) for job in jobs]
        assert [(job.state, job.attempt) for job in found] == [("completed", 1)] * 12
        pids = list(dict.fromkeys(job.result["pid"] for job in found))
        assert 3 <= len(pids) <= 6, "each process holds about three of them"
        assert max(job.result["jobs"] for job in found) <= 4
        assert max(job.attempts[0].peak_memory_bytes for job in found) < 120 << 20
        wait_until(lambda: len(place.read_text().split()) >= len(pids) - 1, 10, "each is torn down")
        parents = [done(client, "who", "fresh").result["parent"] for _ in range(7)]
        assert len(set(parents)) == 3
    worker = next(worker for worker in daemon.ask("status")["workers"] if worker["name"] == "trial/1")
    assert worker["restarts"] == 0, "the worker itself stays"
    assert "max_rss: it has" in daemon.words() and "max_jobs: it has done 3" in daemon.words()


def test_a_worker_of_scripts_makes_room_for_a_fresh_one_and_that_is_no_death(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon(settings="[pools.scripts]\nmax_jobs = 4\n", workers=1).start()
    with daemon.client() as client:
        jobs = [client.submit(source="1", main="a.js") for _ in range(13)]
        assert [client.wait(job, timeout=60).attempt for job in jobs] == [1] * 13
    wait_until(lambda: daemon.ask("status")["workers"][0]["restarts"] == 3, 20, "three fresh workers")
    assert daemon.ask("status")["workers"][0]["state"] != "parked"
    assert title_of(daemon.pid_of("worker scripts/1"))
