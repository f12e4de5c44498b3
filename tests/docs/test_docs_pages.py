"""The generated parts are fresh, and no link leads nowhere."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

from tests.docs.pages import DOCS, ROOT, all_pages, headings, page

sys.path.insert(0, str(DOCS))
import generate

LINK = re.compile(r"\]\(([^)\s]+)\)")


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
    targets = LINK.findall(re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL))
    assert [target for target in targets if not leads_somewhere(path, target)] == []


def leads_somewhere(path: pathlib.Path, target: str) -> bool:
    """Whether a link of this page has a file, and there the heading; addresses of elsewhere are not asked."""
    if re.match(r"[a-z]+:", target):
        return True
    file, _, anchor = target.partition("#")
    there = (path.parent / file).resolve() if file else path
    return there.exists() and (not anchor or anchor in anchors(there.read_text()))


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
    linked = set(LINK.findall(page("README.md")))
    pages = [str(path.relative_to(DOCS)) for path in sorted(DOCS.rglob("*.md"))]
    assert [name for name in pages if name not in linked] == ["README.md"]


def test_the_pages_of_the_book_are_numbered_without_a_gap() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", page("README.md"), re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("link", "leads"),
    [("CLI.md", True), ("CLI.md#submit", True), ("#the-tour", False), ("CLI.md#no-such", False), ("NONE.md", False)],
)
def test_a_link_that_leads_nowhere_would_be_found(link: str, leads: bool) -> None:
    assert leads_somewhere(DOCS / "README.md", link) is leads
