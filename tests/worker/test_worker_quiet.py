"""Output files without a name: named when something is in them, used again only when nobody can write to them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from supervisor.core.shortage import Shortage
from supervisor.paths import Paths
from supervisor.worker import quiet
from supervisor.worker.output import Output
from supervisor.worker.quiet import Blanks, QuietOutput


@pytest.fixture
def blanks(tmp_path: Path) -> Blanks:
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    paths = Paths(str(tmp_path / "state"), str(tmp_path / "s"))
    os.makedirs(paths.outputs)
    return Blanks(paths, None)


def place(blanks: Blanks, job: int, stream: str) -> Path:
    return Path(blanks.paths.outputs, str(job), f"1.{stream}")


def output(blanks: Blanks, job: int, *, merge: bool = False, cap_bytes: int | None = 100) -> Output:
    made = blanks.output(job, 1, merge=merge, cap_bytes=cap_bytes)
    assert isinstance(made, QuietOutput)
    return made


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def test_a_silent_job_leaves_nothing_and_its_files_serve_the_next(blanks: Blanks) -> None:
    first = output(blanks, 1)
    used = {inode(first.stdout), inode(first.stderr)}
    first.show()
    first.close()
    assert os.listdir(blanks.paths.outputs) == []
    second = output(blanks, 2)
    assert {inode(second.stdout), inode(second.stderr)} == used
    second.close()


def test_what_was_written_is_found_in_its_place_while_the_job_runs_and_after(blanks: Blanks) -> None:
    made = output(blanks, 1)
    os.write(made.stdout, b"early ")
    made.show()
    assert place(blanks, 1, "stdout").read_bytes() == b"early " and not place(blanks, 1, "stderr").exists()
    os.write(made.stdout, b"late")
    os.write(made.stderr, b"oh")
    made.show()
    made.close()
    assert place(blanks, 1, "stdout").read_bytes() == b"early late"
    assert place(blanks, 1, "stderr").read_bytes() == b"oh"
    assert place(blanks, 1, "stdout").stat().st_mode & 0o777 == 0o600
    other = output(blanks, 2)
    os.write(other.stdout, b"other")
    other.close()
    assert place(blanks, 1, "stdout").read_bytes() == b"early late"


def test_a_file_that_somebody_still_writes_to_serves_no_other_job(blanks: Blanks) -> None:
    made = output(blanks, 1)
    used = inode(made.stdout)
    left_behind = subprocess.Popen(["sleep", "1000"], stdout=made.stdout)
    made.close()
    try:
        second = output(blanks, 2)
        assert inode(second.stdout) != used
        second.close()
    finally:
        left_behind.kill()
        left_behind.wait()


@pytest.mark.parametrize("cap_bytes", [100, 0], ids=["the job cuts it", "its cap is nothing"])
def test_a_file_that_has_a_name_and_is_empty_again_serves_no_other_job(blanks: Blanks, cap_bytes: int) -> None:
    made = output(blanks, 1, cap_bytes=cap_bytes)
    os.write(made.stdout, b"first")
    made.show()
    os.ftruncate(made.stdout, 0) if cap_bytes else made.cut()
    made.close()
    for job in (2, 3):
        other = output(blanks, job)
        os.write(other.stdout, b"secret")
        os.write(other.stderr, b"secret")
        other.close()
    assert place(blanks, 1, "stdout").read_bytes() == b""


def test_streams_are_cut_to_their_cap_and_the_last_words_are_read(blanks: Blanks) -> None:
    made = output(blanks, 1, cap_bytes=4)
    os.write(made.stderr, b"123456")
    assert made.over() and made.tail_of_stderr() == b"123456"
    made.cut()
    assert made.sizes() == (0, 4)
    made.show()
    made.close()
    assert place(blanks, 1, "stderr").read_bytes() == b"1234"


def test_merged_streams_are_one(blanks: Blanks) -> None:
    made = output(blanks, 1, merge=True)
    os.write(made.stderr, b"a")
    os.write(made.stdout, b"b")
    assert made.tail_of_stderr() == b"ab"
    made.show()
    made.close()
    assert place(blanks, 1, "stdout").read_bytes() == b"ab" and not place(blanks, 1, "stderr").exists()


def test_output_of_a_declined_lease_is_gone_and_its_number_can_be_used_again(blanks: Blanks) -> None:
    made = output(blanks, 1)
    os.write(made.stdout, b"said before declining")
    made.show()
    made.discard()
    made.close()
    assert not place(blanks, 1, "stdout").exists()
    again = output(blanks, 1)
    os.write(again.stdout, b"again")
    again.show()
    again.close()
    assert place(blanks, 1, "stdout").read_bytes() == b"again"


def test_where_such_files_cannot_be_had_there_are_ordinary_ones(
    blanks: Blanks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(quiet._Blank, "__init__", refuse)
    made = blanks.output(1, 1, merge=False, cap_bytes=None)
    assert type(made) is Output and place(blanks, 1, "stdout").exists()
    made.close()


def test_a_full_disk_is_a_shortage(blanks: Blanks, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(quiet._Blank, "__init__", refuse)
    with pytest.raises(Shortage):
        blanks.output(1, 1, merge=False, cap_bytes=None)


def test_no_descriptor_is_left_open(blanks: Blanks) -> None:
    output(blanks, 1).close()
    before = len(os.listdir("/proc/self/fd"))
    for job in range(2, 30):
        made = output(blanks, job, merge=job % 2 == 0)
        os.write(made.stderr, b"x" * (job % 3))
        made.show()
        made.close()
    assert abs(len(os.listdir("/proc/self/fd")) - before) <= 2
