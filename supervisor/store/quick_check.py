"""Looking for damage in a database, for a bounded time. Reads only, and never says why damage is there."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

CHECK_STEPS: Final = 40_000_000
"""How far a check goes, in steps of SQLite's machine: some 0.3 s, or 300,000 jobs: a start may not take longer."""
_STEPS_BETWEEN: Final = 100_000
_FINDINGS: Final = 3


class Damage(NamedTuple):
    """What a check found. `whole`: it came to the end; otherwise it ran out of its budget and found nothing so far."""

    findings: tuple[str, ...]
    whole: bool


def look_for_damage(conn: sqlite3.Connection) -> Damage:
    """The first findings of SQLite's own check. Raises sqlite3.Error, for some kinds of damage too."""
    steps_left = CHECK_STEPS

    def out_of_budget() -> bool:
        nonlocal steps_left
        steps_left -= _STEPS_BETWEEN
        return steps_left <= 0

    conn.set_progress_handler(out_of_budget, _STEPS_BETWEEN)
    try:
        rows = [str(row[0]) for row in conn.execute(f"PRAGMA quick_check({_FINDINGS})").fetchall()]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return Damage((), whole=False)
    finally:
        conn.set_progress_handler(None, 0)
    return Damage(tuple(row for row in rows if row != "ok"), whole=True)
