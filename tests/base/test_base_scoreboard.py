"""Shared memory: what a child writes is there for its parent, also after SIGKILL."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from supervisor.scoreboard import LAYOUT, MAX_WORDS_BYTES, Scoreboard


def test_what_a_killed_child_wrote_is_read_by_its_parent() -> None:
    board = Scoreboard(3)
    slot = board.slot(1)
    pid = os.fork()
    if pid == 0:
        slot.beat()
        slot.started = 2**63 + 7
        slot.say("the disk is on fire 🔥")
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    again = board.slot(1)
    assert 0 < again.beat_ns <= time.monotonic_ns()
    assert again.started == 2**63 + 7
    assert again.last_words == "the disk is on fire 🔥"


def test_neighbours_are_untouched_and_a_reset_empties_one_slot_only() -> None:
    board = Scoreboard(3)
    for index in range(3):
        board.slot(index).started = index + 1
        board.slot(index).say("x" * 5000)
    board.slot(1).reset()
    assert [board.slot(index).started for index in range(3)] == [1, 0, 3]
    assert [len(board.slot(index).last_words) for index in range(3)] == [MAX_WORDS_BYTES, 0, MAX_WORDS_BYTES]
    assert board.slot(1).beat_ns == 0


def test_what_a_job_uses_is_of_the_lease_that_was_started_last() -> None:
    slot = Scoreboard(1).slot(0)
    assert slot.used == (0.0, 0)
    slot.start(7)
    slot.use(1.25, 3 << 40)
    assert (slot.started, slot.used) == (7, (1.25, 3 << 40))
    slot.start(8)
    assert (slot.started, slot.used) == (8, (0.0, 0))
    slot.use(1.0, 1)
    slot.reset()
    assert (slot.started, slot.used) == (0, (0.0, 0))


def test_last_words_are_cut_between_letters_and_survive_lone_surrogates() -> None:
    slot = Scoreboard(1).slot(0)
    slot.say("a" + "ä" * 600)
    assert slot.last_words == "a" + "ä" * ((MAX_WORDS_BYTES - 1) // 2)
    slot.say("\ud800!")
    assert slot.last_words == "?!"
    slot.say("")
    assert slot.last_words == ""


def test_a_slot_that_is_not_there_is_an_error() -> None:
    board = Scoreboard(2)
    assert len(board) == 2
    for index in (-1, 2):
        with pytest.raises(IndexError):
            board.slot(index)


def test_a_scoreboard_is_handed_on_by_its_descriptor() -> None:
    board = Scoreboard(3)
    board.slot(2).say("before")
    heir = Scoreboard.inherit(os.dup(board.fd))
    assert len(heir) == 3
    assert heir.slot(2).last_words == "before"
    heir.slot(0).started = 9
    assert board.slot(0).started == 9
    assert not os.get_inheritable(board.fd)


def test_nobody_can_change_its_size() -> None:
    board = Scoreboard(3)
    for size in (0, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(board.fd, size)


def test_another_layout_and_anything_else_are_refused() -> None:
    anything = os.memfd_create("anything")
    for content, complaint in [
        (b"", "no scoreboard"),
        (b"x" * 4096, "no scoreboard"),
        (b"WKCTSCOR" + (LAYOUT + 1).to_bytes(8, sys.byteorder) + bytes(4080), f"layout {LAYOUT + 1}"),
        (os.pread(Scoreboard(3).fd, 1024, 0), "another size"),
    ]:
        os.ftruncate(anything, 0)
        os.pwrite(anything, content, 0)
        with pytest.raises(ValueError, match=complaint):
            Scoreboard.inherit(anything)
    os.close(anything)
