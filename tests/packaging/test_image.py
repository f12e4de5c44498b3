"""The image's own entry, environment and health check, under a container's default restrictions, as process 1 and below an init.

There is no container engine here: `container.py` makes what one would. The steps that build the image are those of the
wheel (test_wheel.py); what else the Dockerfile says is held to the tree.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.config import Settings
from tests.harness import CLEAN_ENVIRONMENT, ROOT, alive, children_of, title_of, tree_of, wait_until
from tests.packaging import container
from tests.packaging.packed import runs_as_anybody

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "packaging/Dockerfile").read_text())
FINAL_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
STEPS = dict(line.split(" ", 1) for line in FINAL_STAGE.splitlines() if re.match(r"[A-Z]+ ", line))
ENTRY = json.loads(STEPS["ENTRYPOINT"])
HEALTH_CHECK = json.loads(STEPS["HEALTHCHECK"].partition("CMD ")[2])
ENVIRONMENT = dict(word.split("=", 1) for word in STEPS["ENV"].split()) | {"HOME": STEPS["WORKDIR"]}


def test_everything_that_is_copied_is_in_the_tree_and_let_through_to_the_builder() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert {"pyproject.toml", "supervisor", "ctl", "packaging"} <= set(names)
    let_through = (ROOT / "packaging/Dockerfile.dockerignore").read_text().split()
    for name in names:
        assert (ROOT / name).exists(), name
        assert f"!{name.partition('/')[0]}" in let_through, name


def test_whoever_runs_the_image_can_read_its_settings_whatever_the_mode_of_the_checkout(installed: Path) -> None:
    """A COPY keeps the mode that a file has in the checkout; what pip installed is everybody's to read."""
    (copied,) = re.findall(rf"^COPY (.+) {re.escape(ENVIRONMENT['WORKER_CONFIG'])}$", FINAL_STAGE, re.MULTILINE)
    below = re.fullmatch(r"--from=build /opt/worker-supervisor/(\S+)", copied)
    assert below is not None, copied
    assert (installed / below[1]).stat().st_mode & 0o004


def test_the_image_is_run_by_an_ordinary_user_whose_folders_are_its_own() -> None:
    assert STEPS["USER"] == f"{container.UID}:{container.UID}"
    state, socket = ENVIRONMENT["WORKER_STATE_DIR"], os.path.dirname(ENVIRONMENT["WORKER_SOCKET"])
    assert f"install -d -o 10001 -g 10001 -m 0700 {state} {socket}" in FINAL_STAGE
    assert STEPS["VOLUME"] == state and STEPS["STOPSIGNAL"] == "SIGTERM"


def test_the_compose_file_names_what_there_is() -> None:
    yaml = pytest.importorskip("yaml", reason="there is nothing to read YAML with")
    whole = yaml.safe_load((ROOT / "packaging/compose.yaml").read_text())
    jobs = whole["services"]["jobs"]
    assert (ROOT / jobs["build"]["dockerfile"]).exists() and jobs["build"]["context"] == ".."
    mounted = [volume.split(":") for volume in jobs["volumes"]]
    assert {name for name, _ in mounted} == set(whole["volumes"])
    assert {folder for _, folder in mounted} == {
        ENVIRONMENT["WORKER_STATE_DIR"],
        os.path.dirname(ENVIRONMENT["WORKER_SOCKET"]),
    }
    usual = Settings(state_dir="/s", socket="/s/s")
    assert int(jobs["stop_grace_period"].removesuffix("s")) > usual.shutdown_timeout_s + usual.kill_grace_s
    assert jobs["read_only"] is True and jobs["cap_drop"] == ["ALL"]


