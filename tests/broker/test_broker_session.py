"""A worker's connection is read to its end, whatever becomes of what is written to it; a broker that closes lets nobody in."""

from __future__ import annotations

import asyncio
import pathlib
import socket
from types import SimpleNamespace
from typing import Any, cast

from supervisor.broker.server import Server
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


class Closing(Server):
    """Serves nobody once it is closed: what it would look into is closed, too."""

    def close(self) -> None:
        super().close()
        self.is_closed = True

    async def dispatch(self, session: Session, request: Any) -> None:
        assert not hasattr(self, "is_closed")
        session.answer(request.id, {})


def test_who_is_just_coming_in_when_the_broker_closes_is_sent_to_the_next_one(tmp_path: pathlib.Path) -> None:
    replies = [asyncio.run(_close_after(turns, tmp_path / str(turns))) for turns in range(10)]
    assert not [reply for reply in replies if b"internal" in reply], replies
    assert replies[0] == b"" and b"ok" in replies[-1], "closed before, and served before"


async def _close_after(turns: int, path: pathlib.Path) -> bytes:
    """What a client hears whose connection and request lay there so many turns of the loop before the end."""
    server = Closing(cast(Any, SimpleNamespace(settings=SimpleNamespace(socket_group=None))))
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(path))
        listener.listen()
        client.connect(str(path))
        client.sendall(b'{"op":"status","id":1}\n')
        server.serve(listener)
        for _ in range(turns):
            await asyncio.sleep(0)
        server.close()
        for _ in range(20):
            await asyncio.sleep(0)
        listener.close()  # what was not taken in is turned away by this; a real one stays
        client.setblocking(False)
        try:
            return await asyncio.get_running_loop().sock_recv(client, 4096)
        except ConnectionResetError:
            return b""
