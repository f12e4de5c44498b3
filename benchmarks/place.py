"""Where benchmarks run: a clean environment, daemons on private folders, this machine's interpreters by name."""

from __future__ import annotations

import contextlib
import os
import pathlib
import platform
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tests.harness import CLEAN_ENVIRONMENT, ROOT, Daemon, running_daemon

HELLO = ROOT / "examples" / "hello.js"
ONE_LINE = 'console.log("hello");\n'


def clean_environment() -> dict[str, str]:
    """What every measured process gets."""
    return dict(CLEAN_ENVIRONMENT)


def node() -> str:
    """The Node that both sides use."""
    found = shutil.which("node", path=CLEAN_ENVIRONMENT["PATH"])
    if found is None:
        raise SystemExit("benchmarks need node on /usr/local/bin:/usr/bin:/bin")
    return found


@contextlib.contextmanager
def folder() -> Iterator[pathlib.Path]:
    """A private folder on a real disk: /tmp may be memory, which would flatter every commit."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="workerctl-bench.", dir="/var/tmp"))
    # A job of root's daemon has another uid, and bare scripts lie here too.
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def daemon(settings: str = "", workers: int = 2) -> Iterator[Daemon]:
    """A daemon with nothing in its way: no code check, quiet log."""
    with folder() as place, running_daemon(place / "d", f'log.level = "warning"\n{settings}', workers) as running:
        yield running


def hello(place: pathlib.Path) -> pathlib.Path:
    """The one-line script that everything is compared by."""
    script = place / "hello.js"
    script.write_text(ONE_LINE)
    return script


def cpu_of_children_s() -> float:
    """CPU seconds of all children that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def versions() -> str:
    """What the figures were made with, in one line."""
    said = subprocess.run([node(), "--version"], capture_output=True, text=True, env=clean_environment(), check=True)
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, Linux {platform.release()}, Python {platform.python_version()}, Node {said.stdout.strip()}, "
        f"SQLite {sqlite3.sqlite_version}, load {os.getloadavg()[0]:.1f}"
    )


PYTHON = sys.executable
