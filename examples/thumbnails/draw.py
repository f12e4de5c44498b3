"""Draws a picture to scale: `python draw.py pictures/dunes.png 480 320`."""

from __future__ import annotations

import math
import pathlib
import sys

from png import Picture, write_png


def dunes(width: int, height: int) -> Picture:
    """Three rows of hills below an evening sky."""
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            colour = (250 - 120 * y // height, 180 - 90 * y // height, 120 + 60 * y // height)
            for hill in range(3):
                crest = height * (0.45 + 0.17 * hill) + height * 0.07 * math.sin((5 - hill) * x / width * 2 + 2 * hill)
                if y > crest:
                    colour = (170 - 50 * hill, 100 - 30 * hill, 70 - 15 * hill)
            row += bytes(colour)
        rows.append(bytes(row))
    return Picture(width, height, rows)


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(write_png(dunes(int(sys.argv[2]), int(sys.argv[3]))))
