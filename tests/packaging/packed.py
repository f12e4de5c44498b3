"""A wheel and an sdist of this checkout, made as a release is, and a clean environment with nothing but the wheel."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness import ROOT

PACKED = ("ctl", "supervisor", "packaging", "docs", "examples", "tests/packaging", "benchmarks")
SINGLE = ("pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE")


class Packed(NamedTuple):
    """The two distributions, as files."""

    sdist: Path
    wheel: Path


def once(base: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first of all test processes of this run fills by `make`."""
    shared = base.getbasetemp().parent if os.environ.get("PYTEST_XDIST_WORKER") else base.getbasetemp()
    folder = shared / name
    with open(shared / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            draft = shared / f"{name}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            make(draft)
            draft.rename(folder)
    return folder


def pack(folder: Path) -> None:
    """An sdist of the checkout, and the wheel from what is in that."""
    source = folder / "source"
    for name in PACKED:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SINGLE:
        shutil.copy(ROOT / name, source / name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(source)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def install(environment: Path, wheel: Path) -> None:
    """The wheel and what it needs."""
    subprocess.run([system_python(), "-m", "venv", str(environment)], check=True, capture_output=True)
    done = subprocess.run(
        [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", f"{wheel}[http,tui]"],
        capture_output=True,
        text=True,
        check=False,
        cwd=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def system_python() -> str:
    """The system's own Python where it will do: every user may run it."""
    found = "/usr/bin/python3"
    asks = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    done = subprocess.run([found, "-c", asks], capture_output=True, check=False) if os.path.exists(found) else None
    return found if done is not None and done.returncode == 0 else sys.executable


def runs_as_anybody(environment: Path) -> bool:
    """Whether the interpreter of an environment is one that every user may run."""
    return os.path.realpath(environment / "bin/python").startswith("/usr/")
