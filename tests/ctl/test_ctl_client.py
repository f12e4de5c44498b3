"""The client against a broker that answers late, wrongly, or not at all."""

from __future__ import annotations

import ast
import socket
import threading
import time
from pathlib import Path

import pytest
from fake_broker import DROP, STREAMED, job_json, said

import ctl
from ctl import Client, InvalidRequest, NoDaemon, NotAllowed, QueueFull, WaitTimeout, WorkerctlError, WrongState
from ctl.errors import DaemonFailed, error_of
from supervisor.core.errors import RequestError
from supervisor.core.names import CODES
from supervisor.wire.codec import OPS
from supervisor.wire.lease import WorkerRequest


def test_submit_says_only_what_was_said(client, broker, script):
    broker.answers("submit", {"job": 42, "created": True, "warnings": ["no pool takes it now"]})
    job = client.submit(script, args=["a", "b"], timeout="30s", memory="256M", cpu="none", retries=2, backoff="2s,3,1m")
    assert (job.id, job.created, job.warnings) == (42, True, ["no pool takes it now"])
    assert said(broker.asked("submit")[0]) == {
        "name": "file.js",
        "source": "console.log('hello')\n",
        "args": ["a", "b"],
        "limits": {"wall_s": 30.0, "memory_bytes": 256 << 20, "cpu_s": None},
        "retries": 2,
        "backoff": {"base_s": 2.0, "factor": 3.0, "cap_s": 60.0},
    }


def test_a_submit_whose_answer_was_lost_is_repeated_with_the_same_id(client, broker, script):
    broker.answers("submit", DROP, DROP, {"job": 42, "created": False, "warnings": []})
    assert client.submit(script).id == 42
    ids = [request.request_id for request in broker.asked("submit")]
    assert len(ids) == 3 and len(set(ids)) == 1


def test_a_commit_of_unknown_outcome_is_repeated_with_the_same_id(client, broker, script):
    broker.answers("submit", RequestError("outcome_unknown", "?"), {"job": 42, "created": True, "warnings": []})
    assert client.submit(script).id == 42
    assert len({request.request_id for request in broker.asked("submit")}) == 1


def test_two_submits_have_two_ids(client, broker, script):
    broker.answers("submit", {"job": 42, "created": True, "warnings": []})
    client.submit(script), client.submit(script)
    assert len({request.request_id for request in broker.asked("submit")}) == 2


def test_an_idle_client_survives_a_restart_of_the_daemon(client, broker):
    broker.answers("status", {"pid": 1})
    client.status()
    broker.stop()
    threading.Timer(0.3, broker.start).start()
    assert client.status() == {"pid": 1}


