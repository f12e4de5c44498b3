"""The generated files are fresh, name every key and variable, and the daemon takes them, as they are and with all in force."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.config import Flags, describe_settings, load
from supervisor.config.pools import OF_SCRIPTS
from supervisor.config.sources import _known_variables
from tests.harness import CLEAN_ENVIRONMENT, ROOT, running_daemon

sys.path.append(str(ROOT / "packaging"))
from sample_settings import EXAMPLES

PACKAGING = ROOT / "packaging"
SETTING = re.compile(r"^#(?=\[|\w+ = |WORKER_\w+=)", re.MULTILINE)
"""The # of a line that is a setting."""


def generate(*arguments: str, folder: Path = PACKAGING) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_no_generated_file_is_stale() -> None:
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_a_changed_file_would_be_found_and_rewritten(tmp_path: Path) -> None:
    copy = tmp_path / "packaging"
    shutil.copytree(PACKAGING, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("ctl", "supervisor"):
        (tmp_path / package).symlink_to(ROOT / package)
    before = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(before.replace('#kill_grace = "3s"', '#kill_grace = "4s"'))
    (copy / "man/workerctl.1").unlink()
    done = generate("--check", folder=copy)
    assert (done.returncode, "config.toml, man/workerctl.1" in done.stderr) == (1, True), done.stderr
    assert generate(folder=copy).returncode == 0
    assert (copy / "config.toml").read_text() == before and (copy / "man/workerctl.1").exists()


def in_force(name: str) -> str:
    """The file with all of its settings in force, on what this machine has."""
    text = SETTING.sub("", (PACKAGING / name).read_text())
    text = text.replace("/srv/app", str(ROOT / "examples"))
    if os.geteuid() != 0:  # what only a daemon of root can do
        text = re.sub(r"^(user = |WORKER_POOLS__WORDS__USER).*\n", "", text, flags=re.MULTILINE)
    return text


def variables(text: str) -> dict[str, str]:
    rows = [line.partition("=") for line in text.splitlines() if line.startswith("WORKER_")]
    return {name: value for name, _, value in rows}


def _empty(beside: Path, text: str = "") -> Path:
    path = beside.with_name("other.toml")
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def whole_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(in_force("config.toml"))
    path.chmod(0o600)
    return path


def test_the_settings_file_has_every_key_of_the_daemon_and_of_a_pool() -> None:
    text = (PACKAGING / "config.toml").read_text()
    keys = {key.rpartition(".")[2] for key, *_ in describe_settings()}
    assert [key for key in keys if f"\n#{key} = " not in text] == []


def test_the_list_of_variables_has_every_variable_and_no_other() -> None:
    listed = set(variables(in_force(".env.example"))) | {"WORKER_POOLS__WORDS__USER"}
    known = set(_known_variables(["scripts", "words"], ["default"]))
    assert listed - known == {"WORKER_CONFIG"}
    # Each key of a pool is there once, for the pool of the kind that it is for.
    unlisted = {name for name in known - listed if not name.startswith("WORKER_POOLS__")}
    assert unlisted == set()
    kinds = {name.rpartition("__")[2] for name in listed if name.startswith("WORKER_POOLS__")}
    assert {name.rpartition("__")[2] for name in known - listed} <= kinds


def test_as_it_is_the_settings_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    shutil.copy(PACKAGING / "config.toml", path)
    path.chmod(0o600)
    none = _empty(path, "[queues.default]\n")
    env = {"HOME": "/home/nobody"}
    assert load(Flags(config=str(path)), env) == load(Flags(config=str(none)), env)


def test_with_everything_in_force_it_says_the_defaults_where_there_are_any(whole_file: Path) -> None:
    env = {"HOME": "/home/nobody"}
    whole = load(Flags(config=str(whole_file)), env)
    usual = load(Flags(), env | {"WORKER_CONFIG": str(_empty(whole_file))})
    assert set(whole.pools) == {"scripts", "words", "untrusted"}
    for name in (
        "kill_grace_s",
        "shutdown_timeout_s",
        "hang_timeout_s",
        "max_source_bytes",
        "synchronous",
        "retention",
    ):
        assert getattr(whole, name) == getattr(usual, name), name
    ours, theirs = whole.pools["scripts"], usual.pools["scripts"]
    assert ours.maxima == theirs.maxima
    examples = {name for name in OF_SCRIPTS if f"pools.scripts.{name}" in EXAMPLES}
    assert [name for name in OF_SCRIPTS if name not in examples and getattr(ours, name) != getattr(theirs, name)] == []


def test_the_file_and_the_variables_say_the_same(whole_file: Path) -> None:
    env = {"HOME": "/home/nobody"}
    by_file = load(Flags(config=str(whole_file)), env)
    # A variable can make no pool, and tables of lists are of the file alone.
    text = whole_file.read_text()
    rest = text[text.index("[pools.untrusted]") :]
    tables = _empty(whole_file, '[pools.words]\nhandler = "other:Handler"\n' + rest)
    said = variables(in_force(".env.example"))
    del said["WORKER_CONFIG"]
    assert load(Flags(config=str(tables)), env | said) == by_file


def test_the_daemon_checks_them_and_says_ok(whole_file: Path) -> None:
    said = variables(in_force(".env.example")) | {"WORKER_CONFIG": str(whole_file)}
    command = [sys.executable, "-m", "supervisor", "check-config"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=CLEAN_ENVIRONMENT | said, cwd=ROOT, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


HERE_ALONE = (
    r"state_dir|socket|log\.file|socket_group|file|modules|node|python|listen|webhook_urls|slot_uid_base|replicas"
)


def test_a_daemon_with_everything_in_force_runs_jobs_of_each_pool(whole_file: Path, tmp_path: Path) -> None:
    """But for what names folders, addresses and groups of another machine than this."""
    text = re.sub(rf"^({HERE_ALONE}) = .*\n", "", whole_file.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^\[\[webhooks\]\]\n(.+\n)*", "", text, flags=re.MULTILINE)
    # Read by a handler: the folder of a checkout may be closed to other users.
    text = re.sub(r"^user = .*\n", "", text, flags=re.MULTILINE)
    with running_daemon(tmp_path / "daemon", text.replace('isolation_minimum = "namespace"', "")) as daemon:
        done = daemon.ctl("run", str(ROOT / "examples/hello.js"))
        assert done.returncode == 0, done.stderr
        done = daemon.ctl("run", "--queue", "untrusted", str(ROOT / "examples/hello.js"))
        assert done.returncode == 0, done.stderr
        job = daemon.ctl("-q", "submit", "--queue", "words", "--type", "words", "--params", '{"text": "a b a"}')
        assert daemon.ctl("wait", job.stdout.decode().strip()).returncode == 0, job.stderr
        assert daemon.ask("result", job.stdout.decode().strip()) == {"a": 2, "b": 1}
