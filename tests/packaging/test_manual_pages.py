"""The manual pages say what --help says, and both readers of such pages take them without a complaint."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ctl.parser import main_parser, verb_parser
from ctl.verbs import VERBS
from supervisor import cli
from supervisor.config import describe_settings
from tests.harness import CLEAN_ENVIRONMENT, ROOT

MANUAL = ROOT / "packaging/man"
PAGES = ["workerctl.1", "worker-supervisor.8", "worker-supervisor-config.5"]
UTF8 = CLEAN_ENVIRONMENT | {"LC_ALL": "C.UTF-8", "MANWIDTH": "400", "MAN_KEEP_FORMATTING": "", "MANPAGER": "cat"}


def plain(name: str) -> str:
    """The page as it is read, on one line: without markup, with escapes undone."""
    text = re.sub(r"^\.(?!\\\").*?(?= |$)", "", (MANUAL / name).read_text(), flags=re.MULTILINE)
    text = re.sub(r"\\f[BIR]|\\&", "", text)
    for escaped, letter in {r"\-": "-", r"\(aq": "'", r"\(ga": "`", r"\(ti": "~", r"\(ha": "^", r"\e": "\\"}.items():
        text = text.replace(escaped, letter)
    return " ".join(text.split())


def as_it_stands_there(said: str) -> str:
    return " ".join(said.replace("%%", "%").replace("…", "...").split())


def test_every_verb_is_there_with_each_option_and_its_help() -> None:
    text = plain("workerctl.1")
    for parser in [main_parser(), *map(verb_parser, VERBS)]:
        for action in parser._actions:
            if action.dest != "help":
                assert all(option in text for option in action.option_strings), action.option_strings
                assert as_it_stands_there(action.help or "") in text, action.help
    assert [verb for verb in VERBS if f"workerctl {verb} [options]" not in text] == []


def test_every_option_of_the_daemon_is_there_and_none_that_is_hidden() -> None:
    text = plain("worker-supervisor.8")
    for action in cli._parser()._actions:
        for option in action.option_strings:
            assert (option in text) == (option not in ("-h", "--help", "--preflight")), option


def test_every_setting_is_there_with_its_meaning() -> None:
    text = plain("worker-supervisor-config.5")
    for key, _, default, says in describe_settings():
        assert key in text
        assert as_it_stands_there(says) in text, key
        assert f"default: {' '.join(default.split())}" in text, key


@pytest.mark.parametrize("page", PAGES)
def test_nothing_of_it_is_lost_where_only_ascii_can_be_shown(page: str) -> None:
    assert (MANUAL / page).read_text().isascii() and "\\[u" not in (MANUAL / page).read_text()


@pytest.mark.parametrize("page", PAGES)
def test_man_shows_it_without_a_warning(page: str) -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man-db or groff is not installed")
    done = subprocess.run(
        ["man", "--warnings", "-l", str(MANUAL / page)],
        capture_output=True,
        text=True,
        env=UTF8,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    name = page.rpartition(".")[0]
    # A man that was told to keep nothing for small machines prints a notice in the page's place.
    if "minimized" in done.stdout:
        pytest.skip("man is a stub on this machine")
    assert re.search(rf"NAME\n +{name} - ", done.stdout), done.stdout[:300]


@pytest.mark.parametrize("page", PAGES)
def test_mandoc_has_no_complaint(page: str) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", str(MANUAL / page)], capture_output=True, text=True, timeout=30, check=False
    )
    # A page that is made from the code has no date of its own.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []
