"""The log: one line a record whatever is in it, and never a stop because nobody reads."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
START = "from supervisor import log; from supervisor.config import LogSettings; from loguru import logger; "


def logged(program: str, *, settings: str = "LogSettings()") -> str:
    result = subprocess.run(
        [sys.executable, "-c", f"{START}log.configure('broker', {settings})\n{program}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert result.stdout == ""
    return result.stderr


def test_off_a_terminal_each_record_is_one_json_object_with_role_and_pid() -> None:
    lines = logged("logger.info('a {}', 1); logger.bind(job=42).warning('b\\n\"c\" é')").splitlines()
    first, second = (json.loads(line) for line in lines)
    assert (first["level"], first["role"], first["message"]) == ("info", "broker", "a 1")
    assert isinstance(first["pid"], int) and first["time"][10] == "T"
    assert (second["message"], second["job"]) == ('b\n"c" é', 42)


def test_on_a_terminal_it_is_text() -> None:
    ours, theirs = pty.openpty()
    program = f"{START}log.configure('worker scripts/1', LogSettings()); logger.error('no')"
    subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True, cwd=ROOT)
    os.close(theirs)
    line = os.read(ours, 1000).decode()
    os.close(ours)
    assert "ERROR   worker scripts/1[" in line and line.endswith("] no\r\n")


def test_text_on_request_and_what_is_in_a_record_cannot_forge_another_or_steer_a_terminal() -> None:
    text = logged("logger.info('a\\n2026 ERROR x\\x1b[31m\\ud800')", settings="LogSettings(format='text')")
    assert text.count("\n") == 1
    assert "a\\n2026 ERROR x\\x1b[31m\\ud800" in text


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_level_is_a_floor(level: str) -> None:
    program = "for name in ('debug', 'info', 'warning', 'error'): getattr(logger, name)(name)"
    said = [json.loads(line)["message"] for line in logged(program, settings=f"LogSettings('{level}')").splitlines()]
    order = ["debug", "info", "warning", "error"]
    assert said == order[order.index(level) :]


def test_exceptions_bring_their_traceback_and_never_the_values_of_variables() -> None:
    program = "try:\n  secret = 'hunter2'; 1 / len(secret[:0])\nexcept Exception: logger.exception('it broke')"
    line = json.loads(logged(program))
    assert line["message"] == "it broke" and "ZeroDivisionError" in line["traceback"]
    assert "hunter2" not in json.dumps(line).replace("secret = 'hunter2'", "")


def test_what_libraries_say_through_logging_and_uncaught_exceptions_come_out_too() -> None:
    lines = [
        json.loads(line) for line in logged("import logging; logging.getLogger('asyncio').error('%s', 1)").splitlines()
    ]
    assert [(line["level"], line["message"]) for line in lines] == [("error", "1")]
    failing = subprocess.run(
        [sys.executable, "-c", f"{START}log.configure('x', LogSettings()); 1/0"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert json.loads(failing.stderr)["message"] == "uncaught ZeroDivisionError"


def test_a_file_is_appended_to_closed_to_others_and_may_be_changed_at_any_time(tmp_path: Path) -> None:
    first, second = tmp_path / "one.log", tmp_path / "two.log"
    first.write_text("kept\n")
    logged(
        f"log.configure('x', LogSettings(file={str(first)!r})); logger.info('a')\n"
        f"log.configure('x', LogSettings(file={str(second)!r})); logger.info('b')\n"
        "import os; fds = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]\n"
        "assert sum(os.readlink(fd).endswith('.log') for fd in fds if os.path.lexists(fd)) == 1"
    )
    assert first.read_text().startswith("kept\n{") and first.read_text().count("\n") == 2
    assert second.read_text().count("\n") == 1
    assert second.stat().st_mode & 0o777 == 0o600


def test_a_pipe_that_nobody_reads_costs_lines_and_never_stops_the_process() -> None:
    read_end, write_end = os.pipe()
    program = f"{START}log.configure('x', LogSettings())\nfor n in range(40): logger.info('x' * 2000)\nprint('alive')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        stderr=write_end,
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=True,
        cwd=ROOT,
    )
    os.close(write_end)
    os.close(read_end)
    assert done.stdout == "alive\n"


def test_a_closed_stderr_is_survived() -> None:
    program = f"{START}import os; log.configure('x', LogSettings()); os.close(2); logger.info('x'); print('alive')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "alive\n"


def test_a_file_that_cannot_be_opened_costs_nothing_of_the_log_and_no_other_file(tmp_path: Path) -> None:
    first, victim = tmp_path / "first", tmp_path / "victim"
    text = logged(
        f"log.configure('x', LogSettings(file={str(first)!r}))\n"
        "import os\n"
        "from supervisor.core.errors import SettingsError\n"
        "try: log.configure('x', LogSettings(file='/nowhere/log'))\n"
        "except SettingsError: pass\n"
        f"os.open({str(victim)!r}, os.O_WRONLY | os.O_CREAT)\n"
        "logger.info('still here')"
    )
    assert "still here" in first.read_text() and victim.read_text() == text == ""
