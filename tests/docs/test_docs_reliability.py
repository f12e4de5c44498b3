"""Every test that RELIABILITY.md and ARCHITECTURE.md name as the holder of a promise exists."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT, page, section

NAMED = re.compile(r"`(tests/[a-z_0-9/]+(?:\.py)?)(?:::(test_[a-z_0-9]+))?`")
ALONE = re.compile(r"`(test_[a-z_0-9]+)`")


def every_test() -> set[str]:
    return {
        name for path in ROOT.glob("tests/**/*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }


@pytest.mark.parametrize("name", ["RELIABILITY.md", "ARCHITECTURE.md"])
def test_every_test_that_is_named_exists(name: str) -> None:
    text = page(name)
    named = NAMED.findall(text)
    assert named
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"
    assert set(ALONE.findall(text)) <= every_test()


def test_both_pages_have_the_same_invariants_each_with_a_holder() -> None:
    here = re.findall(r"^\| (\d+) \| .* \| ([^|]+) \|$", section(page("RELIABILITY.md"), "The invariants"), re.M)
    there = re.findall(r"^\| (\d+) \|", section(page("ARCHITECTURE.md"), "Invariants"), re.M)
    assert [number for number, _ in here] == there == [str(number) for number in range(1, 16)]
    assert all(NAMED.search(holder) for _, holder in here)


def test_no_figure_is_still_to_be_filled_in() -> None:
    assert not re.findall(r"@[A-Z]+@", page("RELIABILITY.md"))
