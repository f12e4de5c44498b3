"""Under a root daemon jobs get uids that are nobody's: what is somebody's is refused at the start."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from supervisor.arbiter import slot_uids
from supervisor.core.errors import SettingsError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only a root daemon gives its jobs other uids")
FREE = 3_900_000_000


@pytest.fixture
def somebody() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"], user=FREE + 1)
    yield process
    process.kill()
    process.wait()


def test_free_uids_are_taken() -> None:
    slot_uids.check(FREE, 4)


def test_a_uid_with_a_passwd_entry_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'nobody'.*slot_uid_base"):
        slot_uids.check(65533, 4)


def test_a_uid_with_a_running_process_is_refused(
    somebody: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_uids, "_PATIENCE_S", 0.1)
    with pytest.raises(SettingsError, match=rf"process {somebody.pid} .*slot_uid_base"):
        slot_uids.check(FREE, 4)


def test_what_is_just_ending_is_waited_for(somebody: subprocess.Popen[bytes]) -> None:
    somebody.kill()
    slot_uids.check(FREE, 4)
