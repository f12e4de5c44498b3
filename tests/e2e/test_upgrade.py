"""Over to new code under a steady load: nobody is interrupted, refused or lost; code that is not fit changes nothing.

The new code is this code's copy with another version, another schema, or a defect.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ctl import Client
from supervisor import __version__
from supervisor.store.migrations import CURRENT_VERSION
from tests.harness import ROOT, Daemon, children_of, tree_of, wait_until

NEXT = "99.1.0"
EVERY_S = 0.1
LAST_STEP = "CURRENT_VERSION: Final = MIGRATIONS[-1].version"


class NewCode:
    """A copy of the daemon's code, and an interpreter that has it before all other."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__")
        for package in ("supervisor", "ctl"):
            shutil.copytree(ROOT / package, folder / package, ignore=ignored)
        self.python = str(folder / "python")
        wrapper = pathlib.Path(self.python)
        wrapper.write_text(f'#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH={folder} exec {sys.executable} -P "$@"\n')
        wrapper.chmod(0o755)

    def change(self, path: str, before: str, after: str) -> str:
        """Edits a file of it; returns the text that was there."""
        file = self.folder / path
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after, 1))
        return text

    def migration(self, statement: str) -> str:
        """Adds a step to its schema."""
        step = f"MIGRATIONS = (*MIGRATIONS, Migration({CURRENT_VERSION + 1}, ({statement!r},)))"
        return self.change("supervisor/store/migrations.py", LAST_STEP, f"{step}\n{LAST_STEP}")


@pytest.fixture
def new_code(tmp_path: pathlib.Path) -> NewCode:
    return NewCode(tmp_path / "new")


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    return make_daemon(workers=3).start()


class Load:
    """A client that submits steadily, in a thread of its own: no faster than a busy machine can run it."""

    def __init__(self, daemon: Daemon) -> None:
        self.jobs: list[int] = []
        self.error: Exception | None = None
        self._daemon = daemon
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._submit_on)

    def _submit_on(self) -> None:
        try:
            with self._daemon.client() as client:
                while not self._over.wait(EVERY_S):
                    self.jobs.append(client.submit(source="exit 0", runtime="shell", name="small").id)
        except Exception as error:
            self.error = error

    def __enter__(self) -> Load:
        self._thread.start()
        wait_until(lambda: len(self.jobs) > 2, saying="the load")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def grows(self) -> None:
        """Waits until more jobs were accepted."""
        before = len(self.jobs)
        wait_until(lambda: len(self.jobs) > before + 2 or self.error, saying="more accepted jobs")


def long_job(client: Client) -> tuple[int, int]:
    """A job that runs until it is cancelled, and the pid of its worker."""
    job = client.submit(source="exec sleep 3519", runtime="shell", name="long").id
    worker = wait_until(lambda: next((w for w in client.status()["workers"] if w["job"] == job), None))
    return job, worker["pid"]


def at_work(client: Client, job: int) -> dict[str, Any]:
    """The worker that has the job; after a broker's restart it says so a moment later."""
    return wait_until(lambda: next((worker for worker in client.status()["workers"] if worker["job"] == job), None))


def all_renewed(client: Client) -> bool:
    status = client.status()
    return status["upgrade"] is None and all(worker["state"] in ("idle", "busy") for worker in status["workers"])


def test_again_and_again_under_a_steady_load(daemon: Daemon) -> None:
    with daemon.client() as client, Load(daemon) as load:
        job, worker = long_job(client)
        before = client.status()
        broker = daemon.pid_of("broker")
        for number in range(1, 4):
            assert client.upgrade() == {"before": __version__, "version": __version__}
            assert client.status()["upgrades"] == number
            load.grows()
            assert at_work(client, job)["pid"] == worker
        wait_until(lambda: daemon.pid_of("broker") != broker)
        wait_until(lambda: client.status()["upgrade"]["workers_left"] == 1, 30, "the others' replacement")
        status = client.status()
        assert (status["pid"], status["state"]) == (daemon.pid, "running")
        assert status["uptime_s"] > before["uptime_s"]
        assert client.cancel(job) == "running"
        assert client.wait(job, timeout=30).reason == "cancelled"
        assert len(client.show(job).attempts) == 1
        wait_until(lambda: all_renewed(client), 30, "fresh workers everywhere")
        assert worker not in children_of(daemon.pid)
        load.grows()
    assert load.error is None
    with daemon.client() as client:
        for done in client.wait_each(load.jobs, timeout=60):
            assert (done.state, done.attempt) == ("completed", 1), done
    if os.geteuid() == 0:
        # Standard ones, loop, signals' pipe, lock, listener, scoreboard; broker: channel and pidfd; workers: pidfds.
        assert len(os.listdir(f"/proc/{daemon.pid}/fd")) <= 3 + 2 + 2 + 3 + 2 + 3
    assert len(children_of(daemon.pid)) == 4
    assert daemon.stop() == 0


