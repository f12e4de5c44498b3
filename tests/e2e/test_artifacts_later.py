"""Artifacts over time and on the wire: restarts, losses, lists of several pages, pieces that are not there."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable

import pytest

from ctl import InvalidRequest, NotFound
from tests.harness import Daemon, wait_until


def kept(daemon: Daemon, job: int, attempt: int | None = None) -> dict[bytes, bytes]:
    """The names and contents of an attempt's artifacts."""
    with daemon.client() as client:
        return {one.raw_name: b"".join(one.pieces()) for one in client.artifacts(job, attempt)}


def test_artifacts_outlive_the_daemon(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon().start()
    with daemon.client() as client:
        job = client.submit(source="echo kept > $JOB_OUTPUT_DIR/a", runtime="shell")
        client.wait(job, timeout=20)
    assert daemon.stop() == 0
    daemon.start()
    assert kept(daemon, job.id) == {b"a": b"kept\n"}


WAITS_ONCE = """
    import os, time
    open(os.environ['JOB_OUTPUT_DIR'] + '/a', 'w').write(os.environ['JOB_ATTEMPT'])
    print('ready', flush=True)
    if os.environ['JOB_ATTEMPT'] == '1':
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("level", "victim", "first"),
    [
        ("namespace", "worker scripts/1", {}),
        ("plain", "worker scripts/1", {}),
        ("namespace", "holder", {b"a": b"1"}),
    ],
)
def test_a_lost_attempt_keeps_what_a_live_worker_can_still_read(
    make_daemon: Callable[..., Daemon], level: str, victim: str, first: dict[bytes, bytes]
) -> None:
    daemon = make_daemon(settings=f'[pools.scripts]\nisolation = "{level}"\n', workers=1).start()
    with daemon.client() as client:
        job = client.submit(source=textwrap.dedent(WAITS_ONCE), runtime="python")
        wait_until(lambda: client.logs(job) == b"ready\n", saying="the job's output")
        os.kill(daemon.pid_of(victim), 9)
        assert client.wait(job, timeout=30).attempt == 2
    assert kept(daemon, job.id, 1) == first
    assert kept(daemon, job.id, 2) == {b"a": b"2"}


def test_a_list_too_long_for_one_line_comes_in_pages(daemon: Daemon) -> None:
    text = """
        import os
        os.chdir(os.environ['JOB_OUTPUT_DIR'])
        for name in 'abc':
            os.mkdir(name * 250)
            os.chdir(name * 250)
        for n in range(900):
            open(f'{n:03}' + '\\x01' * 200, 'w').close()
    """
    with daemon.client() as client:
        job = client.wait(client.submit(source=textwrap.dedent(text), runtime="python"), timeout=60)
        first = client._ask("artifacts", {"job": job.id})
        assert 0 < len(first["artifacts"]) == first["next"] < 900
        found = client.artifacts(job)
    assert [one.index for one in found] == list(range(1, 901))
    assert [one.name[753:756] for one in found] == [f"{n:03}" for n in range(900)]


def test_a_piece_that_is_not_there(daemon: Daemon) -> None:
    with daemon.client() as client:
        job = client.wait(client.submit(source="echo x > $JOB_OUTPUT_DIR/a", runtime="shell"), timeout=20)
        beyond = client._ask("artifact", {"job": job.id, "index": 1, "offset": 99})
        assert (beyond["data"], beyond["eof"], beyond["size"]) == ("", True, 2)
        for fields in ({"index": 2}, {"index": 1, "attempt": 2}):
            with pytest.raises(NotFound):
                client._ask("artifact", {"job": job.id, **fields})
        for fields in ({"index": 0}, {"index": 1, "length": 524_289}):
            with pytest.raises(InvalidRequest):
                client._ask("artifact", {"job": job.id, **fields})
