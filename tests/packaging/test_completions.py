"""The installed completion files, in the shells that they are for, beside a daemon whose jobs they offer."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import CLEAN_ENVIRONMENT, ROOT, Daemon, running_daemon

COMPLETIONS = ROOT / "packaging/completions"
LINES = [
    ("workerctl sub", {"submit"}),
    ("workerctl submit --on-loss ", {"requeue", "fail"}),
    ("workerctl show ", {"@last", "1", "2"}),
    ("workerctl submit --after ", {"@last", "1", "2"}),
    ("workerctl events --job ", {"@last", "1", "2"}),
    ("workerctl submit --isolation ", {"namespace", "landlock", "plain"}),
    ("workerctl completion f", {"fish"}),
]
FILES = ["run ", "submit --batch ", "backup ", "artifacts 1 --all ", "check-config --config "]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("daemon")) as daemon:
        daemon.ctl("pause", check=True)
        for _ in range(2):
            daemon.ctl("submit", str(ROOT / "examples/hello.js"), check=True)
        yield daemon


@pytest.fixture(scope="module")
def environment(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One whose `workerctl` is this checkout's, and asks this daemon."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "workerctl"
    command.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m ctl "$@"\n')
    command.chmod(0o755)
    path = f"{folder}:{CLEAN_ENVIRONMENT['PATH']}"
    return CLEAN_ENVIRONMENT | {"PATH": path, "WORKER_SOCKET": daemon.socket, "HOME": str(folder), "TERM": "dumb"}


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def said(command: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=30, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("line", "offered"), LINES)
def test_bash_offers(line: str, offered: set[str], environment: dict[str, str]) -> None:
    words = line.split(" ")
    program = f"""
        source {COMPLETIONS}/workerctl
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}; _workerctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert set(said([shell("bash"), "--norc", "-c", program], environment)) == offered


@pytest.mark.parametrize("line", FILES)
def test_files_are_offered_where_one_is_to_be_named(line: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").touch()
    words = f"workerctl {line}".split(" ")
    program = f"""
        cd {tmp_path}; source {COMPLETIONS}/workerctl
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}; _workerctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert said([shell("bash"), "--norc", "-c", program], environment) == ["one.jsonl"]
    if fish := shutil.which("fish"):
        program = f"cd {tmp_path}; source {COMPLETIONS}/workerctl.fish; complete -C 'workerctl {line}'"
        assert "one.jsonl" in said([fish, "--no-config", "-c", program], environment)


def test_bash_offers_a_file_with_a_space_in_its_name_as_one(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "my script.js").touch()
    program = f"""
        cd {tmp_path}; source {COMPLETIONS}/workerctl
        COMP_WORDS=(workerctl run my); COMP_CWORD=2; _workerctl; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert said([shell("bash"), "--norc", "-c", program], environment) == ["my script.js"]


@pytest.mark.parametrize(("line", "offered"), LINES)
def test_fish_offers(line: str, offered: set[str], environment: dict[str, str]) -> None:
    program = f"source {COMPLETIONS}/workerctl.fish; complete -C '{line}'"
    rows = said([shell("fish"), "--no-config", "-c", program], environment)
    assert {row.partition("\t")[0] for row in rows} == offered


def test_zsh_offers_at_the_first_completion(environment: dict[str, str], tmp_path: Path) -> None:
    """As zsh uses it: a function of $fpath that is loaded when it is wanted for the first time."""
    with Terminal([shell("zsh"), "-f"], environment) as terminal:
        terminal.type(f"fpath=({COMPLETIONS} $fpath); autoload -Uz compinit; compinit -u -d {tmp_path}/dump\n")
        terminal.type("zstyle ':completion:*' verbose no; LISTMAX=0; unsetopt zle_bracketed_paste; PS1='re''ady> '\n")
        terminal.until("ready> ")
        terminal.type("workerctl submit --on-loss re\t")
        terminal.until("--on-loss requeue")
        terminal.type("\x15workerctl show \t\t")
        assert {"@last", "1", "2"} <= set(terminal.until("@last").split())


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.fd, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.unread = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.fd)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, pattern: str, within_s: float = 20) -> str:
        """All that it showed up to a line in which `pattern` is found."""
        deadline = time.monotonic() + within_s
        while not (found := re.search(rf"{pattern}[^\n]*", self.unread)):
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"no {pattern!r} in {self.unread!r}"
            if select.select([self.fd], [], [], left_s)[0]:
                self.unread += os.read(self.fd, 65536).decode(errors="replace")
        shown, self.unread = self.unread[: found.end()], self.unread[found.end() :]
        return shown
