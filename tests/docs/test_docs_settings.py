"""Every key and environment variable is documented, and the example in the page is a file that loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supervisor import cli
from supervisor.config import Flags, describe_settings, load
from supervisor.core.job import JobSpec
from supervisor.runtime.plan import Facts, Place, plan_script
from tests.docs.pages import ROOT, fences, first_cells, page, section

TEXT = page("SETTINGS.md")


@pytest.mark.parametrize("key", [key for key, *_ in describe_settings()])
def test_a_key_has_a_row_with_its_default_its_variable_and_its_meaning(key: str) -> None:
    _, _, default, description = next(row for row in describe_settings() if row[0] == key)
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{key}` |")]
    assert f" {default} |" in row
    assert description in row
    assert f"`WORKER_{key.upper().replace('.', '__')}`" in row


def test_there_is_no_row_for_a_key_that_is_gone() -> None:
    rows = {cell for cell in first_cells(TEXT) if re.fullmatch(r"(log|http|pools|queues|retention)\..*|[a-z_]+", cell)}
    assert rows == {key for key, *_ in describe_settings()}


def test_every_flag_of_the_daemon_that_is_a_setting_is_named() -> None:
    flags = {option for action in cli._parser()._actions for option in action.option_strings if len(option) > 2}
    assert [flag for flag in flags - {"--help", "--version", "--json", "--preflight"} if f"`{flag}" not in TEXT] == []


def test_every_variable_that_the_code_reads_is_named() -> None:
    named = section(TEXT, "Environment variables")
    read = _variables_in_code()
    assert {"WORKER_SOCKET", "NO_COLOR", "XDG_STATE_HOME"} <= read, "the search finds what is known to be there"
    assert [name for name in read if f"`{name}`" not in named] == []


def _variables_in_code() -> set[str]:
    """What is looked up by name in an environment, and what is spelt WORKER_…"""
    names: set[str] = set()
    for folder in ("supervisor", "ctl"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            names |= set(re.findall(r"""env(?:iron)?(?:\.get\(|\[)["']([A-Z][A-Z_]+)["']""", text))
            names |= set(re.findall(r"""_xdg\(env, ["']([A-Z_]+)["']""", text))
            names |= set(re.findall(r"""["'](WORKER_[A-Z_]*[A-Z])["']""", text))
    return names


def test_every_variable_that_a_job_gets_is_named() -> None:
    facts = Facts(job=1, attempt=1, queue="q", type="node", passed={}, time_zone="UTC", mark={})
    place = Place(job_dir="/j", output_dir="/o", tmp_dir="/t")
    got = set()
    for job_type in ("node", "python"):
        facts = Facts(**{name: getattr(facts, name) for name in facts.__struct_fields__} | {"type": job_type})
        got |= set(plan_script(JobSpec(main="a"), facts, place, None, b"").env)
    assert got - first_cells(section(TEXT, "Environment variables")) == set()


def test_the_example_loads_and_means_what_its_comments_say(tmp_path: Path) -> None:
    (example,) = fences(TEXT, "toml")
    path = tmp_path / "config.toml"
    path.write_text(example)
    path.chmod(0o600)
    settings = load(Flags(config=str(path)), {"HOME": "/home/ada"})
    assert list(settings.pools) == ["scripts", "untrusted"]
    scripts, untrusted = settings.pools["scripts"], settings.pools["untrusted"]
    assert scripts.queues and untrusted.queues and not set(scripts.queues) & set(untrusted.queues)
    assert (untrusted.isolation_minimum, untrusted.network, untrusted.on_loss) == ("namespace", "never", "fail")
    assert untrusted.limits == untrusted.maxima, "no job gets more than it has by default"
    assert settings.kill_grace_s == 5 and scripts.limits.wall_s == 300 and scripts.maxima.wall_s == 7200
