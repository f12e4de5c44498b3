"""The conversations on the protocol's page, and how to hold them again with a real daemon.

`python -m tests.docs.conversations` writes what a daemon answers today back into the page.
"""

from __future__ import annotations

import json
import pathlib
import re
import socket
import tempfile
from typing import Any

from tests.docs.pages import DOCS
from tests.harness import Daemon, running_daemon, wait_until

REPLAYED = re.compile(r"(<!-- replayed -->\n```text\n)(.*?)(\n```)", re.DOTALL)
SHOWN_FOLDER = "/tmp/demo"


def conversations(text: str) -> list[list[tuple[str, list[str]]]]:
    """Each conversation as requests with the lines that answered them."""
    return [_exchanges(match[2]) for match in REPLAYED.finditer(text)]


def _exchanges(block: str) -> list[tuple[str, list[str]]]:
    exchanges: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        mark, words = line[:3], line[3:]
        if mark == "-> ":
            exchanges.append((words, []))
        else:
            assert mark == "<- ", line
            exchanges[-1][1].append(words)
    return exchanges


def until_settled(daemon: Daemon) -> None:
    """Its start is over: from here on the cursors of events are the same in every run."""
    wait_until(lambda: all(worker["state"] == "idle" for worker in daemon.ask("status")["workers"]), 30)


def hold(daemon: Daemon, requests: list[str]) -> list[tuple[str, list[str]]]:
    """The same requests on one connection, each sent when the one before it has been answered."""
    exchanges = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(daemon.socket)
        with connection.makefile("r") as answers:
            for request in requests:
                connection.sendall(request.encode() + b"\n")
                exchanges.append((request, _answered(answers)))
    return exchanges


def _answered(answers: Any) -> list[str]:
    lines: list[str] = []
    while not lines or json.loads(lines[-1])["re"] == "item":
        line = answers.readline()
        assert line, "the daemon closed the connection"
        lines.append(line.rstrip("\n"))
    return lines


def rewrite(text: str, daemon: Daemon) -> str:
    """The page with what the daemon answers now."""

    def block(match: re.Match[str]) -> str:
        held = hold(daemon, [request for request, _ in _exchanges(match[2])])
        lines = [line for request, answers in held for line in (f"-> {request}", *(f"<- {line}" for line in answers))]
        return f"{match[1]}{_with_shown_paths(chr(10).join(lines), daemon)}{match[3]}"

    return REPLAYED.sub(block, text)


def _with_shown_paths(words: str, daemon: Daemon) -> str:
    """The socket, the state folder and what they lie in, as the page calls them."""
    words = re.sub(rf"{re.escape(daemon.socket)}(?!\w)", f"{SHOWN_FOLDER}/control.sock", words)
    return words.replace(str(daemon.state), f"{SHOWN_FOLDER}/state").replace(str(daemon.state.parent), SHOWN_FOLDER)


def main() -> None:
    """Rewrites the page."""
    page = DOCS / "PROTOCOL.md"
    with tempfile.TemporaryDirectory() as folder:
        with running_daemon(pathlib.Path(folder) / "d") as daemon:
            until_settled(daemon)
            page.write_text(rewrite(page.read_text(), daemon))


if __name__ == "__main__":
    main()
