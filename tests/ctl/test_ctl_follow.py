"""Following: every event and byte once, in order, whatever breaks on the way."""

from __future__ import annotations

import threading

import pytest
from fake_broker import DROP, STREAMED
from story import Story, event, output

from ctl import Client, Event, NoDaemon, NotFound, Output
from supervisor.core.errors import RequestError

EVENTS = ["submitted", "running", "retrying", "due", "running", "completed"]


def _told(items):
    """Names of the events, and the bytes of both streams."""
    items = list(items)
    events = [item.event for item in items if isinstance(item, Event)]
    streams = {"stdout": b"", "stderr": b""}
    for item in items:
        if isinstance(item, Output):
            streams[item.stream] += item.data
    return events, streams["stdout"], streams["stderr"]


@pytest.mark.parametrize("overlap", [0, 5, 1000])
@pytest.mark.parametrize("cut_after", [1, 2, 3, 5, 8, None])
def test_a_connection_cut_anywhere_leaves_neither_gap_nor_repeat(client, broker, cut_after, overlap):
    # Re-sent bytes are items as well: a cut that leaves room for nothing new would never come to an end.
    cut = cut_after if cut_after is None else cut_after + (0 if overlap == 0 else 12)
    story = Story(cut, overlap)
    broker.on("follow", story)
    assert _told(client.follow(42)) == (EVENTS, story.stdout, story.stderr)
    if cut_after is not None:
        assert len(broker.asked("follow")) > 1


def test_it_resumes_where_it_was(client, broker):
    broker.on("follow", Story(cut_after=4))
    list(client.follow(42))
    first, second, third = broker.asked("follow")[:3]
    assert (first.after, first.attempt, first.stdout, first.stderr) == (0, None, 0, 0)
    assert (second.after, second.attempt, second.stdout, second.stderr) == (2, 1, 14, 0)
    assert (third.after, third.stdout) == (2, 42)


def test_a_break_between_the_start_of_an_attempt_and_its_first_byte(client, broker):
    story = Story()

    def first(request, peer):
        for item in story.items(request):
            peer.item(item)
            if item.get("event") == "running" and item["attempt"] == 2:
                broker.on("follow", story)
                return DROP
        raise AssertionError

    broker.on("follow", first)
    assert _told(client.follow(42)) == (EVENTS, story.stdout, story.stderr)


def test_it_begins_where_the_caller_says(client, broker):
    story = Story()
    broker.on("follow", story)
    events, stdout, _ = _told(client.follow(42, after=4, attempt=2, stdout=7))
    assert (events, stdout) == (["running", "completed"], story.out[2][7:])


def test_a_restart_of_the_daemon_goes_unnoticed(client, broker):
    story = Story()
    stopped = threading.Event()

    def first(request, peer):
        for item in story.items(request)[:3]:
            peer.item(item)
        broker.on("follow", story)
        broker.stop()
        stopped.set()
        threading.Timer(0.3, broker.start).start()
        return DROP

    broker.on("follow", first)
    assert _told(client.follow(42)) == (EVENTS, story.stdout, story.stderr)
    assert stopped.is_set()


@pytest.mark.parametrize("code", ["lagged", "stopping"])
def test_a_follower_that_was_dropped_resumes(client, broker, code):
    story = Story()

    def first(request, peer):
        for item in story.items(request)[:4]:
            peer.item(item)
        broker.on("follow", story)
        raise RequestError(code, "try again")

    broker.on("follow", first)
    assert _told(client.follow(42)) == (EVENTS, story.stdout, story.stderr)


def test_a_daemon_that_is_gone_for_good_ends_it(broker):
    def once(request, peer):
        peer.item(event(1, "submitted", "queued"))
        broker.stop()
        return DROP

    broker.on("follow", once)
    with Client(patience_s=0.3) as client, pytest.raises(NoDaemon):
        list(client.follow(42))
    broker.start()


def test_a_broker_that_drops_every_follower_at_once_is_given_up(broker):
    broker.on("follow", lambda request, peer: DROP)
    with Client(patience_s=0.3) as client, pytest.raises(NoDaemon):
        list(client.follow(42))


def test_a_silent_job_is_followed_without_limit(broker):
    def slow(request, peer):
        threading.Timer(0.5, lambda: (peer.item(event(1, "submitted", "queued")), peer.end(1))).start()
        return STREAMED

    broker.on("follow", slow)
    with Client(answer_s=0.2) as client:
        assert [item.event for item in client.follow(42)] == ["submitted"]


def test_a_job_that_does_not_exist(client, broker):
    broker.answers("follow", RequestError("not_found", "there is no job 42"))
    with pytest.raises(NotFound):
        list(client.follow(42))


def test_a_client_can_act_while_it_follows(client, broker):
    broker.on("follow", Story())
    broker.answers("cancel", {"state": "running"})
    follower = client.follow(42)
    assert next(follower).event == "submitted"
    assert client.cancel(42) == "running"
    assert [item.event for item in follower if isinstance(item, Event)] == EVENTS[1:]


def test_a_follower_that_stops_early_closes_its_connection(client, broker):
    broker.on("follow", Story())
    follower = client.follow(42)
    next(follower)
    follower.close()
    broker.answers("status", {"pid": 1})
    assert client.status() == {"pid": 1}


def test_output_as_on_the_wire_again():
    for data in (b"text \xc3\xa9", b"\xff\x00"):
        wire = output(3, "stderr", 1, 10, data)
        assert Output(3, "stderr", 1, 10, data).raw == wire
