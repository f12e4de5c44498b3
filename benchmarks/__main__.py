"""`python -m benchmarks [NAME …]`: one table of all figures, or of some. Keep the machine otherwise quiet."""

from __future__ import annotations

import importlib
import sys

from benchmarks.figure import Figure, row
from benchmarks.place import versions

NAMES = ("hello", "guide", "sustained", "handlers", "bulk", "backlog", "idle", "command", "endings", "growth")


def main(names: list[str]) -> int:
    """0 if every bar that was measured is met, 1 if not, 2 for a name that is none."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(f"{versions()}\n\n| what | bar | measured | made of |\n|---|---|---|---|", flush=True)
    missed = 0
    for name in names or NAMES:
        for line in importlib.import_module(f"benchmarks.{name}").measure():
            print(row(line), flush=True)
            missed += isinstance(line, Figure) and not line.met
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
