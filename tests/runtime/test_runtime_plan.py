"""What is started for a script: argv, environment and kernel limits, as a table."""

from __future__ import annotations

import pytest

from supervisor.config import Pool
from supervisor.config.keys import POOL
from supervisor.config.kinds import ABSOLUTE_PATH
from supervisor.core.job import JobSpec
from supervisor.core.limits import MIB, Limits
from supervisor.core.names import RUNTIMES
from supervisor.runtime.classify import script_type, shebang
from supervisor.runtime.interpreter import INTERPRETED, Interpreter, folders_to_bind
from supervisor.runtime.plan import Facts, Place, plan_script
from supervisor.trial import SOURCES

PLACE = Place(job_dir="/job/work", output_dir="/job/output", tmp_dir="/job/tmp")
NODE = Interpreter(path="/usr/bin/node", version="20.20.2", idle_data_bytes=47 * MIB)


def facts(job_type: str = "node", **passed: str) -> Facts:
    return Facts(
        job=7, attempt=2, queue="default", type=job_type, passed=passed, time_zone="UTC", mark={"WORKER_MARK": "x"}
    )


def plan(
    spec: JobSpec, job_type: str = "node", interpreter: Interpreter | None = NODE, head: bytes = b"", **passed: str
):
    return plan_script(spec, facts(job_type, **passed), PLACE, interpreter, head)


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.js", b"", "node"),
        ("a.MJS", b"", "node"),
        ("a.ts", b"", "node"),
        ("a.py", b"#!/bin/sh", "python"),
        ("a.sh", b"", "shell"),
        ("tool", b"#!/usr/bin/env node\n", "exec"),
        ("tool", b"\x7fELF\x02", "exec"),
        ("tool", b"echo", None),
        ("a.txt", b"", None),
        (".js", b"", None),
    ],
)
def test_a_scripts_type_is_known_by_its_ending_or_its_first_line(name: str, head: bytes, expected: str | None) -> None:
    assert script_type(name, head) == expected


def test_every_runtime_is_taken_by_a_pool_tried_by_an_upgrade_and_has_a_setting_for_its_interpreter() -> None:
    assert set(Pool(name="scripts", replicas=1).types) == set(RUNTIMES)
    assert set(SOURCES) == set(RUNTIMES) - {"exec"}
    assert set(INTERPRETED) <= set(RUNTIMES)
    assert {POOL[kind].kind for kind in INTERPRETED} == {ABSOLUTE_PATH}
    endings = [ending for each in RUNTIMES.values() for ending in each]
    assert len(endings) == len(set(endings)) and all(ending == ending.lower() for ending in endings)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"#!/bin/sh\necho", ("/bin/sh",)),
        (b"#! /usr/bin/env  node --x y \n", ("/usr/bin/env", "node --x y")),
        (b"#!/bin/sh", ("/bin/sh",)),
        (b"# !/bin/sh\n", None),
        (b"", None),
        (b"#!\n", None),
    ],
)
def test_the_first_line_names_the_interpreter(head: bytes, expected: tuple[str, ...] | None) -> None:
    assert shebang(head) == expected


def test_node_is_started_as_by_hand() -> None:
    assert plan(JobSpec(main="a.js", args=("x y", ""))).argv == ("/usr/bin/node", "/job/work/a.js", "x y", "")


def test_v8_is_told_of_a_memory_limit_that_the_job_chose() -> None:
    spec = JobSpec(main="a.js", limits=Limits(memory_bytes=128 * MIB), asked=("memory_bytes",))
    assert plan(spec).argv[1] == "--max-old-space-size=96"


def test_a_shell_script_goes_to_sh_unless_its_first_line_says_otherwise() -> None:
    spec = JobSpec(main="a.sh")
    assert plan(spec, "shell", None).argv == ("/bin/sh", "/job/work/a.sh")
    assert plan(spec, "shell", None, b"#!/bin/bash\n").argv == ("/bin/bash", "/job/work/a.sh")


def test_the_environment_is_made_and_never_inherited() -> None:
    spec = JobSpec(main="a.js", env={"K": "V", "PASSED": "asked"})
    env = plan(spec, PASSED="from the pool").env
    assert env["PASSED"] == "asked"
    assert {"PATH", "HOME", "TMPDIR", "LANG", "TZ", "USER", "K", "JOB_ID", "NODE_CHANNEL_FD", "WORKER_MARK"} <= set(env)
    assert env["JOB_ATTEMPT"] == "2"
    assert "PYTHONUNBUFFERED" not in env
    assert "NODE_CHANNEL_FD" not in plan(spec, "python", None).env


def test_the_data_segment_is_calibrated_and_left_alone_where_that_cannot_fit() -> None:
    spec = JobSpec(main="a.js", limits=Limits(memory_bytes=128 * MIB))
    assert plan(spec).rlimits["DATA"] == ((47 + 128 + 64) * MIB,) * 2
    large = Interpreter(path="/usr/bin/node", version="24.0.0", idle_data_bytes=559 * MIB)
    assert "DATA" not in plan(spec, interpreter=large).rlimits


def test_file_size_is_never_below_the_output_cap() -> None:
    spec = JobSpec(main="a.js", limits=Limits(file_size_bytes=4096, output_bytes=16 * MIB))
    assert plan(spec).rlimits["FSIZE"] == (17 * MIB,) * 2


def test_no_limit_means_no_kernel_limit() -> None:
    none = Limits(
        wall_s=None, cpu_s=None, memory_bytes=None, processes=None, open_files=None,
        file_size_bytes=None, disk_bytes=None, output_bytes=None,
    )  # fmt: skip
    assert not {"CPU", "DATA", "NPROC", "NOFILE", "FSIZE", "AS"} & set(plan(JobSpec(main="a.js", limits=none)).rlimits)


def test_an_interpreter_outside_the_system_brings_its_own_folder(tmp_path) -> None:
    real = tmp_path / "real" / "bin" / "python3"
    real.parent.mkdir(parents=True)
    real.touch()
    venv = tmp_path / "venv" / "bin" / "python"
    venv.parent.mkdir(parents=True)
    venv.symlink_to(real)
    assert folders_to_bind(str(venv)) == [str(tmp_path / "venv"), str(tmp_path / "real")]
    assert folders_to_bind("/usr/bin/env") == []
