"""The output files of one attempt, as a hostile job leaves them."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.paths import Paths
from supervisor.worker.output import SPARE_BYTES, Output

CAP_BYTES = 4096
FALLOC_FL_KEEP_SIZE = 1


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    paths = Paths(str(tmp_path / "state"), str(tmp_path / "s"))
    made = Output(paths, 1, 1, merge=False, cap_bytes=CAP_BYTES, owner=None)
    yield made
    made.close()


def reserve(descriptor: int, length: int) -> None:
    """Takes space of the disk behind the end of a file, whose size stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(descriptor, FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(length)) != 0:
        pytest.skip(f"this file system reserves nothing: {os.strerror(ctypes.get_errno())}")


def test_space_that_is_reserved_behind_a_streams_end_counts_and_is_given_back(output: Output) -> None:
    os.write(output.stderr, b"words")
    reserve(output.stderr, 64 << 20)
    assert output.sizes() == (0, 5)
    assert output.over()
    output.cut()
    assert output.sizes() == (0, 5)
    assert os.fstat(output.stderr).st_blocks * 512 <= SPARE_BYTES
    assert not output.over()


def test_a_little_that_is_taken_ahead_is_no_excess(output: Output) -> None:
    os.write(output.stdout, bytes(CAP_BYTES))
    reserve(output.stdout, CAP_BYTES + SPARE_BYTES)
    assert not output.over()
