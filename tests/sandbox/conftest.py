"""Each test runs once a level that this machine has. No process and no file is left behind, which every fixture checks at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_bench import HERE, Bench

from supervisor.sandbox import syscalls


@pytest.fixture(params=HERE)
def level(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(level: str) -> Iterator[Bench]:
    bench = Bench(level)
    yield bench
    bench.close()


@pytest.fixture
def private_bench() -> Iterator[Bench]:
    """A level where jobs live in a world of their own."""
    if "namespace" not in HERE:
        pytest.skip("this machine has no such level")
    bench = Bench("namespace")
    assert bench.private
    yield bench
    bench.close()


@pytest.fixture
def subreaper() -> Iterator[None]:
    """This process adopts orphans, as a worker does."""
    syscalls.become_subreaper()
    yield
    syscalls._prctl(syscalls._PR_SET_CHILD_SUBREAPER, 0)
