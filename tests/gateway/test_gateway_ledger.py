"""How far the webhooks are: at least once, whatever is written when, and never before its time."""

from __future__ import annotations

import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from supervisor.gateway.ledger import Ledger


def taken_up(path: pathlib.Path) -> Ledger:
    ledger = Ledger(str(path))
    assert ledger.load()
    return ledger


def test_what_is_open_is_told_again_and_what_is_done_is_not(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "webhooks"
    ledger = Ledger(str(path))
    assert not ledger.load()
    ledger.begin(10)
    for event in (11, 12, 13):
        ledger.opened((event, "u"))
        ledger.read = event
    ledger.closed((12, "u"))
    ledger.write()
    again = taken_up(path)
    assert again.read == 10
    assert again.is_done((12, "u"))
    assert not again.is_done((11, "u"))
    assert not again.is_done((12, "other"))


def test_a_ledger_that_cannot_be_read_begins_anew(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "webhooks"
    path.write_bytes(b"\0")
    assert not Ledger(str(path)).load()


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "write"]), st.integers(0, 5), st.sampled_from("uv"))))
def test_at_least_once(steps: list[tuple[str, int, str]]) -> None:
    """Whenever it is killed, the next one finds everything that was not closed by the last write."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "webhooks"
        ledger = Ledger(str(path))
        ledger.begin(0)
        ledger.write()
        closed_at_write: set[tuple[int, str]] = set()
        opened: list[tuple[int, str]] = []
        closed: set[tuple[int, str]] = set()
        for what, number, url in steps:
            if what == "open":
                one = (ledger.read + 1, url)
                ledger.opened(one)
                opened.append(one)
                ledger.read += 1
            elif what == "close" and opened:
                one = opened[number % len(opened)]
                if one not in closed:
                    ledger.closed(one)
                    closed.add(one)
            elif what == "write":
                ledger.write()
                closed_at_write = set(closed)
        again = taken_up(path)
        for one in opened:
            told_again = one[0] > again.read and not again.is_done(one)
            assert told_again == (one not in closed_at_write)
