"""The names and types of a submit's options, for type checkers and readers. Empty at run time.

Durations are seconds or texts such as `1h30m`, sizes are bytes or texts such as `512M`; for a limit, `"none"`
asks for none at all. What is not given is the daemon's to decide.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from os import PathLike
    from typing import TypedDict

    from ctl.job import Job, Submitted

    class SubmitOptions(TypedDict, total=False):
        """What `Client.submit` takes besides the file."""

        source: str
        """The script's text, instead of a file."""
        name: str
        main: str
        """The script inside a folder."""
        files: Iterable[str | PathLike[str]]
        """Further files, placed by their path relative to the script's folder."""
        stdin: str | bytes
        """What the job reads from its standard input."""
        stdin_file: str | PathLike[str]
        args: Iterable[str]
        env: Mapping[str, str]
        runtime: str
        type: str
        """Of a handler's job, which has no file."""
        params: object
        """What the job is given; any JSON."""
        queue: str
        priority: int
        delay: str | float
        at: str | datetime
        timeout: str | float
        cpu: str | float
        memory: str | int
        processes: str | int
        open_files: str | int
        file_size: str | int
        disk: str | int
        output: str | int
        retries: int
        backoff: str | Mapping[str, float]
        on_loss: str
        network: bool
        isolation: str
        merge: bool
        unique: str
        """A key: at most one scheduled, queued or running job of the queue has it."""
        on_conflict: str
        """What a taken key means: `return` that job (`Submitted.existing`), or `refuse`."""
        after: Iterable[int | str | Job | Submitted]
        """Jobs that must end first: `42` or `"42:ok"` complete, `"42:any"`, `"42:fail"`."""
        webhook: str
        """Where a POST goes when it is over, below one of the daemon's `http.webhook_urls`."""
        request_id: str
        """Made by the client if not given. The same id again is the same job."""
