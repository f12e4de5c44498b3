"""Landlock at each ABI up to the kernel's: what it refuses, and that its account says what the ABI lacks."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from sandbox_bench import ROOT, SLOT_UID, Bench

from supervisor.sandbox import Bind, Holder, SandboxError, SlotClass, syscalls
from supervisor.sandbox.mechanisms import landlock
from supervisor.sandbox.site import Order, Room, Site

ABI = landlock.abi()
pytestmark = pytest.mark.skipif(ABI == 0, reason="this kernel has no Landlock, or it is off")


def site_of(folder: str, uid: int) -> Site:
    return Site("", folder, uid, uid, [], "", None)


def outcome_in_child(version: int, work: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a child that bound itself at an older ABI can do."""
    monkeypatch.setattr(syscalls, "landlock_abi", lambda: version)
    room = Room(False, None, None, 1, "disk", "x")
    room.work_fd = os.open(work, os.O_RDONLY)
    site = site_of(str(work), os.geteuid())
    hear, tell = os.pipe()
    child = os.fork()
    if child == 0:
        syscalls.refuse_new_privileges()
        landlock.make_rules(site, room)
        landlock.bind_job(site, room, Order([], {}, None, {}, None, None, None, None))
        done = []
        for name, attempt in {
            "write": lambda: (work / "new").write_text("x"),
            "read": outside.read_text,
            "overwrite": lambda: outside.write_text("x"),
            "truncate": lambda: os.truncate(outside, 0),
            "system": lambda: os.listdir("/usr"),
            "kill": lambda: os.kill(os.getppid(), 0),
        }.items():
            try:
                attempt()
                done.append(name)
            except OSError:
                pass
        os.write(tell, " ".join(done).encode())
        os._exit(0)
    os.close(tell)
    os.close(room.work_fd)
    os.waitpid(child, 0)
    with open(hear) as pipe:
        return pipe.read()


@pytest.mark.parametrize("version", range(1, ABI + 1))
def test_an_older_abi_refuses_what_it_knows(version: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.write_text("secret")
    can = outcome_in_child(version, work, outside, monkeypatch).split()
    assert can == ["write", *["truncate"] * (version < 3), "system", *["kill"] * (version < 6)]
    site = site_of(str(work), os.geteuid())
    told = landlock.tell(site)
    assert ("needs ABI 3" in told["files"]) == (version < 3)
    assert "changing mode" in told["files"]
    assert told["network"].startswith("not enforced") == (version < 4)
    assert told["signals"].startswith("not enforced") == (version < 6)


@pytest.mark.skipif(ABI < 4, reason="TCP came with ABI 4")
def test_tcp_is_refused_by_landlock_too() -> None:
    room = Room(False, None, None, 1, "disk", "x")
    room.work_fd = os.open("/tmp", os.O_RDONLY)
    child = os.fork()
    if child == 0:
        import socket

        syscalls.refuse_new_privileges()
        landlock.make_rules(site_of("/tmp/x", 0), room)
        landlock.bind_job(site_of("/tmp/x", 0), room, Order([], {}, None, {}, None, None, None, None))
        refused = 0
        for attempt in (lambda s: s.connect(("127.0.0.1", 9)), lambda s: s.bind(("127.0.0.1", 0))):
            try:
                attempt(socket.socket())
            except PermissionError:
                refused += 1
        os._exit(refused)
    os.close(room.work_fd)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


@pytest.mark.parametrize("level", ["landlock", "plain"])
def test_binds_become_grants_and_links(level: str) -> None:
    with tempfile.TemporaryDirectory() as host:
        os.chmod(host, 0o755)
        os.makedirs(f"{host}/modules/left")
        os.mkdir(f"{host}/shared")
        os.chmod(f"{host}/shared", 0o777)
        Path(f"{host}/hidden").write_text("x")
        binds = [
            Bind(f"{host}/modules", "/job/work/node_modules"),
            Bind(f"{host}/shared", f"{host}/shared", writable=True),
        ]
        bench = Bench(level, binds=binds)
        try:
            result = bench.shell(
                f"ls work/node_modules; ls {host}/modules; touch work/own {host}/shared/new; touch {host}/modules/no; "
                f"cat {host}/hidden"
            )
            granted = "not" not in bench.holder.enforced["files"].partition(" ")[0]
            assert result.out.split()[:2] == ["left", "left"], result
            assert os.path.exists(f"{host}/shared/new")
            assert ("denied" in result.err.partition("hidden")[2]) == granted, result
            assert not granted or not os.path.exists(f"{host}/modules/no")
        finally:
            bench.close()


def test_a_bind_that_would_show_the_daemons_state_is_refused_here_too() -> None:
    with tempfile.TemporaryDirectory() as state:
        os.mkdir(f"{state}/work")
        with pytest.raises(SandboxError) as caught:
            Holder.start(
                "landlock", work_root=f"{state}/work", name="1", slot_uid=SLOT_UID if ROOT else None,
                binds=[Bind(state, state)],
            )  # fmt: skip
    assert caught.value.step == "bind"


def test_the_network_when_it_is_allowed(level: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        source = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        bench = Bench(level)
        try:
            assert bench.python(source, slot_class=SlotClass(network=True)).code == 0
            expected = 0 if bench.holder.enforced["network"].startswith("not") else 1
            result = bench.python(source)
            assert result.code == expected, result
            assert not expected or "unreachable" in result.err or "refused" in result.err
        finally:
            bench.close()
