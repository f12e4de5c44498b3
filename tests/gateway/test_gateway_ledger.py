"""How far the webhooks are: at least once, whatever is written when."""

from __future__ import annotations

import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from supervisor.gateway.ledger import Ledger


def test_what_is_open_is_told_again_and_what_is_done_is_not(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "webhooks"
    ledger = Ledger(str(path))
    assert ledger.load() is None
    ledger.begin(10)
    for event in (11, 12, 13):
        ledger.open.add((event, "u"))
        ledger.read = event
    ledger.open.discard((12, "u"))
    ledger.write()
    again = Ledger(str(path))
    assert again.load() == [(11, "u"), (13, "u")]
    assert again.read == 13


def test_a_ledger_that_cannot_be_read_begins_anew(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "webhooks"
    path.write_bytes(b"\0")
    assert Ledger(str(path)).load() is None


def test_who_has_no_webhooks_keeps_no_place(tmp_path: pathlib.Path) -> None:
    ledger = Ledger(str(tmp_path / "webhooks"))
    ledger.forget()
    ledger.begin(3)
    ledger.write()
    ledger.forget()
    assert ledger.load() is None


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "write"]), st.integers(0, 5), st.sampled_from("uv"))))
def test_at_least_once(steps: list[tuple[str, int, str]]) -> None:
    """Whenever it is killed, the next one finds everything again that was not closed by the last write."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "webhooks"
        ledger = Ledger(str(path))
        ledger.begin(0)
        ledger.write()
        closed_at_write: set[tuple[int, str]] = set()
        opened: list[tuple[int, str]] = []
        for what, number, url in steps:
            if what == "open":
                opened.append((ledger.read + 1, url))
                ledger.open.add(opened[-1])
                ledger.read += 1
            elif what == "close" and opened:
                ledger.open.discard(opened[number % len(opened)])
            elif what == "write":
                ledger.write()
                closed_at_write = set(opened) - ledger.open
        again = Ledger(str(path))
        left = again.load()
        assert left is not None
        for one in opened:
            # Its event is read once more, or it is listed.
            told_again = one[0] > again.read or one in left
            assert told_again == (one not in closed_at_write)
