"""What is kept of finished jobs: removed by age, number and size, by command, and never what is still needed."""

from __future__ import annotations

import hashlib
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ctl import Client, NotFound, WrongState
from tests.harness import Daemon, running_daemon, wait_until

OUTPUT = "head -c 200000 /dev/zero; echo kept > $JOB_OUTPUT_DIR/a"
LARGE = b"# " + b"x" * 300_000 + b"\ntrue\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("retention") / "d") as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as connected:
        yield connected


def submit(client: Client, source: str = "true", **options: object) -> int:
    return client.submit(source=source, runtime="shell", **options).id  # type: ignore[arg-type]


def done(client: Client, source: str = "true", **options: object) -> int:
    job = submit(client, source, **options)
    client.wait(job, timeout=30)
    return job


def exists(client: Client, job: int) -> bool:
    try:
        client.show(job)
    except NotFound:
        return False
    return True


def prune(client: Client) -> list[int]:
    return [one["job"] for step in client.prune() for one in step["jobs"]]


def age(path: pathlib.Path) -> None:
    """Makes a file two hours older."""
    then = time.time() - 7200
    os.utime(path, (then, then))


# By settings


def test_by_number_and_by_age_those_that_ended_first_go(make_daemon: Callable[..., Daemon]) -> None:
    settings = '[retention]\nmax_completed = 2\nfailed = "1h"\n'
    daemon = make_daemon(settings=settings).start()
    with daemon.client() as client:
        completed = [done(client) for _ in range(5)]
        failed = done(client, "exit 1")
        would = daemon.ctl("prune", "--dry-run")
        assert would.stdout.decode() == "".join(f"{job}  completed\n" for job in completed[:3])
        assert would.stderr == b"workerctl: would remove 3 jobs\n"
        assert all(exists(client, job) for job in completed)
        assert daemon.ctl("prune").stdout == b"removed 3 jobs\n"
        assert [exists(client, job) for job in completed] == [False] * 3 + [True] * 2
        assert exists(client, failed)
        assert not (daemon.state / "outputs" / str(completed[0])).exists()
        assert (daemon.state / "outputs" / str(completed[4])).exists()