def test_a_new_version_with_a_new_schema_takes_over_and_both_versions_show(daemon: Daemon, new_code: NewCode) -> None:
    new_code.change("supervisor/__init__.py", f'"{__version__}"', f'"{NEXT}"')
    new_code.migration("ALTER TABLE jobs ADD COLUMN colour TEXT")
    with daemon.client() as client, Load(daemon) as load:
        job, worker = long_job(client)
        assert {w["version"] for w in client.status()["workers"]} == {__version__}
        done = daemon.ctl("upgrade", "--python", new_code.python)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        assert done.stdout.decode().startswith(f"version {__version__} -> {NEXT}\n")
        wait_until(
            lambda: NEXT in {w["version"] for w in client.status()["workers"]}, 20, "a worker of the new version"
        )
        status = client.status()
        assert status["version"] == NEXT
        assert (status["upgrade"]["state"], status["upgrade"]["before"]) == ("replacing", __version__)
        assert status["upgrade"]["workers_left"] >= 1
        old = at_work(client, job)
        assert (old["pid"], old["version"], old["renewal"]) == (worker, __version__, "upgrade")
        shown = daemon.ctl("status").stdout.decode()
        assert f"upgrade: {__version__} -> {NEXT}; of the older version: " in shown
        assert f"(upgrade due, {__version__})" in shown
        load.grows()
        client.cancel(job)
        assert client.wait(job, timeout=30).reason == "cancelled"
        wait_until(lambda: all_renewed(client), 30, "fresh workers everywhere")
        assert {w["version"] for w in client.status()["workers"]} == {NEXT}
        load.grows()
        told = [event["data"]["message"] for event in _happenings(daemon) if event["event"] == "daemon_upgraded"]
        assert told == [f"version {__version__} -> {NEXT}"]
        assert not {"daemon_stopped", "broker_restarted"} & {event["event"] for event in _happenings(daemon)}
        # The next one goes by what runs now: the interpreter's options and environment are kept.
        assert client.upgrade() == {"before": NEXT, "version": NEXT}
    assert load.error is None
    with daemon.client() as client:
        for done_job in client.wait_each(load.jobs, timeout=60):
            assert (done_job.state, done_job.attempt) == ("completed", 1), done_job
    assert f"schema {CURRENT_VERSION} -> {CURRENT_VERSION + 1}" in daemon.words()
    assert (daemon.state / f"queue.db.v{CURRENT_VERSION}.backup").exists()
    assert not (daemon.state / "queue.db.rehearsal").exists()
    assert daemon.stop() == 0


