"""Rewrites what is installed beside the code, from the code; `--check` only says which of it is stale.

config.toml and .env.example come from the keys of the settings, the manual pages from the parsers that print `--help`,
the completions from `workerctl completion`. Nothing in these files is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from manual_pages import command_page, daemon_page, settings_page
from sample_settings import environment_file, settings_file

from ctl import shells

HERE: Final = Path(__file__).resolve().parent
FILES: Final[dict[str, Callable[[], str]]] = {
    "config.toml": settings_file,
    ".env.example": environment_file,
    "man/workerctl.1": command_page,
    "man/worker-supervisor.8": daemon_page,
    "man/worker-supervisor-config.5": settings_page,
    "completions/workerctl": shells.bash,
    "completions/_workerctl": shells.zsh,
    "completions/workerctl.fish": shells.fish,
}


def main(arguments: Sequence[str]) -> int:
    """0 if every file is, or now is, up to date."""
    stale = []
    for name, make in FILES.items():
        path, text = HERE / name, make()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"packaging/{name}: rewritten")
    if stale and "--check" in arguments:
        print(f"stale: {', '.join(stale)}: run `python packaging/generate.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
