"""`[[checks]]`: rules replaced, added, switched off, and every mistake answered."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from supervisor.config import Flags, Settings, load
from supervisor.config.checks import BUILT_IN, read_checks
from supervisor.core.errors import SettingsError
from supervisor.core.names import RUNTIMES

RULE = '[[checks]]\nruntime = "node"\nrule = "{}"\npattern = \'{}\'\nmessage = "no"\n'


def given(tmp_path: Path, toml: str, *sets: str) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(toml)
    path.chmod(0o600)
    return load(Flags(config=str(path), sets=sets), {"HOME": "/nowhere"})


def test_without_tables_the_built_in_rules_hold(tmp_path: Path) -> None:
    settings = given(tmp_path, "")
    assert settings.checks == BUILT_IN
    assert settings.pools["scripts"].check == "warn"
    assert given(tmp_path, "", "pools.scripts.check=block").pools["scripts"].check == "block"


def test_a_table_replaces_the_rule_of_its_name_or_adds_one(tmp_path: Path) -> None:
    checks = given(tmp_path, RULE.format("fs", r"\bfs\b") + RULE.format("todo", "TODO")).checks
    changed = {(rule.runtime, rule.rule): rule.pattern for rule in checks}
    assert changed[("node", "fs")] == r"\bfs\b" and changed[("node", "todo")] == "TODO"
    assert len(checks) == len(BUILT_IN) + 1


def test_an_empty_pattern_switches_a_rule_off(tmp_path: Path) -> None:
    checks = given(tmp_path, '[[checks]]\nruntime = "node"\nrule = "fs"\npattern = ""\n').checks
    assert {(rule.runtime, rule.rule) for rule in BUILT_IN} - {(r.runtime, r.rule) for r in checks} == {("node", "fs")}


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (
            RULE.format("x", "("),
            ["config.toml: checks, table 1", "pattern = '('", "not a regular expression", "position"],
        ),
        (RULE.format("x", "a") + RULE.format("y", "*"), ["checks, table 2", "'*'"]),
        (RULE.format("no spaces", "a"), ["rule = 'no spaces'"]),
        (RULE.format("x", "a").replace("node", "ruby"), ["runtime = 'ruby'", ", ".join(RUNTIMES)]),
        (RULE.format("x", "a").replace("message", "mesage"), ["no key 'mesage'", "runtime, rule, pattern, message"]),
        (RULE.format("x", "a").replace('message = "no"', ""), ["message is missing"]),
        (RULE.format("x", "a").replace('"no"', '""'), ["message is empty"]),
        (RULE.format("x", "a").replace('"no"', '"a\\nb"'), ["message = 'a\\nb'", "one line"]),
        (RULE.format("x", "a" * 1001), ["at most 1000 characters"]),
        ('[checks]\nruntime = "node"', ["write [[checks]]"]),
        ("checks = 3", ["write [[checks]]"]),
        ("checks = [1]", ["write [[checks]]"]),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, toml: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        given(tmp_path, toml)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_rules_are_set_in_the_file_alone(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--set checks=x: checks are set in the settings file alone"):
        given(tmp_path, "", "checks=x")


def test_the_page_shows_the_built_in_rules_as_they_are(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "CODE_CHECK.md").read_text()
    shown = page.partition("## The built-in rules")[2].partition("```toml\n")[2].partition("```\n")[0]
    assert read_checks(tomllib.loads(shown)["checks"], "the page") == BUILT_IN
