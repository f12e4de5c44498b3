"""Webhooks: signed, tried again, at least once, and one address holds up no other."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.gateway_client import SETTINGS, Http, metrics_of
from tests.harness import Daemon, wait_until


class Receiver:
    """An address that webhooks go to; answers what it is told, in turn, then 200."""

    def __init__(self, *answers: int) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self._answers = list(answers)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver._answers.pop(0) if receiver._answers else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def jobs(self) -> list[int]:
        return [json.loads(body)["data"]["job"]["id"] for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver(500)
    yield one
    one.close()


def _open_in(daemon: Daemon) -> list[str]:
    """Where the webhooks go that the ledger has as open."""
    ledger = daemon.state / "webhooks"
    return [url for _, url in json.loads(ledger.read_bytes())["open"]] if ledger.exists() else []


def test_an_address_that_is_dead_holds_up_no_other(make_daemon: Any, receiver: Receiver) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/"  # bound, and nobody listens
        settings = f'{SETTINGS}[[webhooks]]\nurl = "{dead}"\n[[webhooks]]\nurl = "{receiver.url}"\n'
        daemon = make_daemon(settings=settings).start()
        http_ = Http(daemon)
        jobs = [http_.submit("1", type="shell") for _ in range(10)]
        wait_until(lambda: set(receiver.jobs()) == set(jobs), 30, "the webhooks of those that can be told")
        assert metrics_of(http_)["workerctl_webhooks_pending"][()] >= 10
        # Of those that were told, none is told again; of the others, nothing is forgotten.
        wait_until(lambda: _open_in(daemon) == [dead] * 10, 10, "the ledger")
        told = len(receiver.got)
        os.kill(daemon.pid_of("gateway"), signal.SIGKILL)
        wait_until(lambda: metrics_of(Http(daemon))["workerctl_webhooks_pending"][()] == 10, 20, "the open ones, again")
        assert len(receiver.got) == told


def test_a_webhook_is_signed_retried_and_outlives_the_gateway(make_daemon: Any, receiver: Receiver) -> None:
    settings = f'{SETTINGS}webhook_urls = ["{receiver.url}/jobs/"]\n[[webhooks]]\nurl = "{receiver.url}/all"\non = ["failed"]\n'
    daemon = make_daemon(settings=settings).start()
    http_ = Http(daemon)
    key = daemon.ctl("token", "--role", "webhook").stdout.decode().strip()
    fails = http_.submit("process.exit(3)", name="fails.js")
    wait_until(lambda: len(receiver.got) == 2, 15, "the second try")
    (first, body), (second, again) = receiver.got
    assert body == again and first["webhook-id"] == second["webhook-id"]
    message = json.loads(body)
    assert (message["type"], message["data"]["job"]["id"]) == ("job.failed", fails)
    assert (message["data"]["job"]["reason"], message["data"]["job"]["exit_code"]) == ("exit", 3)
    signed = f"{second['webhook-id']}.{second['webhook-timestamp']}.".encode() + again
    mac = hmac.new(base64.b64decode(key.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert second["webhook-signature"] == "v1," + base64.b64encode(mac).decode()

    # Of those that complete only a job's own address hears.
    silent = http_.submit("1")
    own = int(daemon.ctl("submit", "-q", "-", "--webhook", f"{receiver.url}/jobs/1", stdin=b"1").stdout)
    wait_until(lambda: own in receiver.jobs(), 15, "the job's own webhook")
    http_.wait(silent)
    assert silent not in receiver.jobs()
    refused = daemon.ctl("submit", "-", "--webhook", f"{receiver.url}/other", stdin=b"1")
    assert refused.returncode == 6 and b"http.webhook_urls" in refused.stderr

    # While there is no gateway: what ends meanwhile is told later.
    wait_until((daemon.state / "webhooks").exists, 5, "the ledger")
    os.kill(daemon.pid_of("gateway"), signal.SIGKILL)
    missed = int(daemon.ctl("submit", "-q", "-", "--webhook", f"{receiver.url}/jobs/2", stdin=b"1").stdout)
    wait_until(lambda: missed in receiver.jobs(), 20, "the webhook of a job that ended meanwhile")
    assert stat.S_IMODE((daemon.state / "webhooks").stat().st_mode) == 0o600
