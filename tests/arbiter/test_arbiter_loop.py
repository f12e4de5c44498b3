"""The loop itself: order of timers, and descriptors that change hands within one turn."""

from __future__ import annotations

import os

import pytest

from supervisor.arbiter.loop import Loop


def test_timers_fire_in_order_and_cancelled_ones_never() -> None:
    loop, fired = Loop(), []
    loop.later(0.03, lambda: loop.stop(7))
    loop.later(0.02, lambda: fired.append("second"))
    loop.later(0.01, lambda: fired.append("first"))
    cancelled = loop.later(0.0, lambda: fired.append("never"))
    cancelled.cancel()
    assert loop.run() == 7
    assert fired == ["first", "second"]
    cancelled.cancel()
    loop.close()


def test_a_timer_of_a_timer_waits_for_the_next_turn() -> None:
    loop, fired = Loop(), []

    def again() -> None:
        fired.append(1)
        loop.later(0.0, again if len(fired) < 3 else lambda: loop.stop(0))

    loop.later(0.0, again)
    assert loop.run() == 0
    assert len(fired) == 3
    loop.close()


def test_a_descriptor_that_an_earlier_callback_closed_is_not_called_even_if_its_number_is_used_again() -> None:
    loop, called = Loop(), []
    pipes = [os.pipe() for _ in range(2)]

    def first_of(mine: int, other: int) -> None:
        called.append("once")
        loop.unwatch(other)
        os.close(other)
        reader, writer = os.pipe()
        loop.watch(min(reader, writer), lambda: called.append("wrong"))
        loop.unwatch(mine)
        loop.later(0.0, lambda: loop.stop(0))

    (reader_a, writer_a), (reader_b, writer_b) = pipes
    loop.watch(reader_a, lambda: first_of(reader_a, reader_b))
    loop.watch(reader_b, lambda: first_of(reader_b, reader_a))
    os.write(writer_a, b"x")
    os.write(writer_b, b"x")
    assert loop.run() == 0
    assert called == ["once"]
    loop.close()


def test_the_first_stop_decides() -> None:
    loop = Loop()
    loop.later(0.0, lambda: (loop.stop(3), loop.stop(4)))
    assert loop.run() == 3
    loop.close()


def test_an_exception_of_a_callback_ends_the_loop() -> None:
    loop = Loop()
    loop.later(0.0, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        loop.run()
    loop.close()
