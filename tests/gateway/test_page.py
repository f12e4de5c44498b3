"""The dashboard's files: what they may not hold, that they are shipped, and what their pure parts decide, run in Node."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from supervisor.gateway import pages

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted(path for path in pages.FOLDER.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
PARSES_TEXT = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|setHTML"
    r"|\beval\b|new Function|[\"']javascript:|import\(|setTimeout\([\"'`]|cssText|localStorage|document\.cookie"
)
"""Turns text into more than text, or keeps the token longer than the tab."""


# What is in them


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_makes_anything_but_text_of_a_text(path: pathlib.Path) -> None:
    assert re.findall(PARSES_TEXT, path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_names_another_host(path: pathlib.Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?:|url\(|@import|//[a-z0-9-]+\.[a-z]", text) == []


def test_nothing_is_inline_in_the_page() -> None:
    text = (pages.FOLDER / pages.INDEX).read_text()
    assert re.findall(r"<style|style=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text) == []


def test_each_file_is_served_and_shipped() -> None:
    served = pages.Pages()
    assert all(f"/{path.relative_to(pages.FOLDER).as_posix()}" in served for path in FILES)
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["supervisor"]
    assert "gateway/page/*" in shipped
    assert all(path.parent == pages.FOLDER for path in FILES), "package-data has the files of one folder alone"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_each_script_imports_what_there_is(path: pathlib.Path) -> None:
    for names, file in re.findall(r"^import \{([^}]*)\} from \"\./([^\"]+)\"", path.read_text(), re.MULTILINE):
        text = (pages.FOLDER / file).read_text()
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^export (async )?(class|function|const) {name}\b", text, re.MULTILINE), name
            assert len(re.findall(rf"\b{name}\b", path.read_text())) > 1, f"{name} is not used"


# What they decide


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Any], Any]:
    """Runs an expression over each of the values, in Node, with the page's modules."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node on the PATH")
    folder = tmp_path_factory.mktemp("page") / "page"
    shutil.copytree(pages.FOLDER, folder)
    (folder / "package.json").write_text('{"type": "module"}')

    def run(script: str, values: Any) -> Any:
        (folder / "run.js").write_text(
            'import { readFileSync } from "node:fs"; import { Terminal } from "./terminal.js";'
            'import { FrameReader } from "./stream.js"; import * as words from "./words.js";'
            f"const each = {script};"
            'const values = JSON.parse(readFileSync(0, "utf8"));'
            "process.stdout.write(JSON.stringify(values.map(each)));"
        )
        done = subprocess.run(
            [program, "run.js"], cwd=folder, input=json.dumps(values).encode(), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    return run


LINES_OF = """(pieces) => {
  const terminal = new Terminal();
  const lines = pieces.flatMap((piece) => terminal.write(Buffer.from(piece, "latin1")));
  return [...lines, terminal.line()].map((line) => line.map(({ text, style }) => [text, style]));
}"""
PLAIN: dict[str, Any] = {}
RED = {"fg": 1}
PRINTED: list[tuple[str, list[str], list[list[Any]]]] = [
    ("a line and the rest", ["one\ntwo"], [[["one", PLAIN]], [["two", PLAIN]]]),
    ("a colour and its end", ["\x1b[31mred\x1b[0m no"], [[["red", RED], [" no", PLAIN]]]),
    ("a colour goes on behind the line", ["\x1b[31ma\nb"], [[["a", RED]], [["b", RED]]]),
    ("cut in the midst of everything", ["\x1b", "[3", "1m\xc3", "\xa9"], [[["é", RED]]]),
    ("several at once, off again", ["\x1b[1;4;32mx\x1b[22;24my\x1b[39mz"],
     [[["x", {"bold": True, "underline": True, "fg": 2}], ["y", {"fg": 2}], ["z", PLAIN]]]),
    ("bright ones and grounds", ["\x1b[97;44mx\x1b[101my"], [[["x", {"fg": 15, "bg": 4}], ["y", {"fg": 15, "bg": 9}]]]),
    ("one of 256", ["\x1b[38;5;9ma\x1b[38;5;16mb\x1b[48;5;255mc"],
     [[["a", {"fg": 9}], ["b", {"fg": "rgb(0, 0, 0)"}], ["c", {"fg": "rgb(0, 0, 0)", "bg": "rgb(238, 238, 238)"}]]]),
    ("a true colour", ["\x1b[38;2;10;20;30mx"], [[["x", {"fg": "rgb(10, 20, 30)"}]]]),
    ("numbers out of range are no colour", ["\x1b[38;2;1;2;999mx\x1b[38;5;256my\x1b[38;2;1mz"], [[["xyz", PLAIN]]]),
    ("a return overwrites", ["10 %\r20 %\r5"], [[["50 %", PLAIN]]]),
    ("a return and a line end", ["windows\r\nline"], [[["windows", PLAIN]], [["line", PLAIN]]]),
    ("erased to the end", ["a long line\r\x1b[Kshort"], [[["short", PLAIN]]]),
    ("a step back", ["abc\b\bX"], [[["aXc", PLAIN]]]),
    ("titles and links are left out", ["\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b"], [[["ab", PLAIN]]]),
    ("moves of the cursor are left out", ["\x1b[2J\x1b[10;10Ha\x1b[?25lb"], [[["ab", PLAIN]]]),
    ("what is never ended ends with its line", ["\x1b]0;never\nseen\n\x1b[31\nseen"],
     [[], [["seen", PLAIN]], [], [["seen", PLAIN]]]),
    ("another character set is left out", ["\x1b(0x"], [[["x", PLAIN]]]),
    ("control characters are shown", ["\x00\x07\x7f"], [[["\u2400\u2407\u2421", PLAIN]]]),
    ("what is no text is shown as that", ["\xff"], [[["\ufffd", PLAIN]]]),
    ("what turns the direction round is shown", ["a\xe2\x80\xaeb"], [[["a<U+202E>b", PLAIN]]]),
    ("a plane beyond", ["\xf0\x9f\x98\x80!"], [[["\U0001f600!", PLAIN]]]),
]  # fmt: skip


def test_what_is_printed_becomes_lines_of_styled_text(node: Callable[[str, Any], Any]) -> None:
    shown = node(LINES_OF, [pieces for _, pieces, _ in PRINTED])
    for (title, pieces, lines), found in zip(PRINTED, shown, strict=True):
        assert found == lines, f"{title}: {pieces}"


def test_a_terminal_keeps_no_more_than_a_line_of_whatever_comes(node: Callable[[str, Any], Any]) -> None:
    script = """(text) => {
      const terminal = new Terminal();
      const lines = [];
      for (let n = 0; n < 200; n += 1) lines.push(...terminal.write(Buffer.from(text.repeat(500))));
      const length = (line) => line.reduce((sum, { text }) => sum + text.length, 0);
      return Math.max(...[...lines, terminal.line()].map(length));
    }"""
    longest = node(script, ["x", "\u001b[", "\u001b]0;", "1;", "\u001b[31m\u0008", "\r\t"])
    assert longest[0] == 2000
    assert all(length <= 2000 for length in longest)


def test_frames_are_taken_apart_wherever_the_stream_is_cut(node: Callable[[str, Any], Any]) -> None:
    text = ': here\n\nid: 7\nevent: running\ndata: {"job":1}\n\nevent: output\ndata: {"data":"a\\n\\nb: c"}\n\nid: 8\n'
    frames = [
        {"id": 7, "event": "running", "data": {"job": 1}},
        {"id": None, "event": "output", "data": {"data": "a\n\nb: c"}},
    ]
    script = "([size, text]) => { const reader = new FrameReader(); const frames = [];"
    script += "for (let at = 0; at < text.length; at += size) frames.push(...reader.push(text.slice(at, at + size)));"
    script += "return frames }"
    assert node(script, [[size, text] for size in (1, 2, 3, 7, 1000)]) == [frames] * 5


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("duration", {0.0004: "0 ms", 0.85: "850 ms", 4.2: "4.2 s", 59.4: "59 s", 60: "1 min", 200: "3 min 20 s",
                      3600: "1 h", 18420: "5 h 7 min", 275000: "3 d 4 h", -3: "0 s"}),
        ("bytes", {0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 536870912: "512 MiB", 2**41: "2 TiB"}),
        ("visible", {"a\tb\nc": "a\u2409b\u240ac", "\u202e": "<U+202E>", "<b>": "<b>", "\u200b\ufeff": "<U+200B><U+FEFF>",
                     "e\u0301 \U0001f600": "e\u0301 \U0001f600"}),
    ],
)  # fmt: skip
def test_numbers_and_foreign_texts_in_words(node: Callable[[str, Any], Any], word: str, said: dict[Any, str]) -> None:
    assert node(f"words.{word}", list(said)) == list(said.values())
