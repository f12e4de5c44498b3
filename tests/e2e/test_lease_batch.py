"""A worker with ten leases in its hand: whatever dies in the middle, one is blamed, and nothing is lost or done twice."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ctl import Client
from tests.harness import ROOT, Daemon, running_daemon, wait_until

MANY = 10
VICTIM = 4


def settings(*more: str, replicas: int = 1) -> str:
    """A pool `tiny` whose workers take ten at once."""
    lines = [
        "kill_grace = '500ms'",
        "[pools.scripts]",
        "replicas = 0",
        "[pools.tiny]",
        'handler = "batch:Batch"',
        f'python_path = ["{ROOT / "tests" / "handlers"}"]',
        "types = ['tiny']",
        f"lease_batch = {MANY}",
        f"replicas = {replicas}",
        *more,
    ]
    return "\n".join([*lines, ""])


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("batch") / "d", settings()) as running:
        wait_for_workers(running, 1)
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as connected:
        yield connected


@pytest.fixture
def notes(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "notes"


def wait_for_workers(daemon: Daemon, count: int) -> None:
    def idle() -> bool:
        workers = [one for one in daemon.ask("status")["workers"] if one["pool"] == "tiny"]
        return len(workers) == count and all(one["state"] == "idle" for one in workers)

    wait_until(idle, 30, f"{count} idle workers")


def submit(client: Client, notes: pathlib.Path, retries: int = 0, **params: Any) -> int:
    return client.submit(type="tiny", params={"notes": str(notes), **params}, retries=retries).id


def let_go(daemon: Daemon, client: Client, submit_all: Callable[[], list[int]]) -> list[int]:
    """Submits while nothing starts, so that one worker takes all at once."""
    daemon.ctl("pause", check=True)
    jobs = submit_all()
    daemon.ctl("resume", check=True)
    return jobs


def ran(notes: pathlib.Path) -> list[tuple[int, int]]:
    """Every execution: job and attempt."""
    return [(int(job), int(attempt)) for job, attempt in (line.split() for line in notes.read_text().splitlines())]


def events_of(client: Client, job: int) -> list[Any]:
    return list(client.follow(job, output=False))


def test_ten_are_leased_in_one_transaction_and_begin_one_after_the_other(
    daemon: Daemon, client: Client, notes: pathlib.Path
) -> None:
    jobs = let_go(daemon, client, lambda: [submit(client, notes) for _ in range(MANY)])
    found = [client.wait(job, timeout=60) for job in jobs]
    assert [(job.state, job.attempt, job.result) for job in found] == [("completed", 1, 1)] * MANY
    assert ran(notes) == [(job, 1) for job in jobs]
    leased = {event.at for job in jobs for event in events_of(client, job) if event.event == "running"}
    assert len(leased) == 1, leased
    begun = [job.attempts[0].started_at for job in found]
    assert begun == sorted(begun) and len(set(begun)) == MANY
    assert all(job.started_at == job.attempts[0].started_at for job in found)


def test_priority_decides_within_a_batch_too(daemon: Daemon, client: Client, notes: pathlib.Path) -> None:
    def submit_all() -> list[int]:
        return [
            client.submit(type="tiny", params={"notes": str(notes)}, priority=priority).id for priority in (0, 5, -5, 9)
        ]

    jobs = let_go(daemon, client, submit_all)
    for job in jobs:
        client.wait(job, timeout=60)
    assert [job for job, _ in ran(notes)] == [jobs[3], jobs[1], jobs[0], jobs[2]]


def test_a_runner_that_dies_costs_the_job_that_ran_and_no_other(
    daemon: Daemon, client: Client, notes: pathlib.Path
) -> None:
    jobs = let_go(
        daemon,
        client,
        lambda: [submit(client, notes, **({"kill": "self"} if n == VICTIM else {})) for n in range(MANY)],
    )
    found = [client.wait(job, timeout=60) for job in jobs]
    guilty = found.pop(VICTIM)
    assert (guilty.state, guilty.reason, guilty.signal) == ("failed", "signal", "SIGKILL")
    assert [(job.state, [one.reason for one in job.attempts]) for job in found] == [("completed", ["ok"])] * (MANY - 1)
    assert sorted(ran(notes)) == [(job, 1) for job in jobs]
    kinds = [event.event for event in events_of(client, jobs[-1])]
    assert kinds.count("released") == 1, kinds


def test_a_worker_that_dies_costs_the_job_that_ran_and_no_other(
    daemon: Daemon, client: Client, notes: pathlib.Path
) -> None:
    victim = daemon.pid_of("worker tiny/1")
    jobs = let_go(
        daemon,
        client,
        lambda: [submit(client, notes, **({"kill": victim} if n == VICTIM else {})) for n in range(MANY)],
    )
    found = [client.wait(job, timeout=60) for job in jobs]
    guilty = found.pop(VICTIM)
    assert [one.reason for one in guilty.attempts] == ["worker_lost", "ok"]
    assert [(job.state, [one.reason for one in job.attempts]) for job in found] == [("completed", ["ok"])] * (MANY - 1)
    assert sorted(ran(notes)) == sorted([*((job, 1) for job in jobs), (guilty.id, 2)])


def test_a_broker_that_dies_costs_nobody_anything(daemon: Daemon, client: Client, notes: pathlib.Path) -> None:
    victim = daemon.pid_of("broker")
    jobs = let_go(
        daemon,
        client,
        lambda: [
            submit(client, notes, **({"kill": victim, "linger_s": 0.05} if n == VICTIM else {})) for n in range(MANY)
        ],
    )
    found = [client.wait(job, timeout=60) for job in jobs]
    assert [(job.state, [one.reason for one in job.attempts]) for job in found] == [("completed", ["ok"])] * MANY
    assert sorted(ran(notes)) == [(job, 1) for job in jobs]


def test_a_job_that_is_cancelled_in_the_hand_never_begins(
    daemon: Daemon, client: Client, notes: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sign = tmp_path / "sign"
    jobs = let_go(
        daemon, client, lambda: [submit(client, notes, until=str(sign)), *(submit(client, notes) for _ in range(3))]
    )
    wait_until(notes.exists, 20, "the first at work")
    client.cancel(jobs[2])
    sign.touch()
    found = client.wait(jobs[2], timeout=60)
    assert (found.state, found.reason, found.attempts) == ("cancelled", "cancelled", [])
    assert [client.wait(job, timeout=60).state for job in (jobs[0], jobs[1], jobs[3])] == ["completed"] * 3
    assert jobs[2] not in dict(ran(notes))


def test_a_job_that_takes_long_keeps_no_other_waiting(
    make_daemon: Callable[..., Daemon], notes: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sign = tmp_path / "sign"
    daemon = make_daemon(settings=settings(replicas=2)).start()
    wait_for_workers(daemon, 2)
    with daemon.client() as client:
        long, *others = let_go(
            daemon,
            client,
            lambda: [submit(client, notes, until=str(sign)), *(submit(client, notes) for _ in range(MANY - 1))],
        )
        assert [client.wait(job, timeout=60).state for job in others] == ["completed"] * (MANY - 1)
        assert client.show(long).state == "running"
        assert [one.reason for job in others for one in client.show(job).attempts] == ["ok"] * (MANY - 1)
        sign.touch()
        assert client.wait(long, timeout=60).state == "completed"
    assert daemon.stop() == 0


def test_a_stop_hands_back_what_has_not_begun(
    make_daemon: Callable[..., Daemon], notes: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sign = tmp_path / "sign"
    daemon = make_daemon(settings=settings()).start()
    wait_for_workers(daemon, 1)
    with daemon.client() as client:
        jobs = let_go(
            daemon,
            client,
            lambda: [submit(client, notes, until=str(sign)), *(submit(client, notes) for _ in range(MANY - 1))],
        )
        wait_until(notes.exists, 20, "the first at work")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: {client.show(job).state for job in jobs[1:]} == {"queued"}, 20, "the others handed back")
        assert client.show(jobs[0]).state == "running"
        sign.touch()
    assert daemon.process.wait(30) == 0
    assert ran(notes) == [(jobs[0], 1)]
    daemon.start()
    with daemon.client() as client:
        found = [client.wait(job, timeout=60) for job in jobs]
    assert [(job.state, [one.reason for one in job.attempts]) for job in found] == [("completed", ["ok"])] * MANY
    assert sorted(ran(notes)) == [(job, 1) for job in jobs]
    assert daemon.stop() == 0


def test_a_cap_of_a_queue_holds_for_what_is_in_the_hand(
    make_daemon: Callable[..., Daemon], notes: pathlib.Path
) -> None:
    daemon = make_daemon(settings=settings("[queues.default]", "max_running = 3", replicas=2)).start()
    wait_for_workers(daemon, 2)
    with daemon.client() as client:
        jobs = let_go(daemon, client, lambda: [submit(client, notes) for _ in range(4 * MANY)])
        assert {client.wait(job, timeout=60).state for job in jobs} == {"completed"}
        events = sorted((event for job in jobs for event in events_of(client, job)), key=lambda event: event.cursor)
    at_once, running = [], set()
    for event in events:
        running = {*running, event.job} if event.state == "running" else running - {event.job}
        at_once.append(len(running))
    assert max(at_once) == 3
    assert sorted(ran(notes)) == [(job, 1) for job in jobs]
    assert daemon.stop() == 0
