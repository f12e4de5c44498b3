"""The README's first command, with its environment already made: what it does with settings, and when it is cut short."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import CLEAN_ENVIRONMENT, ROOT, wait_until

PYTHON = f"""#!/bin/sh
case "$*" in
*"pip install"*) umask >pip-umask ;;
*) exec {sys.executable} "$@" ;;
esac
"""


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A checkout whose .venv has the commands of this one, and a pip that writes down under which umask it installs."""
    # Not in pytest's own folder, whose path may be longer than that of a socket below it can be.
    with tempfile.TemporaryDirectory(prefix="wtry-") as beside:
        yield made_in(Path(beside))


def made_in(beside: Path) -> Path:
    folder = beside / "check out"
    shutil.copytree(ROOT / "packaging", folder / "packaging")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    commands = folder / ".venv/bin"
    commands.mkdir(parents=True)
    for name, text in {
        "python": PYTHON,
        "workerctl": f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m ctl "$@"\n',
        "worker-supervisor": f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m supervisor "$@"\n',
    }.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    (beside / "tmp").mkdir()
    (beside / "home/.config/worker-supervisor").mkdir(parents=True)
    return folder


def start(checkout: Path, **more: str) -> subprocess.Popen[str]:
    beside = checkout.parent
    return subprocess.Popen(
        [checkout / "packaging/try"],
        env=CLEAN_ENVIRONMENT | {"HOME": str(beside / "home"), "TMPDIR": str(beside / "tmp")} | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left(checkout: Path) -> list[str]:
    """What is in the folder of temporary files, or is held open there by some process."""
    temporary = checkout.parent / "tmp"
    found = os.listdir(temporary)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            held = [os.readlink(fd) for fd in (process / "fd").iterdir()]
            found += [f"{process.name}: {path}" for path in held if path.startswith(f"{temporary}/")]
    return found


def test_it_runs_its_job_whatever_the_settings_of_an_installed_daemon_say(checkout: Path) -> None:
    usual = checkout.parent / "home/.config/worker-supervisor/config.toml"
    usual.write_text("[pools.scripts]\nqueues = ['other']\nnonsense = 1\n")
    process = start(checkout, WORKER_CONFIG=str(usual))
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "hello from job 1" in said and "It works." in said, said
    assert left(checkout) == []


def test_what_it_installs_can_be_run_by_the_users_of_jobs_under_any_umask(checkout: Path) -> None:
    before = os.umask(0o077)
    try:
        process = start(checkout)
    finally:
        os.umask(before)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert (checkout / "pip-umask").read_text() == "0022\n"


@pytest.mark.parametrize("ending", [signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE])
def test_nothing_stays_of_one_that_is_cut_short(ending: signal.Signals, checkout: Path) -> None:
    """By the end of the terminal, by a signal, by `packaging/try | head -n 1`."""
    process = start(checkout)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("$ workerctl submit"):
            break
    if ending == signal.SIGPIPE:
        process.stdout.close()
    else:
        process.send_signal(ending)
        process.stdout.read()
    assert process.wait(60) != 0
    wait_until(lambda: not left(checkout), 10, f"nothing left ({left(checkout)})")