def test_the_daemon_removes_by_itself_at_its_start(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    with daemon.client() as client:
        jobs = [done(client), done(client, "exit 1")]
    assert daemon.stop() == 0
    daemon.settings.write_text("[retention]\ncompleted = 0\n")
    daemon.start()
    with daemon.client() as client:
        wait_until(lambda: "retention removed 1 jobs" in daemon.words(), saying="the first round")
        assert [exists(client, job) for job in jobs] == [False, True]


def test_outputs_above_their_budget_go_and_the_records_stay(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(settings='[retention]\noutputs = "500K"\n').start()
    with daemon.client() as client:
        jobs = [done(client, OUTPUT) for _ in range(4)]
        assert daemon.ctl("prune", "--dry-run").stderr.startswith(
            b"workerctl: would remove 0 jobs, and the outputs of 2 jobs more ("
        )
        assert len(client.logs(jobs[0])) == 200_000
        assert daemon.ctl("prune").stdout.startswith(b"removed 0 jobs, and the outputs of 2 jobs more (")
        assert [len(client.logs(job)) for job in jobs] == [0, 0, 200_000, 200_000]
        assert [client.show(job).state for job in jobs] == ["completed"] * 4
        assert [len(client.artifacts(job)) for job in jobs] == [0, 0, 1, 1]
        assert prune(client) == []

        told = daemon.ctl("logs", str(jobs[0]))
        assert (told.returncode, told.stdout) == (0, b"")
        assert b"the output of attempt 1 was removed to make room (setting retention.outputs" in told.stderr
        assert b"was removed to make room" in daemon.ctl("artifacts", str(jobs[0])).stderr
        assert b"removed" not in daemon.ctl("logs", str(jobs[3])).stderr

        client.retry(jobs[0])
        assert client.wait(jobs[0], timeout=20).ok
        assert len(client.logs(jobs[0])) == 200_000
        assert client.log_range(jobs[0], attempt=1)["removed"]

        running = submit(client, "head -c 900000 /dev/zero; sleep 60")
        wait_until(lambda: len(client.logs(running)) == 900_000, saying="its output")
        prune(client)
        assert len(client.logs(running)) == 900_000, "what runs keeps its output, whatever it takes"
        client.cancel(running)
    assert sorted(os.listdir(daemon.state / "outputs"))[0].isdecimal(), "nothing set aside is left"


# By command


def test_a_deleted_job_is_gone_with_its_output(daemon: Daemon, client: Client) -> None:
    job = done(client, "echo out")
    assert daemon.ctl("delete", str(job)).stdout == f"{job}  deleted\n".encode()
    for words in (("show",), ("logs",), ("explain",), ("delete",), ("retry",)):
        assert daemon.ctl(*words, str(job)).returncode == 3
    assert not (daemon.state / "outputs" / str(job)).exists()


def test_a_job_that_waits_never_starts_once_it_is_deleted_and_what_waits_for_it_is_cancelled(client: Client) -> None:
    client.pause("held")
    job = submit(client, queue="held")
    later = submit(client, delay="1h")
    follower = submit(client, after=[f"{job}:any"])
    assert client.delete(job) == "queued"
    assert client.delete(later) == "scheduled"
    client.resume()
    ended = client.wait(follower, timeout=10)
    assert (ended.state, ended.reason, ended.attempts) == ("cancelled", "dependency", [])
    assert not exists(client, job)


def test_a_running_job_must_be_cancelled_first(daemon: Daemon, client: Client) -> None:
    job = submit(client, "echo here; sleep 60")
    wait_until(lambda: client.logs(job) == b"here\n", saying="its output")
    refused = daemon.ctl("delete", str(job))
    assert refused.returncode == 4
    assert f"workerctl cancel --wait {job}".encode() in refused.stderr
    assert daemon.ctl("delete", "--state", "running").returncode == 4
    assert daemon.ctl("prune", "--state", "running").returncode == 4
    assert daemon.ctl("cancel", "--wait", str(job)).returncode == 0
    assert daemon.ctl("delete", str(job)).returncode == 0


def test_jobs_are_chosen_by_state_queue_and_age(daemon: Daemon, client: Client) -> None:
    client.pause("chosen")
    failed, fine = done(client, "exit 1", queue="several"), done(client, queue="several")
    waiting, other = submit(client, queue="chosen"), done(client, queue="others")
    ask = daemon.ask
    assert ask("delete", "--queue", "several", "--dry-run") == [
        {"job": fine, "state": "completed"},
        {"job": failed, "state": "failed"},
    ]
    assert ask("delete", "--queue", "several", "--older-than", "1h") == []
    assert ask("delete", "--queue", "chosen") == [], "unless a state is named, only what is over"
    assert ask("delete", "--queue", "chosen", "--state", "queued,scheduled") == [{"job": waiting, "state": "deleted"}]
    assert ask("prune", "--queue", "several", "--state", "failed") == {
        "removed": 1,
        "jobs": {"failed": 1},
        "outputs": {"jobs": 0, "bytes": 0},
        "dry_run": False,
    }
    assert daemon.ctl("delete", "-q", "--queue", "several").stdout == f"{fine}\n".encode()
    assert exists(client, other)
    client.resume()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("delete",), 2),
        (("delete", "1", "--queue", "a"), 2),
        (("delete", "1", "--older-than", "1d"), 2),
        (("delete", "--state", "over"), 2),
        (("prune", "--older-than", "soon"), 2),
        (("prune", "--state", "queued"), 4),
        (("delete", "999999"), 3),
    ],
)
def test_what_cannot_be_meant_is_refused(daemon: Daemon, words: tuple[str, ...], code: int) -> None:
    assert daemon.ctl(*words).returncode == code


