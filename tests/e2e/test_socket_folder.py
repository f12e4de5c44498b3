"""A folder for the socket that is not fit is said in a sentence, and nothing is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness import Daemon


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every folder")
def test_a_folder_that_the_daemon_may_not_open_is_a_settings_error(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    daemon = Daemon(tmp_path / "d")
    closed.chmod(0o300)
    try:
        daemon.start(wait=False, arguments=("--socket", str(closed / "s")))
        assert daemon.process is not None and daemon.process.wait(30) == 2
    finally:
        closed.chmod(0o700)
        daemon.clean()
    assert f"cannot open the socket's folder {closed}: Permission denied" in daemon.words()
    assert "Traceback" not in daemon.words() and "traceback" not in daemon.words()
