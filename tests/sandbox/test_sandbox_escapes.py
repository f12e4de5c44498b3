"""Every escape attempt of the table, at every level, with and without network: refused where it says so, and possible
where it says so, because a table that claims too little is wrong as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from escapes import ATTEMPTS, Attempt, Row, columns_of, escape_table, printed
from sandbox_arena import Arena, promised
from sandbox_bench import HERE, ROOT

COLUMNS = columns_of(HERE, root=ROOT)


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with Arena() as arena:
        assert arena.columns == COLUMNS
        yield arena


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
def test_an_attempt_ends_as_the_table_says(arena: Arena, attempt: Attempt, column: str) -> None:
    row = arena.measure(attempt, column)
    if promised(attempt, column):
        assert row.possible == attempt.expected(column), row


def test_the_table_can_be_printed() -> None:
    rows = escape_table(lambda attempt, column: Row(attempt, column, column == "b", ""), ["a", "b"])
    lines = list(printed(rows))
    assert lines[0] == "| attempt | a | b |"
    assert len(lines) == len(ATTEMPTS) + 2
    assert all(line.count("|") == 4 for line in lines)
