"""The last hour by minutes: what is concluded from events is what was counted at the time."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import pytest

from supervisor import store
from supervisor.core.names import QUEUED
from supervisor.store import lately
from tests.store.making import EXIT_1, OK, claim, do, settle, submit

MINUTE = lately.MINUTE_US
START = 1_000 * MINUTE


class Life:
    """Moves jobs at random, a few each minute, and writes down what there was at the end of each."""

    def __init__(self, conn: store.Writer, dice: random.Random) -> None:
        self.conn, self.dice = conn, dice
        self.now_us = START
        self.number = 0
        self.leases: list[Any] = []
        self.ended: list[int] = []
        self.seen: list[tuple[int, int]] = []

    def minute(self) -> None:
        for _ in range(self.dice.randrange(6)):
            self.now_us += MINUTE // 8
            self.dice.choice((self.submit, self.submit, self.claim, self.claim, self.settle, self.cancel, self.other))()
        self.seen.append((self.now_us // MINUTE * MINUTE, store.counts(self.conn)[QUEUED]))
        self.now_us = (self.now_us // MINUTE + 1) * MINUTE

    def submit(self) -> None:
        self.number += 1
        later = self.dice.random() < 0.3
        due_us = self.now_us + self.dice.randrange(5) * MINUTE if later else None
        submit(self.conn, self.number, now_us=self.now_us, retries=self.dice.randrange(2), due_us=due_us)

    def claim(self) -> None:
        if (lease := claim(self.conn, self.now_us)) is not None:
            self.leases.append(lease)

    def settle(self) -> None:
        if self.leases:
            lease = self.leases.pop(self.dice.randrange(len(self.leases)))
            settle(self.conn, lease.lease, self.dice.choice((OK, EXIT_1)), now_us=self.now_us)

    def cancel(self) -> None:
        waiting = store.list_views(
            self.conn, states=["queued", "scheduled"], queue=None, job_type=None, name=None, before=None, limit=50
        )
        if waiting:
            job = self.dice.choice(waiting)["id"]
            do(self.conn, self.now_us, lambda tx: store.cancel(tx, job, by_uid=0, reason=None))
            self.ended.append(job)

    def other(self) -> None:
        do(self.conn, self.now_us, store.promote_due)
        if self.ended:
            job = self.ended.pop()
            do(self.conn, self.now_us, lambda tx: store.retry(tx, job, by_uid=0))
        elif self.leases:
            lease = self.leases.pop().lease
            do(self.conn, self.now_us, lambda tx: store.release(tx, lease=lease, incarnation="w1"))


@pytest.mark.parametrize("seed", range(5))
def test_what_waited_at_the_end_of_each_minute(conn: store.Writer, reader: sqlite3.Connection, seed: int) -> None:
    life = Life(conn, random.Random(seed))
    for _ in range(70):
        life.minute()
    minutes = store.minutes_until(reader, life.now_us - MINUTE, store.counts(reader)[QUEUED])
    assert [(minute.began_us, minute.queued) for minute in minutes] == life.seen[-60:]


def test_what_ended_in_which_minute(conn: store.Writer, reader: sqlite3.Connection) -> None:
    for number, outcome in enumerate((OK, OK, EXIT_1)):
        at_us = START + number * MINUTE // 2
        submit(conn, number, now_us=at_us)
        lease = claim(conn, at_us)
        assert lease is not None
        settle(conn, lease.lease, outcome, now_us=at_us)
    minutes = store.minutes_until(reader, START + MINUTE, 0)
    assert len(minutes) == 60
    assert minutes[-2:] == [(START, 0, 2, 0, 0), (START + MINUTE, 0, 0, 1, 0)]
    assert not any(minute[1:] != (0, 0, 0, 0) for minute in minutes[:-2])


def test_of_minutes_before_the_newest_events_nothing_is_claimed(conn: store.Writer, reader: sqlite3.Connection) -> None:
    for number in range(40):
        submit(conn, number, now_us=START + number * MINUTE // 4)
    minutes = store.minutes_until(reader, START + 10 * MINUTE, 40, most_events=10)
    assert [(minute.began_us - START) // MINUTE for minute in minutes] == [8, 9, 10]
    assert [minute.queued for minute in minutes] == [36, 40, 40]
