"""A handler that makes small pictures of large ones: `thumbnail` jobs, `{"picture": "dunes.png", "width": 80}`.

Handlers are your own code and trusted: this one reads `pictures/` and writes `thumbnails/` beside this file. Its params
are not: whoever may submit chooses them. So a name is looked for in the folder and is never a path.
"""

from __future__ import annotations

import pathlib
from typing import Any

from png import Picture, read_png, write_png

from supervisor import Context, Job, JobWorker

WIDEST = 2000


class Thumbnail(JobWorker):
    """Scales a picture of the folder down to a width."""

    types = {"thumbnail"}
    folder = pathlib.Path(__file__).resolve().parent

    def setup(self) -> None:
        """Once in a process, before its first job: the place for what is slow to load."""
        self.thumbnails = self.folder / "thumbnails"
        self.thumbnails.mkdir(exist_ok=True)

    def can_process(self, job: Job) -> bool:
        """Only PNG: a job of another kind goes to another pool of this type, or is rejected if there is none."""
        return isinstance(job.params, dict) and str(job.params.get("picture", "")).endswith(".png")

    def execute(self, job: Job, context: Context) -> dict[str, Any]:
        """What it returns is the job's result; what it raises fails the job, with the traceback in its stderr."""
        width = job.params["width"]
        if not isinstance(width, int) or not 1 <= width <= WIDEST:
            raise ValueError(f"width is {width!r}: give a number of pixels from 1 to {WIDEST}")
        name = job.params["picture"]
        there = {path.name: path for path in (self.folder / "pictures").iterdir()}
        if name not in there:
            raise FileNotFoundError(f"there is no picture {name!r}: there are {', '.join(sorted(there))}")

        context.progress(0, "reading")
        picture = read_png(there[name].read_bytes())
        small = scaled(picture, min(width, picture.width), context)
        target = self.thumbnails / f"{there[name].stem}-{small.width}.png"
        # Complete or not there at all: the process may be killed at any line.
        unfinished = target.with_suffix(f".{job.id}")
        unfinished.write_bytes(write_png(small))
        unfinished.replace(target)
        print(f"{picture.width} x {picture.height} -> {small.width} x {small.height}")
        return {"file": target.name, "width": small.width, "height": small.height}


def scaled(picture: Picture, width: int, context: Context) -> Picture:
    """The picture that wide: each pixel is the mean of those that it stands for."""
    height = max(1, round(picture.height * width / picture.width))
    rows = []
    for y in range(height):
        # A job is ended by SIGTERM, which makes this true; after `kill_grace` the process is killed.
        if context.cancelled:
            raise InterruptedError("told to stop")
        top, bottom = edges(y, height, picture.height)
        row = bytearray()
        for x in range(width):
            left, right = edges(x, width, picture.width)
            row += mean(picture.rows[top:bottom], left, right)
        rows.append(bytes(row))
        context.progress(100 * (y + 1) / height, "scaling", f"row {y + 1} of {height}")
    return Picture(width, height, rows)


def edges(at: int, of: int, size: int) -> tuple[int, int]:
    """Which of `size` pixels the pixel `at` of `of` stands for."""
    first = at * size // of
    return first, max(first + 1, (at + 1) * size // of)


def mean(rows: list[bytes], left: int, right: int) -> bytes:
    """The mean colour of some columns of some rows."""
    spans = [row[3 * left : 3 * right] for row in rows]
    count = len(spans) * (right - left)
    return bytes(sum(sum(span[colour::3]) for span in spans) // count for colour in range(3))
