"""submit: a job is checked, completed with its pool's defaults, and stored before it is answered.

A refused submit changes nothing. What the client names is only ever a name: no path of his is opened.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from supervisor.broker import admission, allowance
from supervisor.broker.admission import Script
from supervisor.broker.check import MAX_TEXT_BYTES, Checked, blocked
from supervisor.broker.commit import wall_us
from supervisor.broker.script_text import main_text
from supervisor.broker.service import Caller, Service
from supervisor.config import Pool
from supervisor.core.errors import RequestError
from supervisor.core.job import Finding, JobSpec
from supervisor.core.limits import LIMIT_NAMES, resolve
from supervisor.core.retry import Backoff
from supervisor.store import NewJob, job_of_request
from supervisor.store import submit as store_job
from supervisor.wire.control import Submit


async def submit(service: Service, caller: Caller, request: Submit) -> dict[str, Any]:
    """The job's id, whether this request made it, warnings, and what the code check found.

    A submit that was stored is answered with its job, whatever has become forbidden since.
    """
    known = job_of_request(service.reader, request.request_id)
    if known is not None and known[1] == _fingerprint(request):
        return {"job": known[0], "created": False, "warnings": [], "findings": ()}
    if service.leases.desk.closed:
        raise RequestError("stopping", "the daemon is shutting down")
    script = admission.script_of(request, service.spool)
    pool, warnings = _pool_for(service, script.type, request.queue)
    checked = await _check(service, script, pool)
    warnings += [] if checked.note is None else [checked.note]
    new = NewJob(
        request_id=request.request_id,
        request_hash=_fingerprint(request),
        owner_uid=caller.uid,
        name=script.name,
        type=script.type,
        queue=request.queue,
        priority=request.priority,
        due_us=admission.due_us(request, wall_us()),
        retries=pool.retries if request.retries is None else request.retries,
        on_loss=request.on_loss or pool.on_loss,
        spec=_spec(service, request, script, pool, checked.findings),
        inline=script.inline,
    )
    job, created = await service.committer.run(lambda tx: store_job(tx, new))
    return {"job": job, "created": created, "warnings": warnings, "findings": checked.findings}


async def _check(service: Service, script: Script, pool: Pool) -> Checked:
    """What the code check says, if the pool wants to hear it; raises RequestError `blocked` where it decides."""
    if pool.check == "off" or script.main is None or not service.checker.knows(script.type):
        return Checked()
    text = await main_text(script.main, script.contents, script.inline, service.spool, MAX_TEXT_BYTES)
    if text is None:
        checked = Checked(note=f"the code check did not find {script.main!r} in what was submitted")
    else:
        checked = service.checker.check(script.type, text)
    if pool.check == "block" and (checked.findings or checked.note is not None):
        raise blocked(script.name, pool.name, checked)
    return checked


def _spec(service: Service, request: Submit, script: Script, pool: Pool, findings: tuple[Finding, ...]) -> JobSpec:
    admission.check_words(request)
    allowance.check_interpreter(service, script, pool)
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
    )


def _pool_for(service: Service, job_type: str, queue: str) -> tuple[Pool, list[str]]:
    """The first pool that takes the job; its defaults and maxima hold. None now: the first pool's, and a warning."""
    pools = service.settings.pools
    for pool in pools.values():
        if job_type in pool.types and (not pool.queues or queue in pool.queues):
            return pool, []
    first = next(iter(pools.values()))
    return first, [f"no pool takes type {job_type!r} from queue {queue!r} now: the job waits until one does"]


def _fingerprint(request: Submit) -> str:
    """What makes two submits the same: everything but the numbers that the client gave them."""
    same = msgspec.structs.replace(request, id=0, request_id="same-request")
    return hashlib.sha256(msgspec.json.encode(same)).hexdigest()
