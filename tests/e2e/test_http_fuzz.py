"""The gateway against its own OpenAPI document: no request that a machine can think of makes a defect of it."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.harness import Daemon, running_daemon

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed (extra `test`)"
)
SETTINGS = """
[http]
listen = "127.0.0.1:0"
rate = "none"
[pools.scripts.limits]
wall = "1s"
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture
def daemon(tmp_path: pathlib.Path) -> Iterator[Daemon]:
    with running_daemon(tmp_path / "d", SETTINGS) as running:
        yield running


def test_no_request_finds_a_defect(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    token = json.loads(daemon.ctl("token", "--json").stdout)
    for name in ("a.sh", "b.sh"):
        daemon.ctl(
            "submit", "-", "--runtime", "shell", "--name", name, stdin=b"echo x; echo y >$JOB_OUTPUT_DIR/f", check=True
        )
    asked = {"Authorization": f"Bearer {token['token']}"}
    document = httpx.get(f"{token['url']}openapi.json", headers=asked, trust_env=False).json()
    operations = sum(len(path) for path in document["paths"].values())
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{token['url']}openapi.json"),
            *("--header", f"Authorization: Bearer {token['token']}"),
            *("--exclude-path", "/events"),  # it has no end
            *("--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "1"),
            *("--request-timeout", "30"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    # Neither the stream without end nor the document itself.
    assert re.search(rf"Tested: +{operations - 2}\b", done.stdout), done.stdout[-3000:]
    assert "a defect" not in daemon.words()
