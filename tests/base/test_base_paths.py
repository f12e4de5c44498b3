"""Folders: where they are, that others cannot enter them, and that nobody else's is ever changed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor import paths
from supervisor.core.errors import SettingsError
from supervisor.paths import Paths, prepare_folders, prepare_state_dir, read_or_make_instance, socket_candidates

ROOT = os.geteuid() == 0


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
def some(tmp_path: Path) -> Iterator[Paths]:
    made = Paths(f"{tmp_path}/state", f"{tmp_path}/run/c.sock")
    yield made
    if os.path.exists(made.instance):
        instance = Path(made.instance).read_text().strip()
        shutil.rmtree(f"/var/tmp/worker-supervisor-{instance}", ignore_errors=True)


def test_a_user_has_the_xdg_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    home = {"HOME": "/h"}
    assert paths.default_state_dir(home) == "/h/.local/state/worker-supervisor"
    assert paths.default_config(home) == "/h/.config/worker-supervisor/config.toml"
    assert paths.default_socket(home) == "/h/.local/state/worker-supervisor/control.sock"
    xdg = {**home, "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "relative", "XDG_RUNTIME_DIR": "/run/user/1000"}
    assert paths.default_state_dir(xdg) == "/s/worker-supervisor"
    assert paths.default_config(xdg) == "/h/.config/worker-supervisor/config.toml", "a relative one is to be ignored"
    assert socket_candidates(xdg) == [
        "/run/user/1000/worker-supervisor/control.sock",
        "/s/worker-supervisor/control.sock",
        "/run/worker-supervisor/control.sock",
    ]


def test_root_has_the_systems_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    env = {"HOME": "/root", "XDG_RUNTIME_DIR": "/run/user/0"}
    assert paths.default_state_dir(env) == "/var/lib/worker-supervisor"
    assert paths.default_config(env) == "/etc/worker-supervisor/config.toml"
    assert socket_candidates(env) == ["/run/worker-supervisor/control.sock"]


def test_the_socket_variable_is_the_only_candidate() -> None:
    assert socket_candidates({"WORKER_SOCKET": "/x", "HOME": "/h"}) == ["/x"]


def test_every_folder_is_made_closed_and_a_second_time_changes_nothing(some: Paths) -> None:
    first = prepare_folders(some, as_root=ROOT)
    for folder in (some.state_dir, some.spool, some.outputs, some.cache, os.path.dirname(some.socket)):
        assert mode(folder) == 0o700
    assert mode(some.instance) == 0o600
    assert mode(first.work) == (0o711 if ROOT else 0o700)
    assert prepare_folders(some, as_root=ROOT) == first


def test_the_work_folder_of_root_can_be_walked_into_from_the_top(some: Paths) -> None:
    work = Path(prepare_folders(some, as_root=True).work)
    assert work.parent == Path("/var/tmp") and work.name == f"worker-supervisor-{read_or_make_instance(some)}"
    assert mode(work) == 0o711
    assert all(parent.stat().st_mode & 0o001 for parent in work.parents)
    assert mode(some.state_dir) == 0o700


def test_a_link_or_a_file_in_place_of_the_work_folder_is_refused(some: Paths, tmp_path: Path) -> None:
    prepare_state_dir(some)
    work = f"/var/tmp/worker-supervisor-{read_or_make_instance(some)}"
    os.symlink(tmp_path, work)
    try:
        with pytest.raises(SettingsError, match="is not a folder of this user"):
            prepare_folders(some, as_root=True)
    finally:
        os.unlink(work)


def test_an_empty_open_folder_is_closed_and_used(some: Paths) -> None:
    os.mkdir(some.state_dir)
    os.chmod(some.state_dir, 0o755)
    prepare_state_dir(some)
    assert mode(some.state_dir) == 0o700


def test_an_open_folder_with_files_of_others_is_refused_and_left_as_it_is(some: Paths) -> None:
    os.mkdir(some.state_dir)
    os.chmod(some.state_dir, 0o755)
    Path(some.state_dir, "thesis.txt").write_text("")
    with pytest.raises(SettingsError, match="holds files that are not the daemon's"):
        prepare_state_dir(some)
    assert mode(some.state_dir) == 0o755


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(some: Paths) -> None:
    os.mkdir(some.state_dir)
    os.chown(some.state_dir, 12345, -1)
    with pytest.raises(SettingsError, match="belongs to uid 12345"):
        prepare_state_dir(some)


@pytest.mark.parametrize(("parents_mode", "fine"), [(0o777, False), (0o1777, True), (0o755, True), (0o757, False)])
def test_a_parent_that_others_can_write_to_is_refused_unless_sticky(
    tmp_path: Path, parents_mode: int, fine: bool
) -> None:
    parent = tmp_path / "parent"
    parent.mkdir()
    parent.chmod(parents_mode)
    inside = Paths(f"{parent}/state", f"{tmp_path}/c.sock")
    if fine:
        prepare_state_dir(inside)
    else:
        with pytest.raises(SettingsError, match="can be written to by others"):
            prepare_state_dir(inside)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot make the folder .*/file/state"):
        prepare_state_dir(Paths(f"{tmp_path}/file/state", "/x"))


@pytest.mark.parametrize(("length", "fine"), [(107, True), (108, False)])
def test_a_socket_path_that_the_kernel_cannot_bind_is_refused(length: int, fine: bool) -> None:
    path = "/" + "ä" * 50 + "x" * (length - 101)
    assert len(os.fsencode(path)) == length
    if fine:
        paths.check_socket_length(path)
    else:
        with pytest.raises(SettingsError, match="has 108 bytes, the kernel takes at most 107"):
            paths.check_socket_length(path)


def test_the_instance_is_random_kept_and_never_guessed_when_damaged(some: Paths, tmp_path: Path) -> None:
    prepare_state_dir(some)
    instance = read_or_make_instance(some)
    assert len(instance) == 32 and read_or_make_instance(some) == instance
    other = Paths(f"{tmp_path}/other", some.socket)
    prepare_state_dir(other)
    assert read_or_make_instance(other) != instance
    Path(some.instance).write_text("../../etc\n")
    with pytest.raises(SettingsError, match="is damaged"):
        read_or_make_instance(some)
    os.unlink(some.instance)


def test_paths_imports_nothing_but_the_standard_library() -> None:
    program = (
        "import sys, supervisor.paths; print([m for m in sys.modules if m.split('.')[0] in ('msgspec', 'loguru')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_root())
    assert found.stdout.strip() == "[]"


def _root() -> Path:
    return Path(__file__).parent.parent.parent
