"""The code check, end to end: said at submit, kept with the job, and a refusal where the pool wants one."""

from __future__ import annotations

import json
import pathlib
import socket
from collections.abc import Iterator

import pytest

from ctl import NotAllowed
from tests.harness import Daemon, running_daemon

SETTINGS = """
[[checks]]
runtime = "node"
rule = "todo"
pattern = 'TODO|FIXME'
message = "is not finished"

[[checks]]
runtime = "node"
rule = "fs"
pattern = ""

[[checks]]
runtime = "node"
rule = "slow"
pattern = '(q+)+$'
message = "a pattern that never ends"

[pools.scripts]
queues = ["default"]

[pools.strict]
queues = ["strict"]
check = "block"

[pools.lax]
queues = ["lax"]
check = "off"
"""
FLAGGED = "const cp = require('child_process')\n// fine\nif (0) while(true) {}\n"
NEVER_ENDING = f"// {'q' * 1000}!\n"


@pytest.fixture(scope="module")
def checking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a pool for each mode, and rules of its own."""
    with running_daemon(tmp_path_factory.mktemp("check") / "d", SETTINGS) as daemon:
        yield daemon


@pytest.fixture
def script(tmp_path: pathlib.Path) -> str:
    path = tmp_path / "a.js"
    path.write_text(FLAGGED)
    return str(path)


def number_of_jobs(daemon: Daemon) -> int:
    return len(daemon.ask("list", "--all"))


def test_findings_are_said_kept_and_shown(checking: Daemon, script: str) -> None:
    done = checking.ctl("submit", script)
    job = done.stdout.decode().strip()
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        "workerctl: check: line 1: child_process: starts other programs; they share the job's limits",
        "workerctl: check: line 3: endless_loop: loops until something breaks it: it may run into its time limit",
    ]
    found = [(one["line"], one["rule"]) for one in checking.ask("show", job)["findings"]]
    assert found == [(1, "child_process"), (3, "endless_loop")]
    assert b"code check   line 3: endless_loop" in checking.ctl("show", job).stdout


def test_run_says_them_before_the_output_and_goes_on(checking: Daemon, script: str) -> None:
    done = checking.ctl("run", script)
    assert done.returncode == 0 and done.stdout == b""
    assert done.stderr.decode().startswith("workerctl: check: line 1: child_process")


def test_a_pool_that_blocks_refuses_and_stores_nothing(checking: Daemon, script: str) -> None:
    before = number_of_jobs(checking)
    done = checking.ctl("submit", "--queue", "strict", script)
    assert (done.returncode, done.stdout) == (6, b"")
    said = done.stderr.decode()
    assert "the code check of pool strict blocks a.js: line 1: child_process" in said
    assert "line 3: endless_loop" in said and "pools.strict.check" in said
    assert checking.ctl("run", "--queue", "strict", script).returncode == 125
    with checking.client() as client, pytest.raises(NotAllowed) as caught:
        client.submit(script, queue="strict")
    assert caught.value.code == "blocked"
    assert [one["line"] for one in caught.value.data["findings"]] == [1, 3]
    assert number_of_jobs(checking) == before


def test_a_pool_that_blocks_takes_a_script_without_findings(checking: Daemon) -> None:
    with checking.client() as client:
        submitted = client.submit(source="console.log(1)", queue="strict")
        assert submitted.findings == [] and client.wait(submitted, timeout=20).ok


def test_a_pool_that_does_not_check_says_nothing(checking: Daemon, script: str) -> None:
    with checking.client() as client:
        submitted = client.submit(script, queue="lax")
        assert submitted.findings == [] and client.show(submitted).findings == []


def test_the_rules_of_the_file_replace_add_and_switch_off(checking: Daemon) -> None:
    with checking.client() as client:
        submitted = client.submit(source="const fs = require('fs')\n// TODO\n")
    assert submitted.findings == [{"line": 2, "rule": "todo", "message": "is not finished"}]


def test_a_large_script_is_looked_at_too(checking: Daemon, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "large.js"
    path.write_text("eval('1')\n" + "// filler\n" * 40_000 + "eval('beyond what is looked at')\n")
    with checking.client() as client:
        submitted = client.submit(path)
    assert [(one["line"], one["rule"]) for one in submitted.findings] == [(1, "eval")]


def test_the_main_script_of_a_folder_is_looked_at(checking: Daemon, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "app"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "start.js").write_text("\neval('1')\n")
    (folder / "other.js").write_text("eval('not the main script')\n")
    with checking.client() as client:
        submitted = client.submit(folder, main="src/start.js")
        assert [(one["line"], one["rule"]) for one in submitted.findings] == [(2, "eval")]
        with pytest.raises(NotAllowed):
            client.submit(folder, main="src/start.js", queue="strict")


def test_a_pattern_that_never_ends_holds_nobody_up(checking: Daemon) -> None:
    with checking.client() as client:
        submitted = client.submit(source=NEVER_ENDING)
        assert ["the code check gave up" in warning for warning in submitted.warnings] == [True]
        with pytest.raises(NotAllowed, match="the code check gave up"):
            client.submit(source=NEVER_ENDING, queue="strict")
        assert client.health()["status"] == "healthy"


@pytest.mark.parametrize(
    ("runtime", "text", "rule"),
    [("python", "import subprocess\n", "subprocess"), ("shell", "while true; do :; done\n", "endless_loop")],
)
def test_other_runtimes_have_rules_of_their_own(checking: Daemon, runtime: str, text: str, rule: str) -> None:
    with checking.client() as client:
        submitted = client.submit(source=text, runtime=runtime, delay="1h")
        assert [one["rule"] for one in submitted.findings] == [rule]
        client.cancel(submitted)


def test_json_of_submit_has_them(checking: Daemon, script: str) -> None:
    done = checking.ctl("submit", "--json", script)
    assert [one["rule"] for one in json.loads(done.stdout)["findings"]] == ["child_process", "endless_loop"]


def test_a_bad_pattern_is_an_error_of_the_settings(tmp_path: pathlib.Path) -> None:
    daemon = Daemon(tmp_path / "d", '[[checks]]\nruntime = "node"\nrule = "x"\npattern = "("\nmessage = "m"\n')
    daemon.start(wait=False)
    assert daemon.process is not None and daemon.process.wait(20) == 2
    assert "config.toml: checks, table 1: pattern = '(': not a regular expression" in daemon.words()


def test_a_submit_that_was_stored_is_answered_with_its_job_whatever_is_forbidden_since(make_daemon) -> None:
    daemon = make_daemon(settings='[pools.scripts]\ncheck = "warn"\n').start()
    fields = {"request_id": "before-the-change", "name": "x.js", "source": "while(true){}", "delay_s": 3600}
    first = ask(daemon, "submit", **fields)["value"]
    assert first["created"] is True
    assert daemon.stop() == 0
    daemon.settings.write_text('[pools.scripts]\ncheck = "block"\n')
    daemon.start()
    assert ask(daemon, "submit", **{**fields, "request_id": "after-the-change"})["code"] == "blocked"
    again = ask(daemon, "submit", **fields)["value"]
    assert (again["job"], again["created"]) == (first["job"], False)


def ask(daemon, op: str, **fields: object) -> dict:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(daemon.socket)
        connection.sendall(json.dumps({"op": op, "id": 1, **fields}).encode() + b"\n")
        return json.loads(connection.makefile().readline())
