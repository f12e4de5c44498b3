"""The log of each daemon process: one line a record, for people on a terminal, else one JSON object.

Configured in each process after its fork and never with a queue or a thread of its own: a lock or a thread carried
over a fork hangs the child. It never carries a job's output, never shows the values of variables, and never raises
into its caller: a full disk or a closed terminal loses lines, nothing else.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import select
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from supervisor.config import LogSettings
from supervisor.core.errors import SettingsError

if TYPE_CHECKING:
    from loguru import Message, Record

_STDERR: Final = 2
_PATIENCE_MS: Final = 200
_file_fd: int | None = None
_nobody_reads = False


def configure(role: str, settings: LogSettings) -> None:
    """Makes this process log as `role` (such as `broker`) to stderr or `settings.file`. May be called again.

    Raises SettingsError when the file cannot be opened.
    """
    fd = _open(settings.file)
    render = _as_text if _wants_text(settings, fd) else _as_json

    def write(message: Message) -> None:
        _write(fd, render(message.record).encode("utf-8", "backslashreplace"))

    # A crash, and SIGABRT, leave a traceback where the log goes.
    faulthandler.enable(fd)
    logger.remove()
    logger.configure(extra={"role": role, "pid": os.getpid()})
    logger.add(write, level=settings.level.upper(), format="{message}", backtrace=False, diagnose=False)
    _take_over_logging(settings.level)


def announce(sentence: str) -> None:
    """One plain line on stderr, for people and programs that wait for it; lost when nobody can read it."""
    _write(_STDERR, sentence.encode("utf-8", "backslashreplace") + b"\n")


def _open(path: str | None) -> int:
    """The old file is closed only when there is another: until then, whatever goes wrong, records go there."""
    global _file_fd
    before, fd = _file_fd, None
    if path is not None:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SettingsError(f"log.file: cannot open {path}: {error.strerror}") from error
    _file_fd = fd
    if before is not None:
        os.close(before)
    return _STDERR if fd is None else fd


def forget_inherited() -> None:
    """To be called in a forked child once its inherited fds are closed: the parent's log file is not open here."""
    global _file_fd
    _file_fd = None


def _write(fd: int, line: bytes) -> None:
    """Writes unless nobody takes it: a pipe that is not read must not stop the daemon. What is left is dropped."""
    global _nobody_reads
    writable = select.poll()
    writable.register(fd, select.POLLOUT)
    try:
        while line and writable.poll(0 if _nobody_reads else _PATIENCE_MS):
            # A writable pipe takes at least PIPE_BUF bytes without blocking.
            line = line[os.write(fd, line[: select.PIPE_BUF]) :]
    except OSError:
        pass
    _nobody_reads = bool(line)


def _wants_text(settings: LogSettings, fd: int) -> bool:
    if settings.format == "auto":
        return os.isatty(fd)
    return settings.format == "text"


def _as_text(record: Record) -> str:
    time = record["time"].strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    head = f"{time} {record['level'].name:<7} {record['extra']['role']}[{record['extra']['pid']}]"
    words = "".join(f" {key}={value!r}" for key, value in _own_words(record).items())
    return f"{head} {_one_line(record['message'])}{words}\n{_traceback(record)}"


def _as_json(record: Record) -> str:
    line: dict[str, Any] = {
        "time": record["time"].isoformat(timespec="microseconds"),
        "level": record["level"].name.lower(),
        "role": record["extra"]["role"],
        "pid": record["extra"]["pid"],
        "message": record["message"],
        **_own_words(record),
    }
    if trace := _traceback(record):
        line["traceback"] = trace
    return json.dumps(line, default=str) + "\n"


def _own_words(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record["extra"].items() if key not in ("role", "pid")}


def _one_line(text: str) -> str:
    """`text` with control characters escaped: a record must not forge another one, nor steer a terminal."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _traceback(record: Record) -> str:
    caught = record["exception"]
    if caught is None or caught.value is None:
        return ""
    return "".join(traceback.format_exception(caught.value))


class _ToLoguru(logging.Handler):
    """What libraries (asyncio) say through `logging` comes out with everything else."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(record.levelname, "{}", record.getMessage())


def _take_over_logging(level: str) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_ToLoguru()]
    root.setLevel(max(logging.INFO, logging.getLevelName(level.upper())))
    logging.raiseExceptions = False
    sys.excepthook = _log_uncaught


def _log_uncaught(kind: type[BaseException], value: BaseException, trace: Any) -> None:
    logger.opt(exception=(kind, value, trace)).critical("uncaught {}", kind.__name__)
