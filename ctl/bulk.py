"""Many submits in few requests: up to 1000 jobs in each, stored whole or not at all, while the next is made ready.

Every job has a request id of its own, so that what is repeated after a broken connection creates nothing twice.
A job may wait for an earlier one of the list: within a request it is named by its request id, else by its number.
"""

from __future__ import annotations

from itertools import islice

from ctl.connection import encode, json_of
from ctl.errors import NotFound, WorkerctlError, error_of, invalid
from ctl.job import Submitted
from ctl.submission import CONDITIONS, awaited
from supervisor.wire.frame import MAX_LINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from ctl.session import Session

MOST_JOBS = 1000
WINDOW = 2
"""One request is being stored while the next one is made ready and sent."""
_AT_ONCE = 50
"""So many jobs are written as JSON in one go."""
_ROOM_BYTES = 128
"""What stands around the jobs of a request."""


class Entry:
    """One job: the fields of its submit, and the places of earlier ones that it waits for, with their conditions."""

    __slots__ = ("earlier", "fields")

    def __init__(self, fields: dict[str, Any], earlier: Sequence[tuple[int, str]] = ()) -> None:
        self.fields = fields
        self.earlier = earlier


class Refusal:
    """Why the jobs of one request were not stored: one of them (`place`, None if all are), and the error."""

    def __init__(self, places: range, error: WorkerctlError) -> None:
        self.places = places
        self.error = error
        place = error.data.get("place")
        self.place: int | None = places[place] if isinstance(place, int) and 0 <= place < len(places) else None


class Bulk:
    """Stores a list of jobs. `answers` has at each place what became of it, None while nothing is known."""

    def __init__(self, session: Session, entries: Sequence[Entry]) -> None:
        self.answers: list[Submitted | WorkerctlError | None] = [None] * len(entries)
        self._session = session
        self._entries = entries
        self._requests: list[range] = []
        self._refused = False

    def store(self, stored: Callable[[range], None] | None = None) -> Refusal | None:
        """Stores what is not answered yet, to the end or to the first refusal, which it returns.

        `stored` hears of each request whose jobs are durable.
        """
        self._requests, self._refused = [], False
        refusal = None
        for number, value in self._session.call_each("submit_many", self._bodies(), WINDOW):
            places = self._requests[number]
            if isinstance(value, WorkerctlError):
                refusal = refusal or Refusal(places, value)
                self._refused = True
                continue
            for place, answer in zip(places, value["jobs"], strict=True):
                self.answers[place] = _submitted(answer)
            if stored is not None:
                stored(places)
        return refusal

    def store_one_by_one(self, places: Iterable[int]) -> None:
        """The same for these places alone: a job that is refused does not keep the others from being stored."""
        linked = any(self._entries[place].earlier for place in places)
        asked: list[int] = []

        def requests() -> Iterator[dict[str, Any]]:
            for place in places:
                fields = self._fields(place, range(0))
                if fields is not None:
                    asked.append(place)
                    yield fields

        for number, value in self._session.call_each("submit", requests(), 1 if linked else 64):
            self.answers[asked[number]] = value if isinstance(value, WorkerctlError) else _submitted(value)

    def _bodies(self) -> Iterator[bytes | None]:
        first = 0
        while first < len(self._entries) and not self._refused:
            if self.answers[first] is not None:
                first += 1
                continue
            count, text = _written(self._together(first))
            if count:
                self._requests.append(range(first, first + count))
                first += count
                yield b'{"jobs":[%s]}' % text
            elif self.answers[first] is None:
                yield None

    def _together(self, first: int) -> Iterator[dict[str, Any]]:
        """The fields of the jobs from `first` on that may go into one request."""
        for place in range(first, min(first + MOST_JOBS, len(self._entries))):
            if self.answers[place] is not None or not self._earlier_are_known(place, first):
                return
            fields = self._fields(place, range(first, place))
            if fields is None:
                return
            yield fields

    def _earlier_are_known(self, place: int, first: int) -> bool:
        return all(other >= first or self.answers[other] is not None for other, _ in self._entries[place].earlier)

    def _fields(self, place: int, same_request: range) -> dict[str, Any] | None:
        """The fields of a submit with the earlier jobs named; None if one of those was refused, and so is this."""
        entry = self._entries[place]
        if not entry.earlier:
            return entry.fields
        after: list[dict[str, Any]] = list(entry.fields.get("after", ()))
        for other, condition in entry.earlier:
            answer = self.answers[other]
            if other in same_request:
                after.append({"request_id": self._entries[other].fields["request_id"], "condition": condition})
            elif isinstance(answer, Submitted):
                after.append({"job": answer.id, "condition": condition})
            else:
                self.answers[place] = NotFound("not_found", f"job {other} of the list, which it waits for, was refused")
                return None
        return {**entry.fields, "after": after}


