"""Many submits under way on one connection: each is answered for itself, once, and durable when it is."""

from __future__ import annotations

import json
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Daemon, running_daemon

CHECKED = """
[pools.scripts]
check = "block"
[queues.small]
max_queued = 3
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("pipelined"), CHECKED, workers=0) as running:
        yield running


def exchange(daemon: Daemon, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """Sends all at once, stops writing, and reads to the end."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(daemon.socket)
        connection.sendall("".join(json.dumps(request) + "\n" for request in requests).encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            return [json.loads(line) for line in answers]


def submit(number: int, prefix: str, **fields: Any) -> dict[str, Any]:
    said = {"request_id": f"{prefix}-request-{number}", "name": "x.js", "source": "1", **fields}
    return {"op": "submit", "id": number, **said}


def test_a_thousand_in_one_breath_are_each_answered_once(daemon: Daemon) -> None:
    answers = exchange(daemon, *(submit(number, "breath", name=f"{number}.js") for number in range(1000)))
    by_id = {answer["id"]: answer["value"] for answer in answers}
    assert len(answers) == len(by_id) == 1000
    assert all(value["created"] and not value["warnings"] for value in by_id.values())
    # Calls run in the order in which they came, so that ids grow with it.
    ids = [by_id[number]["job"] for number in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    with daemon.client() as client:
        assert [client.show(ids[number]).name for number in (0, 500, 999)] == ["0.js", "500.js", "999.js"]
    again = exchange(daemon, *(submit(number, "breath", name=f"{number}.js") for number in range(1000)))
    assert {answer["id"]: answer["value"]["job"] for answer in again} == dict(enumerate(ids))
    assert not any(answer["value"]["created"] for answer in again)


def test_refused_ones_are_told_apart_from_those_beside_them(daemon: Daemon) -> None:
    answers = exchange(
        daemon,
        submit(1, "mixed"),
        submit(2, "mixed", source="eval(x)"),
        submit(3, "mixed", priority=5000),
        submit(4, "mixed", limits={"memory_bytes": 1}),
        submit(5, "mixed", after=[{"job": 10**9}]),
        submit(1, "mixed", source="2") | {"id": 6},
        *(submit(number, "mixed", queue="small") for number in range(10, 15)),
        submit(20, "mixed", type="mail", source=None, params={"to": "you"}),
    )
    said = {answer["id"]: answer.get("code", "ok") for answer in answers}
    assert said == {
        1: "ok",
        2: "blocked",
        3: "bad_request",
        4: "below_floor",
        5: "not_found",
        6: "conflict",
        **dict.fromkeys((10, 11, 12), "ok"),
        **dict.fromkeys((13, 14), "queue_full"),
        20: "ok",
    }
    assert len(answers) == len(said)
    (typed,) = [answer["value"] for answer in answers if answer["id"] == 20]
    assert "no pool takes type 'mail'" in typed["warnings"][0]


def test_a_script_that_was_put_goes_its_long_way_beside_the_others(daemon: Daemon, tmp_path: pathlib.Path) -> None:
    (tmp_path / "data.txt").write_text("data")
    (tmp_path / "main.js").write_text("1")
    with daemon.client() as client:
        answers = client.submit_many(
            [{"file": tmp_path / "main.js"}, {"file": tmp_path / "main.js", "files": [str(tmp_path / "data.txt")]}]
        )
        assert [client.show(answer.id).name for answer in answers] == ["main.js", "main.js"]  # type: ignore[union-attr]


def test_an_idle_workers_lease_is_in_the_transaction_of_the_submit(tmp_path: pathlib.Path) -> None:
    with running_daemon(tmp_path, workers=1) as daemon, daemon.client() as client:
        moments = []
        for _ in range(10):
            job = client.wait(client.submit(source="exit 0", name="x.sh"))
            told = daemon.ctl("events", "--json", "--job", str(job.id), check=True).stdout.splitlines()
            moments.append([event["at"] for event in map(json.loads, told)][:2])
    # As a rule only: the writer may begin before it has heard of both.
    assert sum(submitted == leased for submitted, leased in moments) >= 2
