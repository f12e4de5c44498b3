"""The queue against a plain model of it: any calls in any order, also repeated, stale, failing and restarted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from supervisor import store
from supervisor.core.dependency import After
from supervisor.core.errors import RequestError
from supervisor.core.job import JobSpec, Progress
from supervisor.core.outcome import Outcome
from supervisor.core.queues import NO_CAPS, QueueCaps
from supervisor.core.retry import Backoff
from tests.store.making import new_job

T = TypeVar("T")

WORKERS = ["w1", "w2", "w3"]
QUEUES = ["default", "other"]
TYPES = ["node", "python"]
OUTCOMES = {
    "ok": Outcome(reason="ok", message="completed", exit_code=0),
    "exit": Outcome(reason="exit", message="exited with code 3", exit_code=3, wall_s=0.1),
    "final": Outcome(reason="spawn_error", message="no such program", retryable=False),
    "interrupted": Outcome(reason="interrupted", message="shutting down", signal="SIGTERM"),
    "worker_lost": Outcome(reason="worker_lost", message="the keeper died"),
    "cancelled": Outcome(reason="cancelled", message="cancelled", signal="SIGTERM", retryable=False),
    "stuck": Outcome(reason="stuck", message="cannot be killed", retryable=False),
}
MET = {"ok": {"completed"}, "any": {"completed", "failed", "cancelled"}, "fail": {"failed"}}


@dataclass
class Run:
    lease: int
    job: int
    number: int
    worker: str
    outcome: Outcome | None = None
    lost: bool = False

    @property
    def running(self) -> bool:
        return self.outcome is None and not self.lost


@dataclass
class Job:
    id: int
    queue: str
    type: str
    priority: int
    due_us: int
    retries: int
    on_loss: str
    state: str
    key: str | None = None
    waits: dict[int, str] = field(default_factory=dict)
    later: bool = False
    runs: list[Run] = field(default_factory=list)
    failures: int = 0
    losses: int = 0
    cancel: bool = False

    @property
    def final(self) -> bool:
        return self.state in ("completed", "failed", "cancelled")


class Refused(Exception):
    pass


class Queue(RuleBasedStateMachine):
    @initialize()
    def create(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="store-model-")
        self.path = f"{self.folder}/queue.db"
        self.conn = store.open_writer(self.path)
        self.now_us = 1_000_000
        self.jobs: dict[int, Job] = {}
        self.requests: dict[int, Job] = {}
        self.runs: dict[int, Run] = {}
        self.gone: set[int] = set()
        self.paused: set[str] = set()
        self.last_event = 0

    def teardown(self) -> None:
        if hasattr(self, "conn"):
            self.conn.close()
            shutil.rmtree(self.folder)

    def call(self, call: Callable[[store.Tx], T], beside_failing: bool = False) -> T | str:
        """The call's result, or the code of its refusal; beside calls that fail after they wrote."""

        def failing(tx: store.Tx) -> Any:
            store.submit(tx, new_job(999, queue="never"))
            store.claim(tx, types=TYPES, queues=None, worker="never", incarnation="never")
            raise Refused

        calls = [failing, call, failing] if beside_failing else [call]
        results, events = store.run_batch(self.conn, self.now_us, calls)
        result = results[len(calls) // 2]
        if beside_failing:
            assert isinstance(results[0], Refused)
            assert isinstance(results[2], Refused)
        ids = [event.id for event in events]
        assert ids == list(range(self.last_event + 1, self.last_event + 1 + len(ids)))
        self.last_event += len(ids)
        if isinstance(result, RequestError):
            assert ids == []
            return result.code
        if isinstance(result, Exception):
            raise result
        return result

    def running(self) -> list[Run]:
        return [run for run in self.runs.values() if run.running]

    def some(self, of: dict[int, Any], pick: int) -> int:
        """One of the known ids, now and then one that was never given."""
        known = [*of, 10_000]
        return known[pick % len(known)]

    @rule(
        number=st.integers(0, 12),
        queue=st.sampled_from(QUEUES),
        kind=st.sampled_from(TYPES),
        priority=st.integers(-1, 1),
        delay_us=st.sampled_from([None, -5, 0, 500, 100_000]),
        retries=st.integers(0, 2),
        on_loss=st.sampled_from(["requeue", "requeue", "fail"]),
        same=st.booleans(),
        key=st.sampled_from([None, None, "a", "b"]),
        on_conflict=st.sampled_from(["return", "return", "refuse"]),
        after=st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(sorted(MET))), max_size=3),
        failing=st.booleans(),
    )
    def submit(
        self,
        number: int,
        queue: str,
        kind: str,
        priority: int,
        delay_us: int | None,
        retries: int,
        on_loss: str,
        same: bool,
        key: str | None,
        on_conflict: str,
        after: list[tuple[int, str]],
        failing: bool,
    ) -> None:
        unfinished = {id: job for id, job in self.jobs.items() if not job.final} or self.jobs
        named = [
            (
                self.some(self.jobs, pick) if pick % 9 == 8 else [*unfinished, 1][pick % (len(unfinished) or 1)],
                condition,
            )
            for pick, condition in after
        ]
        due_us = None if delay_us is None else self.now_us + delay_us
        spec = JobSpec(backoff=Backoff(base_s=0.001, factor=1.0, cap_s=1.0))
        new = new_job(
            number,
            request_hash="same" if same else "other",
            queue=queue,
            type=kind,
            priority=priority,
            due_us=due_us,
            retries=retries,
            on_loss=on_loss,
            spec=spec,
            unique_key=key,
            on_conflict=on_conflict,
            after=tuple(After(job=job, condition=condition) for job, condition in named),  # type: ignore[arg-type]
        )
        answer = self.call(lambda tx: store.submit(tx, new), failing)
        known = self.requests.get((number << 1) + same)
        if known is not None:
            assert answer == (known.id, False, False)
        elif (number << 1) + (not same) in self.requests:
            assert answer == "conflict"
        elif (holder := self.holder(queue, key)) is not None:
            assert answer == ("conflict" if on_conflict == "refuse" else (holder.id, False, True))
        elif (refusal := self.refusal(named)) is not None:
            assert answer == refusal
        else:
            assert isinstance(answer, tuple)
            assert answer[1:] == (True, False)
            later = due_us is not None and due_us > self.now_us
            decided = {self.met(condition, self.jobs[job].state) for job, condition in named}
            state = "cancelled" if False in decided else "scheduled" if later or None in decided else "queued"
            job = Job(answer[0], queue, kind, priority, due_us or self.now_us, retries, on_loss, state, key)
            job.later = later
            if state != "cancelled":
                job.waits = {other: condition for other, condition in named if not self.jobs[other].final}
            assert job.id not in self.jobs
            self.jobs[job.id] = self.requests[(number << 1) + same] = job

    def holder(self, queue: str, key: str | None) -> Job | None:
        """The unfinished job that has the key."""
        having = (job for job in self.jobs.values() if key is not None and (job.queue, job.key) == (queue, key))
        return next((job for job in having if not job.final), None)

    def refusal(self, named: list[tuple[int, str]]) -> str | None:
        """Why nothing can wait for these."""
        for place, (job, condition) in enumerate(named):
            if job not in self.jobs:
                return "not_found"
            if any(other == job and wanted != condition for other, wanted in named[:place]):
                return "bad_request"
        return None

    def met(self, condition: str, state: str) -> bool | None:
        return state in MET[condition] if state in MET["any"] else None

    def decide(self, ended: Job, state: str) -> None:
        """What waits for a job that has come to its end, and for those that this ends."""
        todo = [(ended.id, state)]
        while todo:
            other, state = todo.pop()
            for job in self.jobs.values():
                condition = job.waits.pop(other, None)
                if condition is None:
                    continue
                if state not in MET[condition]:
                    job.state, job.waits = "cancelled", {}
                    todo.append((job.id, "cancelled"))
                elif not job.waits and not (job.later and job.due_us > self.now_us):
                    job.state = "queued"

    @precondition(lambda self: self.jobs)
    @rule(us=st.sampled_from([1, 700, 200_000]))
    def wait(self, us: int) -> None:
        self.now_us += us

    @precondition(lambda self: self.jobs)
    @rule(failing=st.booleans())
    def promote(self, failing: bool) -> None:
        due = [job for job in self.jobs.values() if job.state == "scheduled" and not job.waits]
        due = [job for job in due if job.due_us <= self.now_us]
        assert self.call(store.promote_due, failing) == len(due)
        for job in due:
            job.state = "queued"

    @precondition(lambda self: any(job.state == "queued" for job in self.jobs.values()))
    @rule(
        worker=st.sampled_from(WORKERS),
        types=st.sampled_from([["node"], ["node", "python"], ["python", "shell"]]),
        queues=st.sampled_from([None, None, ["default"], ["other", "default"]]),
        cap=st.sampled_from([None, None, 1, 2]),
        failing=st.booleans(),
    )
    def claim(self, worker: str, types: list[str], queues: list[str] | None, cap: int | None, failing: bool) -> None:
        shut = {queue for queue in QUEUES if self.paused & {queue, "*"} or self.is_full(queue, cap)}
        fitting = [
            job
            for job in self.jobs.values()
            if job.state == "queued" and job.type in types and (queues is None or job.queue in queues)
            if job.queue not in shut
        ]
        expected = min(fitting, key=lambda job: (-job.priority, job.due_us, job.id), default=None)
        caps = {"default": QueueCaps(max_running=cap), "*": NO_CAPS}
        lease = self.call(
            lambda tx: store.claim(tx, types=types, queues=queues, worker=worker, incarnation=worker, caps=caps),
            failing,
        )
        if expected is None:
            assert lease is None
            return
        assert not isinstance(lease, str)
        assert lease is not None
        assert (lease.job, lease.attempt) == (expected.id, len(expected.runs) + 1)
        assert lease.lease not in self.runs
        assert lease.lease not in self.gone
        run = Run(lease.lease, expected.id, lease.attempt, worker)
        expected.runs.append(run)
        expected.state = "running"
        self.runs[run.lease] = run

    def is_full(self, queue: str, cap: int | None) -> bool:
        """Whether a queue runs as many as it may; only `default` is ever capped."""
        running = sum(job.queue == queue and job.state == "running" for job in self.jobs.values())
        return queue == "default" and cap is not None and running >= cap

    @precondition(lambda self: self.jobs)
    @rule(queue=st.sampled_from(["*", *QUEUES]), failing=st.booleans())
    def pause(self, queue: str, failing: bool) -> None:
        named = [] if queue == "*" else [queue]
        expected = [] if queue in self.paused else [queue]
        assert self.call(lambda tx: store.pause(tx, named, by_uid=0), failing) == expected
        self.paused.add(queue)

    @precondition(lambda self: self.paused)
    @rule(queue=st.sampled_from(["*", "*", *QUEUES]), failing=st.booleans())
    def resume(self, queue: str, failing: bool) -> None:
        named = [] if queue == "*" else [queue]
        answer = self.call(lambda tx: store.resume(tx, named, by_uid=0), failing)
        if named and "*" in self.paused:
            assert answer == "wrong_state"
            return
        gone = self.paused & set(named) if named else set(self.paused)
        assert answer == sorted(gone)
        self.paused -= gone

    @precondition(lambda self: self.running())
    @rule(
        pick=st.integers(0, 1000),
        kind=st.sampled_from(sorted(OUTCOMES)),
        own=st.sampled_from([True, True, True, False]),
        failing=st.booleans(),
    )
    def settle(self, pick: int, kind: str, own: bool, failing: bool) -> None:
        lease = self.some(self.runs, pick)
        run = self.runs.get(lease)
        worker = run.worker if run is not None and own else "w9"
        outcome = OUTCOMES[kind]
        answer = self.call(
            lambda tx: store.settle(
                tx,
                lease=lease,
                incarnation=worker,
                outcome=outcome,
                isolation="plain",
                result=None,
                progress=None,
                dice=0.5,
            ),
            failing,
        )
        if run is None or not own or not (run.running or run.outcome == outcome):
            assert answer == "stale_lease"
            return
        job = self.jobs[run.job]
        if run.running:
            run.outcome = outcome
            self.move_on(job, outcome.reason, outcome.retryable)
        due_us = job.due_us if job.state == "scheduled" else None
        assert answer == (job.id, job.state, due_us)

    def move_on(self, job: Job, reason: str, retryable: bool) -> None:
        if job.cancel:
            job.state = "cancelled"
        elif reason == "ok":
            job.state = "completed"
        elif reason in ("interrupted", "worker_lost", "host_lost"):
            job.losses += reason != "interrupted"
            job.state = "failed" if job.on_loss == "fail" or job.losses > 3 else "queued"
        else:
            job.failures += 1
            if retryable and job.failures <= job.retries:
                job.state, job.due_us = "scheduled", self.now_us + 500
            else:
                job.state = "failed"
        if job.final:
            self.decide(job, job.state)

    def take_back(self, run: Run, *, loss: bool = False) -> None:
        job = self.jobs[run.job]
        job.runs.remove(run)
        del self.runs[run.lease]
        self.gone.add(run.lease)
        job.losses += loss and not job.cancel
        job.state = "cancelled" if job.cancel else "failed" if job.losses > 3 else "queued"
        if job.final:
            self.decide(job, job.state)

    @precondition(lambda self: self.running())
    @rule(pick=st.integers(0, 1000), own=st.sampled_from([True, True, False]), failing=st.booleans())
    def release(self, pick: int, own: bool, failing: bool) -> None:
        lease = self.some(self.runs, pick)
        run = self.runs.get(lease)
        worker = run.worker if run is not None and own else "w9"
        answer = self.call(lambda tx: store.release(tx, lease=lease, incarnation=worker), failing)
        if run is None or not own or not run.running:
            assert answer == "stale_lease"
        else:
            assert answer == run.job
            self.take_back(run)

    @precondition(lambda self: self.running())
    @rule(
        worker=st.sampled_from(WORKERS),
        reason=st.sampled_from(["worker_lost", "host_lost", "stuck"]),
        started=st.sampled_from(["all", "none", "unknown", "first"]),
        died=st.booleans(),
        failing=st.booleans(),
    )
    def lose(self, worker: str, reason: Any, started: str, died: bool, failing: bool) -> None:
        lost = [run for run in self.runs.values() if run.running and run.worker == worker]
        leases = [run.lease for run in lost]
        last = {"all": 10_000, "none": 0, "unknown": None, "first": min(leases, default=0)}[started]
        answer = self.call(
            lambda tx: store.lose(tx, incarnation=worker, reason=reason, message="gone", started=last, died=died),
            failing,
        )
        assert answer == [run.job for run in lost]
        for run in lost:
            if last is not None and run.lease > last:
                self.take_back(run, loss=died and run is lost[0])
            else:
                run.lost = True
                self.move_on(self.jobs[run.job], reason, reason != "stuck")

    @precondition(lambda self: self.runs)
    @rule(worker=st.sampled_from(WORKERS), holds=st.lists(st.booleans(), max_size=6))
    def attach(self, worker: str, holds: list[bool]) -> None:
        running = [run for run in self.runs.values() if run.running and run.worker == worker]
        held = [run.lease for run, kept in zip(running, holds, strict=False) if kept]
        unheld = [run for run in running if run.lease not in held]
        answer = self.call(lambda tx: store.release_unheld(tx, incarnation=worker, holding=[*held, 10_000]))
        assert answer == [run.job for run in unheld]
        for run in unheld:
            self.take_back(run)

    @precondition(lambda self: self.jobs)
    @rule(pick=st.integers(0, 1000), failing=st.booleans())
    def cancel(self, pick: int, failing: bool) -> None:
        id = self.some(self.jobs, pick)
        answer = self.call(lambda tx: store.cancel(tx, id, by_uid=0, reason=None), failing)
        job = self.jobs.get(id)
        if job is None:
            assert answer == "not_found"
        elif job.final:
            assert answer == "wrong_state"
        elif job.state == "running":
            job.cancel = True
            assert answer == ("running", job.runs[-1].lease, job.runs[-1].worker)
        else:
            job.cancel, job.state, job.waits = True, "cancelled", {}
            self.decide(job, job.state)
            assert answer == ("cancelled", None, None)

    @precondition(lambda self: self.jobs)
    @rule(pick=st.integers(0, 1000), failing=st.booleans())
    def retry(self, pick: int, failing: bool) -> None:
        id = self.some(self.jobs, pick)
        answer = self.call(lambda tx: store.retry(tx, id, by_uid=0), failing)
        job = self.jobs.get(id)
        if job is None:
            assert answer == "not_found"
        elif not job.final:
            assert answer == "wrong_state"
        elif self.holder(job.queue, job.key) is not None:
            assert answer == "conflict"
        else:
            job.state, job.due_us, job.cancel = "queued", self.now_us, False
            job.failures = job.losses = 0

    @precondition(lambda self: len(self.jobs) > 3)
    @rule(pick=st.integers(0, 1000), failing=st.booleans())
    def delete(self, pick: int, failing: bool) -> None:
        id = self.some(self.jobs, pick)
        job = self.jobs.get(id)
        if job is None or job.state == "running":
            with pytest.raises(RequestError):
                store.choose(self.conn, id)
            return
        chosen = {id: store.choose(self.conn, id)}
        removed = self.call(lambda tx: store.remove(tx, chosen), failing)
        assert isinstance(removed, store.Removed)
        assert removed[:2] == (chosen, {})
        del self.jobs[id]
        self.requests = {number: other for number, other in self.requests.items() if other is not job}
        self.runs = {lease: run for lease, run in self.runs.items() if run.job != id}
        self.gone.update(run.lease for run in job.runs)
        self.decide(job, job.state if job.final else "deleted")

    @precondition(lambda self: self.runs)
    @rule(pick=st.integers(0, 1000), failing=st.booleans())
    def report(self, pick: int, failing: bool) -> None:
        lease = self.some(self.runs, pick)
        run = self.runs.get(lease)
        answer = self.call(lambda tx: store.report_progress(tx, lease, Progress(percentage=5)), failing)
        assert answer == (None if run is not None and run.running else "stale_lease")

    @precondition(lambda self: self.jobs)
    @rule(idle=st.booleans())
    def checkpoint(self, idle: bool) -> None:
        store.checkpoint(self.conn, idle=idle)

    @precondition(lambda self: self.jobs)
    @rule()
    def restart(self) -> None:
        self.conn.close()
        self.conn = store.open_writer(self.path)

    @invariant()
    def jobs_are_as_in_the_model(self) -> None:
        if not hasattr(self, "conn"):
            return
        rows = self.conn.execute(
            "SELECT id, state, due_us, attempt, lease, failures, losses, cancel_requested, waits FROM jobs ORDER BY id"
        ).fetchall()
        expected = [
            (
                job.id,
                job.state,
                job.due_us,
                len(job.runs),
                job.runs[-1].lease if job.state == "running" else None,
                job.failures,
                job.losses,
                int(job.cancel),
                len(job.waits),
            )
            for job in self.jobs.values()
        ]
        assert rows == expected

    @invariant()
    def what_waits_is_as_in_the_model(self) -> None:
        if not hasattr(self, "conn"):
            return
        rows = self.conn.execute("SELECT job, on_job, condition FROM dependencies").fetchall()
        assert sorted(rows) == sorted(
            (job.id, other, condition) for job in self.jobs.values() for other, condition in job.waits.items()
        )
        assert store.jobs_with_undecided(self.conn) == []

    @invariant()
    def attempts_are_as_in_the_model(self) -> None:
        if not hasattr(self, "conn"):
            return
        rows = self.conn.execute("SELECT lease, job, number, state, reason FROM attempts ORDER BY lease").fetchall()
        assert [row[:4] for row in rows] == [
            (run.lease, run.job, run.number, "running" if run.running else "ended") for run in self.runs.values()
        ]
        assert all((row[3] == "ended") == (row[4] is not None) for row in rows)

    @invariant()
    def what_is_paused_is_as_in_the_model(self) -> None:
        if hasattr(self, "conn"):
            assert store.pauses(self.conn).keys() == self.paused

    @invariant()
    def contents_are_those_that_jobs_need(self) -> None:
        if not hasattr(self, "conn"):
            return
        kept = self.conn.execute("SELECT count(*) FROM contents").fetchone()[0]
        assert kept == (1 if self.jobs else 0)

    @invariant()
    def counters_are_counts(self) -> None:
        if not hasattr(self, "conn"):
            return
        counted = self.conn.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
        assert {state: n for state, n in store.counts(self.conn).items() if n} == dict(counted)
        by_queue = self.conn.execute("SELECT queue, state, count(*) FROM jobs GROUP BY queue, state").fetchall()
        kept = store.queue_counts(self.conn)
        assert {(q, s): n for q, states in kept.items() for s, n in states.items() if n} == {
            (q, s): n for q, s, n in by_queue
        }

    @invariant()
    def the_last_event_tells_the_state(self) -> None:
        if not hasattr(self, "conn"):
            return
        told = self.conn.execute("SELECT job, state, max(id) FROM events WHERE job NOTNULL GROUP BY job").fetchall()
        assert {job: state for job, state, _ in told} == {job.id: job.state for job in self.jobs.values()}
        assert store.last_event_id(self.conn) == self.last_event


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
