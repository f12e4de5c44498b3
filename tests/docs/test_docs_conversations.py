"""The conversations on the protocol's page are what a daemon says: held again, they come out the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from supervisor.wire.codec import OPS
from supervisor.wire.lease import WorkerRequest
from tests.docs.conversations import conversations, hold, until_settled
from tests.docs.pages import first_cells, page, section
from tests.harness import running_daemon

MEASURED = frozenset(
    {
        "at",
        "submitted_at",
        "due_at",
        "started_at",
        "finished_at",
        "wall_s",
        "cpu_s",
        "peak_memory_bytes",
        "uptime_s",
        "waited_s",
    }
    | {"pid", "worker", "workers", "version", "server", "socket", "state_dir", "isolation", "enforced"}
    | {"owner_uid", "by_uid", "supervisor", "pools", "times", "last_minute"}
)
"""Members whose value differs from run to run, or from machine to machine."""
MEASURED_IN_CHECK = frozenset({"status", "found", "remedy"})
MEASURED_WORDS = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+Z|(?:\d[\d.]* (?:ms|s|min|h|d|B|KiB|MiB|GiB)\b ?)+|\bscripts/\d+|(?<=isolation )[a-z]+"
    r"|(?<=by uid )\d+"
)
"""In the sentences of `explain`: moments, amounts, workers, levels, who paused."""


def test_every_conversation_held_again_is_answered_alike(tmp_path: Path) -> None:
    with running_daemon(tmp_path / "d") as daemon:
        until_settled(daemon)
        for documented in conversations(page("PROTOCOL.md")):
            for (request, shown), (_, came) in zip(
                documented, hold(daemon, [request for request, _ in documented]), strict=True
            ):
                assert [_lasting(line) for line in came] == [_lasting(line) for line in shown], (
                    f"{request}: if this is meant, `python -m tests.docs.conversations` rewrites the page"
                )


def test_every_operation_for_clients_is_shown_in_a_conversation() -> None:
    asked = {request for exchanges in conversations(page("PROTOCOL.md")) for request, _ in exchanges}
    shown = {json.loads(request)["op"] for request in asked if '"op"' in request}
    workers = {struct.__struct_config__.tag for struct in WorkerRequest.__args__}
    assert set(OPS) - workers - {"describe"} <= shown


def test_a_conversation_that_is_answered_otherwise_would_be_found() -> None:
    said = (
        '{"re":"ok","id":1,"value":{"job":4,"sentences":[{"says":"It failed after 4 ms, reason exit.","change":null}]}}'
    )
    assert _lasting(said) == _lasting(said.replace("4 ms", "1 min 2.5 s"))
    assert _lasting(said) != _lasting(said.replace("reason exit", "reason signal"))
    assert _lasting(said) != _lasting(said.replace("null", '"--retries 2"'))
    checked = '{"re":"ok","id":1,"value":{"checks":[{"name":"wal","status":"ok","found":"2 KiB","remedy":""}]}}'
    assert _lasting(checked) == _lasting(checked.replace("2 KiB", "3 KiB").replace('"status":"ok"', '"status":"warn"'))
    assert _lasting(checked) != _lasting(checked.replace("wal", "log"))
    assert _lasting(checked) != _lasting(checked.replace('"found":"2 KiB",', ""))


def test_every_member_of_an_answer_has_a_name_on_the_page() -> None:
    text = page("PROTOCOL.md")
    said = [line for exchanges in conversations(text) for _, lines in exchanges for line in lines]
    unnamed = {name for line in said for name in _members(json.loads(line)) if f"`{name}`" not in text}
    assert unnamed == set()


def test_every_member_of_a_record_has_a_row_with_its_meaning() -> None:
    text = page("PROTOCOL.md")
    values = [json.loads(line).get("value") for said in conversations(text) for _, lines in said for line in lines]
    records = [value for value in values if isinstance(value, dict) and "attempts" in value]
    events = [value for value in values if isinstance(value, dict) and "event" in value]
    attempts = [attempt for record in records for attempt in record["attempts"]]
    assert records and events and attempts
    rows = first_cells(section(text, "The record of a job"))
    assert {name for record in [*records, *attempts] for name in record} - rows == set()
    assert {name for event in events for name in event} - first_cells(section(text, "The record of an event")) == set()


def _lasting(line: str) -> Any:
    answer = _without_measures(json.loads(line))
    if answer.get("code") in ("bad_frame", "bad_request"):
        answer["message"] = "in the words of the JSON decoder"
    return answer


def _without_measures(value: Any, name: str = "") -> Any:
    if name in MEASURED:
        return None if value is None else "something"
    if name == "minutes":
        # A minute may end in the middle of the conversation: then its jobs are in two of the rows.
        return sorted({member for row in value for member in row})
    if name == "says":
        return MEASURED_WORDS.sub("something", value)
    if name == "checks":
        return [_check_without_measures(check) for check in value if not check["name"].startswith("isolation.")]
    if isinstance(value, dict) and "backup" in value:
        return dict.fromkeys(value, "something")
    if isinstance(value, dict):
        return {key: _without_measures(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [_without_measures(member) for member in value]
    return value


def _check_without_measures(check: dict[str, str]) -> dict[str, str]:
    """A check of `doctor`; which levels of isolation have some is the machine's, and so is how each came out."""
    return {key: "something" if key in MEASURED_IN_CHECK else value for key, value in check.items()}


def _members(value: Any, name: str = "") -> Iterator[str]:
    """The names of the members that are the protocol's; below `result` and the tables of `isolation` they are not."""
    if isinstance(value, dict) and name not in ("result", "enforced", "interpreters", "missing", "not_available"):
        for key, member in value.items():
            yield key
            yield from _members(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from _members(member)
