"""Artifacts, end to end: what real jobs leave, honest and hostile, is kept and brought back. At every place of work."""

from __future__ import annotations

import json
import os
import pathlib
import textwrap
from collections.abc import Callable, Iterator

import pytest

from ctl import InvalidRequest, NotFound
from tests.harness import Daemon, running_daemon, wait_until

PLACES = {
    "namespace": 'isolation = "namespace"\n',
    "namespace, on disk": 'isolation = "namespace"\nwork = "disk"\n',
    "plain": 'isolation = "plain"\n',
}
Run = Callable[..., int]


@pytest.fixture(scope="module", params=PLACES)
def placed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose jobs work at one of the places, and which keeps at most 40 files of 1 MiB together."""
    settings = f'kill_grace = "1s"\n[pools.scripts]\n{PLACES[request.param]}artifacts = 40\nartifact_bytes = "1M"\n'
    with running_daemon(tmp_path_factory.mktemp("artifacts") / "d", settings) as daemon:
        yield daemon


@pytest.fixture
def run(placed: Daemon) -> Run:
    """Runs a Python script in whose beginning `out` is the output folder; returns the final job's id."""

    def run(text: str, **options: object) -> int:
        head = "import os, sys, socket\nout = os.fsencode(os.environ['JOB_OUTPUT_DIR'])\nos.chdir(out)\n"
        with placed.client() as client:
            job = client.submit(source=head + textwrap.dedent(text), runtime="python", **options)
            return client.wait(job, timeout=60).id

    return run


def kept(daemon: Daemon, job: int, attempt: int | None = None) -> dict[bytes, bytes]:
    """The names and contents of an attempt's artifacts."""
    with daemon.client() as client:
        return {one.raw_name: b"".join(one.pieces()) for one in client.artifacts(job, attempt)}


def stored(daemon: Daemon, job: int) -> list[str]:
    """What lies in the job's part of the outputs folder, below it too."""
    folder = daemon.state / "outputs" / str(job)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def last_message(daemon: Daemon, job: int) -> str:
    return str(daemon.ask("show", str(job))["attempts"][-1]["message"])


def test_what_a_job_leaves_comes_back(placed: Daemon, run: Run, tmp_path: pathlib.Path) -> None:
    job = run("os.mkdir('sub'); open('sub/a.txt', 'w').write('hello\\n'); open('b.bin', 'wb').write(bytes(700_000))")
    assert placed.ask("show", str(job))["attempts"][0]["artifacts"] == 2
    rows = placed.ask("artifacts", str(job))
    assert [(row["index"], row["name"], row["size"]) for row in rows] == [(1, "b.bin", 700_000), (2, "sub/a.txt", 6)]
    assert placed.ctl("artifacts", str(job), "--get", "sub/a.txt", "-o", "-").stdout == b"hello\n"
    placed.ctl("artifacts", str(job), "--all", str(tmp_path / "out"), check=True)
    assert (tmp_path / "out" / "b.bin").read_bytes() == bytes(700_000)
    assert (tmp_path / "out" / "sub" / "a.txt").read_text() == "hello\n"
    assert stored(placed, job) == [
        "1.artifacts",
        "1.artifacts/1",
        "1.artifacts/2",
        "1.artifacts/manifest.json",
        "1.stderr",
        "1.stdout",
    ]


def test_a_job_without_artifacts_leaves_no_folder(placed: Daemon, run: Run) -> None:
    job = run("")
    done = placed.ctl("artifacts", str(job))
    assert (done.returncode, done.stdout) == (0, b"") and b"left no artifacts" in done.stderr
    assert stored(placed, job) == ["1.stderr", "1.stdout"]


def test_links_pipes_and_sockets_are_left_out_and_counted(placed: Daemon, run: Run) -> None:
    job = run(
        """
        os.symlink('/etc/passwd', 'passwd')
        os.symlink('../../../../../../etc', 'etc')
        os.symlink('..', 'up')
        os.mkfifo('pipe')
        socket.socket(socket.AF_UNIX).bind('s')
        open('real', 'w').write('x')
        """
    )
    assert kept(placed, job) == {b"real": b"x"}
    assert last_message(placed, job) == (
        "completed; not kept of its output folder: 3 symbolic links, 1 named pipe, 1 socket"
    )