def test_no_daemon_is_said_at_once_and_names_every_socket(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKER_SOCKET", raising=False)
    began = time.monotonic()
    with pytest.raises(NoDaemon) as caught:
        Client(str(tmp_path / "none.sock")).status()
    assert time.monotonic() - began < 1
    assert caught.value.code == "no_daemon" and caught.value.exit_status == 5
    assert "none.sock (no such file or directory)" in caught.value.message
    assert "worker-supervisor" in caught.value.message


def test_a_daemon_that_does_not_come_back_is_given_up(broker):
    broker.answers("status", {"pid": 1})
    with Client(patience_s=0.3) as client:
        client.status()
        broker.stop()
        with pytest.raises(NoDaemon):
            client.status()
    broker.start()


def test_a_silent_broker_is_given_up_and_not_asked_twice(broker):
    broker.on("status", lambda request, peer: STREAMED)
    with Client(answer_s=0.2) as client, pytest.raises(NoDaemon, match="the broker does not answer") as silence:
        client.status()
    assert "may still do what was asked" in silence.value.message
    assert len(broker.asked("status")) == 1


def test_a_broker_that_accepts_and_says_nothing_is_given_up(socket_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen(1)
        with Client(socket_path, answer_s=0.2) as client, pytest.raises(NoDaemon, match="does not answer"):
            client.status()


def test_something_else_on_the_socket_is_told(socket_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen(1)

        def greet():
            peer, _ = listener.accept()
            peer.sendall(b"220 mail.example.com ESMTP\r\n")
            peer.recv(1000)
            peer.close()

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(NoDaemon, match="does not speak"):
            Client(socket_path).status()
        thread.join()


def test_a_refused_connection_gives_the_brokers_reason(broker, client):
    def refuse(request, peer):
        peer.number = None
        peer.error("busy", "too many connections")
        return DROP

    broker.on("hello", refuse)
    with pytest.raises(DaemonFailed) as caught:
        client.status()
    assert caught.value.code == "busy"


def test_a_request_too_long_for_a_line_is_never_sent(client, broker, script):
    with pytest.raises(InvalidRequest) as caught:
        client.submit(script, args=["x" * (1 << 20)])
    assert caught.value.code == "frame_too_large" and "--file" in caught.value.message
    assert broker.requests == []


@pytest.mark.parametrize("code", CODES)
def test_every_code_becomes_an_error_with_its_exit_status(code, client, broker):
    broker.answers("show", RequestError(code, "why", {"state": "completed"}))
    if code == "outcome_unknown":
        broker.answers("show", RequestError(code, "why"), job_json())
        assert client.show(42).id == 42
        return
    with pytest.raises(WorkerctlError) as caught:
        client.show(42)
    assert (caught.value.code, caught.value.message) == (code, "why")
    assert caught.value.exit_status == CODES[code].exit_status


def test_a_code_of_a_newer_daemon_is_a_failure_of_the_daemon():
    assert type(error_of("brand_new", "x")) is DaemonFailed
    assert error_of("brand_new", "x").exit_status == 7


def test_families_of_errors():
    assert type(error_of("queue_full", "")) is QueueFull
    assert type(error_of("above_maximum", "")) is NotAllowed
    assert type(error_of("wait_timeout", "")) is WaitTimeout


def test_a_cancel_that_worked_and_lost_its_answer_is_a_success(client, broker):
    broker.answers("cancel", DROP, RequestError("wrong_state", "already cancelled", {"state": "cancelled"}))
    assert client.cancel(42, "no longer needed") == "cancelled"
    assert broker.asked("cancel")[0].reason == "no longer needed"


def test_a_first_cancel_of_a_cancelled_job_is_refused(client, broker):
    broker.answers("cancel", RequestError("wrong_state", "already cancelled", {"state": "cancelled"}))
    with pytest.raises(WrongState):
        client.cancel(42)


def test_a_repeated_cancel_of_a_job_that_completed_is_refused(client, broker):
    broker.answers("cancel", DROP, RequestError("wrong_state", "completed", {"state": "completed"}))
    with pytest.raises(WrongState):
        client.cancel(42)


@pytest.mark.parametrize(
    "after",
    [
        job_json(42, "queued"),
        job_json(42, "running", attempt=2),
        job_json(42, "completed", attempt=2, finished_at="2026-01-02T04:00:00.000000Z"),
        job_json(42, "cancelled", finished_at="2026-01-02T04:00:00.000000Z"),
    ],
    ids=["queued", "running", "ran already", "cancelled again"],
)
def test_a_retry_that_worked_and_lost_its_answer_runs_once(client, broker, after):
    broker.answers("show", job_json(42, "failed"), after)
    broker.answers("retry", DROP)
    assert client.retry(42) == after["state"]
    assert len(broker.asked("retry")) == 1


def test_a_retry_that_did_not_work_and_lost_its_answer_is_repeated(client, broker):
    broker.answers("show", job_json(42, "failed"))
    broker.answers("retry", DROP, {"state": "queued"})
    assert client.retry(42) == "queued"


def test_an_upgrade_after_the_broker_was_replaced_is_asked_for_on_a_new_connection(client, broker):
    broker.answers("show", job_json(42))
    client.show(42)
    broker.stop()
    broker.start()
    broker.answers("upgrade", {"before": "0.1.0", "version": "0.2.0"})
    assert client.upgrade()["version"] == "0.2.0"
    assert len(broker.asked("upgrade")) == 1


@pytest.mark.parametrize("after", ["running", "completed"])
def test_a_retry_of_a_job_that_was_not_over_and_lost_its_answer_is_asked_for_again(client, broker, after):
    broker.answers("show", job_json(42, "running"), job_json(42, after))
    broker.answers("retry", DROP, RequestError("wrong_state", "running", {"state": "running"}))
    with pytest.raises(WrongState):
        client.retry(42)


def test_a_retry_in_the_wrong_state_is_refused(client, broker):
    broker.answers("show", job_json(42, "running"))
    broker.answers("retry", RequestError("wrong_state", "running", {"state": "running"}))
    with pytest.raises(WrongState):
        client.retry(42)


def test_stop_whose_answer_is_cut_off_by_the_end_of_the_daemon(client, broker):
    def stop(request, peer):
        broker.stop()
        return DROP

    broker.on("stop", stop)
    assert client.stop() == "stopping"
    broker.start()


def test_every_operation_of_the_protocol_is_one_that_the_client_asks_for():
    """All but `describe`, which is for people who write clients."""
    sends = ("_ask", "ask", "call", "call_each", "stream")
    code = [ast.parse(path.read_text()) for path in Path(ctl.__file__).parent.rglob("*.py")]
    calls = [node for tree in code for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    first = [call.args[0] for call in calls if ast.unparse(call.func).rpartition(".")[2] in sends]
    asked = {argument.value for argument in first if isinstance(argument, ast.Constant)}
    of_workers = {struct.__struct_config__.tag for struct in WorkerRequest.__args__}
    assert set(OPS) - of_workers - asked == {"describe"}