class Container:
    """The image's entry in namespaces of its own."""

    def __init__(self, folder: Path, environment: Path, with_init: bool) -> None:
        state = folder / "state"
        state.mkdir(mode=0o700)
        os.chown(state, container.UID, container.UID)
        self.log = folder / "log"
        words = ["--init"] if with_init else []
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.packaging.container", *words, str(environment), str(state), *ENTRY],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self.env(),
            )
        wait_until(lambda: "\nready " in f"\n{self.log.read_text()}" or self.process.poll() is not None, 30, "`ready`")
        assert self.process.poll() is None, self.log.read_text()

    def env(self) -> dict[str, str]:
        # The settings file of the image is not at its place on this machine.
        without = {name: value for name, value in ENVIRONMENT.items() if name != "WORKER_CONFIG"}
        return CLEAN_ENVIRONMENT | without | {"WORKER_CONFIG": ""}

    @property
    def first(self) -> int:
        """Its process 1, as the host counts."""
        (pid,) = children_of(self.process.pid)
        return pid

    def enter(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """`docker exec`."""
        rights = [
            "setpriv",
            f"--reuid={container.UID}",
            f"--regid={container.UID}",
            "--clear-groups",
            "--inh-caps=-all",
        ]
        return subprocess.run(
            ["nsenter", f"--target={self.first}", "--mount", "--pid", "--ipc", "--uts", "--net", *rights, *command],
            input=stdin.decode(),
            capture_output=True,
            text=True,
            env=self.env(),
            timeout=60,
            check=False,
        )

    def stop(self) -> int:
        os.kill(self.first, getattr(signal, STEPS["STOPSIGNAL"]))
        return self.process.wait(30)


def hindrance() -> str | None:
    if os.geteuid() != 0:
        return "only root can make a container's namespaces"
    missing = [name for name in ("nsenter", "setpriv", "unshare") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["unshare", "--pid", "--mount", "--fork", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "namespaces cannot be made here"


@pytest.fixture(scope="module", params=["as process 1", "below an init"])
def running(
    request: pytest.FixtureRequest, installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    if (why := hindrance()) is not None:
        pytest.skip(why)
    if not runs_as_anybody(installed):
        pytest.skip("this Python lies where only its owner may go")
    one = Container(tmp_path_factory.mktemp("container"), installed, request.param == "below an init")
    try:
        yield one
        tree = tree_of(one.first)
        assert one.stop() == 0, one.log.read_text()
        assert [title for pid, title in tree.items() if alive(pid)] == []
    finally:
        print(one.log.read_text())
        one.process.kill()
        one.process.wait()


def test_it_is_healthy_and_says_which_isolation_jobs_have_here(running: Container) -> None:
    done = running.enter(*HEALTH_CHECK)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    level = wait_until(
        lambda: json.loads(running.enter("workerctl", "status", "--json").stdout)["isolation"]["level"], 20, "a level"
    )
    assert level in ("landlock", "plain"), "no namespace can be made in a container as it is"


def test_it_runs_jobs_of_both_interpreters(running: Container) -> None:
    source = (ROOT / "examples/hello.js").read_bytes()
    done = running.enter("workerctl", "run", "--runtime", "node", "-", stdin=source)
    if "no node on" in done.stderr:
        pytest.skip("no Node on the path that jobs have")
    assert (done.returncode, done.stdout.startswith("hello from job")) == (0, True), done.stderr
    done = running.enter("workerctl", "run", "--runtime", "python", "-", stdin=b"import os; print(os.getuid())")
    assert (done.returncode, done.stdout) == (0, f"{container.UID}\n"), done.stderr


def test_a_strangers_orphan_is_reaped_and_never_killed(running: Container) -> None:
    """Of a `docker exec` that left something in the background: it becomes a child of process 1, and is not ours."""
    done = running.enter("sh", "-c", "sleep 1 >/dev/null 2>&1 & echo started")
    assert done.stdout == "started\n", done.stderr

    def orphans() -> list[int]:
        return [pid for pid in children_of(running.first) if title_of(pid) in ("sleep 1", "")]

    (orphan,) = wait_until(orphans, 10, "an orphan")
    assert alive(orphan)
    wait_until(lambda: not os.path.exists(f"/proc/{orphan}"), 15, "its end, and its reaping")
    assert running.enter(*HEALTH_CHECK).returncode == 0
