"""The READMEs of the examples, each played in a copy of `examples/` as its reader would: in a shell, with a daemon.

What such a page may hold is what `tests.docs.transcripts` understands. `python -m tests.examples.readmes [NAME …]` writes
into them what the commands print today, where that is something else.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import sys
from collections.abc import Iterator

from tests.docs.transcripts import Run, Says, Stage, Start, alike, in_order, stage, steps
from tests.harness import ROOT, wait_until

EXAMPLES = ROOT / "examples"
LEFT_BY_HAND = shutil.ignore_patterns("state", "control.sock", "__pycache__", "*.log")

MEASURED = [
    re.compile(pattern)
    for pattern in (
        r"documents-(\d{4}-\d\d-\d\d-\d{6})\.tar",
        r'"sha256":"([0-9a-f]{64})"',
        r"local time \(in (\d[\w ]*)\)",
        r"\bon ([a-z]+/\d)\b",
        r"^id: (\d+)$",
        r'"percentage": ([\d.]+), "message": "row \d+ of',
        r'"message": "row (\d+) of',
        r", stderr (\d+ B) of",
        r"(killed|by its own words ended|very likely ended) at \d+ MiB, its memory limit",
    )
]
"""What differs from run to run beside what differs on every page: cursors, archives, words with a path in them, how a job ran out of memory."""


def names() -> list[str]:
    """The examples that have a folder of their own."""
    return sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))


def readme(name: str) -> pathlib.Path:
    """Its page."""
    return EXAMPLES / name / "README.md"


@contextlib.contextmanager
def examples_stage() -> Iterator[Stage]:
    """A checkout of the examples alone; afterwards nothing of it runs."""
    played = None
    try:
        with stage() as played:
            shutil.copytree(EXAMPLES, played.folder / "examples", ignore=LEFT_BY_HAND)
            # Under a root daemon scripts run as users of their own: without a sandbox they must be able to come here.
            played.folder.chmod(0o755)
            # It reads no settings that others may write; how a checkout was made says nothing of that.
            for path in played.folder.glob("examples/*/config.toml"):
                path.chmod(0o644)
            yield played
    finally:
        # What a README leaves in the background is ended by its last lines, unless it failed before them.
        if played is not None:
            for pid in played.left():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not played.left(), 10, "the end of what the README started")


def play(name: str) -> None:
    """Types what the README of an example says; raises AssertionError where something else is printed."""
    with examples_stage() as played:
        for step in steps(readme(name).read_text()):
            came = played.play(step)
            match step:
                case Run(command, prints):
                    assert agrees(prints, came), differs(command, prints, came)
                case Start(_, says) | Says(says):
                    assert in_order(says, came), differs("the daemon", says, came)
        wait_until(lambda: not played.left(), 10, f"the end of {played.left()}, which the README has not stopped,")


def agrees(shown: list[str], came: list[str]) -> bool:
    """Whether these lines are what the page shows, but for what is measured."""
    return alike([_lasting(line) for line in shown], [_lasting(line) for line in came])


def _lasting(line: str) -> str:
    for pattern in MEASURED:
        line = pattern.sub(lambda match: match[0].replace(match[1], "~"), line)
    return line


def differs(what: str, shown: list[str], came: list[str]) -> str:
    """Both, one below the other."""
    return "\n".join([f"{what}\n--- prints, as the page has it", *shown, "--- but printed", *came])


def rewrite(text: str) -> str:
    """The page with what its commands print now, where that is something else."""
    at = 0
    with examples_stage() as played:
        for step in steps(text):
            came = played.play(step)
            if isinstance(step, Run):
                # The next one of these lines: a command may stand on a page twice.
                before = "\n".join([f"$ {step.command}", *step.prints, ""])
                at = text.index(before, at)
                if not agrees(step.prints, came):
                    text = text[:at] + "\n".join([f"$ {step.command}", *came, ""]) + text[at + len(before) :]
                at += 1
            elif isinstance(step, Start | Says) and not in_order(step.says, came):
                print(f"the daemon does not say {step.says}, but", *came, sep="\n", file=sys.stderr)
    return text


def main(chosen: list[str]) -> None:
    """Rewrites the pages of these examples, or of all."""
    for name in chosen or names():
        readme(name).write_text(rewrite(readme(name).read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