def test_a_file_that_the_job_could_only_link_to_is_left_out(placed: Daemon, run: Run) -> None:
    job = run(
        """
        for target in ('/etc/shadow', '/etc/passwd', '/usr/bin/env'):
            try:
                os.link(target, os.path.basename(target))
            except OSError as error:
                print(target, error)
        """
    )
    assert kept(placed, job) == {}


@pytest.mark.parametrize("target", ["/etc", "..", "/proc/self/fd", "../work"])
def test_a_link_in_place_of_the_output_folder_gives_nothing(placed: Daemon, run: Run, target: str) -> None:
    job = run(f"os.chdir('..'); os.rmdir('output'); os.symlink({target!r}, 'output')")
    assert kept(placed, job) == {}
    assert "something else was in its place" in last_message(placed, job)


def test_a_removed_output_folder_is_no_error(placed: Daemon, run: Run) -> None:
    assert last_message(placed, run("os.rmdir(out)")) == "completed"


def test_a_sparse_terabyte_is_not_copied(placed: Daemon, run: Run) -> None:
    job = run(
        """
        with open('huge', 'wb') as file:
            file.truncate(1 << 40)
        with open('holes', 'wb') as file:
            file.truncate(900_000)
        open('small', 'w').write('x')
        """,
        file_size="2000G",
    )
    assert {name: len(data) for name, data in kept(placed, job).items()} == {b"holes": 900_000, b"small": 1}
    assert "1 file that would make it more than the 1 MiB that are kept" in last_message(placed, job)
    used = sum(os.stat(placed.state / "outputs" / str(job) / name).st_size for name in stored(placed, job))
    assert used < 2 << 20


def test_of_five_thousand_files_so_many_are_kept_as_the_pool_says(placed: Daemon, run: Run) -> None:
    job = run("for n in range(5000): open(f'{n:05}', 'w').close()")
    assert sorted(kept(placed, job)) == [f"{n:05}".encode() for n in range(40)]
    assert "4960 files beyond the 40 that are kept (setting pools.scripts.artifacts)" in last_message(placed, job)


def test_a_deep_tree_is_kept_down_to_a_depth(placed: Daemon, run: Run) -> None:
    job = run("for n in range(500): os.mkdir('d'); os.chdir('d'); open('f', 'w').close()")
    assert sorted(len(name.split(b"/")) for name in kept(placed, job)) == list(range(2, 33))
    assert "1 name more than 32 folders or 1024 bytes deep" in last_message(placed, job)


def test_any_byte_may_be_in_a_name(placed: Daemon, run: Run, tmp_path: pathlib.Path) -> None:
    names = [b"new\nline", b"\xff\x80 no utf-8", b"\x1b[31mred", b"...", b"-rf", b" "]
    job = run(f"for name in {names!r}: open(name, 'wb').write(name)")
    assert kept(placed, job) == {name: name for name in names}
    listing = placed.ctl("artifacts", str(job)).stdout
    assert b"\x1b" not in listing and listing.count(b"\n") == len(names) + 1
    placed.ctl("artifacts", str(job), "--all", str(tmp_path / "out"), check=True)
    assert set(os.listdir(os.fsencode(tmp_path / "out"))) == set(names)
    shown = next(row["name"] for row in placed.ask("artifacts", str(job)) if "name_base64" in row)
    got = placed.ctl("artifacts", str(job), "--get", shown, "-o", "-")
    assert got.stdout == b"\xff\x80 no utf-8"


def test_modes_hide_nothing_and_give_nothing(placed: Daemon, run: Run, tmp_path: pathlib.Path) -> None:
    job = run(
        """
        os.mkdir('closed')
        open('closed/f', 'w').write('x')
        os.chmod('closed/f', 0)
        os.chmod('closed', 0)
        open('tool', 'w').write('#!/bin/sh\\n')
        os.chmod('tool', 0o6755)
        """
    )
    assert kept(placed, job) == {b"closed/f": b"x", b"tool": b"#!/bin/sh\n"}
    placed.ctl("artifacts", str(job), "--all", str(tmp_path / "out"), check=True)
    assert (tmp_path / "out" / "tool").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "out" / "closed" / "f").stat().st_mode & 0o7777 == 0o600


