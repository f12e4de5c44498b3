"""`workerctl top`: what its screen shows, what its keys do, and that the terminal is given back however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_broker import STATUS, STREAMED, FakeBroker, Peer, job_json, wait_until
from story import output
from terminal import on_terminal

from ctl.job import Job
from ctl.top.snapshot import Snapshot
from ctl.top.terminal import keys_of
from ctl.top.view import View
from supervisor.core.errors import RequestError
from tests.harness import Daemon, running_daemon

HOSTILE = "\x1b[2J[bold]evil\nname"
QUEUE = {"name": "slow", "jobs": {"queued": 7, "running": 1}, "paused": True, "max_queued": 9, "max_running": None}
WORKER = {
    "name": "scripts/1",
    "pool": "scripts",
    "state": "busy",
    "pid": 4712,
    "job": 42,
    "job_name": HOSTILE,
    "job_started_at": "2026-01-02T03:04:05.200000Z",
    "last_beat_s": 0.1,
    "done": 12,
    "failed": 3,
    "busy_s": 75.0,
    "restarts": 4,
    "reasons": {},
    "note": "",
    "cpu_s": 1.5,
    "memory_bytes": 500 << 20,
}
RUNNING = job_json(42, "running", name=HOSTILE, queue="slow", progress={"percentage": 40.0, "stage": "parsing"})
FAILED = job_json(41, "failed", name="other", message="exit code 1")


def shows(broker: FakeBroker, *jobs: dict[str, Any]) -> None:
    """From now on the daemon has these jobs."""

    def listed(request: Any, peer: Peer) -> dict[str, Any]:
        return {"jobs": [job for job in jobs if not request.states or job["state"] in request.states], "next": None}

    broker.on("list", listed)


@pytest.fixture
def daemon(broker: FakeBroker) -> FakeBroker:
    """A broker with a worker, a queue, a running job and a failed one; nothing ever happens."""
    broker.answers("status", STATUS | {"cursor": 5, "queues": [QUEUE], "uptime_s": 60.0})
    broker.answers("workers", {"workers": [WORKER, WORKER | {"name": "scripts/9", "state": "gone", "job": None}]})
    shows(broker, RUNNING, FAILED)

    def events(request: Any, peer: Peer) -> object:
        if not request.follow:
            peer.end(5)
        return STREAMED

    broker.on("events", events)
    return broker


def test_one_look_as_text(ctl: Callable[..., Any], daemon: FakeBroker) -> None:
    text = ctl("top", "--once").text
    assert "worker-supervisor 0.1.0  running" in text and "3 queued" in text
    assert re.search(r"scripts/1 +busy +42 +12 +3", text) and "scripts/9" not in text
    assert re.search(r"slow +paused +7 +1\n", text)
    assert "1.5 s" in text and "500 MiB of 512 MiB" in text and "40% parsing" in text
    assert r"\x1b[2J[bold]evil\nname" in text and "\x1b" not in text
    seen = json.loads(ctl("top", "--once", "--json").text)
    assert seen["status"]["pid"] == 4711 and [job["id"] for job in seen["jobs"]] == [42, 41]
    assert ctl("top", "--once", "-q").text == "42\n"
    assert ctl("top", "--interval", "0.1").code == 2


def test_off_a_terminal_it_prints_again_and_again(daemon: FakeBroker, start: Callable[..., Any]) -> None:
    process = start("top", "--interval", "0.25")
    daemon.wait_for("workers", 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
    assert out.count(b"worker-supervisor") >= 2 and b"\x1b" not in out and b"\r" not in out


def test_the_screen_shows_all_and_gives_the_terminal_back(daemon: FakeBroker) -> None:
    with on_terminal("top") as top:
        top.sees("q quit")
        assert re.search(r"scripts/1 +busy +job 42 +\\x1b\[2J\[bold\]", top.screen)
        assert re.search(r"slow +paused +7 of 9 +1", top.screen)
        assert re.search(r"42 +running +\S+ +slow +1 +\S+/10m +1\.5s +500MiB/512MiB +████░░░░░░ 40% p", top.screen)
        assert re.search(r"41 +failed +other .* exit code 1", top.screen)
        assert "\x1b[31mfailed" in top.shown and len(top.screen.splitlines()) == 24
        top.type("q")
        assert top.ends() == 0
        assert top.is_as_before


def test_without_colours_it_has_none(daemon: FakeBroker) -> None:
    with on_terminal("top", NO_COLOR="1") as top:
        top.sees("q quit")
        top.type("q")
        assert top.ends() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", top.shown)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_truly_and_gives_the_terminal_back(daemon: FakeBroker, number: signal.Signals) -> None:
    with on_terminal("top") as top:
        top.sees("q quit")
        top.process.send_signal(number)
        assert top.ends() == (130 if number == signal.SIGINT else -number)
        assert top.is_as_before


def test_ctrl_c_on_the_keyboard_leaves_it(daemon: FakeBroker) -> None:
    with on_terminal("top") as top:
        top.sees("q quit")
        top.type("\x03")
        assert top.ends() == 130
        assert top.is_as_before


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_again(daemon: FakeBroker) -> None:
    shell = f'set -m; "{sys.executable}" -m ctl top; echo "the shell has it"; read word; fg; echo "ended $?"'
    with on_terminal("-c", shell, program="/bin/sh") as top:
        top.sees("q quit")
        top.type("\x1a")
        top.until(lambda: "the shell has it" in top.shown, "the shell")
        assert top.is_as_before and top.shown.count("\x1b[?1049h") == 1
        top.type("go on\n")
        top.until(lambda: top.shown.count("\x1b[?1049h") == 2 and "q quit" in top.screen, "another screen")
        top.type("q")
        top.until(lambda: "ended 0" in top.shown, "the end")
        assert top.is_as_before


def test_a_defect_gives_the_terminal_back_and_is_told(daemon: FakeBroker) -> None:
    code = (
        "import sys\nfrom ctl.top import picture\n"
        "def broken(*a, **k): raise RuntimeError('a defect on purpose')\n"
        "picture.Picture.lines = broken\n"
        "from ctl.main import main\nsys.exit(main(['top']))"
    )
    with on_terminal("-c", code, program=sys.executable) as top:
        assert top.ends() == 7
        assert top.is_as_before
    ending = top.shown.rpartition("\x1b[?1049l")[2]
    assert "a defect on purpose" in ending and "this is a defect of workerctl" in ending


def test_it_fits_any_size_and_follows_a_resize(daemon: FakeBroker) -> None:
    shows(daemon, *(job_json(number, "running", name="n" * 99) for number in range(159, 99, -1)))
    with on_terminal("top", columns=50, lines=9) as top:
        top.sees("100")
        assert len(top.screen.splitlines()) == 9 and max(map(len, top.screen.splitlines())) <= 50
        top.resize(120, 30)
        top.until(lambda: len(top.screen.splitlines()) == 30, "the larger screen")
        assert re.search(r"100 +running", top.screen)
        top.type("\x1b[F")
        top.until(lambda: re.search(r"^159 +running", top.screen, re.MULTILINE), "the end of the list")
        assert len(top.screen.splitlines()) == 30
        top.type("q")
        assert top.ends() == 0


def test_cancel_asks_first_and_retry_does_it(daemon: FakeBroker) -> None:
    daemon.answers("cancel", {"state": "running"})
    daemon.answers("show", FAILED)
    daemon.answers("retry", RequestError("wrong_state", "job 41 cannot be run again", {"state": "failed"}))
    with on_terminal("top") as top:
        top.sees("q quit")
        top.type("c")
        top.sees("cancel job 42?")
        top.type("n")
        top.sees("not cancelled")
        assert daemon.asked("cancel") == []
        top.type("cy")
        top.sees("job 42: cancelling")
        assert [request.job for request in daemon.asked("cancel")] == [42]
        top.type("jr")
        top.sees("job 41 cannot be run again")
        top.type("c")
        top.sees("job 41 is failed already")
        top.type("q")
        assert top.ends() == 0


def test_filter_keeps_what_has_all_its_words(daemon: FakeBroker) -> None:
    with on_terminal("top") as top:
        top.sees("q quit")
        top.type("/fail oth")
        top.until(lambda: "filter: fail oth" in top.screen and not re.search(r"^42 ", top.screen, re.MULTILINE))
        assert re.search(r"^41 +failed", top.screen, re.MULTILINE)
        top.type("q\x7fé\r")
        top.sees("filter: fail othé")
        top.sees("no job is like that")
        top.type("\x1b")
        top.until(lambda: re.search(r"^42 ", top.screen, re.MULTILINE), "all jobs again")
        top.type("q")
        assert top.ends() == 0


def test_follow_shows_the_newest_output_made_harmless(daemon: FakeBroker) -> None:
    def follow(request: Any, peer: Peer) -> object:
        peer.item(output(1, "stdout", 1, 0, b"".join(b"line %d\n" % n for n in range(100))))
        peer.item(output(1, "stdout", 1, 990, b"\x1b[2J\x1b]0;mine\x07 \xff[red]open"))
        return STREAMED

    daemon.on("follow", follow)
    with on_terminal("top") as top:
        top.sees("q quit")
        top.type("f")
        top.sees(r"\x1b[2J\x1b]0;mine\x07 �[red]open")
        assert "line 99" in top.screen and "line 1\n" not in top.screen and len(top.screen.splitlines()) == 24
        assert "]0;mine" not in top.shown.replace(r"\x1b]0;mine", "")
        top.type("q")
        top.sees("q quit")
        top.type("q")
        assert top.ends() == 0


def test_it_outlives_a_daemon_that_goes_and_comes_back(daemon: FakeBroker) -> None:
    with on_terminal("top") as top:
        top.sees("q quit")
        daemon.stop()
        top.sees("trying again")
        assert re.search(r"^42 +running", top.screen, re.MULTILINE), "what was last known stays"
        shows(daemon, job_json(43, "running", name="afterwards"))
        daemon.start()
        top.sees("afterwards")
        assert "trying again" not in top.screen
        top.type("q")
        assert top.ends() == 0
        assert top.is_as_before


def test_an_event_is_shown_at_once_and_quiet_times_cost_few_questions(daemon: FakeBroker) -> None:
    shows(daemon, FAILED)
    told: list[Peer] = []

    def events(request: Any, peer: Peer) -> object:
        if request.follow:
            told.append(peer)
        else:
            peer.end(5)
        return STREAMED

    daemon.on("events", events)
    with on_terminal("top", "--interval", "1h") as top:
        top.sees("q quit")
        wait_until(lambda: told)
        asked = len(daemon.asked("workers"))
        assert asked == 1, "while nothing runs and nothing happens, nothing is asked"
        shows(daemon, RUNNING, FAILED)
        told[0].item(
            {"cursor": 6, "event": "running", "job": 42, "at": None, "state": "running", "attempt": 1, "data": {}}
        )
        top.until(lambda: re.search(r"^42 +running", top.screen, re.MULTILINE), "the job of the event")
        top.type("q")
        assert top.ends() == 0


def test_without_a_daemon_it_says_so_and_never_takes_the_screen(socket_path: str) -> None:
    with on_terminal("top", WORKER_SOCKET=socket_path) as top:
        assert top.ends() == 5
    assert "no daemon is running" in top.shown and "\x1b" not in top.shown


def test_without_rich_it_names_the_command_that_brings_it(daemon: FakeBroker) -> None:
    code = "import sys\nsys.modules['rich'] = None\nfrom ctl.main import main\nsys.exit(main(sys.argv[1:]))"
    for words, status in ((["top"], 6), (["top", "--once"], 0)):
        with on_terminal("-c", code, *words, program=sys.executable) as top:
            assert top.ends() == status
        assert ("pip install 'workerctl[tui]'" in top.shown) == (status == 6)
        assert "Traceback" not in top.shown and "\x1b[?1049h" not in top.shown


KEYS = [
    ("q", ["q"]),
    ("é日", ["é", "日"]),
    ("\r\x7f", ["enter", "backspace"]),
    ("\x1b", ["escape"]),
    ("\x1b[A\x1b[B\x1bOA", ["up", "down", "up"]),
    ("\x1b[5~\x1b[6~j", ["pageup", "pagedown", "j"]),
    ("\x1b[1;5Cq", ["q"]),
    ("\x1b\x1b[A", ["escape", "up"]),
    ("\x1b[", ["escape", "["]),
]


@pytest.mark.parametrize(("sent", "keys"), KEYS)
def test_keys_by_what_a_terminal_sends(sent: str, keys: list[str]) -> None:
    assert keys_of(sent) == keys


def test_the_selection_stays_with_its_job_while_the_list_changes() -> None:
    view = View()
    jobs = [Job(job_json(number, "queued")) for number in (9, 8, 7)]
    assert view.settle(jobs) == 0
    view.press("down", jobs)
    assert view.selected == 8
    jobs.insert(0, Job(job_json(10, "queued")))
    assert view.settle(jobs) == 2
    del jobs[2]
    assert (view.settle(jobs), view.selected) == (2, 7), "what stands there now"
    assert (view.settle([]), view.selected) == (0, None)
    assert view.press("c", []) is None and view.notice == "there is no job here"


def test_running_jobs_stand_first_oldest_above() -> None:
    from ctl.top.snapshot import look

    class Asked:
        def status(self) -> dict[str, Any]:
            return STATUS

        def workers(self) -> list[dict[str, Any]]:
            return []

        def list(self, states: Any = (), limit: int = 0) -> Any:
            jobs = [job_json(3, "queued"), job_json(2, "running"), job_json(1, "running")]
            return [Job(job) for job in jobs if not states or job["state"] in states]

    assert [job.id for job in look(Asked()).jobs] == [1, 2, 3]  # type: ignore[arg-type]
    assert Snapshot(STATUS, [], []).queues == []


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with one worker."""
    with running_daemon(tmp_path / "d", workers=1) as daemon:
        yield daemon


