"""From what a client asks for to a job that can be stored: checked, and completed with its pool's defaults.

What was stored before is answered with its job, whatever has become forbidden since. Stores nothing itself.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import msgspec

from supervisor.broker import admission, allowance
from supervisor.broker.admission import Script
from supervisor.broker.check import MAX_TEXT_BYTES, Checked, blocked
from supervisor.broker.commit import wall_us
from supervisor.broker.script_text import main_text
from supervisor.broker.service import Caller, Service
from supervisor.broker.situation import pools_taking
from supervisor.config import Pool
from supervisor.core.errors import RequestError
from supervisor.core.job import Finding, JobSpec
from supervisor.core.limits import LIMIT_NAMES, resolve
from supervisor.core.queues import caps_of
from supervisor.core.retry import Backoff
from supervisor.runtime.classify import SCRIPT_TYPES
from supervisor.store import NewJob, job_of_request
from supervisor.wire.control import JobRequest

_DEFAULTS: Final = {
    field.name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    for field in msgspec.structs.fields(JobRequest)
    if not field.required
}
_NOT_CONTENT: Final = frozenset({"id", "request_id"})


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

    def known(self, request: JobRequest) -> int | None:
        """The job that this very request has made before, None if there is none."""
        found = job_of_request(self._service.reader, request.request_id)
        return found[0] if found is not None and found[1] == fingerprint(request) else None

    async def admit(self, request: JobRequest) -> Admitted:
        """The job to store; raises RequestError where it may not be."""
        service = self._service
        script = admission.script_of(request, service.spool)
        pool, warnings = _pool_for(service, script.type, request.queue)
        checked = await self._check(script, pool)
        warnings += [] if checked.note is None else [checked.note]
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
            spec=_spec(service, request, script, pool, checked.findings),
            inline=script.inline,
            max_queued=caps_of(service.settings.queues, request.queue).max_queued,
        )
        return Admitted(new, warnings, checked.findings)

    async def _check(self, script: Script, pool: Pool) -> Checked:
        """What the code check says, if the pool wants to hear it; raises RequestError `blocked` where it decides."""
        if pool.check == "off" or script.main is None or not self._service.checker.knows(script.type):
            return Checked()
        one_file = script.contents[0].sha256 if len(script.contents) == 1 and script.contents[0].kind == "file" else ""
        checked = self._checked.get((script.type, one_file))
        if checked is None:
            checked = await self._look_at(script, script.main)
            if one_file:
                self._checked[script.type, one_file] = checked
        if pool.check == "block" and (checked.findings or checked.note is not None):
            raise blocked(script.name, pool.name, checked)
        return checked

    async def _look_at(self, script: Script, main: str) -> Checked:
        text = await main_text(main, script.contents, script.inline, self._service.spool, MAX_TEXT_BYTES)
        if text is None:
            return Checked(note=f"the code check did not find {main!r} in what was submitted")
        return self._service.checker.check(script.type, text)


def fingerprint(request: JobRequest) -> str:
    """What makes two submits the same: everything but the numbers that the client gave them.

    Fields that say nothing are left out, so that a release with more fields still knows the submits of this one.
    """
    said = {
        name: value
        for name, value in msgspec.structs.asdict(request).items()
        if name not in _NOT_CONTENT and value != _DEFAULTS.get(name)
    }
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def refuse_when_closing(service: Service) -> None:
    """Raises RequestError `stopping` while the daemon shuts down."""
    if service.leases.desk.closed:
        raise RequestError("stopping", "the daemon is shutting down")


def _spec(service: Service, request: JobRequest, script: Script, pool: Pool, findings: tuple[Finding, ...]) -> JobSpec:
    admission.check_words(request)
    allowance.check_interpreter(service, script, pool)
    allowance.check_handler(request, pool)
    allowance.check_enforceable(service, request, pool)
    backoff = request.backoff or Backoff()
    admission.check_backoff(backoff)
    return JobSpec(
        main=script.main,
        args=request.args,
        env=request.env,
        contents=script.contents,
        stdin=script.stdin,
        params=request.params,
        limits=resolve(request.limits, pool.limits, pool.maxima, script.type),
        asked=tuple(name for name in LIMIT_NAMES if getattr(request.limits, name) is not msgspec.UNSET),
        network=allowance.network_of(request, pool),
        isolation=allowance.isolation_of(service, request, pool),
        merge=request.merge,
        findings=findings,
        backoff=backoff,
        retry_on=pool.retry_on,
        webhook=admission.webhook_of(request, service.settings.http),
    )


def _pool_for(service: Service, job_type: str, queue: str) -> tuple[Pool, list[str]]:
    """The first pool that takes the job; its defaults and maxima hold. None now: the first pool's, and a warning."""
    pools = service.leases.pools()
    takers = pools_taking(pools, job_type, queue)
    if takers:
        return takers[0], []
    silent = [pool for pool in pools if not pool.types]
    if silent and job_type not in SCRIPT_TYPES:
        return silent[0], [
            f"pool {silent[0].name} has not said yet which types it takes: should none take {job_type!r}, the job waits"
        ]
    return pools[0], [f"no pool takes type {job_type!r} from queue {queue!r} now: the job waits until one does"]
