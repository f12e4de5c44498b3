"""Pages that hold one session after the other are true: what stands behind `$` is typed, in its order."""

from __future__ import annotations

import re

import pytest

from tests.docs.likeness import alike
from tests.docs.pages import page, section
from tests.docs.transcripts import Run, Save, stage, steps
from tests.harness import wait_until

SCRIPT = steps(page("CODE_CHECK.md"))[0]
SESSIONS = {
    "artifacts": (page("ARTIFACTS.md"), []),
    "findings": (page("CODE_CHECK.md").partition("\n## ")[0], []),
    "block": (
        section(page("CODE_CHECK.md"), "Modes"),
        [Save("config.toml", '[pools.scripts]\ncheck = "block"\n', False)],
    ),
}


def files_shown(found: list[Run]) -> list[Save]:
    """Scripts that a page shows by `cat`: it is then that they are made."""
    named = {match[1]: run.prints for run in found if (match := re.fullmatch(r"cat ([\w.]+)", run.command))}
    return [Save(name, "\n".join(lines) + "\n", False) for name, lines in named.items()]


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_prints_what_the_page_shows(name: str) -> None:
    text, files = SESSIONS[name]
    assert isinstance(SCRIPT, Run)
    shown = [step for step in steps(text) if isinstance(step, Run)]
    assert shown
    with stage(usual_folders=True) as played:
        played.serve([*files_shown([SCRIPT, *shown]), *files])
        for step in shown:
            came = played.play(step)
            assert alike(step.prints, came), "\n".join([step.command, *step.prints, "but what came is", *came])
        played.play(Run("workerctl stop", []))
        wait_until(lambda: not played.left(), 10, f"nothing left of the daemon ({played.left()})")
