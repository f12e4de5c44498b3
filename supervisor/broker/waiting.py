"""Why a job does not run yet: not due, nobody takes it, something is missing, a line before it, nobody free. Pure."""

from __future__ import annotations

from collections.abc import Collection

from supervisor.broker import cause, others, queue_gate
from supervisor.broker.sentence import US, Sentence, count_of, listed, stop
from supervisor.broker.situation import MOST_COUNTED, Situation, pools_that_may
from supervisor.config import Pool
from supervisor.core.units import format_duration
from supervisor.store import rfc3339
from supervisor.wire.tree import Member


def scheduled(now: Situation) -> list[Sentence]:
    """Until when, and what else would keep it from running then."""
    view, due_us = now.view, now.standing.due_us
    in_the_way = [*others.awaited(now), *_what_is_in_the_way(now)]
    last = cause.last_ended(view)
    left_s = (due_us - now.now_us) / US
    when = f"at {rfc3339(due_us)}, in {format_duration(left_s)}" if left_s > 0 else "now: it is about to be queued"
    if now.waits and left_s <= 0:
        return in_the_way
    if last is None:
        due = Sentence(f"It was submitted for later: it is due {when}.", "submit without --delay or --at")
        return [due, *in_the_way]
    backoff = now.standing.backoff
    factor = f"{backoff.base_s:g}s,{backoff.factor:g},{format_duration(backoff.cap_s).replace(' ', '')}"
    return [
        Sentence(
            f"Attempt {last['number']} ended with {last['reason']} ({last['message'].rstrip('.')}); the next try is due {when}.",
            f"--backoff, which was {factor}: the wait is a random share of that",
        ),
        *in_the_way,
    ]


def queued(now: Situation) -> list[Sentence]:
    """What it waits for."""
    blocked = _what_is_in_the_way(now)
    if not now.takers or now.closing or now.held:
        return blocked
    full = queue_gate.full(now)
    if full or now.pause is not None:
        return [*blocked, *full, *_line(now)]
    return [*blocked, *_line(now), *_workers(now)]


def _what_is_in_the_way(now: Situation) -> list[Sentence]:
    """What keeps it from running however long it waits."""
    view = now.view
    sentences = []
    if now.closing:
        sentences.append(
            Sentence(
                "The daemon is shutting down and starts nothing more; the job is kept for its next start.",
                "worker-supervisor",
            )
        )
    elif now.held:
        sentences.append(
            Sentence(
                "The daemon is draining: it starts nothing more until that is ended, or it is started again.",
                "workerctl drain --end",
            )
        )
    sentences += queue_gate.paused(now)
    if now.declined:
        verb = "has" if len(now.declined) == 1 else "have"
        sentences.append(Sentence(f"{_capital(_pools(now.declined))} {verb} declined it: it is for others to take."))
    if not now.takers:
        return [*sentences, *(_silent(now) or [_nobody_takes_it(now)])]
    attached = [worker.attach for worker in now.workers.values() if worker.attach.pool in _names(now.takers)]
    for missing in sorted({attach.missing[view["type"]] for attach in attached if view["type"] in attach.missing}):
        sentences.append(
            Sentence(
                f"What it takes to run {view['type']} is missing here, and no worker takes what it cannot run: {stop(missing)}",
                f"setting pools.{now.takers[0].name}.{view['type']}",
            )
        )
    asked = now.standing.isolation
    for why in sorted({attach.isolation_notes[asked] for attach in attached if asked in attach.isolation_notes}):
        sentences.append(
            Sentence(
                f"It must run at isolation {asked}, which cannot be had here: {stop(why)}",
                "workerctl doctor",
            )
        )
    return sentences


def _pools(names: Collection[str]) -> str:
    return f"pool{'s' if len(names) > 1 else ''} {listed(sorted(names))}"


def _silent(now: Situation) -> list[Sentence]:
    """Who may take it and has not said so."""
    may = pools_that_may(now.pools, now.view["type"], now.view["queue"])
    if not may:
        return []
    absent = [one for one in now.members if one.pool in _names(may) and one.worker not in now.workers]
    verb = "has" if len(may) == 1 else "have"
    says = f"{_capital(_pools(_names(may)))} {verb} not said yet which types it takes: the job waits for that."
    return [Sentence(says, f"setting pools.{may[0].name}.types"), *map(_absent, absent)]


