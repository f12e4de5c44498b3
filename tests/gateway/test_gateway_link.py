"""The gateway's way to the broker, against one that closes, stays silent or sends its readers away."""

from __future__ import annotations

import asyncio
import json
import pathlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from supervisor.core.errors import RequestError
from supervisor.gateway import link
from supervisor.gateway.link import Link
from supervisor.gateway.sse import with_beats

Answer = Callable[[dict[str, Any], asyncio.StreamWriter], None]


def with_broker(folder: pathlib.Path, answer: Answer, ask: Callable[[Link], Awaitable[Any]]) -> Any:
    """What `ask` comes to while a broker answers each request but the hello by `answer`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = json.loads(line)
            if request["op"] != "hello":
                answer(request, writer)

    async def run() -> Any:
        server = await asyncio.start_unix_server(serve, str(folder / "s"))
        client = Link(str(folder / "s"))
        try:
            return await ask(client)
        finally:
            client.close()
            server.close()

    return asyncio.run(run())


def say(writer: asyncio.StreamWriter, request: dict[str, Any], **answer: Any) -> None:
    writer.write(json.dumps({"id": request["id"], **answer}).encode() + b"\n")


def test_what_may_be_repeated_is_repeated_until_it_is_answered(tmp_path: pathlib.Path) -> None:
    seen = []

    def answer(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        seen.append(request["job"])
        if len(seen) < 3:
            writer.close()
        else:
            say(writer, request, re="ok", value="done")

    assert with_broker(tmp_path, answer, lambda client: client.ask("cancel", {"job": 7})) == "done"
    assert seen == [7, 7, 7]


def test_what_may_not_is_said_to_be_unknown(tmp_path: pathlib.Path) -> None:
    seen = []

    def answer(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        seen.append(request["op"])
        writer.close()

    with pytest.raises(RequestError) as caught:
        with_broker(tmp_path, answer, lambda client: client.ask("retry", {"job": 7}, repeat=False))
    assert caught.value.code == "outcome_unknown"
    assert seen == ["retry"]


def test_a_broker_that_is_silent_or_not_there_is_no_daemon(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "ANSWER_S", 0.3)
    for ask in (
        lambda: with_broker(tmp_path, lambda *_: None, lambda client: client.ask("status")),
        lambda: asyncio.run(Link(str(tmp_path / "nothing")).ask("status")),
    ):
        with pytest.raises(RequestError) as caught:
            ask()
        assert caught.value.code == "no_daemon"


def test_answers_find_their_requests_in_any_order(tmp_path: pathlib.Path) -> None:
    held: list[dict[str, Any]] = []

    def answer(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        held.append(request)
        if len(held) == 3:
            for one in reversed(held):
                say(writer, one, re="ok", value=one["job"])

    async def ask(client: Link) -> list[Any]:
        return await asyncio.gather(*(client.ask("show", {"job": job}) for job in (1, 2, 3)))

    assert with_broker(tmp_path, answer, ask) == [1, 2, 3]


def test_a_stream_goes_on_where_its_reader_is(tmp_path: pathlib.Path) -> None:
    asked_after = []

    def answer(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        after = request["after"]
        asked_after.append(after)
        for cursor in (after + 1, after + 2):
            say(writer, request, re="item", value={"cursor": cursor})
        match len(asked_after):
            case 1:
                writer.close()
            case 2:
                say(writer, request, re="error", code="lagged", message="too slow")
            case _:
                say(writer, request, re="end", cursor=after + 2)

    async def ask(client: Link) -> list[int]:
        seen: list[int] = []
        async for item in client.stream("events", lambda: {"after": len(seen)}):
            seen.append(item["cursor"])
        return seen

    assert with_broker(tmp_path, answer, ask) == [1, 2, 3, 4, 5, 6]
    assert asked_after == [0, 2, 4]


def test_a_stream_that_is_refused_raises_the_refusal(tmp_path: pathlib.Path) -> None:
    def answer(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        say(writer, request, re="error", code="not_found", message="there is no job 9")

    async def ask(client: Link) -> None:
        async for _ in client.stream("follow", lambda: {"job": 9}):
            raise AssertionError

    with pytest.raises(RequestError, match="no job 9"):
        with_broker(tmp_path, answer, ask)


def test_beats_come_between_items_and_cost_none() -> None:
    gate = asyncio.Event()

    async def items() -> Any:
        yield {"n": 1}
        await gate.wait()
        yield {"n": 2}

    async def run() -> list[Any]:
        seen: list[Any] = []
        async for one in with_beats(items(), 0.01):
            seen.append(one)
            if seen.count(None) == 3:
                gate.set()
        return seen

    seen = asyncio.run(run())
    assert [one for one in seen if one] == [{"n": 1}, {"n": 2}]
    assert seen.count(None) >= 3
