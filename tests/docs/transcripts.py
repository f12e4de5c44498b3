"""Pages that are a session at a terminal, played again: each command is run, and what it prints is compared.

On such a page, in this order of looking:
- a fence whose first line is a comment with a file's name (`# config.toml`, `// hello.js`) is that file, to be saved;
- `text` that begins with `$ …worker-supervisor` starts the daemon in a terminal of its own;
- `text` behind the comment DAEMON_SAYS has lines that the daemon's terminal must show, in this order;
- any other `text`, or fence of no language, has commands behind `$ `, and below each what it prints; a line `…` or
  `...` stands for lines that are left out.

What may differ from run to run is named in `tests.docs.likeness`; everything else must be the same.
A page that starts no daemon has one: its files are saved first. `python -m tests.docs.transcripts` writes what the
commands print today into the tour and the guides.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.docs.likeness import alike, in_order
from tests.docs.pages import DOCS, FENCE
from tests.harness import Daemon, alive, processes_marked, wait_until

DAEMON_SAYS = "<!-- the daemon says -->"
FILE_NAME = re.compile(r"(?:#|//) ([\w.-]+\.(?:m?js|py|sh|toml))(, appended)?\n")
COLUMNS = 160

SHOWN_FOLDER = "/home/ada/workerctl"
SHOWN_PORT = "8080"
USUAL_SOCKET = "/run/user/1000/worker-supervisor/control.sock"


class Save(NamedTuple):
    """A file that the reader makes."""

    name: str
    body: str
    appended: bool


class Start(NamedTuple):
    """The daemon, in its terminal, and what it says first."""

    command: str
    says: list[str]


class Says(NamedTuple):
    """What the daemon's terminal shows by now."""

    says: list[str]


class Run(NamedTuple):
    """A command and what it prints."""

    command: str
    prints: list[str]


Step = Save | Start | Says | Run


def steps(text: str) -> list[Step]:
    """What a reader of the page does and sees, from its top to its bottom."""
    found: list[Step] = []
    for match in FENCE.finditer(text):
        language, body = match[1], match[2]
        named = FILE_NAME.match(body)
        if named:
            found.append(Save(named[1], body[named.end() :] if named[2] else body, bool(named[2])))
        elif language in ("", "text") and text[: match.start()].endswith(f"{DAEMON_SAYS}\n"):
            found.append(Says(body.splitlines()))
        elif language in ("", "text"):
            runs = _runs(body)
            words = runs[0].command.split()[0] if runs else ""
            found += [Start(*runs[0])] if words.endswith("worker-supervisor") else runs
    return found


def _runs(body: str) -> list[Run]:
    runs: list[Run] = []
    continued = False
    for line in body.splitlines():
        if continued:
            runs[-1] = Run(f"{runs[-1].command}\n{line}", [])
        elif line.startswith("$ "):
            runs.append(Run(line[2:], []))
        elif runs:
            runs[-1].prints.append(line)
        continued = bool(runs) and not runs[-1].prints and runs[-1].command.endswith(("\\", "|"))
    return runs


class Terminal:
    """A bash on a terminal of its own, without colours, in which commands are typed one after the other."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**environment, "NO_COLOR": "1", "TERM": "xterm"},
        )
        os.close(slave)

    def run(self, command: str, within_s: float = 100) -> list[str]:
        """Types a command, and waits for the lines that it prints."""
        assert self._bash.stdin is not None
        mark = f"<<{time.monotonic_ns()}>>"
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\ns=$?; printf '%s' '{mark}'; (exit $s)\n".encode())
        self._bash.stdin.flush()
        printed = b""
        deadline = time.monotonic() + within_s
        while not printed.endswith(mark.encode()):
            assert select.select([self._master], [], [], deadline - time.monotonic())[0], (
                f"`{command}` did not end within {within_s} s; until then it printed {printed!r}"
            )
            printed += os.read(self._master, 65536)
        return printed.decode().removesuffix(mark).replace("\r\n", "\n").splitlines()

    @property
    def pid(self) -> int:
        """The shell's."""
        return self._bash.pid

    def close(self) -> None:
        """Ends the shell."""
        self._bash.kill()
        self._bash.communicate()
        os.close(self._master)


