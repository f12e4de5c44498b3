"""The pages of the documentation, cut into what the tests ask for."""

from __future__ import annotations

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text()


def all_pages() -> list[pathlib.Path]:
    """Every page that people read, the project's front page too."""
    examples = sorted((ROOT / "examples").rglob("README.md"))
    return [*sorted(DOCS.rglob("*.md")), *examples, ROOT / "README.md", ROOT / "CHANGELOG.md"]


def section(text: str, heading: str) -> str:
    """What stands below a heading, down to the next one of its rank; fails if there is none of that name."""
    lines = _without_fences(text).splitlines()
    shown = text.splitlines()
    for number, line in enumerate(lines):
        if re.fullmatch(rf"#+ {re.escape(heading)}", line):
            rank = len(line) - len(line.lstrip("#"))
            for end in range(number + 1, len(lines)):
                if re.match(rf"#{{1,{rank}}} ", lines[end]):
                    return "\n".join(shown[number + 1 : end])
            return "\n".join(shown[number + 1 :])
    raise AssertionError(f"there is no heading {heading!r}")


def headings(text: str) -> list[str]:
    """All headings."""
    return re.findall(r"^#+ (.*)$", _without_fences(text), re.MULTILINE)


def first_cells(text: str) -> set[str]:
    """What is in backticks in the first column of the tables."""
    rows = re.findall(r"^\| ((?:`[^`]*`(?:, )?)+)", text, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([^`]*)`", row)}


def fences(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [body for found, body in FENCE.findall(text) if found == language]


def _without_fences(text: str) -> str:
    """The same number of lines, those of fenced blocks empty."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
