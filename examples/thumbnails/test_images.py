"""The handler on a picture of four pixels, with no daemon: `python -m unittest test_images`."""

from __future__ import annotations

import pathlib
import tempfile
import unittest

from images import Thumbnail
from png import Picture, read_png, write_png

from supervisor.testing import Progress, run_handler

BLACK, WHITE = bytes([0, 0, 0]), bytes([255, 255, 255])
CHESS = Picture(2, 2, [BLACK + WHITE, WHITE + BLACK])


class Thumbnails(unittest.TestCase):
    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = pathlib.Path(made.name)
        (self.folder / "pictures").mkdir()
        (self.folder / "pictures" / "chess.png").write_bytes(write_png(CHESS))
        self.handler = type("Here", (Thumbnail,), {"folder": self.folder})

    def test_the_mean_of_black_and_white_is_grey(self) -> None:
        ran = run_handler(self.handler, params={"picture": "chess.png", "width": 1})
        self.assertTrue(ran.ok, ran.stderr)
        self.assertEqual(ran.result["file"], "chess-1.png")
        self.assertEqual(ran.progress[-1], Progress(100, "scaling", "row 1 of 1"))
        grey = read_png((self.folder / "thumbnails" / "chess-1.png").read_bytes())
        self.assertEqual(grey, Picture(1, 1, [bytes([127, 127, 127])]))

    def test_a_name_is_no_path(self) -> None:
        ran = run_handler(self.handler, params={"picture": "../pictures/chess.png", "width": 1})
        self.assertIsInstance(ran.error, FileNotFoundError)

    def test_other_kinds_are_declined(self) -> None:
        self.assertTrue(run_handler(self.handler, params={"picture": "chess.gif", "width": 1}).declined)

    def test_a_cancelled_job_leaves_nothing(self) -> None:
        ran = run_handler(self.handler, params={"picture": "chess.png", "width": 1}, cancelled=True)
        self.assertIsInstance(ran.error, InterruptedError)
        self.assertEqual(list((self.folder / "thumbnails").iterdir()), [])


if __name__ == "__main__":
    unittest.main()
