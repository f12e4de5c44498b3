"""A Redis on loopback for the peers: started here, stopped here, gone with its folder."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Literal

from benchmarks.place import clean_environment
from tests.harness import wait_until

Durability = Literal["none", "everysec", "always"]
"""`always` is what our synchronous=FULL is: every write is on the disk before it is answered."""


def available() -> str | None:
    """The server's path; None where it is not installed."""
    return shutil.which("redis-server", path="/usr/local/bin:/usr/bin:/bin")


@contextlib.contextmanager
def redis(place: pathlib.Path, durability: Durability) -> Iterator[int]:
    """A server; yields its port."""
    with served(place, durability) as (port, _):
        yield port


@contextlib.contextmanager
def served(place: pathlib.Path, durability: Durability) -> Iterator[tuple[int, int]]:
    """The same; yields its port and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place.mkdir(parents=True)
    command = [
        available() or "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(place),
        "--appendonly", "no" if durability == "none" else "yes", "--loglevel", "warning",
        *(["--appendfsync", durability] if durability != "none" else []),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
    try:
        wait_until(lambda: _answers(port), 10, "redis")
        yield port, server.pid
    finally:
        server.terminate()
        server.wait(10)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as talk:
            talk.sendall(b"PING\r\n")
            return talk.recv(16).startswith(b"+PONG")
    except OSError:
        return False
