"""Fixtures of the end-to-end tests: one daemon a module where tests do not disturb each other, else one a test."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest

from tests.harness import Daemon, running_daemon


@pytest.fixture
def make_daemon(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons that this test may kill; each on a folder of its own unless told which."""
    made: list[Daemon] = []

    def make(name: str = "d", settings: str = "", workers: int = 2, env: dict[str, str] | None = None) -> Daemon:
        daemon = Daemon(tmp_path / name, settings, workers, env)
        made.append(daemon)
        return daemon

    yield make
    left = {}
    for daemon in made:
        if daemon.process is not None and not daemon.ended():
            daemon.stop()
    for daemon in made:
        left |= daemon.survivors()
        daemon.clean()
    failed = getattr(request.node, "failed_call", False)
    if failed or left:
        for daemon in made:
            print(f"---- the log of {daemon.folder}\n{daemon.words()}")
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon with the built-in settings, shared by a module's tests."""
    with running_daemon(tmp_path_factory.mktemp("e2e") / "d") as running:
        yield running
