"""The handler and the tests that HANDLERS.md shows are run as they stand there; its table of names is complete."""

from __future__ import annotations

import sys
import types

import pytest

from supervisor import Context, Job, JobWorker
from tests.docs.pages import fences, first_cells, page

TEXT = page("HANDLERS.md")
HANDLER, TESTS = fences(TEXT, "python")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the tests of the page define, with its handler to import."""
    module = types.ModuleType("images")
    exec(compile(HANDLER, "HANDLERS.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "images", module)
    names: dict[str, object] = {}
    exec(compile(TESTS, "HANDLERS.md", "exec"), names)
    return names


@pytest.mark.parametrize("name", [line[4:-3] for line in TESTS.splitlines() if line.startswith("def test_")])
def test_a_test_of_the_page_passes(shown: dict[str, object], name: str) -> None:
    test = shown[name]
    assert callable(test)
    test()


def test_everything_that_a_handler_has_and_is_given_is_named() -> None:
    own = {name for name in vars(JobWorker) if not name.startswith("_")}
    named = {cell.partition("(")[0] for cell in first_cells(TEXT)}
    assert own <= named
    assert all(f"`{name}`" in TEXT for name in Job.__slots__)
    assert all(f"`context.{name}" in TEXT for name in ("log", *vars(Context)) if not name.startswith("_"))
