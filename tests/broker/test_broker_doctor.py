"""The judgements of `doctor`, as tables: what was found in, the check out."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor import store
from supervisor.child import MARK_VARIABLE
from supervisor.config import Pool
from supervisor.core.limits import Limits
from supervisor.doctor import look, machine, storage
from supervisor.doctor.check import Check, exit_status
from supervisor.doctor.equipment import Proof, equipment_checks
from supervisor.doctor.workers import worker_checks
from supervisor.paths import Paths
from supervisor.store import Checkup
from supervisor.store.quick_check import Damage
from supervisor.wire.tree import Member

GIB, MIB = 1 << 30, 1 << 20


@pytest.mark.parametrize(
    ("version", "bug"),
    [
        ("3.6.23", False), ("3.7.0", True), ("3.40.1", True), ("3.44.5", True), ("3.44.6", False), ("3.45.0", True),
        ("3.50.6", True), ("3.50.7", False), ("3.51.2", True), ("3.51.3", False), ("3.52.0", False), ("4.0.0", False),
    ],
)  # fmt: skip
def test_the_releases_with_the_wal_reset_bug(version: str, bug: bool) -> None:
    assert storage.has_wal_reset_bug(version) is bug
    check = storage.sqlite_check(version)
    assert check.status == ("warn" if bug else "ok") and version in check.found
    assert ("avoided here by design" in check.found) is bug


@pytest.mark.parametrize(("synchronous", "status"), [("full", "ok"), ("normal", "warn")])
def test_what_an_acknowledgement_outlives(synchronous: str, status: str) -> None:
    check = storage.synchronous_check(synchronous)
    assert check.status == status and "power loss" in check.found and bool(check.remedy) is (status == "warn")


@pytest.mark.parametrize(
    ("free", "total", "status"),
    [
        (100 * GIB, 200 * GIB, "ok"),
        (9 * GIB, 200 * GIB, "warn"),
        (10 * GIB, 200 * GIB, "ok"),
        (GIB - 1, 2 * GIB, "warn"),
        (64 * MIB, GIB, "warn"),
        (64 * MIB - 1, GIB, "fail"),
        (0, 0, "fail"),
    ],
)
def test_free_space(free: int, total: int, status: str) -> None:
    check = storage.space_check(free, total)
    assert check.status == status and bool(check.remedy) is (status != "ok")


@pytest.mark.parametrize(
    ("free", "total", "status"),
    [(0, 0, "ok"), (900_000, 1_000_000, "ok"), (49_999, 1_000_000, "warn"), (999, 1_000_000, "fail")],
)
def test_free_inodes(free: int, total: int, status: str) -> None:
    assert storage.inodes_check(free, total).status == status


@pytest.mark.parametrize(
    ("magic", "kind", "status"),
    [
        (0xEF53, "ext4", "ok"), (0x9123683E, "btrfs", "ok"), (0x6969, "nfs", "warn"), (0x65735546, "fuse", "warn"),
        (0x01021997, "9p", "warn"), (0x794C7630, "overlay", "warn"), (0x01021994, "tmpfs", "warn"), (0x77, "0x77", "ok"),
    ],
)  # fmt: skip
def test_the_kind_of_file_system(magic: int, kind: str, status: str) -> None:
    check = storage.file_system_check(magic, "/state")
    assert check.status == status and kind in check.found


def seen(mode: int, uid: int = 1000, gid: int = 1000) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "most", "replaceable", "status", "remedy"),
    [
        (stat.S_IFDIR | 0o700, 1000, 0o700, False, "ok", ""),
        (stat.S_IFDIR | 0o750, 1000, 0o700, False, "fail", "chmod 700 /x"),
        (stat.S_IFDIR | 0o710, 1000, 0o710, False, "ok", ""),
        (stat.S_IFDIR | 0o755, 0, None, False, "ok", ""),
        (stat.S_IFDIR | 0o777, 0, None, True, "fail", "chmod go-w /x"),
        (stat.S_IFDIR | 0o700, 1001, 0o700, False, "fail", "run the daemon as uid 1001"),
        (stat.S_IFREG | 0o700, 1000, 0o700, False, "fail", "remove /x, or choose another one"),
    ],
)
def test_a_folder(mode: int, uid: int, most: int | None, replaceable: bool, status: str, remedy: str) -> None:
    check = storage.folder_check("state_dir", "/x", seen(mode, uid), 1000, most=most, replaceable=replaceable)
    assert (check.status, check.remedy) == (status, remedy)


@pytest.mark.parametrize(
    ("mode", "group", "status"),
    [
        (stat.S_IFSOCK | 0o600, None, "ok"),
        (stat.S_IFSOCK | 0o660, None, "fail"),
        (stat.S_IFSOCK | 0o660, "jobs", "ok"),
        (stat.S_IFSOCK | 0o666, "jobs", "fail"),
        (stat.S_IFREG | 0o600, None, "fail"),
    ],
)
def test_the_socket(mode: int, group: str | None, status: str) -> None:
    assert storage.socket_check("/x/s", seen(mode), group).status == status


SOUND = Checkup(Damage((), whole=True), newest_event_us=9_000_000, size=4096, wal_size=0, links=1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"damage": Damage(("row 3 missing",), whole=True)}, {"database": "fail"}),
        ({"damage": Damage((), whole=False)}, {}),
        ({"links": 2}, {"database_links": "fail"}),
        ({"links": 0}, {"database_links": "fail"}),
        ({"wal_size": 65 * MIB}, {"wal": "warn"}),
        ({"newest_event_us": None}, {}),
        ({"newest_event_us": 11_900_000}, {}),
        ({"newest_event_us": 12_100_000}, {"clock": "warn"}),
    ],
)
def test_the_database(changes: dict[str, Any], expected: dict[str, str]) -> None:
    checks = storage.database_checks("/x/queue.db", SOUND._replace(**changes), now_us=10_000_000)
    assert [check.name for check in checks] == ["database", "database_links", "wal", "clock"]
    assert {check.name: check.status for check in checks if check.status != "ok"} == expected
    assert all(check.remedy for check in checks if check.status != "ok")


@pytest.mark.parametrize(
    ("limit", "status"),
    [(1024, "ok"), (1023, "warn"), (resource.RLIM_INFINITY, "ok")],
)
def test_open_files(limit: int, status: str) -> None:
    assert machine.open_files_check((limit, limit)).status == status


@pytest.mark.parametrize(
    ("limit", "as_root", "status"),
    [
        ((528, 528), False, "ok"),
        ((527, 4096), False, "warn"),
        ((100, 256), True, "ok"),
        ((255, 255), True, "warn"),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), False, "ok"),
    ],
)
def test_processes(limit: tuple[int, int], as_root: bool, status: str) -> None:
    pools = [Pool(name="scripts", replicas=2, limits=Limits(processes=256)), Pool(name="none", replicas=0)]
    assert machine.processes_check(limit, pools, as_root=as_root).status == status


@pytest.mark.parametrize(
    ("folder", "writable", "controllers", "words"),
    [
        (None, False, (), "no cgroup v2 is mounted"),
        ("/c", False, ("memory", "pids", "cpu"), "not used: /c was not delegated"),
        ("/c", True, ("pids",), "without memory, cpu"),
        ("/c", True, ("memory", "pids", "cpu", "io"), "/c was delegated with memory, pids, cpu"),
    ],
)
def test_the_cgroup(folder: str | None, writable: bool, controllers: tuple[str, ...], words: str) -> None:
    check = machine.cgroup_check(folder, writable, controllers)
    assert check.status == "ok" and words in check.found
    assert bool(check.remedy) is ("not used" in check.found or "without" in check.found)


def proof(pool: str = "scripts", level: str = "namespace", **changes: Any) -> Proof:
    fields: dict[str, Any] = {
        "pool": pool,
        "level": level,
        "notes": {},
        "remedies": {},
        "enforced": {level: {"memory": "sampled", "cgroup": "not used"}} if level else {},
        "interpreters": {"node": "20.1.0 /usr/bin/node"},
        "missing": {},
        "how": "set up",
    }
    return Proof(**{**fields, **changes})


def statuses(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


def test_nobody_has_said_anything_yet() -> None:
    assert set(statuses(equipment_checks([])).values()) == {"skipped"}


def test_the_best_level_is_in_force() -> None:
    assert statuses(equipment_checks([proof(), proof()])) == {
        "isolation.namespace": "ok",
        "isolation.landlock": "skipped",
        "isolation.plain": "skipped",
        "isolation.namespace.memory": "ok",
        "isolation.namespace.cgroup": "ok",
        "node": "ok",
    }


def test_a_level_that_failed_names_its_step_and_what_enables_it() -> None:
    said = proof(
        level="plain",
        notes={"namespace": "clone: Operation not permitted"},
        remedies={"namespace": "as root: sysctl -w x=1"},
        enforced={"plain": {"memory": "sampled", "files": "not enforced: the host's files"}},
    )
    checks = {check.name: check for check in equipment_checks([said])}
    assert checks["isolation.namespace"] == Check(
        "isolation.namespace", "warn", "not available: clone: Operation not permitted", "as root: sysctl -w x=1"
    )
    assert checks["isolation.plain"].status == "ok"
    assert checks["isolation.plain.files"].status == "warn"
    assert "namespace or landlock" in checks["isolation.plain.files"].remedy
    assert checks["isolation.landlock"].status == "skipped"


def test_a_pool_that_can_run_nothing_is_a_failure() -> None:
    checks = equipment_checks([proof(), proof("strict", "", notes={"namespace": "clone: no"})])
    assert statuses(checks)["pool.strict"] == "fail" and "pool.scripts" not in statuses(checks)
    assert exit_status(checks) == 2


def test_without_a_daemon_every_level_was_tried() -> None:
    tried = proof(enforced={"namespace": {"memory": "sampled"}, "plain": {"memory": "sampled"}})
    assert statuses(equipment_checks([tried]))["isolation.plain"] == "ok"


def test_interpreters_of_several_pools() -> None:
    other = proof("other", interpreters={"node": "22.1.0 /opt/node"}, missing={"python": "no python3: install it"})
    checks = {check.name: check for check in equipment_checks([proof(), other])}
    assert checks["node"].found == "20.1.0 /usr/bin/node, 22.1.0 /opt/node"
    assert checks["python"] == Check("python", "warn", "missing for pool other", "no python3: install it")


@pytest.mark.parametrize(
    ("states", "attached", "status", "words"),
    [
        (("starting", "starting"), ("scripts/0", "scripts/1"), "ok", "2 of 2"),
        (("starting", "starting"), ("scripts/0",), "ok", "scripts/1 is starting"),
        (("starting", "backoff"), ("scripts/0",), "warn", "scripts/1 is backoff (why)"),
        (("parked", "backoff"), (), "fail", "0 of 2"),
    ],
)
def test_workers(states: tuple[Any, ...], attached: tuple[str, ...], status: str, words: str) -> None:
    members = [Member(worker=f"scripts/{n}", pool="scripts", state=s, note="why") for n, s in enumerate(states)]
    (check,) = worker_checks(members, attached)
    assert check.name == "workers.scripts" and check.status == status and words in check.found


def test_no_workers_at_all() -> None:
    assert worker_checks([], ())[0].status == "fail"


@pytest.mark.parametrize(
    ("found", "code"),
    [((), 0), (("ok", "skipped"), 0), (("ok", "warn"), 1), (("warn", "fail", "ok"), 2)],
)
def test_the_exit_status_is_that_of_the_worst(found: tuple[Any, ...], code: int) -> None:
    assert exit_status([Check("x", status, "") for status in found]) == code


# Looking


def names(checks: list[Check], status: str) -> set[str]:
    return {check.name for check in checks if check.status == status}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "state"), str(tmp_path / "s"))


def test_looking_before_the_first_start_makes_nothing(paths: Paths, tmp_path: Path) -> None:
    checks = look.storage_checks(paths, None)
    assert names(checks, "skipped") == {"state_dir", "socket", "database", "database_links", "wal", "clock"}
    assert names(checks, "ok") >= {"space", "inodes"}
    assert list(tmp_path.iterdir()) == []


def test_looking_at_a_daemons_folder(paths: Paths) -> None:
    os.mkdir(paths.state_dir, 0o700)
    writer = store.open_writer(paths.database)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(paths.socket)
        os.chmod(paths.socket, 0o600)
        checks = look.storage_checks(paths, None)
        assert not names(checks, "skipped") and not names(checks, "fail")
        os.link(paths.database, f"{paths.state_dir}/other")
        os.chmod(paths.state_dir, 0o755)
        os.chmod(paths.socket, 0o666)
        assert names(look.storage_checks(paths, None), "fail") == {"database_links", "state_dir", "socket"}
    writer.close()


def test_looking_does_not_disturb_the_writer(paths: Paths) -> None:
    """A descriptor of the database that is closed by anybody but SQLite would drop the locks of this process."""
    os.mkdir(paths.state_dir, 0o700)
    writer = store.open_writer(paths.database)
    writer.execute("BEGIN IMMEDIATE")
    look.storage_checks(paths, None)
    other = "import sqlite3,sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    done = subprocess.run([sys.executable, "-c", other, paths.database], capture_output=True, text=True, check=False)
    assert "database is locked" in done.stderr
    writer.execute("COMMIT")
    writer.close()


def test_a_file_that_is_no_database_is_told(paths: Paths) -> None:
    os.mkdir(paths.state_dir, 0o700)
    Path(paths.database).write_bytes(b"no database at all" * 100)
    checks = {check.name: check for check in look.storage_checks(paths, None)}
    assert checks["database"].status == "fail" and checks["clock"].status == "skipped"


def test_damage_is_found(paths: Paths) -> None:
    os.mkdir(paths.state_dir, 0o700)
    store.open_writer(paths.database).close()
    conn = sqlite3.connect(paths.database)
    root, size = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_claim'").fetchone()[0], 4096
    conn.close()
    with open(paths.database, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    checks = {check.name: check for check in look.storage_checks(paths, None)}
    assert checks["database"].status == "fail"


def test_only_marked_strangers_are_leftovers() -> None:
    mark = f"test-{os.getpid()}"
    assert machine.leftovers_check(None, None).status == "skipped"
    assert machine.leftovers_check(mark, None).status == "ok"
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, MARK_VARIABLE: mark}
    ) as left:
        found = machine.leftovers_check(mark, None)
        assert found.status == "warn" and f"pids {left.pid}" in found.found
        assert machine.leftovers_check(mark, os.getpid()).status == "ok", "our own descendants are none"
        assert machine.leftovers_check("another", None).status == "ok"
        left.communicate(b"\n")
    assert machine.leftovers_check(mark, None).status == "ok"
