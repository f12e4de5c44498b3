"""Why a job is where it is: not running yet, running, or ended; in words, with what would change it. Pure.

Values in, sentences out: whoever asks gathers the `Situation`, and nothing here reads a clock or a table. What is
said first is what matters most.
"""

from __future__ import annotations

from typing import Any

from supervisor.broker import cause, others, waiting
from supervisor.broker.sentence import US, Sentence, count_of, raise_limit, stop
from supervisor.broker.situation import InHand, Situation, Worker
from supervisor.core.names import FINAL_STATES, RUNNING, SCHEDULED
from supervisor.core.units import format_duration


def explain(now: Situation) -> list[Sentence]:
    """The sentences for a job, whatever its state."""
    state = now.view["state"]
    if state in FINAL_STATES:
        return cause.ended(now.view, now.standing, now.pool)
    if state == RUNNING:
        return [*_running(now), *_past(now), *others.key_held(now)]
    if state == SCHEDULED:
        return [*waiting.scheduled(now), *_past(now), *others.key_held(now)]
    return [*waiting.queued(now), *_past(now), *others.key_held(now)]


# Running


def _running(now: Situation) -> list[Sentence]:
    view = now.view
    if now.in_hand is not None:
        return _in_hand(now, now.in_hand)
    attempt = view["attempts"][-1]
    worker = now.workers.get(attempt["worker"])
    since_s = _since_s(now)
    level = _level(now, worker)
    sentences = [
        Sentence(
            f"It has been running for {format_duration(since_s)}, since {view['started_at']}: attempt "
            f"{attempt['number']} on {attempt['worker']}{f', isolation {level}' if level else ''}."
        )
    ]
    if view["cancel_requested"]:
        standing = now.standing
        who = f" by uid {standing.cancelled_by}" if standing.cancelled_by is not None else ""
        why = f": {standing.cancel_reason}" if standing.cancel_reason else ""
        sentences.append(Sentence(f"It is being ended: its cancel was asked for{who}{why}."))
    elif now.closing:
        sentences.append(
            Sentence("The daemon is shutting down: it may finish in time, else it is ended and queued again.")
        )
    if worker is None:
        sentences.append(Sentence("Its worker is not connected at this moment; that does not disturb the job."))
    sentences.append(_time_left(now, since_s))
    if view["progress"]:
        sentences.append(Sentence(f"It says of itself: {_progress(view['progress'])}."))
    return sentences


def _in_hand(now: Situation, hand: InHand) -> list[Sentence]:
    pool = hand.worker.partition("/")[0]
    at_work = f", job {hand.runs} at this moment" if hand.runs != now.view["id"] else ""
    return [
        Sentence(
            f"It has not begun: worker {hand.worker} has taken it with others, and does {count_of(hand.before, 'job')} "
            f"before it{at_work}; after a second in its hand it goes back to the queue.",
            f"setting pools.{pool}.lease_batch",
        )
    ]


def _level(now: Situation, worker: Worker | None) -> str:
    asked = now.standing.isolation
    return asked if asked != "auto" else worker.attach.isolation if worker is not None else ""


def _time_left(now: Situation, since_s: float) -> Sentence:
    limits = now.view["limits"]
    limit = limits.get("wall_s")
    if limit is None:
        return Sentence("It has no time limit.", "--timeout 10m")
    if since_s >= limit:
        says = f"Its {format_duration(limit)} are over: it is being ended."
    else:
        used, left = format_duration(since_s), format_duration(limit - since_s)
        says = f"It has used {used} of its {format_duration(limit)} ({since_s / limit:.0%}); {left} are left."
    return Sentence(says, raise_limit("wall_s", limits, now.pool))


def _since_s(now: Situation) -> float:
    started = now.standing.started_us
    return max(0.0, (now.now_us - started) / US) if started is not None else 0.0


def _progress(progress: dict[str, Any]) -> str:
    percentage = progress.get("percentage")
    parts = [f"{percentage:g} %" if percentage is not None else None, progress.get("stage"), progress.get("message")]
    return ", ".join(str(part) for part in parts if part)


# What is behind it


def _past(now: Situation) -> list[Sentence]:
    """Attempts that ended, of a job that goes on."""
    view, standing = now.view, now.standing
    last = cause.last_ended(view)
    sentences = cause.losses(view, standing)
    if last is None:
        return sentences
    if view["state"] != SCHEDULED:
        sentences.insert(0, Sentence(f"Attempt {last['number']} ended with {last['reason']}: {stop(last['message'])}"))
    left = view["retries"] - standing.failures
    if standing.failures:
        tries = f"{count_of(standing.failures, 'attempt')} failed, {count_of(view['retries'], 'retry', 'retries')}"
        word = "are" if view["retries"] != 1 else "is"
        sentences.append(
            Sentence(f"{tries} {word} allowed: {_after_this(left)}.", f"--retries {max(3, 2 * view['retries'])}")
        )
    return sentences


def _after_this(left: int) -> str:
    return f"after the next one {left} more" if left > 0 else "the next one is the last"
