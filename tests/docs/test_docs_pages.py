"""The generated parts are fresh, and no link leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, ROOT, all_pages, headings, page

sys.path.insert(0, str(DOCS))
import generate

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def test_no_generated_part_is_stale() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["PROTOCOL.md", "CLI.md", "SETTINGS.md", "REASONS.md"])
def test_a_changed_generated_part_would_be_found(name: str) -> None:
    text = page(name)
    last = list(generate.PART.finditer(text))[-1]
    changed = text[: last.end(1)] + last[3].replace(" | ", " | x", 1).replace("usage", "use") + text[last.start(4) :]
    assert changed != text
    assert generate.render(changed) != changed


def test_a_field_without_a_meaning_would_be_found() -> None:
    text = page("PROTOCOL.md").replace("| the job's id |", "| ? |", 1)
    assert generate.unwritten(text) == ["`job`"]
    assert generate.unwritten(page("PROTOCOL.md")) == []


def test_rewriting_keeps_what_was_written_by_hand() -> None:
    text = page("PROTOCOL.md").replace("| greater runs first |", "| the greater, the earlier |")
    assert generate.render(text) == text


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: object) -> None:
    assert isinstance(path, type(DOCS))
    if not path.exists():
        pytest.skip("not written yet")
    for target in LINK.findall(re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name}: {target}"
        if anchor:
            assert anchor in anchors(there.read_text()), f"{path.name}: {target}"


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: path.name)
def test_every_picture_is_there_and_says_what_it_shows(path: object) -> None:
    assert isinstance(path, type(DOCS))
    for says, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", path.read_text() if path.exists() else ""):
        assert says and (path.parent / target).stat().st_size < 100_000, f"{path.name}: {target}"


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    found: set[str] = set()
    for heading in headings(text):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = 1
        while (name := slug if slug not in found else f"{slug}-{number}") in found:
            number += 1
        found.add(name)
    return found


def test_every_page_is_in_the_index() -> None:
    index = page("README.md")
    assert [path.name for path in sorted(DOCS.glob("*.md")) if f"({path.name})" not in index.replace("README", "")] == [
        "README.md"
    ]