def store_each(session: Session, entries: Sequence[Entry]) -> list[Submitted | WorkerctlError]:
    """Stores all that can be stored; a refused one keeps no other from it but those that wait for it."""
    bulk = Bulk(session, entries)
    while (refusal := bulk.store()) is not None:
        bulk.store_one_by_one(refusal.places)
    return [answer for answer in bulk.answers if answer is not None]


def linked(after: Iterable[Any], places: Mapping[str, int]) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """What `after` names: jobs that are there already, and by their keys earlier ones of the list (`places`)."""
    there: list[dict[str, Any]] = []
    earlier: list[tuple[int, str]] = []
    for one in after:
        key, _, condition = one.partition(":") if isinstance(one, str) else ("", "", "")
        if key in places:
            if condition not in ("", *CONDITIONS):
                raise invalid(f"after: {one!r}: the conditions are {', '.join(CONDITIONS)}")
            earlier.append((places[key], condition or "ok"))
        elif key and not key.isdecimal():
            raise invalid(f"after: no earlier one has the key {key!r}: name a job by its id, or an earlier one's key")
        else:
            there.append(one if isinstance(one, dict) else awaited(one))
    return there, earlier


def check_key(key: object, places: Mapping[str, int]) -> str:
    """A word by which later ones name this one; raises InvalidRequest."""
    if not isinstance(key, str) or not key or key.isdecimal() or ":" in key:
        raise invalid(f"key: {key!r} must be a word without a colon, and no number")
    if key in places:
        raise invalid(f"key: {key!r} is an earlier one's already")
    return key


def too_large(entry: Entry) -> WorkerctlError | None:
    """Why an entry fits into no request; None if it does."""
    try:
        size = len(encode(entry.fields)) + _ROOM_BYTES
    except WorkerctlError as error:
        return error
    return (
        error_of("frame_too_large", f"it is {size} bytes long, at most {MAX_LINE} can be sent")
        if size > MAX_LINE
        else None
    )


def _written(jobs: Iterator[dict[str, Any]]) -> tuple[int, bytes]:
    """As many of the jobs as fit into a line, and at least one: how many that are, and their JSON without brackets."""
    parts: list[bytes] = []
    count = 0
    room = MAX_LINE - _ROOM_BYTES
    while few := list(islice(jobs, _AT_ONCE)):
        part = json_of(few)[1:-1]
        if len(part) >= room:
            for part in map(json_of, few):
                room -= len(part) + 1
                if room < 0 and count:
                    break
                parts.append(part)
                count += 1
            break
        room -= len(part) + 1
        parts.append(part)
        count += len(few)
    return count, b",".join(parts)


def _submitted(value: dict[str, Any]) -> Submitted:
    findings = value.get("findings")
    return Submitted(
        value["job"],
        bool(value.get("created", True)),
        list(value.get("warnings", ())),
        findings if isinstance(findings, list) else None,
        existing=bool(value.get("existing")),
    )
