"""From what a client asks for to a job that can be stored: checked, and completed with its pool's defaults.

What was stored before is answered with its job, whatever has become forbidden since. Stores nothing itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from supervisor.broker import admission
from supervisor.broker.admission import Script
from supervisor.broker.check import MAX_TEXT_BYTES, Checked, blocked
from supervisor.broker.commit import wall_us
from supervisor.broker.grants import Grant
from supervisor.broker.script_text import archived_text, file_text
from supervisor.broker.service import Caller, Service
from supervisor.config import Pool
from supervisor.core.errors import RequestError
from supervisor.core.job import Finding, JobSpec
from supervisor.core.retry import Backoff
from supervisor.store import NewJob, jobs_of_requests
from supervisor.wire.control import JobRequest, Submit

_DEFAULTS: Final = {
    field.name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    for field in msgspec.structs.fields(JobRequest)
    if not field.required
}
"""All fields of a job but its request_id, in the order in which they are written."""
_PLACES: Final = {
    kind: [(place, name, _DEFAULTS[name]) for place, name in enumerate(kind.__struct_fields__) if name in _DEFAULTS]
    for kind in (JobRequest, Submit)
}
_encode: Final = msgspec.json.Encoder().encode
_BACKOFF: Final = Backoff()
_UNCHECKED: Final = Checked()


class Admitted(NamedTuple):
    """A job that may be stored, what its submitter should hear, and what the code check found."""

    new: NewJob
    warnings: list[str]
    findings: tuple[Finding, ...]


class Intake:
    """Admits the jobs of one request. Scripts that come more than once are looked at once."""

    def __init__(self, service: Service, caller: Caller) -> None:
        self._service = service
        self._caller = caller
        self._checked: dict[tuple[str, str], Checked] = {}

    def known(self, requests: Sequence[JobRequest]) -> dict[str, int]:
        """By request_id the jobs that these very requests have made before."""
        found = jobs_of_requests(self._service.reader, [request.request_id for request in requests])
        return {
            request.request_id: made.job
            for request in (requests if found else ())
            if (made := found.get(request.request_id)) is not None
            and (made.request_hash, made.owner_uid) == (fingerprint(request), self._caller.uid)
        }

    async def admit(self, request: JobRequest) -> Admitted:
        """The job to store; raises RequestError where it may not be."""
        script, grant = self._looked_at(request)
        checked = self._check(script, grant.pool)
        if checked is None:
            checked = await self._check_archived(script, grant.pool)
        return self._admitted(request, script, grant, checked)

    def admit_at_once(self, request: JobRequest) -> Admitted | None:
        """The same; None for one whose script must be looked for in an archive first, which takes its time."""
        script, grant = self._looked_at(request)
        checked = self._check(script, grant.pool)
        return None if checked is None else self._admitted(request, script, grant, checked)

    def _looked_at(self, request: JobRequest) -> tuple[Script, Grant]:
        script = admission.script_of(request, self._service.spool)
        return script, self._service.grants.of(request, script)

    def _admitted(self, request: JobRequest, script: Script, grant: Grant, checked: Checked) -> Admitted:
        service, pool = self._service, grant.pool
        warnings = [*grant.warnings] if checked.note is None else [*grant.warnings, checked.note]
        new = NewJob(
            request_id=request.request_id,
            request_hash=fingerprint(request),
            owner_uid=self._caller.uid,
            is_admin=self._caller.is_admin,
            name=script.name,
            type=script.type,
            queue=request.queue,
            priority=request.priority,
            due_us=admission.due_us(request, wall_us()),
            retries=pool.retries if request.retries is None else request.retries,
            on_loss=request.on_loss or pool.on_loss,
            unique_key=request.unique_key,
            on_conflict=request.on_conflict,
            after=request.after,
            spec=_spec(service, request, script, grant, checked.findings),
            inline=script.inline,
            max_queued=grant.max_queued,
        )
        return Admitted(new, warnings, checked.findings)

    def _check(self, script: Script, pool: Pool) -> Checked | None:
        """What the code check says of a script that is a file, if the pool wants to hear it; None for another one.

        Raises RequestError `blocked` where it decides.
        """
        checker = self._service.checker
        if pool.check == "off" or script.main is None or not checker.knows(script.type):
            return _UNCHECKED
        one_file = script.contents[0].sha256 if len(script.contents) == 1 and script.contents[0].kind == "file" else ""
        checked = self._checked.get((script.type, one_file))
        if checked is None:
            text = file_text(script.main, script.contents, script.inline, self._service.spool, MAX_TEXT_BYTES)
            if text is None:
                return None
            checked = checker.check(script.type, text)
            if one_file:
                self._checked[script.type, one_file] = checked
        return _passed(checked, script, pool)

    async def _check_archived(self, script: Script, pool: Pool) -> Checked:
        assert script.main is not None
        text = await archived_text(script.main, script.contents, self._service.spool, MAX_TEXT_BYTES)
        if text is None:
            checked = Checked(note=f"the code check did not find {script.main!r} in what was submitted")
        else:
            checked = self._service.checker.check(script.type, text)
        return _passed(checked, script, pool)


def _passed(checked: Checked, script: Script, pool: Pool) -> Checked:
    if pool.check == "block" and (checked.findings or checked.note is not None):
        raise blocked(script.name, pool.name, checked)
    return checked


def fingerprint(request: JobRequest) -> str:
    """What makes two submits the same: everything but the numbers that the client gave them.

    Fields that say nothing are left out, so that a release with more fields still knows the submits of this one.
    """
    values = msgspec.structs.astuple(request)
    said = {
        name: values[place]
        for place, name, default in _PLACES[type(request)]
        if values[place] is not default and values[place] != default
    }
    return hashlib.sha256(_encode(said)).hexdigest()


def refuse_when_closing(service: Service) -> None:
    """Raises RequestError `stopping` while the daemon shuts down."""
    if service.leases.desk.closed:
        raise RequestError("stopping", "the daemon is shutting down")


def _spec(
    service: Service, request: JobRequest, script: Script, grant: Grant, findings: tuple[Finding, ...]
) -> JobSpec:
    admission.check_words(request)
    backoff = _BACKOFF if request.backoff is None else request.backoff
    admission.check_backoff(backoff)
    return JobSpec(
        main=script.main,
        args=request.args,
        env=request.env,
        contents=script.contents,
        stdin=script.stdin,
        params=request.params,
        limits=grant.limits,
        asked=grant.asked,
        network=grant.network,
        isolation=grant.isolation,
        merge=request.merge,
        findings=findings,
        backoff=backoff,
        retry_on=grant.pool.retry_on,
        webhook=admission.webhook_of(request, service.settings.http),
    )