def test_who_waits_for_a_job_or_follows_it_hears_that_it_was_removed(daemon: Daemon, client: Client) -> None:
    client.pause("held")
    over, job = done(client), submit(client, queue="held")
    begun, heard = threading.Barrier(3), []

    def waiting() -> None:
        with daemon.client() as own:
            ends = own.wait_each([over, job], timeout=30)
            next(ends)
            begun.wait(20)
            try:
                heard.append(next(ends))
            except NotFound as error:
                heard.append(str(error))

    def following() -> None:
        with daemon.client() as own:
            events = own.follow(job, output=False)
            next(events)
            begun.wait(20)
            heard.append(list(events))

    threads = [threading.Thread(target=waiting), threading.Thread(target=following)]
    for thread in threads:
        thread.start()
    begun.wait(20)
    client.delete(job)
    for thread in threads:
        thread.join(20)
    client.resume()
    assert sorted(heard, key=str) == [[], f"job {job} was removed"]


# Files


def spooled(daemon: Daemon) -> set[str]:
    return {name for name in os.listdir(daemon.state / "spool") if not name.endswith(".part")}


def put(client: Client, tmp_path: pathlib.Path, number: int = 0, **options: object) -> tuple[int, str]:
    """A job with a script that is so large that it lies in the spool, and that script's sha256."""
    content = LARGE + b"# %d\n" % number
    script = tmp_path / f"{number}.sh"
    script.write_bytes(content)
    return client.submit(str(script), **options).id, hashlib.sha256(content).hexdigest()  # type: ignore[arg-type]


def test_content_stays_as_long_as_a_job_needs_it(daemon: Daemon, client: Client, tmp_path: pathlib.Path) -> None:
    (first, sha256), (second, _) = put(client, tmp_path), put(client, tmp_path)
    client.wait(first, timeout=20)
    client.wait(second, timeout=20)
    age(daemon.state / "spool" / sha256)
    client.delete(first)
    assert sha256 in spooled(daemon)
    client.retry(second)
    assert client.wait(second, timeout=20).ok
    client.delete(second)
    assert sha256 not in spooled(daemon)


def test_content_that_was_put_and_not_yet_submitted_is_left_alone_while_it_is_fresh(
    daemon: Daemon, client: Client, tmp_path: pathlib.Path
) -> None:
    job, sha256 = put(client, tmp_path, 1)
    client.wait(job, timeout=20)
    client.delete(job)
    assert sha256 in spooled(daemon), "somebody else may have put it as well, and be about to submit"
    prune(client)
    assert sha256 in spooled(daemon)
    age(daemon.state / "spool" / sha256)
    prune(client)
    assert sha256 not in spooled(daemon)


def test_asking_for_content_that_is_there_makes_it_fresh(
    daemon: Daemon, client: Client, tmp_path: pathlib.Path
) -> None:
    job, sha256 = put(client, tmp_path, 2)
    client.wait(job, timeout=20)
    client.delete(job)
    age(daemon.state / "spool" / sha256)
    again, _ = put(client, tmp_path, 2, delay="1h")
    assert time.time() - (daemon.state / "spool" / sha256).stat().st_mtime < 3600
    client.delete(again)
    prune(client)
    assert sha256 in spooled(daemon)


def test_what_a_crash_left_is_found_later(daemon: Daemon, client: Client) -> None:
    job = done(client, "echo out")
    orphan, aside = daemon.state / "outputs" / "900001", daemon.state / "outputs" / "5.1-1.gone"
    foreign = daemon.state / "outputs" / "mine"
    draft, young = daemon.state / "spool" / f"{'a' * 64}.part", daemon.state / "spool" / f"{'b' * 64}.part"
    content = daemon.state / "spool" / f"{'c' * 64}.1-1.gone"
    for folder in (orphan, aside, foreign):
        (folder / "1.artifacts").mkdir(parents=True)
        (folder / "1.artifacts" / "1").write_text("x")
    for file in (draft, young, content):
        file.write_text("x")
    age(draft)
    prune(client)
    assert [path.exists() for path in (orphan, aside, draft, content)] == [False] * 4
    assert [path.exists() for path in (foreign, young)] == [True] * 2
    assert client.logs(job) == b"out\n"
    young.unlink()


