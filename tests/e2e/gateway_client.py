"""A client of a daemon's gateway, for tests: requests with a token, streams taken apart, metrics read."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import Daemon

SETTINGS = '[http]\nlisten = "127.0.0.1:0"\nrate = "none"\nheartbeat = "200ms"\n'
TICKS = "let n = 0; const t = setInterval(() => { console.log('tick', ++n); if (n === {n}) clearInterval(t) }, 20)"


class Http:
    """A client of a daemon's gateway, with a token."""

    def __init__(self, daemon: Daemon, role: str = "write") -> None:
        self.daemon = daemon
        found = json.loads(daemon.ctl("token", "--role", role, "--json").stdout)
        self.url, self.token, self.socket = found["url"].rstrip("/"), found["token"], found["socket"]
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30, trust_env=False
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def submit(self, code: str, **options: Any) -> int:
        answer = self.client.post("/jobs", json={"code": code, **options})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def wait(self, job: int) -> dict[str, Any]:
        """The job's record once it is final."""
        assert self.daemon.ctl("wait", str(job)).returncode in (0, 1)
        return dict(self.get(f"/jobs/{job}").json())

    def frames(self, path: str, **headers: str) -> list[dict[str, Any]]:
        """The frames of a stream that ends by itself."""
        with self.client.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            return list(frames_of(answer.iter_lines()))


def frames_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The frames, as a browser would take them apart; comments are left out."""
    frame: dict[str, Any] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if not line:
            if frame:
                yield frame
            frame = {}
            continue
        name, _, value = line.partition(": ")
        frame[name] = json.loads(value) if name in ("data", "id") else value


def output_of(frames: list[dict[str, Any]], stream: str = "stdout", attempt: int = 1) -> bytes:
    """A stream's bytes; every piece must begin where the one before it ended."""
    text = b""
    for frame in frames:
        piece = frame["data"]
        if frame["event"] == "output" and (piece["stream"], piece["attempt"]) == (stream, attempt):
            assert piece["offset"] == len(text), f"a gap or a repeat at {len(text)}: {piece}"
            text += base64.b64decode(piece["data"]) if piece["encoding"] == "base64" else piece["data"].encode()
    return text


def metrics_of(http_: Http) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples by name and by their labels' values, in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(http_.get("/metrics").text):
        for sample in family.samples:
            values = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[values] = sample.value
    return found
