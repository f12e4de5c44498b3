"""What people see: everything there is to know, and nothing that could act on their terminal."""

from __future__ import annotations

import json

from fake_broker import STATUS, job_json, waits_for

from supervisor.core.errors import RequestError

HOSTILE = "\x1b[2J\x07evil\u202e\u009b1m\n\udcff".encode(errors="surrogatepass").decode(errors="replace")


def test_nothing_hostile_reaches_the_terminal(ctl, broker, script):
    attempt = {"number": 1, "worker": HOSTILE, "message": HOSTILE, "reason": HOSTILE}
    evil = job_json(
        42,
        "failed",
        name=HOSTILE,
        message=HOSTILE,
        queue=HOSTILE,
        attempts=[attempt],
        result={"k": HOSTILE},
        progress={"percentage": 1, "stage": HOSTILE},
    )
    broker.answers("show", evil)
    broker.answers("list", {"jobs": [evil], "next": None})
    broker.answers("status", STATUS | {"state": HOSTILE, "workers": [STATUS["workers"][0] | {"name": HOSTILE}]})
    broker.answers("health", {"status": "degraded", "reasons": [HOSTILE]})
    broker.answers("cancel", RequestError("wrong_state", HOSTILE))
    broker.on("wait", waits_for(evil))
    everything = [
        ["show", "1"],
        ["show", "1", "--json"],
        ["list"],
        ["list", "--json"],
        ["status"],
        ["status", "1"],
        ["health"],
        ["cancel", "1"],
        ["wait", "42"],
        ["result", "1"],
        [HOSTILE],
        ["list", HOSTILE],
    ]
    for words in everything:
        result = ctl(*words)
        shown = (result.text + result.talk).replace("\n", "")
        assert "evil" in shown, words
        assert shown.isprintable(), (words, shown)


def test_show_for_people_is_complete(ctl, broker):
    attempt = {
        "number": 2,
        "worker": "scripts/2",
        "isolation": "namespace",
        "reason": "memory_limit",
        "exit_code": None,
        "signal": "SIGKILL",
        "evidence": "exact",
        "started_at": "2026-01-02T03:04:05.123456Z",
        "finished_at": "2026-01-02T03:04:06.123456Z",
        "wall_s": 1.0,
        "cpu_s": 0.5,
        "peak_memory_bytes": 512 << 20,
        "stdout_bytes": 10,
        "stderr_bytes": 0,
        "leftover_killed": 2,
        "message": "killed at 512 MiB: raise it with --memory",
    }
    job = job_json(42, "failed", reason="memory_limit", attempts=[attempt], result={"a": 1}, waiting_for=[7])
    broker.answers("show", job | {"progress": {"percentage": 40, "stage": "parsing"}})
    text = ctl("show", "42").text
    for part in (
        "job 42  failed (memory_limit)  file.js",
        "time 10 min, cpu none, memory 512 MiB, processes 256",
        "attempt 2: memory_limit",
        "scripts/2",
        "SIGKILL",
        "evidence exact",
        "peak memory 512 MiB",
        "2 leftover processes killed",
        "killed at 512 MiB: raise it with --memory",
        "40 %, parsing",
        '{"a": 1}',
        "waiting for  7",
    ):
        assert part in text, part
    assert json.loads(ctl("show", "--json", "42").out)["attempts"] == [attempt]
    assert ctl("show", "-q", "42").out == b"42\n"
