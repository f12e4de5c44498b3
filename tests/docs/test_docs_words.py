"""Every operation, state, reason, kind of evidence, code and event stands where a reader looks for it."""

from __future__ import annotations

import ast
import re
from typing import Final

import pytest

from supervisor.broker.ops import GROUP_OPS
from supervisor.core.names import CODES, EVENTS, EVIDENCE, ISOLATION, REASONS, RUNTIMES, STATES
from supervisor.core.state import Cue
from supervisor.wire.codec import OPS
from supervisor.wire.lease import WorkerRequest
from tests.docs.pages import ROOT, first_cells, headings, page, section

WORKER_OPS = {str(struct.__struct_config__.tag) for struct in WorkerRequest.__args__}


@pytest.mark.parametrize("op", OPS)
def test_an_operation_has_its_section_with_its_table_of_fields(op: str) -> None:
    chapter = section(page("PROTOCOL.md"), "For workers only" if op in WORKER_OPS else "Operations")
    assert op in headings(chapter)
    assert f"<!-- generated: op {op} -->" in section(chapter, op)


def test_what_members_of_the_group_may_not_do_is_said_where_permissions_are() -> None:
    text = section(page("PROTOCOL.md"), "Socket and permissions")
    (row,) = [line for line in text.splitlines() if line.startswith("| a member of `socket_group` |")]
    refused = {name for name, struct in OPS.items() if name not in WORKER_OPS and struct not in GROUP_OPS}
    assert set(re.findall(r"`(\w+)`", row)) - {"socket_group"} == refused


def test_every_runtime_and_its_endings_stand_where_a_type_is_described() -> None:
    (row,) = [line for line in section(page("PROTOCOL.md"), "submit").splitlines() if line.startswith("| `type` |")]
    (rule,) = [line for line in page("CODE_CHECK.md").splitlines() if line.startswith("| `runtime` |")]
    for runtime, endings in RUNTIMES.items():
        assert f"`{runtime}`" in row and f"`{runtime}`" in rule
        assert " ".join(endings) in row


def test_there_is_no_section_for_an_operation_that_is_gone() -> None:
    text = page("PROTOCOL.md")
    chapters = section(text, "Operations") + section(text, "For workers only")
    described = {line.removeprefix("### ") for line in chapters.splitlines() if line.startswith("### ")}
    assert described == set(OPS)


def test_contents_and_the_table_of_repetition_name_every_operation_for_clients() -> None:
    text = page("PROTOCOL.md")
    for_clients = set(OPS) - WORKER_OPS
    contents = text[: text.index("\n## ")]
    assert {op for op in for_clients if f"[{op}](#{op})" not in contents} == set()
    assert for_clients <= first_cells(section(text, "Request ids and repetition"))


def test_an_operation_that_is_said_to_be_missing_is_missing() -> None:
    claims = re.findall(r"^Not in this release: (.*?)\n\n", page("PROTOCOL.md"), re.MULTILINE | re.DOTALL)
    assert claims
    assert {word for claim in claims for word in re.findall(r"\w+", claim)} & set(OPS) == set()


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("States", STATES),
        ("Reasons", REASONS),
        ("Evidence", EVIDENCE),
        ("Isolation levels", ISOLATION),
        ("Error codes", CODES),
    ],
    ids=["states", "reasons", "evidence", "isolation", "codes"],
)
def test_the_words_stand_in_their_table(heading: str, words: dict[str, object]) -> None:
    assert set(words) - first_cells(section(page("REASONS.md"), heading)) == set()


def test_the_codes_stand_on_the_protocols_page_too() -> None:
    assert first_cells(section(page("PROTOCOL.md"), "Errors")) == set(CODES)


def test_every_kind_of_event_that_the_store_records_is_described() -> None:
    kinds = {str(cue) for cue in Cue} | _literal_kinds()
    assert kinds <= set(EVENTS), "core.names.EVENTS is the one table of them"
    assert first_cells(section(page("PROTOCOL.md"), "The record of an event")) >= set(EVENTS)


@pytest.mark.parametrize("words", [EVENTS, REASONS], ids=["events", "reasons"])
def test_no_word_is_described_that_nothing_says(words: dict[str, str]) -> None:
    code = [path for path in (ROOT / "supervisor").rglob("*.py") if path.name != "names.py"]
    nodes = [node for path in code for node in ast.walk(ast.parse(path.read_text()))]
    said = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert set(words) - said == set()


KIND_IS: Final = {"emit": 1, "record_event": 1, "Event": 3}
"""Which argument of a call is the kind: `emit(job, KIND, …)`, `record_event(tx, KIND, …)`, `Event(id, job, at, KIND, …)`."""


def _literal_kinds() -> set[str]:
    """The kinds that are given as words."""
    kinds = set()
    for path in (ROOT / "supervisor").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                place = KIND_IS.get(ast.unparse(node.func).rpartition(".")[2], len(node.args))
                kind = node.args[place] if len(node.args) > place else None
                if isinstance(kind, ast.Constant):
                    kinds.add(kind.value)
    assert {"submitted", "progress", "daemon_started"} <= kinds, "the search finds what is known to be there"
    return kinds
