"""The front page's short tour is true: its commands are typed one after the other, its snippets are run."""

from __future__ import annotations

import shutil

from tests.docs.likeness import alike, in_order
from tests.docs.pages import ROOT, fences
from tests.docs.transcripts import Run, Save, Start, stage, steps
from tests.harness import wait_until

TEXT = (ROOT / "README.md").read_text()


def test_the_short_tour_prints_what_the_page_shows() -> None:
    played_steps = [step for step in steps(TEXT) if not _needs_what_is_not_here(step)]
    assert len(played_steps) >= 10
    with stage(usual_folders=True) as played:
        for step in played_steps:
            came = played.play(step)
            if isinstance(step, Run):
                assert alike(step.prints, came), "\n".join([step.command, *step.prints, "but what came is", *came])
                if step.command == "workerctl explain 3":
                    _run_the_snippet(played.terminal.run)
            elif isinstance(step, Start):
                assert in_order(step.says, came), came
        played.play(Run("workerctl stop", []))
        wait_until(lambda: not played.left(), 10, f"nothing left of the daemon ({played.left()})")


def _run_the_snippet(run: object) -> None:
    """The client in Python stands behind the third job and before the fifth."""
    (snippet,) = fences(TEXT, "python")
    assert callable(run)
    run(f"cat > snippet.py <<'END'\n{snippet}END")
    assert run("python snippet.py") == ["failed exit 3 b'six times seven is 42\\n'"]


def _needs_what_is_not_here(step: object) -> bool:
    return isinstance(step, Save) or (isinstance(step, Run) and "socat" in step.command and not shutil.which("socat"))
