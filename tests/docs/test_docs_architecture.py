"""What the tour of the code names is there, and its layers are those that `lint-imports` holds."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs.pages import ROOT, page, section

TEXT = page("ARCHITECTURE.md")
PATH = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|js|md|jsonl|toml)|(?:[\w-]+/)+)`")


@pytest.mark.parametrize("path", sorted(set(PATH.findall(TEXT)) - {"cache/", "spool/", "work/"}))
def test_a_file_that_is_named_is_there(path: str) -> None:
    """Below the project's folder or `supervisor/`; a bare name stands beside the one before it."""
    here = [ROOT / path, ROOT / "supervisor" / path]
    assert any(one.exists() for one in here) or ("/" not in path and [*(ROOT / "supervisor").rglob(path)])


def test_the_search_for_files_finds_some() -> None:
    found = set(PATH.findall(TEXT))
    assert {"core/classify.py", "broker/ops/", "elements.js", "tests/wire/golden/requests.jsonl"} <= found


def test_the_layers_are_those_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    block = section(TEXT, "Layers").split("```")[1]
    shown = [re.findall(r"supervisor\.\w+", line.partition("   ")[0]) for line in block.splitlines()]
    assert [line for line in shown if line] == [
        names for layer in layers if (names := [name for name in layer.split(" | ") if name != "supervisor.__main__"])
    ]
