"""The wheel and the sdist: what is in them, and that a daemon installed from the wheel alone runs a job."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import CLEAN_ENVIRONMENT, ROOT, Daemon, wait_until
from tests.packaging.packed import Packed

SHARED = {
    "share/man/man1/workerctl.1",
    "share/man/man5/worker-supervisor-config.5",
    "share/man/man8/worker-supervisor.8",
    "share/bash-completion/completions/workerctl",
    "share/zsh/site-functions/_workerctl",
    "share/fish/vendor_completions.d/workerctl.fish",
    "share/worker-supervisor/config.toml",
    "share/worker-supervisor/.env.example",
    "share/worker-supervisor/systemd/worker-supervisor.service",
    "share/worker-supervisor/systemd/worker-supervisor.user.service",
    "share/worker-supervisor/apparmor/worker-supervisor",
}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_two_packages_and_nothing_else(packed: Packed) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("ctl", "supervisor")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"supervisor/py.typed", "ctl/py.typed", "supervisor/runtime/gates/node_gate.cjs"} < wanted
    assert "supervisor/gateway/page/index.html" in wanted
    found = names_in(packed.wheel)
    beside = {name for name in found if ".dist-info/" in name or ".data/" in name}
    assert found - beside == wanted


def test_the_wheel_brings_the_manual_pages_the_completions_and_the_units(packed: Packed) -> None:
    data = {name.partition(".data/data/")[2] for name in names_in(packed.wheel) if ".data/" in name}
    assert data == SHARED


def test_the_sdist_holds_the_documents_and_the_packaging_and_no_tests(packed: Packed) -> None:
    with tarfile.open(packed.sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CHANGELOG.md", "LICENSE", "docs/DEPLOY.md", "examples/hello.js", "packaging/Dockerfile"} <= found
    assert {"packaging/generate.py", "packaging/.env.example", "supervisor/gateway/page/app.js"} <= found
    assert [name for name in found if re.match(r"tests|benchmarks|.*__pycache__", name)] == []


@pytest.fixture(scope="module")
def daemon(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = InstalledDaemon(tmp_path_factory.mktemp("daemon"), installed)
    try:
        daemon.start()
        yield daemon
        assert daemon.stop() == 0
    finally:
        print(daemon.words())
        daemon.clean()


class InstalledDaemon(Daemon):
    """A daemon that is started by its installed command, where nothing of this checkout can be imported."""

    def __init__(self, folder: Path, environment: Path) -> None:
        super().__init__(folder)
        self.bin = environment / "bin"

    def start(self, *, wait: bool = True, arguments: tuple[str, ...] = ()) -> Daemon:
        command = [self.bin / "worker-supervisor", "--config", self.settings, "--state-dir", self.state]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--socket", self.socket, "--workers", "2"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment,
            )
        wait_until(lambda: self.ready_lines() or self.ended(), 30, "the daemon's `ready`")
        assert not self.ended(), self.words()
        return self

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "workerctl"), "--socket", self.socket, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=CLEAN_ENVIRONMENT,
            timeout=60,
            check=False,
        )


def test_a_daemon_that_was_installed_from_the_wheel_runs_the_first_example(daemon: InstalledDaemon) -> None:
    done = daemon.command("run", str(ROOT / "examples/hello.js"))
    assert (done.returncode, done.stdout) == (0, "hello from job 1, attempt 1\n"), done.stderr
    result = daemon.command("result", "1")
    assert '"greeted"' in result.stdout, result.stderr
    assert daemon.command("health").returncode == 0


def test_it_pre_starts_interpreters_with_the_gates_that_the_wheel_brought(daemon: InstalledDaemon) -> None:
    wait_until(lambda: "node" in daemon.command("status").stdout.partition("SPARE")[2], 20, "a pre-started Node")


def test_its_code_is_the_installed_one(installed: Path, daemon: InstalledDaemon) -> None:
    asks = "import ctl, supervisor; print(supervisor.__file__, ctl.__file__)"
    done = subprocess.run(
        [str(installed / "bin/python"), "-c", asks], capture_output=True, text=True, check=True, cwd=daemon.folder
    )
    assert all(name.startswith(str(installed)) for name in done.stdout.split())


def test_the_installed_units_and_pages_are_those_of_the_source(installed: Path) -> None:
    for name in SHARED:
        source = next((ROOT / "packaging").rglob(name.rpartition("/")[2]))
        assert (installed / name).read_bytes() == source.read_bytes()
