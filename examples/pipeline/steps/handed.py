"""What the steps hand to one another: JSON files in the folder `$WORK`."""

from __future__ import annotations

import json
import os
from typing import Any


def give(name: str, value: Any) -> None:
    """For later steps. The file is there as a whole or not at all, also if we are killed now and run again."""
    target = os.path.join(os.environ["WORK"], name)
    unfinished = f"{target}.{os.environ['JOB_ID']}"
    with open(unfinished, "w") as file:
        json.dump(value, file)
    os.chmod(unfinished, 0o644)  # Under a root daemon each worker has a user of its own.
    os.replace(unfinished, target)


def take(name: str) -> Any:
    """Of an earlier step. It is there: `--after` saw to that."""
    with open(os.path.join(os.environ["WORK"], name)) as file:
        return json.load(file)
