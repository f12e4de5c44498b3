"""Group commit: one thread that owns the writing connection, and one transaction for all that has arrived.

A call's answer is given only after the COMMIT that holds it. Calls run in the order in which they were asked for.
When a commit fails, nobody is told "failed": the outcome is unknown, and the process ends so that a new one looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from loguru import logger

from supervisor.broker.reserve import Reserve
from supervisor.core.errors import RequestError, StorageError
from supervisor.store import Event, Tx, Writer, checkpoint, run_batch, storage_full

T = TypeVar("T")
MAX_BATCH: Final = 512
IDLE_CHECKPOINT_S: Final = 1.0
STEP_BACK_US: Final = 1_000_000
"""A step back of the clock by more is worth a look; NTP makes smaller ones."""


class _Call(NamedTuple):
    """`essential` calls record what has already happened: on a full disk they alone are tried again.

    `tell` gets the result, or the exception, in the loop.
    """

    function: Callable[[Tx], Any]
    tell: Callable[[Any], None]
    essential: bool


def wall_us() -> int:
    """The wall clock, in microseconds."""
    return time.time_ns() // 1000


class Committer:
    """Runs calls on the writing connection. `on_events` gets each batch's events, in the loop, before the answers.

    `on_step_back` hears, in the loop, of a wall clock that was put back; `on_told` that a batch's answers were given.
    `connect` opens the connection in the one thread that will ever use it; `reserve` is what a full disk may take.
    """

    def __init__(
        self,
        connect: Callable[[], Writer],
        reserve: Reserve,
        on_events: Callable[[Sequence[Event]], None],
        on_failure: Callable[[StorageError], None],
        on_step_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.disk_is_full = False
        self.on_told: Callable[[], None] = lambda: None
        self._connect = connect
        self._reserve = reserve
        self._connection: Writer
        self._on_events = on_events
        self._on_failure = on_failure
        self._on_step_back = on_step_back
        self._newest_us = 0
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def connected(self) -> None:
        """Returns when the database is open; raises what keeps it from being opened."""
        await self._connected

    def run(self, call: Callable[[Tx], T], *, essential: bool = False) -> asyncio.Future[T]:
        """Puts `call` into the next transaction; the future has its result once that is durable.

        `essential`: it records what has already happened, and may use the reserve when the disk is full.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put(_Call(call, partial(_resolve, future), essential))
        return future

    def do(self, call: Callable[[Tx], T], tell: Callable[[T | Exception], None], *, essential: bool = False) -> None:
        """The same without a future: `tell` is called in the very turn of the loop that learns of the commit."""
        self._calls.put(_Call(call, tell, essential))

    async def close(self) -> None:
        """Finishes what was asked for, folds the log into the database and closes the connection."""
        self._calls.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        try:
            self._reserve.make()
            self._connection = self._connect()
        except Exception as error:
            self._loop.call_soon_threadsafe(self._connected.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._connected.set_result, None)
        try:
            self._serve()
        except StorageError as error:
            self._loop.call_soon_threadsafe(self._on_failure, error)
        except Exception as error:
            # Whatever it is: a broker without its writer would take requests and never answer them.
            failure = StorageError(f"the writer failed: {type(error).__name__}: {error}")
            self._loop.call_soon_threadsafe(self._on_failure, failure)

    def _serve(self) -> None:
        dirty = False
        while True:
            batch, last = self._next_batch(wait_s=IDLE_CHECKPOINT_S if dirty else None)
            if batch:
                self._commit(batch)
                dirty = True
                checkpoint(self._connection, idle=False)
            elif dirty:
                checkpoint(self._connection, idle=True)
                self._reserve.make()
                dirty = False
            if last:
                self._connection.close()
                return

    def _next_batch(self, wait_s: float | None) -> tuple[list[_Call], bool]:
        batch: list[_Call] = []
        try:
            call = self._calls.get(timeout=wait_s)
            while True:
                if call is None:
                    return batch, True
                batch.append(call)
                if len(batch) >= MAX_BATCH:
                    return batch, False
                call = self._calls.get_nowait()
        except queue.Empty:
            return batch, False

    def _commit(self, batch: Sequence[_Call]) -> None:
        try:
            results, events = self._run(batch)
        except StorageError as error:
            unknown = RequestError("outcome_unknown", f"the commit failed, it may or may not have happened: {error}")
            self._tell(batch, [unknown] * len(batch), [])
            raise
        self._tell(batch, results, events)

    def _run(self, batch: Sequence[_Call]) -> tuple[list[Any], list[Event]]:
        if self._reserve.make():
            results, events = run_batch(self._connection, self._now_us(), [call.function for call in batch])
            self.disk_is_full = any(map(_is_full, results))
            if not self.disk_is_full:
                return results, events
            self._reserve.give_up()
        return self._run_essential(batch)

    def _now_us(self) -> int:
        now_us = wall_us()
        if now_us < self._newest_us - STEP_BACK_US:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody minds any more
                self._loop.call_soon_threadsafe(self._on_step_back)
            self._newest_us = now_us
        self._newest_us = max(self._newest_us, now_us)
        return now_us

    def _run_essential(self, batch: Sequence[_Call]) -> tuple[list[Any], list[Event]]:
        """On a full disk. What is left of the reserve is not for those who ask for more work."""
        self.disk_is_full = True
        results: list[Any] = [storage_full() for _ in batch]
        places = [place for place, call in enumerate(batch) if call.essential]
        if not places:
            return results, []
        told, events = run_batch(self._connection, self._now_us(), [batch[place].function for place in places])
        for place, result in zip(places, told, strict=True):
            results[place] = result
        return results, events

    def _tell(self, batch: Sequence[_Call], results: Sequence[Any], events: Sequence[Event]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._answer, batch, results, events)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _answer(self, batch: Sequence[_Call], results: Sequence[Any], events: Sequence[Event]) -> None:
        if events:
            self._on_events(events)
        for call, result in zip(batch, results, strict=True):
            try:
                call.tell(result)
            except Exception:
                logger.exception("a defect after a commit")
        self.on_told()


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if future.cancelled():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _is_full(result: object) -> bool:
    return isinstance(result, RequestError) and result.code == "storage_full"
