"""Fixtures of the command's tests: a fake broker, a client of it, and the command in this process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_broker import ROOT, FakeBroker, job_json
from story import Story

from ctl import Client
from ctl.main import main


@pytest.fixture
def socket_path() -> Iterator[str]:
    """A path short enough to be bound."""
    with tempfile.TemporaryDirectory(prefix="ctl-", dir="/tmp") as folder:
        yield f"{folder}/control.sock"


@pytest.fixture
def broker(socket_path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    """A broker at WORKER_SOCKET; the test fails if it got a request that the daemon would not understand."""
    monkeypatch.setenv("WORKER_SOCKET", socket_path)
    broker = FakeBroker(socket_path)
    yield broker
    broker.stop()
    assert broker.drift == []


@pytest.fixture
def client(broker: FakeBroker) -> Iterator[Client]:
    """A client that loses its patience soon."""
    with Client(answer_s=3.0, patience_s=2.0) as client:
        yield client


@pytest.fixture
def accepts(broker: FakeBroker) -> FakeBroker:
    """The broker takes every script as job 42, and tells its story."""
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    broker.on("follow", Story())
    broker.answers("show", job_json())
    return broker


class Result:
    """What a run of the command gave."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def talk(self) -> str:
        return self.err.decode()


@pytest.fixture
def ctl(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Result]:
    """Runs the command in this process."""

    def run(*words: str) -> Result:
        capfdbinary.readouterr()
        code = main([str(word) for word in words])
        out, err = capfdbinary.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts the command as a process of its own."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*words: str, **options: object) -> subprocess.Popen[bytes]:
        settings: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT}
        process = subprocess.Popen([sys.executable, "-m", "ctl", *words], **(settings | options))
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A small script in a folder of its own."""
    path = tmp_path / "file.js"
    path.write_text("console.log('hello')\n")
    os.chmod(path, 0o644)
    return path