def _nobody_takes_it(now: Situation) -> Sentence:
    view = now.view
    if now.declined:
        return Sentence(
            f"No other pool takes jobs of type {view['type']}; it waits until one does.", "setting pools.NAME.types"
        )
    same_type = [pool.name for pool in now.pools if view["type"] in pool.types]
    if not same_type:
        return Sentence(
            f"No pool takes jobs of type {view['type']}; it waits until one does.", "setting pools.NAME.types"
        )
    return Sentence(
        f"No pool takes jobs of type {view['type']} from queue {view['queue']}; it waits until one does.",
        f"setting pools.{same_type[0]}.queues, or another --queue",
    )


def _line(now: Situation) -> list[Sentence]:
    queue = now.view["queue"]
    if now.before == 0:
        first = Sentence(f"It is the next one of queue {queue}.")
    else:
        number = f"more than {MOST_COUNTED} jobs" if now.before > MOST_COUNTED else count_of(now.before, "job")
        are = "is" if now.before == 1 else "are"
        first = Sentence(f"{_capital(number)} {are} before it in queue {queue}.", _sooner(now))
    if not now.elsewhere:
        return [first]
    number = f"more than {MOST_COUNTED} jobs" if now.elsewhere > MOST_COUNTED else count_of(now.elsewhere, "job")
    return [first, Sentence(f"The same workers take {number} of other queues before it.", _sooner(now))]


def _sooner(now: Situation) -> str | None:
    priority: int = now.view["priority"]
    return f"--priority {min(1000, priority + 10)}" if priority < 1000 else None


def _workers(now: Situation) -> list[Sentence]:
    """What those who could take it are doing."""
    members = [one for one in now.members if one.pool in _names(now.takers) and one.state != "stopping"]
    knob = f"setting pools.{now.takers[0].name}.replicas"
    if not members:
        pools = listed([pool.name for pool in now.takers])
        return [Sentence(f"There are no workers that could take it (pool {pools}).", knob)]
    sentences = []
    busy = [now.workers[m.worker] for m in members if _is_busy(now, m)]
    idle = [m for m in members if m.worker in now.workers and not _is_busy(now, m)]
    unable = [m for m in idle if not now.workers[m.worker].attach.isolation]
    missing = [m for m in idle if now.view["type"] in now.workers[m.worker].attach.missing]
    free = len({m.worker for m in idle} - {m.worker for m in (*unable, *missing)})
    if busy and not free:
        jobs = listed([str(job) for job in sorted(w.job for w in busy if w.job is not None)])
        whose = "job" if len(busy) == 1 else "jobs"
        all_of = "all " if len(busy) == len(members) and len(busy) > 1 else ""
        are = "is" if len(busy) == 1 else "are"
        sentence = f"{all_of}{count_of(len(busy), 'worker')} that could take it {are} busy, with {whose} {jobs}."
        sentences.append(Sentence(_capital(sentence), knob))
    if free:
        verb = "worker is" if free == 1 else "workers are"
        sentences.append(Sentence(f"{free} {verb} free: it should start at once."))
    if unable:
        sentences.append(Sentence(_unable(now, unable), "workerctl doctor"))
    for member in members:
        if member.worker not in now.workers:
            sentences.append(_absent(member))
    return sentences


def _is_busy(now: Situation, member: Member) -> bool:
    worker = now.workers.get(member.worker)
    return worker is not None and worker.job is not None


def _unable(now: Situation, members: list[Member]) -> str:
    notes = now.workers[members[0].worker].attach.isolation_notes
    why = "; ".join(f"{level}: {note}" for level, note in notes.items())
    names = listed([member.worker for member in members])
    return f"{names} can run nothing: the least isolation that their pool allows cannot be had here ({why})."


def _absent(member: Member) -> Sentence:
    note = f": {member.note}" if member.note else ""
    if member.state == "parked":
        return Sentence(
            f"Worker {member.worker} is parked after too many deaths{note}.", f"workerctl restart {member.pool}"
        )
    if member.state == "backoff":
        return Sentence(f"Worker {member.worker} died and is started again in a moment{note}.")
    return Sentence(f"Worker {member.worker} is starting{note}.")


def _names(pools: tuple[Pool, ...]) -> set[str]:
    return {pool.name for pool in pools}


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
