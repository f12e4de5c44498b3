"""A broker that owns nothing: it answers `Ready`, notes what it is told, acks unless told not to, and closes.

It says of each new worker that it is attached, unless it is `mute`; a client's `say {…}` goes to the arbiter as it is.

How it behaves is read from files of the test's folder, so that one can change its mind between incarnations.
"""

from __future__ import annotations

import os
import select
import signal
import time

from supervisor.child import BrokerContext
from supervisor.core.errors import SchemaError, StorageError
from supervisor.wire.codec import decode_from_arbiter, encode
from supervisor.wire.frame import MAX_ANSWER, LineBuffer
from supervisor.wire.tree import Acked, Attached, Close, Exited, Fleet, Ping, Pong, Ready, StopRequest, Upgrade, Vitals

attached: set[str] = set()
FOLDER = os.environ.get("DUMMY_FOLDER", "")


def told(what: str) -> bool:
    return os.path.exists(f"{FOLDER}/broker.{what}")


def run(context: BrokerContext) -> int:
    with open(f"{FOLDER}/broker.starts", "a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    if told("schema"):
        raise SchemaError("the database is from the future")
    if told("storage"):
        raise StorageError("the disk is on fire")
    if told("never-ready"):
        os.kill(os.getpid(), signal.SIGKILL)
    note_fds("broker")
    context.channel.setblocking(True)
    context.channel.sendall(encode(Ready()))
    if told("nonsense"):
        os.unlink(f"{FOLDER}/broker.nonsense")
        context.channel.sendall(b"{]\n")
    if context.wants_vitals:
        context.channel.sendall(encode(Vitals(running=1, queued=2, scheduled=3)))
    lines = LineBuffer(MAX_ANSWER)
    context.scoreboard.beat()
    while True:
        if told("hangs-up"):
            os.unlink(f"{FOLDER}/broker.hangs-up")
            context.channel.close()
            time.sleep(2)
            return 1
        if told("hangs"):
            os.unlink(f"{FOLDER}/broker.hangs")
            time.sleep(1000)
        readable, _, _ = select.select([context.channel, context.listener], [], [], 0.05)
        context.scoreboard.beat()
        if context.listener in readable:
            answer(context)
        if context.channel in readable:
            if told("deaf"):
                time.sleep(0.05)
                continue
            data = context.channel.recv(65536)
            if not data:
                return 1
            for line in lines.feed(data):
                if hear(context, line) == 0:
                    return 0


def answer(context: BrokerContext) -> None:
    client, _ = context.listener.accept()
    client.setblocking(True)
    with client:
        text = client.recv(4000)
        words = text.decode().split()
        if words[:1] == ["say"]:
            context.channel.sendall(text.removeprefix(b"say "))
        if words == ["stop"]:
            context.channel.sendall(encode(StopRequest()))
        if words[:1] == ["upgrade"]:
            request = int(words[1])
            context.channel.sendall(encode(Upgrade(request=request, python=words[2] if len(words) > 2 else None)))
        client.sendall(f"{os.getpid()}\n".encode())


def hear(context: BrokerContext, line: bytes) -> int | None:
    with open(f"{FOLDER}/broker.heard", "ab") as file:
        file.write(f"{os.getpid()} ".encode() + line + b"\n")
    match decode_from_arbiter(line):
        case Exited(incarnation=incarnation) if not told("never-acks"):
            context.channel.sendall(encode(Acked(incarnation=incarnation)))
        case Close():
            return 0
        case Ping() if not told("deadlocked"):
            context.channel.sendall(encode(Pong()))
        case Fleet(members=members) if not told("mute"):
            for member in members:
                if member.incarnation is not None and member.incarnation not in attached:
                    attached.add(member.incarnation)
                    context.channel.sendall(encode(Attached(incarnation=member.incarnation)))
    return None


def note_fds(name: str) -> None:
    listing = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if is_open(int(fd))}
    with open(f"{FOLDER}/{name}.fds", "w", encoding="utf-8") as file:
        file.write("".join(f"{fd} {target}\n" for fd, target in listing.items()))


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
