"""Start-up: the common verbs load little."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fake_broker import ROOT, STATUS, job_json, waits_for

SLOW_MODULES = {"msgspec", "asyncio", "loguru", "sqlite3", "sqlite_utils", "setproctitle", "dataclasses", "inspect"}


def _imported(words, env=None):
    """Names of the modules that a command line loads."""
    program = "import sys; from ctl.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
        env={**os.environ, **(env or {})},
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("verb", ["status", "submit", "wait", "cancel", "list"])
def test_the_common_verbs_load_nothing_slow(broker, script, verb):
    broker.answers("status", STATUS)
    broker.answers("list", {"jobs": [], "next": None})
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    broker.answers("cancel", {"state": "cancelled"})
    broker.on("wait", waits_for(job_json()))
    words = {"submit": [str(script)], "wait": ["42"], "cancel": ["42"]}.get(verb, [])
    loaded = _imported([verb, *words])
    assert "ctl.session" in loaded
    assert not loaded & SLOW_MODULES
    assert not {name for name in loaded if name.startswith("supervisor.")} - {
        "supervisor.core",
        "supervisor.core.names",
        "supervisor.core.units",
        "supervisor.wire",
        "supervisor.wire.frame",
    }
    assert {name for name in loaded if name.startswith("ctl.commands.")} == {f"ctl.commands.{verb}"}


def test_without_a_named_socket_it_still_loads_nothing_of_the_daemon(tmp_path):
    loaded = _imported(["status"], {"WORKER_SOCKET": "", "XDG_RUNTIME_DIR": str(tmp_path)})
    assert not loaded & {"msgspec", "asyncio", "loguru", "sqlite3"}
