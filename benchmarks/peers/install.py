"""Fetches the peers into a cache folder of this user: BullMQ from npm, Celery and Huey from PyPI, each at one version."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

NODE_PEERS = ("bullmq@6.7.0", "ioredis@6.0.0")
PYTHON_PEERS = ("celery[redis]==5.7.0", "huey==3.5.4", "redis")


def cache() -> pathlib.Path:
    """Where the peers lie between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "workerctl-benchmarks"


def node_peers() -> pathlib.Path:
    """The folder whose node_modules has BullMQ."""
    place = cache() / "node"
    if not (place / "node_modules" / "bullmq").exists():
        if shutil.which("npm") is None:
            raise FileNotFoundError("npm is not installed")
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *NODE_PEERS], cwd=place, check=True)
    return place


def python_peers() -> pathlib.Path:
    """The interpreter of a venv that has Celery and Huey."""
    place = cache() / "python"
    python = place / "bin" / "python"
    if not (place / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PYTHON_PEERS], check=True)
        (place / "done").touch()
    return python
