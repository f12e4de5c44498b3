"""Hostile and unlucky jobs of Node and of the shell, at every level and on every Node that is here: each ends as it
shall, nothing of it is left, and the next job of the same slot notices nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sandbox_bench import HERE, NODE, PYTHON, SLOT_UID, Bench, Job, bind_of, jobs_of, nodes, wait_until

MIB = 1 << 20
OUTPUT_CAP = {"FSIZE": (4 * MIB, 4 * MIB)}


@dataclass(frozen=True)
class Torture:
    """ends: how the main process may end (exit code, or minus the signal); out: what it must have printed."""

    source: str
    ends: tuple[int, ...]
    killed_for: tuple[str | None, ...] = (None,)
    limits: dict[str, object] = field(default_factory=dict)
    out: str | None = None
    file: str = "job.js"


SMALL = {"memory_bytes": 128 * MIB}
BRIEF = {"cpu_s": 0.5}

JOBS = {
    "prints": Torture("console.log(1)", (0,), out="1\n"),
    "exits like a killed one": Torture("process.exit(137)", (137,)),
    "kills itself": Torture("process.kill(process.pid, 'SIGKILL'); setTimeout(() => {}, 1e6)", (-9,), limits=SMALL),
    "sends itself SIGXCPU": Torture("process.kill(process.pid, 'SIGXCPU'); setTimeout(() => {}, 1e6)", (-24,), limits=BRIEF),
    "never settles": Torture("await new Promise(() => {})", (13,), file="job.mjs"),
    # Node itself may give up first: then it is for the worker to infer from the peak.
    "grows its heap": Torture(
        "const kept = []; for (;;) kept.push(new Array(1000).fill(kept.length))", (-9, -6, -5), ("memory", None), SMALL
    ),
    "catches what it can and exits well": Torture(
        "try { const kept = []; for (let i = 0; i < 64; i++) kept.push(Buffer.alloc(8 << 20, 1)) } catch {}\n"
        "setTimeout(() => process.exit(0), 2000)", (-9,), ("memory",), SMALL,
    ),
    "wants a gigabyte": Torture("Buffer.alloc(1e9, 1); setTimeout(() => {}, 1000)", (-9,), ("memory",), SMALL),
    "has four children of fifty megabytes": Torture(
        "const { fork } = require('child_process');\n"
        "if (process.argv[2]) { global.kept = Buffer.alloc(50e6, 1); setTimeout(() => {}, 1e6) }\n"
        "else for (let i = 0; i < 4; i++) fork(__filename, ['x'])",
        (-9,), ("memory",), {"memory_bytes": 200 * MIB},
    ),
    "burns": Torture("for (;;);", (-9,), ("cpu",), BRIEF),
    "burns and handles SIGXCPU": Torture(
        "process.on('SIGXCPU', () => {}); (function burn() { for (let i = 0; i < 1e6; i++); setImmediate(burn) })()",
        (-9,), ("cpu",), BRIEF | {"rlimits": {"CPU": (1, 3)}},
    ),
    "floods its output": Torture("for (;;) console.log('x'.repeat(1000))", (-9,), ("cpu",), BRIEF | {"rlimits": OUTPUT_CAP}),
    "writes and exits abruptly": Torture("process.stdout.write('x'.repeat(300000)); process.exit(9)", (9,), out="x" * 300000),
    "cannot reach the world": Torture(
        "const s = require('net').connect(80, '192.0.2.1'); s.on('error', e => console.log(e.code)); s.setTimeout(50, () => s.destroy())",
        (0,),
    ),
    "leaves children behind": Torture(
        "const { spawn } = require('child_process');\n"
        "for (let i = 0; i < 3; i++) spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).unref()", (0,),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=[(level, node) for level in HERE for node in nodes()], ids=str)
def equipped(request: pytest.FixtureRequest) -> Iterator[tuple[Bench, str]]:
    level, node = request.param
    bench = Bench(level, binds=bind_of(node))
    yield bench, node
    bench.close()


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_as_it_shall_and_the_next_one_is_well(equipped: tuple[Bench, str], name: str) -> None:
    bench, node = equipped
    torture = JOBS[name]
    result = bench.run([node, torture.file], files={torture.file: torture.source}, processes=60, **torture.limits)
    assert result.code in torture.ends, result
    assert result.ended.killed_for in torture.killed_for, result
    assert not result.ended.stuck
    assert torture.out is None or result.out == torture.out
    assert len(result.out) <= OUTPUT_CAP["FSIZE"][0]
    assert not jobs_of(bench)
    assert result.ended.peak_memory_bytes < 1200 * MIB
    assert bench.shell("echo well").out == "well\n"


@pytest.mark.parametrize("source", ["throw new Error('x')", "setTimeout(() => { throw new TypeError('y') })",
                                    "Promise.reject(new Error('z'))", "syntax error here"])  # fmt: skip
def test_errors_read_as_they_do_outside(bench: Bench, source: str, tmp_path: object) -> None:
    with bench.open_job([NODE, "job.js"], files={"job.js": source}) as job:
        place = job.job_dir
        result = job.finish()
    with open(f"{tmp_path}/job.js", "w") as file:
        file.write(source)
    outside = subprocess.run([NODE, f"{tmp_path}/job.js"], capture_output=True, text=True, check=False, cwd="/")
    assert (result.code, outside.returncode) == (1, 1)
    assert result.err == outside.stderr.replace(str(tmp_path), place)


def test_a_tree_that_stopped_itself_is_killed(bench: Bench) -> None:
    source = "sh -c 'echo up; kill -STOP $$' & kill -STOP $$"
    with bench.open_job(["/bin/sh", "-c", source]) as job:
        job.until_output("up").slot.end(kill=True)
        result = job.finish()
    assert (result.code, result.ended.on_request) == (-9, True)
    assert not jobs_of(bench)


def test_two_floods_at_once_are_ended_and_bounded_by_the_file_size(bench: Bench) -> None:
    with bench.open_job(["/bin/sh", "-c", "yes & yes & wait; sleep 600"], rlimits=OUTPUT_CAP) as job:
        wait_until(lambda: len(job.output_bytes()) >= MIB, "a flood")
        job.slot.end(kill=True)
        job.finish()
        assert len(job.output_bytes()) <= OUTPUT_CAP["FSIZE"][0]
    assert not jobs_of(bench)


def test_every_byte_is_kept(bench: Bench) -> None:
    with bench.open_job([NODE, "-e", r"process.stdout.write(Buffer.from([0, 255, 10, 0, 254]))"]) as job:
        job.finish()
        assert job.output_bytes() == b"\0\xff\n\0\xfe"


SHELL_BOMB = ["/bin/sh", "-c", "b() { b | b & }; b; echo up; sleep 60"]
SESSIONS_BOMB = [PYTHON, "-c", """
import os, time
print("up", flush=True)
while True:
    try:
        if os.fork() == 0: os.setsid(); time.sleep(60)
    except OSError: pass
"""]  # fmt: skip


@pytest.mark.parametrize("bomb", [SHELL_BOMB, SESSIONS_BOMB], ids=["shell", "sessions"])
def test_a_fork_bomb_next_door_does_not_reach_an_honest_job(bench: Bench, bomb: list[str]) -> None:
    hostile = Bench(bench.level, slot_uid=SLOT_UID + 2)
    try:
        with Job(hostile, bomb, processes=48) as job:
            job.until_output("up")
            if bench.private or os.geteuid() == 0:  # else they share one count of processes
                result = bench.node("console.log(String(require('child_process').execSync('echo honest')))")
                assert result.out == "honest\n\n", result
            job.slot.end(kill=True)
            assert job.finish().ended.on_request
        assert not jobs_of(hostile)
    finally:
        hostile.close()
