"""What is packed and installed once for all files of this folder."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.packaging.packed import Packed, install, once, pack


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """Built as a release is: an sdist of the checkout, and the wheel from what is in that."""
    folder = once(tmp_path_factory, "packed", pack)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Packed(sdist, wheel)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, packed: Packed) -> Path:
    """A clean virtual environment with the wheel and what it needs, and nothing of this checkout."""
    folder = once(tmp_path_factory, "installed", lambda draft: draft.joinpath("none-yet").touch())
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Scripts of an environment hold its path: it is made where it stays.
        if not (folder / "done").exists():
            install(folder / "env", packed.wheel)
            (folder / "done").touch()
    return folder / "env"
