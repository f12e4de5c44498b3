"""Queues as their owner sees them: paused and resumed, filled up to their depth, run up to their cap."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest

from ctl import Client, QueueFull, WrongState
from tests.harness import Daemon, running_daemon, wait_until

SETTINGS = """
[queues.narrow]
max_running = 1
[queues.shallow]
max_queued = 5
[queues.pair]
max_running = 2
"""
LONG = "echo here; sleep 60"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("queues") / "d", SETTINGS, workers=3) as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as connected:
        yield connected
        connected.resume()


def submit(client: Client, queue: str, source: str = "true", **options: object) -> int:
    return client.submit(source=source, runtime="shell", queue=queue, **options).id  # type: ignore[arg-type]


def state(client: Client, job: int) -> str:
    return client.show(job).state


def says(client: Client, job: int) -> list[tuple[str, str | None]]:
    return [(one["says"], one["change"]) for one in client.explain(job)["sentences"]]


def test_a_paused_queue_takes_jobs_and_starts_none_until_it_is_resumed(client: Client) -> None:
    assert client.pause("held") == {"changed": ["held"], "paused": ["held"]}
    held, free = submit(client, "held"), submit(client, "free")
    assert client.wait(free, timeout=20).ok
    assert state(client, held) == "queued"
    assert client.resume("held") == {"changed": ["held"], "paused": [], "drain_ended": False}
    assert client.wait(held, timeout=20).ok


def test_what_runs_when_its_queue_is_paused_goes_on(client: Client) -> None:
    job = submit(client, "going", "echo here; sleep 0.5; echo there")
    wait_until(lambda: client.logs(job) == b"here\n", saying="its output")
    client.pause("going")
    assert client.wait(job, timeout=20).ok
    assert client.logs(job) == b"here\nthere\n"


def test_status_and_explain_say_that_a_queue_is_paused_and_health_is_content(daemon: Daemon, client: Client) -> None:
    client.pause("reports")
    job = submit(client, "reports")
    ((paused, command), *_) = says(client, job)
    assert paused.startswith("Queue reports is paused since ")
    assert command == "workerctl resume reports"
    (view,) = [queue for queue in client.status()["queues"] if queue["name"] == "reports"]
    assert (view["paused"], view["jobs"]["queued"], view["max_running"]) == (True, 1, None)
    assert b"\nreports  paused  1" in daemon.ctl("status").stdout
    health = client.health()
    assert (health["status"], health["reasons"]) == ("healthy", [])


def test_all_queues_are_paused_and_resumed_together(daemon: Daemon, client: Client) -> None:
    assert daemon.ctl("pause").stdout == b"all queues  paused\n"
    job = submit(client, "new")
    ((paused, command), *_) = says(client, job)
    assert (paused.startswith("All queues are paused"), command) == (True, "workerctl resume")
    assert b"all queues are paused: `workerctl resume` ends that" in daemon.ctl("status").stdout
    with pytest.raises(WrongState, match="resumes them all"):
        client.resume("new")
    assert daemon.ctl("resume", "new").returncode == 4
    assert daemon.ctl("resume", "--json").stdout == b'{"changed":["*"],"paused":[],"drain_ended":false}\n'
    assert client.wait(job, timeout=20).ok


def test_a_name_that_no_queue_can_have_is_refused(daemon: Daemon) -> None:
    assert daemon.ctl("pause", "*").returncode == 2
    assert daemon.ask("status")["paused"] == []


def test_a_queue_takes_as_many_as_it_may_hold_however_many_race(daemon: Daemon, client: Client) -> None:
    client.pause("shallow")
    kept, refused = [], []

    def many() -> None:
        with daemon.client() as own:
            for _ in range(4):
                try:
                    kept.append(submit(own, "shallow"))
                except QueueFull as error:
                    refused.append(error.data)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(kept), len(refused)) == (5, 11)
    assert refused[0] == {"queue": "shallow", "waiting": 5, "max_queued": 5}
    done = daemon.ctl("submit", "-", "--queue", "shallow", stdin=b"1")
    assert (done.returncode, done.stdout) == (8, b"")
    assert b"queue shallow is full" in done.stderr
    assert len(client.list(queue="shallow", limit=None)) == 5
    client.resume("shallow")
    for job in client.wait_each(kept, timeout=30):
        assert job.ok


def test_a_batch_that_does_not_fit_is_refused_whole(client: Client) -> None:
    client.pause("shallow")
    before = len(client.list(queue="shallow", limit=None))
    jobs = [{"source": "true", "runtime": "shell", "queue": "shallow"} for _ in range(6)]
    results = client.submit_many(jobs)
    stored = [result for result in results if not isinstance(result, Exception)]
    assert len(client.list(queue="shallow", limit=None)) == before + len(stored)
    assert len(stored) <= 5
    assert all(isinstance(result, QueueFull) for result in results if isinstance(result, Exception))


def test_a_capped_queue_runs_one_at_a_time_while_workers_are_free(client: Client) -> None:
    first = submit(client, "narrow", LONG)
    wait_until(lambda: client.logs(first) == b"here\n", saying="the first one's output")
    second = submit(client, "narrow")
    other = submit(client, "other")
    assert client.wait(other, timeout=20).ok, "workers are free, and for other queues"
    assert state(client, second) == "queued"
    assert says(client, second)[0] == (
        "Queue narrow runs at most 1 job at once, and 1 runs now.",
        "setting queues.narrow.max_running",
    )
    client.cancel(first)
    assert client.wait(second, timeout=20).ok


@pytest.mark.parametrize("ending", ["completed", "failed", "scheduled"])
def test_each_way_in_which_a_job_ends_lets_the_next_one_of_its_queue_start(client: Client, ending: str) -> None:
    script = {"completed": "exit 0", "failed": "exit 3", "scheduled": "exit 3"}[ending]
    options = {"retries": 1, "backoff": "1h,1,1h"} if ending == "scheduled" else {}
    first = submit(client, "narrow", f"echo here; sleep 0.3; {script}", **options)
    wait_until(lambda: client.logs(first) == b"here\n", saying="the first one's output")
    second = submit(client, "narrow")
    assert client.wait(second, timeout=20).ok
    assert state(client, first) == ending


def test_never_more_than_the_cap_run_at_once_and_none_waits_for_nothing(client: Client, tmp_path: pathlib.Path) -> None:
    jobs = [submit(client, "pair", f"sleep 0.0{number % 5}") for number in range(30)]
    for job in client.wait_each(jobs, timeout=60):
        assert job.ok
    spans = sorted(
        moment
        for job in jobs
        for attempt in client.show(job).attempts
        for moment in ((attempt.started_at, 1), (attempt.finished_at, -1))
    )
    running = most = 0
    for _, change in sorted(spans, key=lambda span: (span[0], span[1])):
        running += change
        most = max(most, running)
    assert most == 2


def test_a_lost_worker_frees_its_queues_place(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings="[queues.narrow]\nmax_running = 1\n", workers=2).start()
    with daemon.client() as client:
        first = submit(client, "narrow", LONG, on_loss="fail")
        wait_until(lambda: client.logs(first) == b"here\n", saying="the first one's output")
        second = submit(client, "narrow")
        worker = client.show(first).attempts[0].worker
        os.kill(daemon.pid_of(f"worker {worker}"), 9)
        assert client.wait(second, timeout=30).ok
        assert client.show(first).reason == "worker_lost"


def test_a_pause_outlives_the_broker_and_the_daemon(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    with daemon.client() as client:
        client.pause("held")
        held = submit(client, "held")
        os.kill(daemon.pid_of("broker"), 9)
        assert client.wait(submit(client, "free"), timeout=30).ok
        assert state(client, held) == "queued"
    assert daemon.stop() == 0
    daemon.start()
    with daemon.client() as client:
        assert client.status()["paused"] == ["held"]
        assert client.wait(submit(client, "free"), timeout=30).ok
        assert state(client, held) == "queued"
        assert daemon.ctl("resume").returncode == 0
        assert client.wait(held, timeout=30).ok


def test_a_free_worker_of_another_pool_is_woken_when_the_queue_has_a_place_again(
    make_daemon: Callable[..., Daemon],
) -> None:
    pools = '[pools.scripts]\ntypes = ["shell"]\nreplicas = 1\n[pools.pythons]\ntypes = ["python"]\nreplicas = 1\n'
    daemon = make_daemon(settings=f"{pools}[queues.narrow]\nmax_running = 1\n").start()
    with daemon.client() as client:
        first = submit(client, "narrow", "echo here; sleep 0.5")
        wait_until(lambda: client.logs(first) == b"here\n", saying="the first one's output")
        second = client.submit(source="pass", runtime="python", queue="narrow").id
        wait_until(lambda: says(client, second)[0][0].startswith("Queue narrow runs at most"))
        assert client.wait(second, timeout=20).ok, "the worker that has ended the first one cannot take the second"
