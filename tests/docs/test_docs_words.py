"""Every operation, state, reason, kind of evidence, code and event stands where a reader looks for it."""

from __future__ import annotations

import ast
import re

import pytest

from supervisor.core.names import CODES, EVENTS, EVIDENCE, ISOLATION, REASONS, STATES
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


def test_there_is_no_section_for_an_operation_that_is_gone() -> None:
    text = page("PROTOCOL.md")
    chapters = section(text, "Operations") + section(text, "For workers only")
    described = {line.removeprefix("### ") for line in chapters.splitlines() if line.startswith("### ")}
    assert described == set(OPS)


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


def _literal_kinds() -> set[str]:
    """The kinds that are given as words, in calls of `emit(job, KIND, …)` and `record_event(tx, KIND, …)`."""
    kinds = set()
    for path in (ROOT / "supervisor").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("emit", "record_event"):
                kind = node.args[1] if len(node.args) > 2 else None
                if isinstance(kind, ast.Constant):
                    kinds.add(kind.value)
    assert {"submitted", "progress", "daemon_started"} <= kinds, "the search finds what is known to be there"
    return kinds