def test_submits_that_race_with_the_removal_of_their_content_run_or_put_it_again(
    daemon: Daemon, client: Client, tmp_path: pathlib.Path
) -> None:
    stop = threading.Event()
    _, sha256 = put(client, tmp_path, 3)

    def remove() -> None:
        with daemon.client() as own:
            while not stop.is_set():
                for _ in own.prune(states=["completed"], queue="racing"):
                    pass
                try:
                    age(daemon.state / "spool" / sha256)
                except FileNotFoundError:
                    pass
                for _ in own.prune():
                    pass

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        jobs = [put(client, tmp_path, 3, queue="racing")[0] for _ in range(40)]
        for job in jobs:
            try:
                assert client.wait(job, timeout=30).ok
            except NotFound:
                pass  # it was done, and removed
    finally:
        stop.set()
        remover.join()
    assert client.list(["failed"], queue="racing") == []


def test_removing_many_is_in_nobodys_way(daemon: Daemon, client: Client) -> None:
    results = client.submit_many(
        [{"source": "true", "runtime": "shell", "queue": "many", "delay": "1h"} for _ in range(2000)]
    )
    assert not any(isinstance(result, Exception) for result in results)
    removed: list[int] = []

    def remove() -> None:
        with daemon.client() as own:
            removed.extend(one["job"] for step in own.prune(["scheduled"], "many") for one in step["jobs"])

    remover = threading.Thread(target=remove)
    remover.start()
    done(client, queue="meanwhile")
    remover.join()
    assert len(set(removed)) == 2000
    assert client.list(queue="many") == []


def test_a_member_of_the_group_would_remove_his_own_alone() -> None:
    """The rule is the owner's uid, in the transaction: `tests/store/test_store_retention.py` holds it."""
    from supervisor.broker.ops import GROUP_OPS
    from supervisor.wire import control

    assert {control.Delete, control.Prune} <= GROUP_OPS
    assert not {control.Pause, control.Resume, control.Backup, control.BackupPiece} & GROUP_OPS


def test_a_wrong_state_is_told_as_such(client: Client) -> None:
    with pytest.raises(WrongState, match="never removed"):
        list(client.prune(["running"]))


def test_a_stop_in_the_middle_of_a_removal_is_an_orderly_one(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    with daemon.client() as client:
        jobs = [{"source": "true", "runtime": "shell", "queue": "many", "delay": "1h"} for _ in range(2000)]
        client.submit_many(jobs)
        removal = client.prune(["scheduled"], "many")
        next(removal)
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.words() and "exception" not in daemon.words()
    daemon.start()
    with daemon.client() as client:
        left = len(client.list(queue="many", limit=None))
        assert 0 < left < 2000
        assert sum(len(step["jobs"]) for step in client.prune(["scheduled"], "many")) == left


def test_a_broker_that_is_killed_while_it_removes_leaves_nothing_half_done(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    with daemon.client() as client:
        jobs = [submit(client, "echo out; echo kept > $JOB_OUTPUT_DIR/a", queue="several") for _ in range(40)]
        for job in client.wait_each(jobs, timeout=60):
            assert job.ok
        stop = threading.Event()

        def kill() -> None:
            while not stop.wait(0.02):
                try:
                    os.kill(daemon.pid_of("broker"), 9)
                    return
                except (AssertionError, ProcessLookupError):
                    continue

        for chosen in (jobs[:10], jobs[10:20], jobs[20:30]):
            killer = threading.Thread(target=kill)
            killer.start()
            for job in chosen:
                client.delete(job)
            stop.set()
            killer.join()
            stop.clear()
        assert sum(len(step["jobs"]) for step in client.prune(queue="several")) == 10
        prune(client)
        assert client.list(queue="several") == []
    assert [name for name in os.listdir(daemon.state / "outputs") if name[0].isdecimal()] == []
