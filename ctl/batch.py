"""`submit --batch FILE`: a job a line, each a JSON object with the fields of a submit; `file` is a path of ours.

The whole file is read and checked before the first job is stored. A script that many lines name is read once.
"""

from __future__ import annotations

import json

from ctl.bulk import Bulk, Entry, check_key, linked, too_large
from ctl.errors import WorkerctlError, invalid
from ctl.job import Submitted
from ctl.prepare import content, new_request_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from ctl.prepare import Prepared
    from ctl.session import Session

_TEXTS = frozenset({"request_id", "name", "type", "queue", "due_at", "on_loss", "isolation", "unique_key"})
_TEXTS |= {"on_conflict", "source", "main", "file", "stdin", "stdin_file", "key", "webhook"}
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(_TEXTS, ("a text", lambda value: isinstance(value, str))),
    **dict.fromkeys(("priority", "retries"), ("a whole number", lambda value: type(value) is int)),
    **dict.fromkeys(("delay_s",), ("a number of seconds", lambda value: type(value) in (int, float))),
    **dict.fromkeys(("network", "merge"), ("true or false", lambda value: isinstance(value, bool))),
    **dict.fromkeys(("limits", "backoff"), ("an object", lambda value: isinstance(value, dict))),
    **dict.fromkeys(("args", "files"), ("a list of texts", lambda value: _is_list(value, str))),
    "env": ("an object of texts", lambda value: isinstance(value, dict) and _is_list([*value.values()], str)),
    "after": ("a list", lambda value: isinstance(value, list)),
    "params": ("anything", lambda value: True),
}
_MERGED = ("limits", "env")
_CONTENT = ("source", "file", "main", "files", "stdin", "stdin_file")


class Batch:
    """The jobs of a file, and the number of the line of each. `name` is what errors call the file."""

    def __init__(self, name: str, entries: Sequence[Entry], lines: Sequence[int]) -> None:
        self.name = name
        self.lines = lines
        self._entries = entries

    def store(self, session: Session, told: Callable[[int, Submitted], None]) -> None:
        """Stores all; `told` hears of each job, in order. Raises the error of the first refusal, saying what is stored."""
        bulk = Bulk(session, self._entries)
        count = 0

        def tell(_: range) -> None:
            nonlocal count
            while count < len(bulk.answers) and isinstance(answer := bulk.answers[count], Submitted):
                told(self.lines[count], answer)
                count += 1

        try:
            refusal = bulk.store(tell)
        except WorkerctlError as error:
            raise _with(
                error, f"{error.message}\n{self._account(bulk)}; a request that was under way may be, too"
            ) from None
        if refusal is not None:
            places = refusal.places
            where = (
                f"lines {self.lines[places[0]]} to {self.lines[places[-1]]}"
                if refusal.place is None
                else f"line {self.lines[refusal.place]}"
            )
            raise _with(refusal.error, f"{self.name}, {where}: {refusal.error.message}\n{self._account(bulk)}")

    def _account(self, bulk: Bulk) -> str:
        stored = [place for place, answer in enumerate(bulk.answers) if isinstance(answer, Submitted)]
        if not stored:
            return "nothing of the file is stored"
        parts = [f"{self.lines[first]} to {self.lines[last]}" for first, last in _runs(stored)]
        return f"stored are lines {', '.join(parts)}: {len(stored)} of {len(bulk.answers)} jobs"


def read_batch(path: str, session: Session, defaults: Mapping[str, Any]) -> Batch:
    """The jobs of `path` (`-`: standard input), their content put. `defaults` hold where a line does not say.

    Raises InvalidRequest naming the line.
    """
    name = "standard input" if path == "-" else path
    reader = _Reader(session, defaults)
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            try:
                reader.read(number, line)
            except WorkerctlError as error:
                raise _with(error, f"{name}, line {number}: {error.message}\nnothing of the file is stored") from None
    if not reader.entries:
        raise invalid(f'{name} has no jobs: write one JSON object a line, such as {{"file": "work.js"}}')
    return Batch(name, reader.entries, reader.lines)


class _Reader:
    """Lines made into entries. Content is kept by what names it, so that it is read, hashed and put once."""

    def __init__(self, session: Session, defaults: Mapping[str, Any]) -> None:
        self.entries: list[Entry] = []
        self.lines: list[int] = []
        self._session = session
        self._defaults = defaults
        self._places: dict[str, int] = {}
        self._contents: dict[str, Prepared] = {}

    def read(self, number: int, line: bytes) -> None:
        said = self._with_defaults(_object(line))
        key = said.pop("key", None)
        there, earlier = linked(said.pop("after", ()), self._places)
        wanted = {name: said.pop(name) for name in _CONTENT if name in said}
        fields = {"request_id": new_request_id(), **self._content(wanted, said), **said}
        if there:
            fields["after"] = there
        entry = Entry(fields, earlier)
        error = too_large(entry)
        if error is not None:
            raise error
        if key is not None:
            self._places[check_key(key, self._places)] = len(self.entries)
        self.entries.append(entry)
        self.lines.append(number)

    def _with_defaults(self, said: dict[str, Any]) -> dict[str, Any]:
        defaults = dict(self._defaults)
        if "source" in said or "file" in said:
            for name in ("source", "file", "main"):
                defaults.pop(name, None)
        merged = {name: {**defaults[name], **said[name]} for name in _MERGED if name in defaults and name in said}
        return {**defaults, **said, **merged}

    def _content(self, wanted: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
        if "type" in said and not wanted:
            return {}
        if "source" in wanted and not {"file", "main", "files", "stdin_file"} & set(wanted):
            # Nothing to read: the daemon tells the type by the name, or by the first line.
            named = "type" in said or "name" in said or wanted["source"].startswith("#!")
            return wanted if named else {**wanted, "type": "node"}
        if not wanted and "type" in said:
            return {}  # a handler's job has no script
        memo = json.dumps(wanted)
        found = self._contents.get(memo)
        if found is None:
            with content(**wanted) as found:
                found.put(self._session)
            self._contents[memo] = found
        return found.called(said["name"]) if "name" in said else found.fields


def _object(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise invalid(f"it is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise invalid("it is not a JSON object with the fields of a submit")
    unknown = sorted(set(said) - set(_KINDS))
    if unknown:
        raise invalid(f"there is no field {unknown[0]!r}; there are {', '.join(sorted(_KINDS))}")
    said = {name: value for name, value in said.items() if value is not None}
    for name, value in said.items():
        what, fits = _KINDS[name]
        if not fits(value):
            raise invalid(f"{name} must be {what}, not {json.dumps(value)}")
    return said


def _lines(path: str) -> Iterator[bytes]:
    if path == "-":
        import sys

        if sys.stdin is None:
            raise invalid("--batch -: standard input is closed")
        yield from sys.stdin.buffer
        return
    try:
        with open(path, "rb") as file:
            yield from file
    except OSError as error:
        raise invalid(f"--batch: cannot read {path}: {(error.strerror or str(error)).lower()}") from None


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _runs(places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each row of numbers without a gap."""
    first = last = -2
    for place in places:
        if place != last + 1:
            if first >= 0:
                yield first, last
            first = place
        last = place
    yield first, last


def _with(error: WorkerctlError, message: str) -> WorkerctlError:
    error.message = message
    error.args = (message,)
    return error
