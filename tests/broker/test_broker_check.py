"""The code check: a table of lines and rules; bounds; the built-in patterns."""

from __future__ import annotations

import tarfile
import time
from io import BytesIO
from pathlib import Path

import pytest

from supervisor.broker.check import CPU_S, MAX_FINDINGS, Checked, Checker, blocked
from supervisor.broker.script_text import _member
from supervisor.config import CheckRule
from supervisor.config.checks import BUILT_IN
from supervisor.core.job import Finding

CHECKER = Checker(BUILT_IN)

FLAGGED = {
    "node": {
        "child_process": [
            "const cp = require('child_process')",
            'import { spawn } from "node:child_process"',
            "await import('child_process')",
        ],
        "fs": [
            "const fs = require('fs')",
            'require( "node:fs/promises" )',
            "import fs from 'fs'",
            "import{readFileSync}from'fs'",
            "import 'fs'",
            "await import(`fs`)",
        ],
        "process_exit": ["process.exit(1)", "process . exit ()", "process.abort()"],
        "endless_loop": ["while(true){}", "while ( 1 )", "for(;;);", "for (let i = 0;;i++) {", "while(!0)"],
        "eval": ["eval('1')", "new Function('a', 'b')"],
        "network": ["require('http')", "import net from 'node:net'", "import https from 'https'", "await fetch(url)"],
    },
    "python": {
        "subprocess": ["import subprocess", "from subprocess import run", "os.system('ls')", "os.execv(a, b)"],
        "os_exit": ["os._exit(0)"],
        "endless_loop": ["while True:", "while (True):", "    while 1 :"],
        "eval": ["eval(x)", "x = exec (y)"],
        "network": ["import socket", "from urllib.request import urlopen", "import requests"],
    },
    "shell": {
        "endless_loop": ["while true; do", "while :; do :; done", "until false", "while true"],
        "eval": ['eval "$x"', "x && eval y"],
        "network": ["curl -s x", "x=$(wget -O- y)", "ssh host"],
        "background": ["sleep 5 &", "worker.sh & "],
    },
}
PASSED = {
    "node": [
        "console.log('fs')",
        "const offset = require('./fs.js')",
        "process.exitCode = 1",
        "while (trueish) {}",
        "for (let i = 0; i < 3; i++) {}",
        "evaluate(x); retrieval(y)",
        "const n = require('network')",
        "for (const a of b) {}",
    ],
    "python": ["model.eval()", "re.exec(x)", "while x:", "# sockets are fine", "print('os')", "sys.exit(1)"],
    "shell": ["a && b", "cmd 2>&1", "cmd &> file", "./curl-like x", "while read -r line; do", "echo evaluate"],
}


@pytest.mark.parametrize(
    ("runtime", "rule", "line"),
    [(runtime, rule, line) for runtime, rules in FLAGGED.items() for rule, lines in rules.items() for line in lines],
)
def test_a_line_that_a_built_in_rule_is_for(runtime: str, rule: str, line: str) -> None:
    assert [(one.line, one.rule) for one in CHECKER.check(runtime, f"\n{line}\n").findings] == [(2, rule)]


@pytest.mark.parametrize(("runtime", "line"), [(runtime, line) for runtime, lines in PASSED.items() for line in lines])
def test_a_line_that_no_built_in_rule_is_for(runtime: str, line: str) -> None:
    assert CHECKER.check(runtime, line) == Checked()


def test_every_built_in_rule_has_lines_in_the_table() -> None:
    assert {(rule.runtime, rule.rule) for rule in BUILT_IN} == {
        (runtime, rule) for runtime, rules in FLAGGED.items() for rule in rules
    }


def rules(*patterns: str) -> Checker:
    return Checker([CheckRule("node", f"r{n}", pattern, "no") for n, pattern in enumerate(patterns)])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("a", [(1, "r0")]),
        ("x\r\na b\r\n", [(2, "r0"), (2, "r1")]),
        ("b\na\nb", [(1, "r1"), (2, "r0"), (3, "r1")]),
        ("x" * 1999 + "a", [(1, "r0")]),
        ("x" * 2000 + "a", []),
        ("a" * 3, [(1, "r0")]),
    ],
)
def test_each_line_is_looked_at_once_by_each_rule(text: str, found: list[tuple[int, str]]) -> None:
    assert [(one.line, one.rule) for one in rules("a", "b$").check("node", text).findings] == found


def test_a_runtime_without_rules_has_no_findings() -> None:
    assert not CHECKER.knows("exec") and CHECKER.knows("shell")
    assert CHECKER.check("exec", "eval(x)") == Checked()


def test_there_are_at_most_so_many_findings() -> None:
    checked = rules("a").check("node", "a\n" * 500)
    assert len(checked.findings) == MAX_FINDINGS and "stopped at 100" in str(checked.note)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", ".*a.*a.*a.*a.*a.*z"])
def test_a_pattern_that_never_ends_is_given_up(pattern: str) -> None:
    before = time.process_time()
    checked = rules("eval", pattern).check("node", "eval\n" + "a" * 1900 + "b")
    assert [one.rule for one in checked.findings] == ["r0"] and "gave up" in str(checked.note)
    assert time.process_time() - before < CPU_S + 1


@pytest.mark.parametrize(
    "line",
    [" " * 2000, "while" + " " * 1990, "for(" * 500, "import " * 280, "&" * 2000, "a(" * 1000, "\t" * 1999 + "x"],
)
def test_no_hostile_line_makes_the_built_in_rules_slow(line: str) -> None:
    for runtime in FLAGGED:
        before = time.process_time()
        assert CHECKER.check(runtime, line).note is None
        assert time.process_time() - before < 0.1


def test_a_text_of_nothing_but_line_ends_is_bounded() -> None:
    before = time.process_time()
    CHECKER.check("node", ";\n" * (128 << 10))
    assert time.process_time() - before < CPU_S + 1


def test_a_refusal_names_the_first_findings_and_carries_all() -> None:
    findings = tuple(Finding(line=n, rule="eval", message="runs text as code") for n in range(1, 8))
    error = blocked("a.js", "web", Checked(findings))
    assert error.code == "blocked"
    assert "line 5: eval: runs text as code; 2 more\n" in error.message and "line 6" not in error.message
    assert "pools.web.check" in error.message
    assert error.data is not None and [one["line"] for one in error.data["findings"]] == list(range(1, 8))


def test_the_main_script_is_found_in_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("./index.js", b"one"), ("src/a.js", b"two" * 9)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, BytesIO(data))
        link = tarfile.TarInfo("link.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert _member(str(path), "index.js", 99) == b"one"
    assert _member(str(path), "src/a.js", 4) == b"twot"
    assert _member(str(path), "link.js", 99) is None
    assert _member(str(path), "other.js", 99) is None
    path.write_bytes(b"\0garbage" * 999)
    assert _member(str(path), "index.js", 99) is None
