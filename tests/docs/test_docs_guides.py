"""What the guides say of ours exists, and what they show was printed by a daemon."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from supervisor.config import Flags, load
from tests.docs.guides import KEYS, OPTIONS, claims, command_error, is_ours, other_codes, scheduled_commands
from tests.docs.likeness import alike
from tests.docs.pages import DOCS, fences
from tests.docs.transcripts import Run, Save, stage, steps
from tests.harness import wait_until

GUIDES = sorted((DOCS / "guides").glob("*.md"))
OF_OTHERS = frozenset({"node_modules", "cron_restart"})
"""Words of other programs that stand in the prose."""
PAGES = [*GUIDES, DOCS / "ONE_MACHINE.md"]


def names(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", GUIDES, ids=names)
def test_everything_in_the_column_of_ours_is_there(path: Path) -> None:
    found = claims(path.read_text())
    assert len(found) > 15, "the search finds the table"
    assert [code for code in found if not is_ours(code)] == []


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_commands_options_and_settings_in_the_text_are_there(path: Path) -> None:
    """An option or key in prose may only be one of ours; those of others stand in their own columns."""
    text = path.read_text()
    ours = [code for code in other_codes(text) if code.startswith(("workerctl ", "worker-supervisor ", "--"))]
    assert [code for code in ours if code != "--" and code not in OPTIONS and not is_ours(code)] == []
    named = [code.partition(" = ")[0] for code in other_codes(text) if re.match(r"[a-z_.]+ = |[a-z]+_[a-z_]+$", code)]
    dotted = [code for code in other_codes(text) if code.startswith(("pools.", "queues.", "retention.", "http."))]
    assert [name for name in [*named, *dotted] if not (is_key(name) or is_ours(name) or name in OF_OTHERS)] == []


def is_key(name: str) -> bool:
    """Whether it is a setting, whole or as it is called in its table."""
    return any(key == name or key.endswith(f".{name}") for key in KEYS)


@pytest.mark.parametrize("path", PAGES, ids=names)
def test_commands_of_crontabs_and_units_are_commands(path: Path) -> None:
    found = list(scheduled_commands(path.read_text()))
    assert len(found) == (4 if path.name == "from-cron.md" else 0)
    assert [error for command in found if (error := command_error(command))] == []


def test_settings_that_a_guide_shows_load(tmp_path: Path) -> None:
    blocks = [block for path in GUIDES for block in fences(path.read_text(), "toml")]
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        file.chmod(0o600)
        load(Flags(config=str(file)), {"HOME": str(tmp_path), "WORKER_SOCKET": "/run/s"})


def test_a_wrong_claim_would_be_found() -> None:
    for right in ("workerctl cancel 7 --wait", "--retries 2 --backoff 1s,2", "pools.NAME.max_rss", "worker_lost"):
        assert is_ours(right), right
    for wrong in (
        "workerctl kill 7",
        "workerctl cancel --force 7",
        "--attempts 3",
        "--retries many",
        "--timeout 5 parsecs",
        "--after JOB",
        "pools.NAME.max_ram",
        "worker_dead",
        "Client.enqueue",
        "context.report",
        "JOB_DATA",
        "GET /queue",
    ):
        assert not is_ours(wrong), wrong
    assert is_key("max_rss") and is_key("kill_grace") and not is_key("max_ram") and not is_key("rss")
    table = "| X | Here |\n| --- | --- |\n| `--attempts 3` | `--attempts 3`, `--retries 2` |\n| `x` | - |\n"
    assert claims(table) == ["--attempts 3", "--retries 2"]


@pytest.mark.parametrize("path", GUIDES, ids=names)
def test_what_a_guide_shows_is_what_a_daemon_prints(path: Path) -> None:
    text = path.read_text()
    if "node " in text and shutil.which("node", path="/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip("needs a `node` in the path of the shell")
    found = steps(text)
    shown = [step for step in found if isinstance(step, Run)]
    assert len(shown) > 1
    with stage(usual_folders=True) as played:
        played.serve([step for step in found if isinstance(step, Save)])
        for step in shown:
            came = played.play(step)
            assert alike(step.prints, came), "\n".join([step.command, *step.prints, "but what came is", *came])
        played.play(Run("workerctl stop", []))
        wait_until(lambda: not played.left(), 10, f"nothing left of the daemon ({played.left()})")
