"""The web form as a visitor meets it: a daemon, the web program, and a browser that fills in the form and looks on."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.browser.chromium import WITHIN_S, Browser, running_browser
from tests.harness import ROOT, Daemon, running_daemon, wait_until

pytest.importorskip("uvicorn", reason="the web form needs the extra `http`")

FOLDER = ROOT / "examples" / "webform"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def daemon(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    settings = (FOLDER / "config.toml").read_text().replace('state_dir = "state"\nsocket = "control.sock"\n', "")
    with running_daemon(tmp_path_factory.mktemp("webform") / "d", settings, workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def address(daemon: Daemon) -> Iterator[str]:
    """Where the web program answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        program = subprocess.Popen(
            [
                sys.executable,
                "-B",
                "-m",
                "uvicorn",
                "app:app",
                "--fd",
                str(listener.fileno()),
                "--log-level",
                "warning",
            ],
            cwd=FOLDER,
            env={**daemon.environment, "WORKER_SOCKET": daemon.socket, "PYTHONPATH": str(ROOT)},
            pass_fds=[listener.fileno()],
        )
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(10)
            program.kill()
            program.wait()


def draw(browser: Browser, address: str, size: str, zoom: str = "1") -> int:
    """Fills in the form and sends it; the job's id stands in the address that it leads to."""
    browser.open(f"{address}/")
    browser.shows("form")
    browser.run(
        "const fields = document.forms[0].elements; fields.size.value = arguments[0]; fields.zoom.value = arguments[1]",
        size,
        zoom,
    )
    browser.click("form button")
    browser.sees("A picture", "h1")
    return int(str(browser.run("return location.pathname")).rpartition("/")[2])


def test_a_visitor_sees_the_progress_and_then_the_picture(browser: Browser, address: str, daemon: Daemon) -> None:
    job = draw(browser, address, "large")
    browser.sees("running", "#state")
    wait_until(lambda: 0 < browser.run("return document.getElementById('bar').value") < 100, WITHIN_S, "progress")
    browser.sees("completed", "#state")
    wait_until(lambda: picture_size(browser) == [480, 320], WITHIN_S, "the picture")
    assert daemon.ask("show", str(job))["queue"] == "pictures"
    # Opened afterwards it is all there again.
    browser.driver.refresh()
    wait_until(lambda: picture_size(browser) == [480, 320], WITHIN_S, "the picture of a job that is over")
    assert browser.complaints() == []


def picture_size(browser: Browser) -> list[int]:
    """Width and height of the picture, zero until it is there."""
    script = (
        "const one = document.querySelector('#picture img'); return one ? [one.naturalWidth, one.naturalHeight] : []"
    )
    return list(browser.run(script))


def test_a_visitor_ends_it_and_a_killed_broker_does_not(browser: Browser, address: str, daemon: Daemon) -> None:
    daemon.ctl("pause", "pictures", check=True)
    job = draw(browser, address, "large")
    browser.sees("queued", "#state")
    os.kill(daemon.pid_of("broker"), signal.SIGKILL)
    assert daemon.ask("show", str(job))["state"] == "queued"
    browser.click("#cancel")
    # The stream broke off with the broker, and the browser came back for the rest.
    browser.sees("cancelled", "#state")
    browser.lacks("#cancel")
    assert daemon.ask("show", str(job))["cancel_reason"] == "the visitor did not want it any more"


def test_no_picture_leads_to_another_job_of_the_daemon(
    browser: Browser, address: str, daemon: Daemon, tmp_path: pathlib.Path
) -> None:
    script = tmp_path / "secret.sh"
    script.write_text('echo secret > "$JOB_OUTPUT_DIR/picture.png"')
    job = int(daemon.ctl("submit", "-q", str(script), check=True).stdout)
    daemon.ctl("wait", str(job), check=True)
    for path in ("", "/events", "/picture.png"):
        browser.open(f"{address}/pictures/{job}{path}")
        browser.sees("there is no such picture")