class Stage:
    """A checkout's folder in the making of which only `.venv` was needed, a shell in it, and perhaps a daemon."""

    def __init__(self, folder: pathlib.Path, *, usual_folders: bool) -> None:
        self.folder = folder
        (folder / ".venv").symlink_to(sys.prefix)
        self._environment = {**Daemon(folder / "home").environment, "HOME": str(folder / "home")}
        if usual_folders:
            self._environment |= {"WORKER_STATE_DIR": f"{folder}/state", "WORKER_SOCKET": f"{folder}/control.sock"}
            self._environment["PATH"] = f"{folder}/.venv/bin:{self._environment['PATH']}"
        self.terminal = Terminal(folder, self._environment)
        self.port = _free_port()
        self._daemon: subprocess.Popen[bytes] | None = None
        self._log = folder / "home" / "terminal"

    def play(self, step: Step) -> list[str]:
        """Does what the page says, and gives what is seen then; of the daemon, all it ever said."""
        match step:
            case Save(name, body, appended):
                with open(self._here() / name, "a" if appended else "w") as file:
                    file.write(self._real(body))
                return []
            case Start(command, says):
                self._start(command)
                return self._said(says)
            case Says(says):
                return self._said(says)
            case Run(command, _):
                came = [self._shown(line) for line in self.terminal.run(self._real(command))]
                if command == "workerctl stop":
                    self._wait_for_the_end()
                return came

    def serve(self, files: list[Save]) -> None:
        """Saves the files, and starts a daemon where the page only says that there is one."""
        for file in files:
            self.play(file)
        options = "--config config.toml" if (self.folder / "config.toml").exists() else ""
        self._start(f"worker-supervisor --workers 2 {options}")
        wait_until(lambda: in_order([f"ready socket={USUAL_SOCKET} pid=1"], self._words()), 30)

    def _here(self) -> pathlib.Path:
        return pathlib.Path(self.terminal.run("pwd")[0])

    def _start(self, command: str) -> None:
        with open(self._log, "wb") as log:
            self._daemon = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._here(),
                env={**self._environment, "WORKER_LOG__FORMAT": "text"},
            )

    def _said(self, says: list[str]) -> list[str]:
        """Its words so far; waits until what it is to say is among them, or it is clear that it does not come."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: in_order(says, self._words()), 30)
        return self._words()

    def _words(self) -> list[str]:
        return [self._shown(line) for line in self._log.read_text(errors="replace").splitlines()]

    def _wait_for_the_end(self) -> None:
        assert self._daemon is not None
        assert self._daemon.wait(30) == 0

    def _real(self, text: str) -> str:
        return text.replace(SHOWN_PORT, str(self.port))

    def _shown(self, text: str) -> str:
        text = text.replace(f"{self.folder}/control.sock", USUAL_SOCKET).replace(str(self.folder), SHOWN_FOLDER)
        return text.replace(f":{self.port}", f":{SHOWN_PORT}")

    def left(self) -> dict[int, str]:
        """Processes of it that are alive, but for the shell."""
        mark = f"WORKER_CAMPAIGN_MARK={self._environment['WORKER_CAMPAIGN_MARK']}"
        found = {pid: name for pid, name in processes_marked(mark).items() if alive(pid)}
        return {pid: name for pid, name in found.items() if pid != self.terminal.pid}

    def close(self) -> None:
        """Ends shell and daemon."""
        self.terminal.close()
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemon.wait(10)
            self._daemon.kill()
            self._daemon.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def stage(*, usual_folders: bool = False) -> Iterator[Stage]:
    """A stage with a short path. With `usual_folders` all is found without a word, as where the daemon is installed."""
    with tempfile.TemporaryDirectory(prefix="wt-") as folder:
        made = Stage(pathlib.Path(folder).resolve(), usual_folders=usual_folders)
        try:
            yield made
        finally:
            made.close()


def rewrite(text: str) -> str:
    """The page with what its commands print now, where that is something else."""
    found = steps(text)
    with stage(usual_folders="WORKER_SOCKET=" not in text) as played:
        if not any(isinstance(step, Start) for step in found):
            played.serve([step for step in found if isinstance(step, Save)])
        for step in found:
            came = played.play(step)
            if isinstance(step, Run) and not alike(step.prints, came):
                before = "\n".join([f"$ {step.command}", *step.prints])
                text = text.replace(before, "\n".join([f"$ {step.command}", *came]), 1)
            elif isinstance(step, Start | Says) and not in_order(step.says, came):
                print(f"the daemon does not say {step.says}, but", *came, sep="\n  ", file=sys.stderr)
    return text


def main() -> None:
    """Rewrites the pages that are named, or the tour and the guides."""
    for path in map(pathlib.Path, sys.argv[1:] or [DOCS / "TUTORIAL.md", *sorted((DOCS / "guides").glob("*.md"))]):
        path.write_text(rewrite(path.read_text()))


if __name__ == "__main__":
    main()
