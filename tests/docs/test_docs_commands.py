"""Every verb, option and exit code is documented, and every example in the pages is a command line that works."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import ctl.commands
from ctl import exits
from ctl.errors import WorkerctlError
from ctl.parser import main_parser, parse, split, verb_module, verb_parser
from ctl.verbs import VERBS
from supervisor import cli
from supervisor.core import errors
from supervisor.core.names import CODES
from supervisor.doctor.check import EXIT_OF
from tests.docs.pages import FENCE, all_pages, page, section


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def words_of(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_its_section_with_all_its_options(verb: str) -> None:
    assert options_of(verb_parser(verb)) - words_of(section(page("CLI.md"), verb)) == set()


def test_every_command_has_its_verb() -> None:
    folder = Path(ctl.commands.__file__).parent
    of_submit = {"submit-batch"}
    assert {path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py")} - of_submit == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_no_section_shows_an_option_that_is_gone(verb: str) -> None:
    usage = section(page("CLI.md"), verb).partition("```text\n")[2].partition("\n\n")[0]
    assert words_of(usage.replace(f"workerctl {verb}", "")) - options_of(verb_parser(verb)) == set()


def test_contents_and_the_table_of_json_name_every_verb() -> None:
    text = page("CLI.md")
    contents = text[: text.index("\n## ")]
    assert [verb for verb in VERBS if f"[{verb}](#{verb})" not in contents] == []
    rows = "\n".join(line.split("|")[1] for line in section(text, "JSON").splitlines() if line.startswith("|"))
    assert [verb for verb in VERBS if f"`{verb}`" not in rows] == []


def test_the_options_of_the_command_itself_are_there() -> None:
    text = section(page("CLI.md"), "workerctl")
    assert options_of(main_parser()) - words_of(text) == set()
    assert [verb for verb in VERBS if f"  {verb} " not in text] == []


def test_the_options_of_the_daemon_are_there() -> None:
    assert options_of(cli._parser()) - words_of(section(page("CLI.md"), "worker-supervisor")) == set()


def test_every_exit_code_of_workerctl_is_explained() -> None:
    explained = _first_numbers(section(page("REASONS.md"), "Of workerctl"))
    own = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert {code.exit_status for code in CODES.values()} | own <= explained | {128}


def test_every_exit_code_of_the_daemon_is_explained() -> None:
    own = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert _first_numbers(section(page("REASONS.md"), "Of worker-supervisor")) == own


def test_every_exit_code_of_the_daemons_doctor_is_explained() -> None:
    own = {*EXIT_OF.values(), errors.EXIT_SETTINGS, errors.EXIT_HELD}
    assert _first_numbers(section(page("REASONS.md"), "Of worker-supervisor doctor")) == own


def test_what_is_said_to_be_missing_is_missing() -> None:
    there_is = {f"`{word}`" for verb in VERBS for word in (verb, *options_of(verb_parser(verb)))}
    texts = [path.read_text() for path in all_pages() if path.exists()]
    claims = [
        claim
        for text in texts
        for claim in re.findall(r"^Not in this release: (.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    ]
    assert claims
    assert {word for claim in claims for word in re.findall(r"`[a-z-]+`", claim)} & there_is == set()


def _first_numbers(text: str) -> set[int]:
    return {int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}


def examples() -> Iterator[tuple[str, list[str]]]:
    """Each call of one of our commands in a fenced block: every line of `sh`, elsewhere those after a prompt."""
    for path in all_pages():
        text = path.read_text() if path.exists() else ""
        for language, block in FENCE.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                if language == "sh" or line.startswith("$ "):
                    for call in calls(line.removeprefix("$ ")):
                        yield f"{path.name}: {line}", call
    for verb in VERBS:
        for line in verb_module(verb).EXAMPLES:
            for call in calls(line):
                yield f"{verb} --help: {line}", call


def calls(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(re.sub(r"\b\d(?=>)", "", line), posix=True, punctuation_chars=True)
    lexer.commenters = "#"
    lexer.whitespace_split = True
    call: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("();<>|&"):
            if call and call[0].rpartition("/")[2] in ("workerctl", "worker-supervisor"):
                yield call
            call = []
        else:
            call.append(word)


def test_the_examples_use_only_verbs_and_options_that_there_are() -> None:
    found = list(examples())
    assert len(found) > 30, "the search for examples finds some"
    for where, (command, *words) in found:
        try:
            if command.endswith("workerctl"):
                before, verb, after = split(words)
                parse(verb or "status", before, after)
            else:
                cli._parser().parse_args(words)
        except (WorkerctlError, SystemExit) as error:
            raise AssertionError(f"{where}: {error}") from None


def test_an_example_with_a_wrong_option_would_be_found() -> None:
    assert list(calls('id=$(workerctl submit --fast a.js); workerctl wait "$id" 2>err | cat # workerctl x')) == [
        ["workerctl", "submit", "--fast", "a.js"],
        ["workerctl", "wait", "$id"],
    ]
    with pytest.raises(WorkerctlError):
        parse("submit", [], ["--fast", "a.js"])
