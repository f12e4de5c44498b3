"""Completion scripts, used as a shell uses them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from fake_broker import ROOT, job_json


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("workerctl sub", {"submit"}),
        ("workerctl --json st", {"stats", "status", "stop"}),
        ("workerctl submit --mem", {"--memory"}),
        ("workerctl submit --on-loss ", {"requeue", "fail"}),
        ("workerctl list --state f", {"failed"}),
        ("workerctl --socket x show ", {"@last", "42", "7"}),
        ("workerctl cancel 42 7", {"7"}),
        ("workerctl completion z", {"zsh"}),
        ("workerctl submit pyproj", {"pyproject.toml"}),
        ("workerctl submit --queue ", set()),
    ],
)
def test_bash_completes(broker, tmp_path, line, offered):
    broker.answers("list", {"jobs": [job_json(42), job_json(7)], "next": None})
    command = tmp_path / "workerctl"
    command.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m ctl "$@"\n')
    command.chmod(0o755)
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source <({command} completion bash); COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _workerctl; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", program],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_name_every_verb_and_option(ctl, shell):
    from ctl.shells import options_of
    from ctl.verbs import VERBS

    text = ctl("completion", shell).text
    for verb in VERBS:
        assert verb in text
        for option in options_of(verb):
            for flag in option.flags:
                assert (flag if shell != "fish" else f"-l {flag[2:]}" if flag[:2] == "--" else f"-s {flag[1:]}") in text


def test_completion_scripts_are_valid_bash(ctl, tmp_path):
    path = tmp_path / "c"
    path.write_bytes(ctl("completion", "bash").out)
    assert subprocess.run(["bash", "-n", str(path)], check=True, capture_output=True, timeout=10).stderr == b""