def test_code_that_is_not_fit_changes_nothing(daemon: Daemon, new_code: NewCode) -> None:
    with daemon.client() as client:
        job, worker = long_job(client)
        tree = sorted(children_of(daemon.pid))

        def refused(saying: str, *options: str) -> None:
            done = daemon.ctl("upgrade", *options)
            assert done.returncode == 6, done
            assert "nothing was changed" in done.stderr.decode()
            assert saying in done.stderr.decode()
            status = client.status()
            assert (status["upgrades"], status["upgrade"], status["version"]) == (0, None, __version__)
            assert sorted(children_of(daemon.pid)) == tree
            assert at_work(client, job)["pid"] == worker

        new = ("--python", new_code.python)
        refused("No such file or directory", "--python", "/nowhere/python")
        refused("No module named supervisor", "--python", _bare_python(new_code.folder))
        text = new_code.change("supervisor/broker/ops/cancel.py", "async def", "async dof")
        refused("SyntaxError", *new)
        (new_code.folder / "supervisor/broker/ops/cancel.py").write_text(text)
        text = new_code.migration("INSERT INTO nowhere VALUES (1)")
        refused("no such table: nowhere", *new)
        (new_code.folder / "supervisor/store/migrations.py").write_text(text)
        text = new_code.change("supervisor/store/migrations.py", LAST_STEP, "CURRENT_VERSION: Final = 0")
        refused("this release knows 0 at most", *new)
        (new_code.folder / "supervisor/store/migrations.py").write_text(text)
        text = new_code.change("supervisor/arbiter/handover.py", "FORMAT: Final = 1", "FORMAT: Final = 2")
        refused("this release knows 2 only", *new)
        (new_code.folder / "supervisor/arbiter/handover.py").write_text(text)
        text = new_code.change("supervisor/sandbox/holder_program.py", "def main", "def not_main")
        refused("no job can be isolated as the settings ask", *new)
        (new_code.folder / "supervisor/sandbox/holder_program.py").write_text(text)
        text = new_code.change("supervisor/worker/main.py", "    become_subreaper()", "    become_subraeper()")
        refused("of the trial exited with code 70: NameError: name 'become_subraeper' is not defined", *new)
        (new_code.folder / "supervisor/worker/main.py").write_text(text)
        text = new_code.change("supervisor/broker/main.py", "self._feed = Feed()", "self._feed = Food()")
        refused("NameError: name 'Food' is not defined", *new)
        (new_code.folder / "supervisor/broker/main.py").write_text(text)
        daemon.settings.write_text("[pools.scripts]\ncolour = 3\n")
        refused("colour", *new)
        daemon.settings.write_text("")
        assert client.upgrade(new_code.python)["version"] == __version__
        assert at_work(client, job)["pid"] == worker
        client.cancel(job)
        assert client.wait(job, timeout=30).reason == "cancelled"


def _happenings(daemon: Daemon) -> list[dict[str, Any]]:
    """All events so far."""
    return [json.loads(line) for line in daemon.ctl("events", "--after", "0", "--json").stdout.splitlines()]


def _bare_python(folder: pathlib.Path) -> str:
    """An interpreter that does not know of us."""
    python = folder / "bare"
    python.write_text(f'#!/bin/sh\ncd /\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    return str(python)


def test_settings_are_read_again_and_the_pool_follows(daemon: Daemon) -> None:
    with daemon.client() as client:
        daemon.settings.write_text('kill_grace = "1s"\n[pools.extra]\nreplicas = 1\ntypes = ["shell"]\n')
        client.upgrade()
        wait_until(lambda: all_renewed(client) and len(client.status()["workers"]) == 4, 30, "the new pool's worker")
        assert {worker["pool"] for worker in client.status()["workers"]} == {"scripts", "extra"}


def test_settings_that_break_after_the_check_leave_those_of_before_and_the_log_as_it_was(daemon: Daemon) -> None:
    """The check has read the settings before its trial begins."""
    good, done = daemon.settings.read_text(), threading.Event()

    def spoil() -> None:
        def trial() -> bool:
            return any("--preflight" in title and children_of(pid) for pid, title in tree_of(daemon.pid).items())

        wait_until(trial, 60, "the trial")
        daemon.settings.write_text("no settings")
        done.set()

    spoiler = threading.Thread(target=spoil)
    spoiler.start()
    with daemon.client() as client:
        assert client.upgrade()["version"] == __version__
        spoiler.join()
        assert done.is_set() and client.status()["upgrades"] == 1
        wait_until(lambda: all_renewed(client), 30)
    assert "going on with the settings of before the upgrade" in daemon.words()
    taken_over = [line for line in daemon.words().splitlines() if "has taken over from" in line]
    assert [json.loads(line)["role"] for line in taken_over] == ["arbiter"]
    daemon.settings.write_text(good)


def test_a_relative_python_is_refused(daemon: Daemon) -> None:
    with daemon.client() as client:
        with pytest.raises(Exception, match="an absolute path is needed"):
            client.upgrade("bin/python")
