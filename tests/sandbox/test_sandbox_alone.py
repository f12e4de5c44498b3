"""The library stands alone: the probe tells the truth, and one script runs without any daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_bench import HERE, ROOT, SLOT_UID, VERDICTS, Bench

import supervisor.sandbox as sandbox
from supervisor.sandbox import LEVELS, Bind, probe, prove


def run(level: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "supervisor.sandbox", "run", "--level", level, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def script(tmp_path: Path, name: str, source: str) -> str:
    path = tmp_path / name
    path.write_text(source)
    return str(path)


def test_every_level_works_on_this_machine_or_says_what_it_needs() -> None:
    assert list(VERDICTS) == list(LEVELS)
    for verdict in VERDICTS.values():
        assert verdict.ok or (verdict.step and verdict.remedy), verdict
    assert VERDICTS["plain"].ok


def test_a_probe_that_fails_says_which_step(level: str) -> None:
    verdict = probe(level, slot_uid=SLOT_UID if ROOT else None, argv=["/bin/false"])
    assert (verdict.ok, verdict.reason) == (False, "/bin/false ended with wait status 256")
    missing = probe(level, slot_uid=SLOT_UID if ROOT else None, work_root="/no/such/place")
    assert not missing.ok
    assert "work folder" in missing.reason


def test_a_holder_that_runs_is_proved_with_the_programs_it_shall_start(bench: Bench) -> None:
    assert prove(bench.holder, [["/bin/true"], ["/bin/sh", "-c", "exit 0"]]).ok
    verdict = prove(bench.holder, [["/bin/true"], ["/no/such/interpreter"]])
    assert (verdict.ok, verdict.step, verdict.errno) == (False, "exec", 2)
    assert "/no/such/interpreter" in verdict.reason


@pytest.mark.skipif("namespace" not in HERE, reason="this machine has no such level")
def test_inside_a_sandbox_there_is_no_other_and_the_probe_says_so() -> None:
    code = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(sandbox.__file__))))
    bench = Bench("namespace", binds=[Bind(code, "/code")])
    source = """
import sys; sys.path.insert(0, "/code")
from supervisor.sandbox import probe_levels
for level, verdict in probe_levels().items(): print(level, verdict.ok, verdict.step, verdict.errno)
"""
    try:
        told = bench.python(source, env={"PYTHONDONTWRITEBYTECODE": "1"})
    finally:
        bench.close()
    assert told.out.splitlines() == ["namespace False user_namespace 1", "landlock True  0", "plain True  0"], told


def test_a_script_runs_alone_and_its_code_is_ours(level: str, tmp_path: Path) -> None:
    source = "console.log(process.argv[2]); console.error('e'); process.exit(9)"
    done = run(level, script(tmp_path, "job.js", source), "word")
    assert (done.returncode, done.stdout) == (9, "word\n")
    assert done.stderr.startswith("e\nsandbox: exit 9 (")


def test_a_script_over_its_time_ends_by_a_signal(level: str, tmp_path: Path) -> None:
    done = run(level, "--timeout", "0.3", script(tmp_path, "job.py", "while True: pass"))
    assert done.returncode == 128 + 15
    assert "time was over" in done.stderr


def test_a_script_over_its_memory_is_told_so(level: str, tmp_path: Path) -> None:
    done = run(level, "--memory", "64M", script(tmp_path, "job.py", "x = []\nwhile True: x.append(bytearray(1 << 20))"))
    assert done.returncode == 128 + 9
    assert "memory limit" in done.stderr


def test_a_shell_script_and_an_unknown_kind(level: str, tmp_path: Path) -> None:
    assert run(level, script(tmp_path, "job.sh", "exit 3")).returncode == 3
    assert run(level, script(tmp_path, "job.xyz", "")).returncode == 125


def test_every_public_name_is_there() -> None:
    assert sorted(sandbox._HOME) == sorted(sandbox.__all__)
    for name in sandbox.__all__:
        assert getattr(sandbox, name) is not None


def test_the_slim_processes_stay_slim() -> None:
    code = "import sys; from supervisor.sandbox import holder_program; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert not loaded & {"socket", "json", "signal", "threading", "typing", "dataclasses", "re", "enum", "logging"}


def test_each_row_of_the_table_says_what_it_gives() -> None:
    for rows in LEVELS.values():
        names = [row.name for row in rows]
        assert len(names) == len(set(names))
        assert all(row.gives for row in rows)
