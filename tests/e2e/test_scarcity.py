"""A machine that is short of descriptors or processes: nobody dies of it, no job fails of it, and it passes."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from supervisor.broker.server import LEAST_CONNECTIONS, MAX_CONNECTIONS, most_connections
from tests.e2e.test_clients import Raw
from tests.harness import Daemon, alive, children_of, title_of, tree_of, wait_until

FEW_FILES = 128
FLOOD = 250
QUICK = "exit 0"


@contextmanager
def limited(pid: int, which: int, value: int) -> Iterator[None]:
    """A running process has so little, for a while. The kernel counts processes of a user, those of others too."""
    before = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (value, before[1]))
    try:
        yield
    finally:
        if alive(pid):
            resource.prlimit(pid, which, before)


def level(name: str) -> str:
    return f'shutdown_timeout = "1s"\n[pools.scripts]\nisolation = "{name}"\n'


def submit(daemon: Daemon, text: str = QUICK) -> int:
    return Raw(daemon).ask(op="submit", request_id=os.urandom(8).hex(), source=text, type="shell")["value"]["job"]


def files_of(pid: int) -> int:
    """How many files it has open: about so many, where it does not let an ordinary user look."""
    return len(os.listdir(f"/proc/{pid}/fd")) if os.geteuid() == 0 else 14


@pytest.mark.parametrize(
    ("open_files", "connections"),
    [
        (108, 20),
        (1024, 325),
        (4096, MAX_CONNECTIONS),
        (20, LEAST_CONNECTIONS),
        (resource.RLIM_INFINITY, MAX_CONNECTIONS),
    ],
)
def test_connections_that_a_number_of_open_files_allows(open_files: int, connections: int) -> None:
    assert most_connections(open_files) == connections


def brokers_of(daemon: Daemon) -> list[int]:
    return [pid for pid, title in tree_of(daemon.pid).items() if ": broker" in title]


def test_a_flood_of_connections_at_few_open_files_is_told_busy_and_passes(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings=level("plain")).start()
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (FEW_FILES, FEW_FILES))
    first = daemon.pid_of(": broker")
    os.kill(first, signal.SIGKILL)  # the next one has what the arbiter has
    wait_until(lambda: first not in tree_of(daemon.pid) and brokers_of(daemon), saying="a new broker")
    wait_until(lambda: all_idle(daemon), saying="the workers")
    broker, served = daemon.pid_of(": broker"), most_connections(FEW_FILES)
    quiet = files_of(broker)
    idle = [socket.socket(socket.AF_UNIX) for _ in range(FLOOD)]
    for one in idle:
        one.connect(daemon.socket)
    assert Raw(daemon).ask(op="status")["re"] == "ok", "the owner is served beside idle connections"
    assert daemon.ctl("run", "-", "--runtime", "shell", stdin=b"exit 3").returncode == 3
    for one in idle:
        one.close()
    job = submit(daemon, "sleep 600")
    following, answer = [], {"re": "item"}
    while answer["re"] == "item":
        following.append(Raw(daemon))
        answer = following[-1].ask(op="follow", job=job, after=0)
    assert (answer["code"], answer["message"]) == ("busy", f"{served} connections are open and in use")
    assert len(following) == served - 1, "two are the workers', and one was turned away"
    for one in following:
        one.close()
    wait_until(lambda: files_of(broker) <= quiet + 2, saying="the end of the connections")
    assert daemon.ctl("cancel", str(job)).returncode == 0
    assert daemon.ctl("run", "-", "--runtime", "shell", stdin=b"exit 4").returncode == 4
    assert daemon.pid_of(": broker") == broker


def test_a_broker_without_a_free_descriptor_says_busy_for_what_needs_one(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings=level("plain")).start()
    job = submit(daemon, "echo said; exit 0")
    daemon.ctl("wait", str(job))
    broker, raw = daemon.pid_of(": broker"), Raw(daemon)
    assert raw.ask(op="status")["re"] == "ok"
    with limited(broker, resource.RLIMIT_NOFILE, 3):
        answer = raw.ask(op="logs", job=job, stream="stdout", offset=0, length=10)
        assert (answer["code"], answer["message"]) == ("busy", "the daemon is short of open files now; try again later")
        assert raw.ask(op="submit", request_id="still-stored", source=QUICK, type="shell")["re"] == "ok"
    assert raw.ask(op="logs", job=job, stream="stdout", offset=0, length=10)["value"]["data"] == "said\n"
    assert daemon.pid_of(": broker") == broker


@pytest.mark.parametrize("isolation", ["namespace", "plain"])
def test_a_worker_without_descriptors_waits_at_each_step_of_a_start_and_no_job_fails(
    make_daemon: Callable[..., Daemon], isolation: str
) -> None:
    daemon = make_daemon(settings=level(isolation) + "prestart = 0\n", workers=1).start()
    wait_until(lambda: all_idle(daemon), saying="the worker")
    worker = daemon.pid_of("worker scripts/1")
    for spare in (0, 2, 4, 5, 6, 10):
        before = daemon.words().count("short of open files: waiting")
        with limited(worker, resource.RLIMIT_NOFILE, files_of(worker) + spare):
            job = submit(daemon)
            wait_until(
                lambda before=before, job=job: (
                    daemon.words().count("short of open files: waiting") > before
                    or daemon.ask("show", str(job))["state"] == "completed"
                ),
                20,
                "the shortage",
            )
        assert daemon.ctl("wait", str(job)).returncode == 0
        assert [attempt["reason"] for attempt in daemon.ask("show", str(job))["attempts"]] == ["ok"]
    assert daemon.pid_of("worker scripts/1") == worker
    if os.geteuid() == 0:  # who cannot count the files of the worker may have left it enough
        assert "short of open files: waiting" in daemon.words()


ordinary = pytest.mark.skipif(os.geteuid() == 0, reason="the kernel does not limit the processes of root")


@ordinary
@pytest.mark.parametrize("isolation", ["namespace", "plain"])
def test_a_fork_that_is_refused_below_the_worker_fails_no_job(
    isolation: str, make_daemon: Callable[..., Daemon]
) -> None:
    daemon = make_daemon(settings=level(isolation), workers=1).start()
    wait_until(lambda: all_idle(daemon), saying="the worker")
    worker = daemon.pid_of("worker scripts/1")
    holder = next(pid for pid in children_of(worker) if ": holder" in title_of(pid))
    with limited(holder, resource.RLIMIT_NPROC, 1):
        job = submit(daemon)
        wait_until(lambda: "short of processes: waiting" in daemon.words(), saying="the shortage")
        assert daemon.ask("show", str(job))["attempts"] == []
    assert daemon.ctl("wait", str(job)).returncode == 0
    assert [attempt["reason"] for attempt in daemon.ask("show", str(job))["attempts"]] == ["ok"]


@ordinary
def test_an_arbiter_that_cannot_fork_goes_on_trying_and_parks_nobody(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings=level("plain"), workers=1).start()
    wait_until(lambda: all_idle(daemon), saying="the worker")
    with limited(daemon.pid, resource.RLIMIT_NPROC, 1):
        os.kill(daemon.pid_of("worker scripts/1"), signal.SIGKILL)
        wait_until(lambda: daemon.words().count("cannot be forked") >= 2, saying="two tries")
        found = daemon.ask("status")["workers"][0]
        assert (found["state"], found["note"]) == ("backoff", "cannot be forked: Resource temporarily unavailable")
        os.kill(daemon.pid_of(": broker"), signal.SIGKILL)
        wait_until(lambda: "the broker cannot be forked" in daemon.words(), saying="a try")
    job = wait_until(lambda: try_submit(daemon), saying="a new broker")
    assert daemon.ctl("wait", str(job)).returncode == 0


@ordinary
def test_a_worker_that_starts_without_processes_waits_and_takes_no_weaker_isolation(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon(workers=1).start()
    level_before = wait_until(lambda: daemon.ask("status")["isolation"]["level"], saying="the worker")
    # The new worker inherits a limit that lets itself be forked, being the arbiter's own affair, and nothing more.
    worker = daemon.pid_of("worker scripts/1")
    os.kill(worker, signal.SIGKILL)
    successor = wait_until(lambda: [p for p in children_of(daemon.pid) if ": worker" in title_of(p) and p != worker])[0]
    with limited(successor, resource.RLIMIT_NPROC, 1):
        wait_until(lambda: "nothing can be tried out" in daemon.words() or all_idle(daemon), saying="the shortage")
    wait_until(lambda: all_idle(daemon), saying="the worker")
    assert daemon.ask("status")["isolation"]["level"] == level_before


def all_idle(daemon: Daemon) -> bool:
    return all(worker["state"] == "idle" for worker in daemon.ask("status")["workers"])


def try_submit(daemon: Daemon) -> int | None:
    try:
        return submit(daemon)
    except (OSError, AssertionError):
        return None


HOARDER = """
import socket, time
ends, sent = [], 0
try:
    while sent < 5000:
        ends.append(socket.socketpair())
        socket.send_fds(ends[-1][0], [b"x"], [0] * 250)
        sent += 250
except OSError as error:
    print("stopped at", sent, error, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.geteuid() == 0, reason="jobs of a root daemon have a user of their own")
@pytest.mark.parametrize("name", ["namespace", "landlock", "plain"])
def test_a_job_that_leaves_descriptors_under_way_is_no_want_of_the_others(
    make_daemon: Callable[..., Daemon], name: str
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 < hard < 4096:
        pytest.skip("the user may not have more open files than a job")
    with limited(os.getpid(), resource.RLIMIT_NOFILE, 1024):
        daemon = make_daemon(settings=level(name)).start()
    asked = {"source": HOARDER, "type": "python", "limits": {"open_files": 1024}}
    hoarder = Raw(daemon).ask(op="submit", request_id=os.urandom(8).hex(), **asked)["value"]["job"]
    wait_until(lambda: b"stopped at 1250" in daemon.ctl("logs", str(hoarder)).stdout, 20, "the hoard")
    for _ in range(3):
        done = daemon.ctl("run", "-", "--runtime", "shell", stdin=b"exit 3")
        assert done.returncode == 3, done.stderr
