"""`explain`, situation by situation: what must be said, and what would change it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from supervisor.broker.cause import LIMIT_OF
from supervisor.broker.explain import explain
from supervisor.broker.sentence import option_value, raise_limit
from supervisor.broker.situation import MOST_COUNTED, InHand, Situation, Worker
from supervisor.config import Pool
from supervisor.core.limits import Limits
from supervisor.core.names import REASONS
from supervisor.core.retry import Backoff
from supervisor.store import Standing, Wait, rfc3339
from supervisor.wire.lease import Attach
from supervisor.wire.tree import Member

NOW_US = 1_700_000_000_000_000
SECOND = 1_000_000
LIMITS = {"wall_s": 600.0, "cpu_s": 60.0, "memory_bytes": 512 << 20, "processes": 256, "output_bytes": 16 << 20}
POOL = Pool(name="scripts", replicas=2)
STANDING = Standing(0, 0, "requeue", NOW_US, None, None, None, "auto", Backoff())


def attempt(number: int = 1, reason: str | None = "exit", **changes: Any) -> dict[str, Any]:
    ended = reason is not None
    return {
        "number": number,
        "worker": "scripts/1",
        "isolation": "namespace" if ended else None,
        "reason": reason,
        "exit_code": None,
        "signal": None,
        "evidence": "exact" if ended else None,
        "started_at": rfc3339(NOW_US - 90 * SECOND),
        "finished_at": rfc3339(NOW_US) if ended else None,
        "wall_s": 1.5 if ended else None,
        "cpu_s": 0.5 if ended else None,
        "peak_memory_bytes": 40 << 20 if ended else None,
        "stdout_bytes": 10 if ended else None,
        "stderr_bytes": 0 if ended else None,
        "leftover_killed": 0,
        "message": "exited with code 1" if ended else None,
        "truncated": False,
        "artifacts": 0,
        "enforced": {},
        **changes,
    }


def job(state: str, **changes: Any) -> dict[str, Any]:
    final = state in ("completed", "failed", "cancelled")
    view = {
        "id": 42,
        "type": "node",
        "queue": "default",
        "priority": 0,
        "state": state,
        "reason": None,
        "message": None,
        "retries": 0,
        "started_at": None,
        "finished_at": rfc3339(NOW_US) if final else None,
        "limits": LIMITS,
        "progress": None,
        "cancel_requested": False,
        "findings": [],
        "waiting_for": [],
        "unique_key": None,
        "attempts": [],
        **changes,
    }
    if final and view["attempts"] and view["reason"] is None:
        view["reason"] = view["attempts"][-1]["reason"]
        view["message"] = view["attempts"][-1]["message"]
    return view


def failed(reason: str, message: str = "why", **changes: Any) -> dict[str, Any]:
    return job("failed", attempts=[attempt(1, reason, message=message)], **changes)


def running(**changes: Any) -> dict[str, Any]:
    return job("running", started_at=rfc3339(NOW_US - 90 * SECOND), attempts=[attempt(1, None)], **changes)


def member(number: int, state: Any = "starting", note: str = "", pool: str = "scripts") -> Member:
    return Member(worker=f"{pool}/{number}", pool=pool, state=state, note=note)


def worker(number: int, job: int | None = None, **said: Any) -> dict[str, Worker]:
    name = f"scripts/{number}"
    level = said.pop("isolation", "namespace")
    return {name: Worker(Attach(id=1, incarnation="i", worker=name, pool="scripts", isolation=level, **said), job)}


def situation(view: dict[str, Any], standing: dict[str, Any] | None = None, **changes: Any) -> Situation:
    fields: dict[str, Any] = {
        "view": view,
        "standing": STANDING._replace(**(standing or {})),
        "pools": (POOL,),
        "members": (member(1), member(2)),
        "workers": worker(1, 7) | worker(2, 8),
        "now_us": NOW_US,
    }
    return Situation(**{**fields, **changes})


SINCE = {"started_us": NOW_US - 90 * SECOND}
LATER = {"due_us": NOW_US + 3600 * SECOND}

# situation, words that must be in its sentences, changes that must be named, words that may not be there
TABLE: dict[str, tuple[Situation, list[str], list[str], list[str]]] = {
    "completed": (
        situation(job("completed", attempts=[attempt(1, "ok")])),
        ["It completed after 1.5 s", "time 1.5 s of 10 min, CPU 500 ms of 1 min, memory 40 MiB of 512 MiB"],
        [],
        ["retry", "certain"],
    ),
    "completed at last": (
        situation(
            job("completed", attempts=[attempt(1), attempt(2, "worker_lost"), attempt(3, "ok")]), {"losses": 1}
        ),
        ["Before that: attempt 2 worker_lost and attempt 1 exit", "It was lost 1 time with its worker or the machine"],
        [],
        ["would be run again"],
    ),
    "timeout": (
        situation(failed("timeout", "ended after 10 min, its time limit"), {"failures": 1}),
        ["reason timeout: ended after 10 min", "That is certain", "no retries were allowed"],
        ["--timeout 20m", "--retries 3", "workerctl retry 42"],
        [],
    ),
    "timeout below the maximum": (
        situation(failed("timeout"), pools=(Pool(name="scripts", replicas=1, maxima=Limits(wall_s=900.0)),)),
        ["reason timeout"],
        ["--timeout 15m"],
        [],
    ),
    "timeout at the maximum": (
        situation(failed("timeout"), pools=(Pool(name="scripts", replicas=1, maxima=Limits(wall_s=600.0)),)),
        ["reason timeout"],
        ["setting pools.scripts.max.wall, which allows 10 min at most"],
        [],
    ),
    "cpu_limit": (situation(failed("cpu_limit")), ["reason cpu_limit"], ["--cpu 2m"], []),
    "memory_limit, inferred": (
        situation(
            job(
                "failed",
                attempts=[
                    attempt(1, "memory_limit", evidence="inferred", enforced={"memory": "sampled every 50 ms"})
                ],
            )
        ),
        ["That is inferred, not certain", "That limit is held so: sampled every 50 ms."],
        ["--memory 1G"],
        ["That is certain"],
    ),
    "memory_limit, by its text": (
        situation(job("failed", attempts=[attempt(1, "memory_limit", evidence="text")])),
        ["only what its own output suggests", "which a job can forge"],
        ["--memory 1G"],
        [],
    ),
    "process_limit": (situation(failed("process_limit")), ["process_limit"], ["--processes 512"], []),
    "output_limit": (situation(failed("output_limit")), ["output_limit"], ["--output 32M"], ["was cut"]),
    "exit": (
        situation(failed("exit", "exited with code 3"), {"failures": 1}),
        ["reason exit: exited with code 3."],
        ["workerctl logs --stderr 42", "--retries 3"],
        [],
    ),
    "signal": (situation(failed("signal")), ["reason signal"], ["workerctl logs --stderr 42"], []),
    "spawn_error": (
        situation(failed("spawn_error", "no node on PATH: install Node"), {"failures": 1}),
        ["reason spawn_error: no node on PATH: install Node."],
        ["workerctl retry 42"],
        [],
    ),
    "not retryable": (
        situation(failed("spawn_error", retries=2), {"failures": 1}),
        ["not tried again although 2 retries are left: another try would end the same way"],
        [],
        [],
    ),
    "retries used up": (
        situation(job("failed", retries=1, attempts=[attempt(1), attempt(2)]), {"failures": 2}),
        ["No retry is left: 2 attempts failed, 1 retry was allowed.", "Before that: attempt 1 exit"],
        ["--retries 2"],
        [],
    ),
    "leftovers and cut output": (
        situation(job("failed", attempts=[attempt(1, leftover_killed=2, truncated=True)]), {"failures": 1}),
        ["It left 2 processes behind", "Its output was cut: 16 MiB of a stream are kept."],
        ["let the script wait for what it starts", "--output 32M"],
        [],
    ),
    "nothing measured": (
        situation(
            job(
                "failed",
                attempts=[
                    attempt(
                        1, "host_lost", wall_s=None, cpu_s=None, peak_memory_bytes=None, stdout_bytes=None,
                        stderr_bytes=None, isolation=None, enforced=None,
                    )
                ],
            ),
            {"on_loss": "fail", "losses": 1},
        ),
        ["Nobody measured what it used", "submitted with --on-loss fail"],
        ["--on-loss requeue"],
        ["no retries"],
    ),
    "poison": (
        situation(failed("worker_lost"), {"losses": 4}),
        ["It is poison: 4 times its worker or the machine died under it, and after 3 of them it was given another one"],
        ["workerctl show 42"],
        ["uses up no retry"],
    ),
    "the pool does not retry after that": (
        situation(failed("exit", retries=2), {"failures": 1, "retry_on": ("timeout", "signal")}),
        ["It was not tried again (2 of 2 left): its pool retries only after timeout and signal."],
        ["setting pools.NAME.retry_on"],
        ["another try would end"],
    ),
    "what it waited for ended otherwise": (
        situation(
            job(
                "cancelled",
                reason="dependency",
                message="it waited for job 7 to complete (--after 7:ok), which failed (exit)",
            )
        ),
        [
            "It was cancelled before it ran, reason dependency: it waited for job 7 to complete (--after 7:ok), "
            "which failed (exit)."
        ],
        ["--after JOB:any", "workerctl retry 42"],
        ["by uid"],
    ),
    "waits for others": (
        situation(
            job("scheduled", waiting_for=[7, 9, 11], unique_key="nightly"),
            waits=(Wait(7, "running", "ok"), Wait(9, "queued", "any")),
        ),
        [
            "It waits for 3 other jobs: job 7 (running), which must complete, job 9 (queued), which must end and "
            "job 11. If that becomes impossible, it is cancelled.",
            "It holds the unique key 'nightly' of queue default",
        ],
        ["workerctl explain 7, or submit without --after", "workerctl cancel 42, or another --unique"],
        ["about to be queued", "submitted for later"],
    ),
    "waits for another and for its time": (
        situation(job("scheduled", waiting_for=[7]), LATER, waits=(Wait(7, "running", "fail"),)),
        ["It waits for 1 other job: job 7 (running), which must fail.", "It was submitted for later"],
        ["workerctl explain 7, or submit without --after", "submit without --delay or --at"],
        [],
    ),
    "cancelled while it ran": (
        situation(
            job("cancelled", attempts=[attempt(1, "cancelled")]), {"cancelled_by": 1000, "cancel_reason": "wrong input"}
        ),
        ["It was cancelled by uid 1000 while it ran: wrong input."],
        ["workerctl retry 42"],
        ["--retries"],
    ),
    "cancelled before it ran": (
        situation(job("cancelled", reason="cancelled"), {"cancelled_by": 0}),
        ["It was cancelled by uid 0 before it ran."],
        [],
        ["used"],
    ),
    "cancelled between two tries": (
        situation(job("cancelled", reason="cancelled", attempts=[attempt(1, "exit")]), {"cancelled_by": 0}),
        ["before it ran"],
        [],
        ["It used"],
    ),
    "findings of the code check": (
        situation(failed("exit", findings=[{"line": 3, "rule": "r", "message": "loops"}])),
        ["the code check noticed line 3: loops."],
        [],
        [],
    ),
    "running": (
        situation(running(), SINCE, workers=worker(1, 42)),
        ["running for 1 min 30 s", "attempt 1 on scripts/1, isolation namespace", "used 1 min 30 s of its 10 min (15%)"],
        ["--timeout 20m"],
        ["not connected", "cancel"],
    ),
    "running, in its worker's hand": (
        situation(running(), SINCE, workers=worker(1, 41), in_hand=InHand("tiny/1", 41, 3)),
        ["has not begun: worker tiny/1 has taken it", "does 3 jobs before it, job 41 at this moment", "after a second"],
        ["setting pools.tiny.lease_batch"],
        ["running for"],
    ),
    "running, cancel requested": (
        situation(
            running(cancel_requested=True), SINCE | {"cancelled_by": 5, "cancel_reason": "x"}, workers=worker(1, 42)
        ),
        ["being ended: its cancel was asked for by uid 5: x."],
        [],
        [],
    ),
    "running beyond its time": (
        situation(running(limits=LIMITS | {"wall_s": 60.0}), SINCE, workers=worker(1, 42)),
        ["Its 1 min are over: it is being ended."],
        ["--timeout 2m"],
        [],
    ),
    "running without a limit": (
        situation(running(limits=LIMITS | {"wall_s": None}), SINCE, workers=worker(1, 42)),
        ["It has no time limit."],
        ["--timeout 10m"],
        [],
    ),
    "running, worker away, progress": (
        situation(running(progress={"percentage": 40, "stage": "parsing", "message": None}), SINCE, workers={}),
        ["not connected at this moment", "It says of itself: 40 %, parsing."],
        [],
        [],
    ),
    "running while the daemon stops": (
        situation(running(), SINCE, workers=worker(1, 42), closing=True),
        ["The daemon is shutting down: it may finish in time, else it is ended and queued again."],
        [],
        [],
    ),
    "running after a loss": (
        situation(
            job("running", started_at=rfc3339(NOW_US), attempts=[attempt(1, "worker_lost"), attempt(2, None)]),
            SINCE | {"losses": 1},
            workers=worker(1, 42),
        ),
        ["attempt 2 on scripts/1", "Attempt 1 ended with worker_lost", "2 more would be run again"],
        [],
        [],
    ),
    "scheduled": (
        situation(job("scheduled"), LATER),
        ["It was submitted for later: it is due at", "in 1 h."],
        ["submit without --delay or --at"],
        ["worker"],
    ),
    "due, not queued yet": (situation(job("scheduled")), ["due now: it is about to be queued"], [], []),
    "waiting for its next try": (
        situation(
            job("scheduled", retries=3, attempts=[attempt(1)]), {"due_us": NOW_US + 2 * SECOND, "failures": 1}
        ),
        ["Attempt 1 ended with exit (exited with code 1); the next try is due at", "in 2 s.", "after the next one 2 more"],
        ["--backoff, which was 1s,2,1h: the wait is a random share of that"],
        [],
    ),
    "the last try to come": (
        situation(job("scheduled", retries=1, attempts=[attempt(1)]), LATER | {"failures": 1}),
        ["1 attempt failed, 1 retry is allowed: the next one is the last."],
        ["--retries 3"],
        [],
    ),
    "scheduled, and nobody would take it": (
        situation(job("scheduled", type="resize"), LATER),
        ["it is due at", "No pool takes jobs of type resize"],
        [],
        [],
    ),
    "declined by one pool, for the other to take": (
        situation(job("queued"), pools=(POOL, Pool(name="other", replicas=0)), declined={POOL.name}),
        ["Pool scripts has declined it: it is for others to take.", "There are no workers that could take it (pool other)."],
        ["setting pools.other.replicas"],
        ["free", "No other pool"],
    ),
    "declined by all that there are": (
        situation(job("queued"), pools=(POOL, Pool(name="other", replicas=0)), declined={POOL.name, "other"}),
        ["Pools other and scripts have declined it", "No other pool takes jobs of type node; it waits until one does."],
        ["setting pools.NAME.types"],
        ["workers"],
    ),
    "declined, and another pool has not said what it takes": (
        situation(
            job("queued", type="pick"),
            pools=(Pool(name="fast", replicas=1, types=("pick",)), Pool(name="slow", replicas=1, types=())),
            members=(member(1, "parked", "exit 6", pool="slow"),),
            declined={"fast"},
        ),
        [
            "Pool fast has declined it",
            "Pool slow has not said yet which types it takes: the job waits for that.",
            "Worker slow/1 is parked after too many deaths: exit 6.",
        ],
        ["setting pools.slow.types", "workerctl restart slow"],
        ["No other pool"],
    ),
    "queued behind others": (
        situation(job("queued"), before=3),
        ["3 jobs are before it in queue default.", "All 2 workers that could take it are busy, with jobs 7 and 8."],
        ["--priority 10", "setting pools.scripts.replicas"],
        ["other queues"],
    ),
    "queued behind one": (situation(job("queued"), before=1), ["1 job is before it in queue default."], [], []),
    "queued behind very many": (
        situation(job("queued", priority=1000), before=MOST_COUNTED + 1, elsewhere=2),
        ["More than 1000 jobs are before it", "The same workers take 2 jobs of other queues before it."],
        [],
        ["--priority"],
    ),
    "next, one worker busy, the other starting": (
        situation(job("queued"), workers=worker(1, 7)),
        ["It is the next one of queue default.", "1 worker that could take it is busy, with job 7.", "scripts/2 is starting"],
        [],
        ["All"],
    ),
    "a worker is free": (
        situation(job("queued"), workers=worker(1) | worker(2, 8)),
        ["1 worker is free: it should start at once."],
        [],
        ["busy"],
    ),
    "parked and in backoff": (
        situation(
            job("queued"), workers={}, members=(member(1, "parked", "killed by SIGKILL"), member(2, "backoff", "exit 1"))
        ),
        ["scripts/1 is parked after too many deaths: killed by SIGKILL", "scripts/2 died and is started again"],
        ["workerctl restart scripts"],
        ["busy", "free"],
    ),
    "no workers at all": (
        situation(job("queued"), workers={}, members=()),
        ["There are no workers that could take it (pool scripts)."],
        ["setting pools.scripts.replicas"],
        [],
    ),
    "no pool takes its type": (
        situation(job("queued", type="resize"), before=5),
        ["No pool takes jobs of type resize"],
        ["setting pools.NAME.types"],
        ["before it", "busy"],
    ),
    "no pool takes its queue": (
        situation(job("queued", queue="slow"), pools=(Pool(name="scripts", replicas=1, queues=("fast",)),)),
        ["No pool takes jobs of type node from queue slow"],
        ["setting pools.scripts.queues, or another --queue"],
        [],
    ),
    "only the workers of its pools count": (
        situation(
            job("queued"),
            pools=(POOL, Pool(name="other", replicas=1, types=("python",))),
            members=(member(1), member(1, "parked", pool="other")),
            workers=worker(1, 7),
        ),
        ["1 worker that could take it is busy"],
        [],
        ["parked"],
    ),
    "queued while the daemon stops": (
        situation(job("queued"), closing=True, before=5),
        ["The daemon is shutting down and starts nothing more; the job is kept for its next start."],
        ["worker-supervisor"],
        ["before it"],
    ),
    "queued while the daemon drains": (
        situation(job("queued"), held=True, before=5),
        ["The daemon is draining: it starts nothing more until that is ended"],
        ["workerctl drain --end"],
        ["before it", "shutting down"],
    ),
    "a worker that was told to leave does not count": (
        situation(job("queued"), members=(member(1, "stopping"), member(2)), workers=worker(1) | worker(2, 7)),
        ["1 worker that could take it is busy"],
        [],
        ["free"],
    ),
    "its interpreter is missing": (
        situation(job("queued"), workers=worker(1, missing={"node": "no node on PATH"}) | worker(2)),
        ["What it takes to run node is missing here", "no node on PATH", "1 worker is free"],
        ["setting pools.scripts.node"],
        ["2 workers"],
    ),
    "every worker misses its interpreter": (
        situation(job("queued"), workers=worker(1, missing={"node": "no node"}) | worker(2, missing={"node": "no node"})),
        ["no worker takes what it cannot run: no node."],
        ["setting pools.scripts.node"],
        ["free", "at once"],
    ),
    "its level is missing": (
        situation(
            job("queued"), {"isolation": "namespace"},
            workers=worker(1, isolation="plain", isolation_notes={"namespace": "clone: EPERM"}),
        ),
        ["It must run at isolation namespace, which cannot be had here: clone: EPERM."],
        ["workerctl doctor"],
        [],
    ),
    "a pool whose minimum is missing": (
        situation(
            job("queued"),
            members=(member(1),),
            workers=worker(1, isolation="", isolation_notes={"namespace": "clone: EPERM"}),
        ),
        ["scripts/1 can run nothing", "(namespace: clone: EPERM)"],
        ["workerctl doctor"],
        ["free"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_a_situation_is_told_in_words(name: str) -> None:
    now, words, changes, never = TABLE[name]
    sentences = explain(now)
    said = "\n".join(sentence.says for sentence in sentences)
    told = "\n".join(f"{sentence.says}\n    {sentence.change}" for sentence in sentences)
    assert [word for word in words if word not in said] == [], told
    assert [change for change in changes if change not in [sentence.change for sentence in sentences]] == [], told
    assert [word for word in never if word in told] == [], told


@pytest.mark.parametrize("name", TABLE)
def test_every_sentence_is_one(name: str) -> None:
    for sentence in explain(TABLE[name][0]):
        assert sentence.says[0].isupper() or sentence.says[0].isdigit() or sentence.says.startswith("scripts/")
        assert sentence.says.endswith((".", "!")) and ".." not in sentence.says and "\n" not in sentence.says
        assert "None" not in sentence.says and sentence.change != ""


def test_a_reason_that_is_a_limit_names_its_option() -> None:
    assert set(LIMIT_OF) == {reason for reason in REASONS if reason.endswith("_limit")} | {"timeout"}


def test_the_fields_of_a_situation_are_all_used_in_the_table() -> None:
    fields = {field.name for field in dataclasses.fields(Situation)}
    assert {
        "before",
        "declined",
        "elsewhere",
        "waits",
        "closing",
        "held",
        "in_hand",
        "pause",  # these four: in test_broker_queues.py
        "caps",
        "caps_table",
        "running",
        "workers",
        "members",
        "pools",
        "standing",
        "view",
        "now_us",
    } == fields


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("wall_s", 1200, "20m"),
        ("wall_s", 7200, "2h"),
        ("wall_s", 90, "90s"),
        ("wall_s", 1.5, "1.5"),
        ("memory_bytes", 1 << 30, "1G"),
        ("memory_bytes", 1536 << 20, "1536M"),
        ("output_bytes", 1000, "1000"),
        ("processes", 512, "512"),
    ],
)
def test_a_value_as_an_option_takes_it(name: str, value: float, shown: str) -> None:
    assert option_value(name, value) == shown


def test_no_limit_cannot_be_raised() -> None:
    assert raise_limit("wall_s", {"wall_s": None}, POOL) is None
    assert raise_limit("output_bytes", {"output_bytes": 0}, None) == "--output 1"
