"""A worker's connection is read to its end, whatever becomes of what is written to it."""

from __future__ import annotations

import asyncio
import pathlib
import socket
from typing import Any

from supervisor.broker.service import Caller
from supervisor.broker.session import Session
from supervisor.wire.lease import Attach


class House:
    """Owns one worker's session. At each request the worker does its `next_step` before the answer is written."""

    def __init__(self, steps: list[Any]) -> None:
        self.steps = steps
        self.asked: list[int] = []
        self.gone = asyncio.Event()

    def joined(self, session: Session) -> None:
        session.attach = Attach(
            id=0, incarnation="i", worker="w/1", pool="w", holding=(), isolation="plain", isolation_notes={},
            isolation_remedies={}, enforced={}, interpreters={}, missing={}, types=(), version="0",
        )  # fmt: skip

    def left(self, session: Session) -> None:
        self.gone.set()

    def caller(self, uid: int, gid: int, pid: int, connection: int) -> Caller:
        return Caller(uid=uid, gid=gid, pid=pid, connection=connection, is_admin=True)

    def is_stream(self, request: Any) -> bool:
        return False

    def carry_out(self, session: Session, request: Any) -> bool:
        self.asked.append(request.id)
        if self.steps:
            self.steps.pop(0)()
        session.answer(request.id, {})
        return True

    async def dispatch(self, session: Session, request: Any) -> None:
        raise AssertionError("everything is carried out at once")


def test_a_dead_workers_last_words_are_heard_though_the_answer_to_earlier_ones_finds_nobody(
    tmp_path: pathlib.Path,
) -> None:
    asyncio.run(_die_while_answered(tmp_path / "s"))


async def _die_while_answered(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as worker:

        def say_more_and_die() -> None:
            worker.sendall(b'{"op":"release","id":2,"lease":2}\n{"op":"release","id":3,"lease":3}\n')
            worker.close()

        house = House([say_more_and_die])
        server = await asyncio.get_running_loop().create_unix_server(lambda: Session(1, house), str(path))
        async with server:
            worker.connect(str(path))
            worker.sendall(b'{"op":"release","id":1,"lease":1}\n')
            await asyncio.wait_for(house.gone.wait(), 20)
    assert house.asked == [1, 2, 3]