def test_a_planted_link_is_not_followed_when_artifacts_are_brought(
    placed: Daemon, run: Run, tmp_path: pathlib.Path
) -> None:
    job = run("os.mkdir('sub'); open('sub/a', 'w').write('x')")
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "sub").symlink_to(elsewhere)
    for force in ((), ("--force",)):
        done = placed.ctl("artifacts", str(job), "--all", str(out), *force)
        assert done.returncode == 2 and b"symbolic link" in done.stderr
    assert list(elsewhere.iterdir()) == []
    with placed.client() as client, pytest.raises(InvalidRequest):
        client.save_artifacts(job, out)


def test_every_attempt_keeps_its_own(placed: Daemon, run: Run) -> None:
    job = run(
        "open('n', 'w').write(os.environ['JOB_ATTEMPT']); sys.exit(int(os.environ['JOB_ATTEMPT']) < 3)",
        retries=2,
        backoff="10ms",
    )
    assert [kept(placed, job, attempt) for attempt in (1, 2, 3)] == [{b"n": b"1"}, {b"n": b"2"}, {b"n": b"3"}]
    assert kept(placed, job) == {b"n": b"3"}
    assert placed.ctl("artifacts", str(job), "--attempt", "4").returncode == 3


@pytest.mark.parametrize(
    ("end", "options", "reason"),
    [
        ("sys.exit(7)", {}, "exit"),
        ("os.kill(os.getpid(), 9)", {}, "signal"),
        ("import time; time.sleep(60)", {"timeout": "500ms"}, "timeout"),
        ("x = bytearray(200 << 20); x[::4096] = b'1' * len(x[::4096])", {"memory": "64M"}, "memory_limit"),
    ],
)
def test_a_failed_attempt_keeps_what_it_left(
    placed: Daemon, run: Run, end: str, options: dict[str, object], reason: str
) -> None:
    job = run(f"open('partial', 'w').write('so far')\n{end}", **options)
    assert placed.ask("show", str(job))["reason"] == reason
    assert kept(placed, job) == {b"partial": b"so far"}


def test_a_cancelled_job_keeps_what_it_left_and_a_running_one_says_to_wait(placed: Daemon) -> None:
    text = "import os, time; open(os.environ['JOB_OUTPUT_DIR'] + '/a', 'w').write('x'); print('ready'); time.sleep(60)"
    with placed.client() as client:
        job = client.submit(source=text, runtime="python")
        wait_until(lambda: client.logs(job) == b"ready\n", saying="the job's output")
        done = placed.ctl("artifacts", str(job.id))
        assert (done.stdout, done.returncode) == (b"", 0) and b"is running" in done.stderr
        with pytest.raises(NotFound):
            client.artifact(job, "a")
        client.cancel(job)
        assert client.wait(job, timeout=20).state == "cancelled"
        assert client.artifact(job, "a") == b"x"


def test_a_job_that_never_started_has_none(placed: Daemon) -> None:
    with placed.client() as client:
        job = client.submit(source="", runtime="python", delay="1h")
        done = placed.ctl("artifacts", str(job.id))
        assert b"has not been started yet" in done.stderr
        client.cancel(job)
        assert stored_nothing(placed, job.id)


def stored_nothing(daemon: Daemon, job: int) -> bool:
    return not (daemon.state / "outputs" / str(job)).exists()


def test_a_name_that_a_job_chose_is_no_path_of_ours(placed: Daemon, run: Run) -> None:
    job = run("open('manifest.json', 'w').write('[]'); open('1', 'w').write('one'); open('2', 'w').write('two')")
    assert kept(placed, job) == {b"1": b"one", b"2": b"two", b"manifest.json": b"[]"}
    manifest = placed.state / "outputs" / str(job) / "1.artifacts" / "manifest.json"
    assert len(json.loads(manifest.read_text())) == 3