def test_the_whole_with_a_real_daemon_through_a_restart_of_its_broker(real: Daemon) -> None:
    text = (
        "import os, time\n"
        'os.write(int(os.environ[\'JOB_CHANNEL_FD\']), b\'{"type": "progress", "percentage": 70, "stage": "busy"}\\n\')\n'
        "held = bytearray(40 << 20)\nprint('it runs', flush=True)\ntime.sleep(3600)\n"
    )
    job = int(real.ctl("-q", "submit", "-", "--runtime", "python", "--name", "holder", stdin=text.encode()).stdout)
    with on_terminal("top", WORKER_SOCKET=real.socket) as top:
        top.until(lambda: re.search(rf"^{job} +running +holder .*MiB/.* 70% busy", top.screen, re.MULTILINE), "its use")
        top.type("f")
        top.sees("it runs")
        top.type("q")
        broker = real.pid_of("broker")
        os.kill(broker, signal.SIGKILL)
        wait_until(lambda: real.ask("status") and real.pid_of("broker") != broker)
        top.type("cy")
        top.until(lambda: re.search(rf"^{job} +cancelled", top.screen, re.MULTILINE), "that it is cancelled")
        top.type("r")
        top.until(lambda: re.search(rf"^{job} +running", top.screen, re.MULTILINE), "that it runs again")
        top.type("q")
        assert top.ends() == 0
        assert top.is_as_before
    real.ctl("cancel", str(job))
