"""`explain` and `doctor`, against the fake broker and against none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import Any

import pytest
from fake_broker import DROP, STATUS

from ctl import checkup
from supervisor import __version__
from supervisor.core.errors import RequestError

SENTENCES = [
    {"says": "It failed after 1 s, reason timeout.", "change": "--timeout 2s"},
    {"says": "That is certain\x1b[2J.", "change": None},
]
CHECKS = [
    {"name": "isolation.namespace", "status": "warn", "found": "clone: no", "remedy": "as root: sysctl"},
    {"name": "space", "status": "ok", "found": "much is free", "remedy": ""},
    {"name": "isolation.plain", "status": "skipped", "found": "not tried", "remedy": ""},
]


def test_explain(ctl, broker):
    broker.answers("explain", {"job": 42, "state": "failed", "sentences": SENTENCES})
    result = ctl("explain", "42")
    assert result.code == 0 and result.text.splitlines() == [
        "job 42  failed",
        "It failed after 1 s, reason timeout.",
        "    change: --timeout 2s",
        "That is certain\\x1b[2J.",
    ]
    assert json.loads(ctl("explain", "42", "--json").out)["sentences"] == SENTENCES
    assert ctl("explain", "42", "-q").out == b"42\n"
    broker.answers("explain", RequestError("not_found", "there is no job 9"))
    assert ctl("explain", "9").code == 3
    assert [request.job for request in broker.asked("explain")] == [42, 42, 42, 9]


@pytest.fixture
def well(broker):
    broker.answers("status", {**STATUS, "version": __version__, "socket": broker.path, "state_dir": "/x"})
    broker.answers("doctor", {"checks": CHECKS})
    return broker


def test_doctor(ctl, well):
    result = ctl("doctor")
    assert result.code == 1 and result.talk == "workerctl: 4 ok, 1 skipped, 1 warn\n"
    lines = result.text.splitlines()
    assert lines[0].split()[:4] == ["daemon", "ok", "it", "answers,"]
    start = next(number for number, line in enumerate(lines) if line.startswith("isolation.namespace"))
    assert lines[start].split() == ["isolation.namespace", "warn", "clone:", "no"]
    assert lines[start + 1].strip() == "-> as root: sysctl"
    answer = json.loads(ctl("doctor", "--json").out)
    assert answer["status"] == "warn" and answer["checks"][-3:] == CHECKS
    quiet = ctl("doctor", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (1, b"", b"")


@pytest.mark.parametrize(("worst", "code"), [("ok", 0), ("skipped", 0), ("warn", 1), ("fail", 2), ("new word", 2)])
def test_the_exit_code_is_that_of_the_worst(ctl, well, worst, code):
    well.answers("doctor", {"checks": [{"name": "x", "status": worst, "found": "", "remedy": ""}]})
    assert ctl("doctor").code == code


def by_name(result) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in json.loads(result.out)["checks"]}


def test_what_the_command_sees_itself(ctl, well):
    well.answers("status", {**STATUS, "version": "0.0.9", "state": "stopping", "socket": well.path})
    checks = by_name(ctl("doctor", "--json"))
    assert checks["version"]["status"] == "warn" and "0.0.9" in checks["version"]["found"]
    assert checks["daemon"]["status"] == "warn" and "stopping" in checks["daemon"]["found"]
    assert checks["socket_trust"]["status"] == "ok"


def test_a_member_of_the_group_gets_what_the_command_can_see(ctl, well):
    well.answers("doctor", RequestError("permission_denied", "user 5 may not do this"))
    result = ctl("doctor", "--json")
    assert result.code == 0 and by_name(result)["machine"]["status"] == "skipped"
    well.answers("doctor", RequestError("unknown_op", "there is no operation 'doctor'"))
    assert by_name(ctl("doctor", "--json"))["machine"]["status"] == "fail"


def test_a_daemon_that_does_not_answer_is_a_failure(ctl, broker, monkeypatch):
    monkeypatch.setattr("ctl.session.PATIENCE_S", 0.1)
    broker.answers("status", DROP)
    monkeypatch.setattr("ctl.main.Client", lambda path: __import__("ctl").Client(path, answer_s=1, patience_s=0.1))
    result = ctl("doctor", "--json")
    assert result.code == 2 and by_name(result)["daemon"]["status"] == "fail"


@pytest.mark.parametrize(
    ("code", "out", "err", "expected"),
    [
        (1, json.dumps({"checks": CHECKS}), "", {"daemon": "warn", "workers": "skipped", "space": "ok"}),
        (3, "", "worker-supervisor: a worker-supervisor with pid 5 holds x", {"daemon": "fail"}),
        (2, "", "worker-supervisor: no key 'x'", {"daemon": "warn", "machine": "fail"}),
    ],
)
def test_without_a_daemon_the_machine_is_looked_at(ctl, socket_path, monkeypatch, code, out, err, expected):
    called: list[list[str]] = []

    def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        called.append(words)
        return subprocess.CompletedProcess(words, code, out.encode(), err.encode())

    monkeypatch.setattr("subprocess.run", run)
    result = ctl("--socket", socket_path, "doctor", "--json")
    checks = by_name(result)
    assert {name: checks[name]["status"] for name in expected} == expected
    assert called[0][-4:] == ["doctor", "--json", "--socket", socket_path]
    assert "start one with `worker-supervisor`" in checks["daemon"]["remedy"] or code == 3
    assert result.code == (1 if code == 1 else 2)
    if err:
        assert err.partition(": ")[2] in checks["machine" if code == 2 else "daemon"]["found"]


def test_a_stale_socket_is_told(ctl, socket_path, monkeypatch):
    monkeypatch.setattr("ctl.checkup._supervisor_doctor", lambda path: (0, [], ""))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(socket_path)
    assert (
        "was left by one that was killed"
        in by_name(ctl("--socket", socket_path, "doctor", "--json"))["daemon"]["found"]
    )


def test_a_socket_in_a_folder_of_everybody_is_not_to_be_trusted(tmp_path):
    path = tmp_path / "s"
    path.touch()
    me = os.geteuid()
    assert checkup.socket_check(str(path), me)["status"] == "ok"
    assert checkup.socket_check(str(path), me + 1)["status"] == ("ok" if me == 0 else "warn")
    tmp_path.chmod(0o777)
    assert checkup.socket_check(str(path), me)["status"] == "fail"
    tmp_path.chmod(0o700)
    assert checkup.socket_check(str(tmp_path / "none"), me)["status"] == "warn"


def test_check_config_says_ok_or_what_is_wrong_with_the_file(ctl, broker, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("kill_grace = '2s'\n")
    path.chmod(0o600)
    assert ctl("check-config", "--config", str(path)).text == "ok\n"
    assert ctl("check-config", "--config", str(path), "--json").text == '{"status":"ok"}\n'
    path.write_text("kill_grase = '2s'\n")
    wrong = ctl("check-config", "--config", str(path))
    assert wrong.code == 2 and f"{path}" in wrong.talk and "did you mean 'kill_grace'" in wrong.talk
    assert ctl("check-config", "--config", str(path), "--set", "kill_grace=never").code == 2
    assert broker.requests == []
