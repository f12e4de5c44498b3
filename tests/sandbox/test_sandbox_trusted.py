"""The operator's own code under a keeper: kept apart from nothing, held to limits for as long as somebody says so."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.sandbox import Ended, Holder, Launch, Prepared, SandboxError, Slot, SlotClass, Started

MIB = 1 << 20
WHO = (os.geteuid(), os.getegid(), tuple(os.getgroups()))
HOG = "hoard = bytearray(b'x') * (160 << 20)\nimport time\ntime.sleep(60)"
BURN = """
import time
while time.process_time() < 0.5: pass
open({told!r}, "w").close()
while True: pass
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    started = Holder.start("none", work_root=str(tmp_path), name="x", user=WHO)
    yield started
    assert started.close()


def start(holder: Holder, source: str, **limits: Any) -> Slot:
    slot = holder.prepare(SlotClass(work="disk"))
    until(slot, Prepared)
    with open(os.devnull, "r+b", buffering=0) as null:
        fd = null.fileno()
        slot.start(Launch([sys.executable, "-c", source], dict(os.environ), fd, fd, fd, **limits))
    until(slot, Started)
    return slot


def until(slot: Slot, kind: type, within_s: float = 20.0) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        select.select([slot], [], [], 0.1)
        for event in slot.receive():
            if isinstance(event, kind):
                return event
            assert not isinstance(event, Ended), event
    return None


def test_a_program_is_held_to_what_was_said_last(holder: Holder) -> None:
    slot = start(holder, HOG, memory_bytes=None)
    slot.hold_to(64 * MIB, None)
    ended = until(slot, Ended)
    assert ended.killed_for == "memory" and ended.peak_memory_bytes > 64 * MIB
    assert slot.close()


def test_a_program_that_rests_is_not_measured(holder: Holder) -> None:
    slot = start(holder, HOG, memory_bytes=64 * MIB)
    slot.rest()
    assert until(slot, Ended, 1.0) is None
    slot.hold_to(400 * MIB, None)
    assert until(slot, Ended, 0.5) is None
    slot.hold_to(64 * MIB, None)
    assert until(slot, Ended).killed_for == "memory"
    assert slot.close()


def test_cpu_time_counts_from_when_it_was_said(holder: Holder, tmp_path: Path) -> None:
    told = tmp_path / "told"
    slot = start(holder, BURN.format(told=str(told)))
    deadline = time.monotonic() + 60
    while not told.exists() and time.monotonic() < deadline:
        assert until(slot, Ended, 0.05) is None
    slot.hold_to(None, 0.5)
    ended = until(slot, Ended, 60.0)
    assert ended.killed_for == "cpu" and ended.cpu_s > 0.95, "what it burnt before is not held against it"
    assert slot.close()


def test_it_keeps_its_rights_and_sees_the_machine(holder: Holder, tmp_path: Path) -> None:
    told = tmp_path / "told"
    source = f"""
import os
free = 'NoNewPrivs:\\t0' in open('/proc/self/status').read()
open({str(told)!r}, 'w').write(f"{{os.getuid()}} {{os.getgid()}} {{free}} {{os.getppid()}}")
"""
    slot = start(holder, source)
    assert until(slot, Ended).status == 0
    assert told.read_text() == f"{WHO[0]} {WHO[1]} True {holder.pid}"
    assert slot.close()
    assert holder.enforced["files"].startswith("not enforced") and holder.enforced["memory"] == "sampled every 50 ms"


def test_the_levels_of_jobs_and_of_trusted_code_are_no_alternatives(tmp_path: Path) -> None:
    for level, user in (("none", None), ("plain", WHO)):
        with pytest.raises(SandboxError):
            Holder.start(level, work_root=str(tmp_path), name="x", slot_uid=None, user=user)
