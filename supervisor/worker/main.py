"""The life of a worker process: equipped, at work, and at the end a word about why it goes."""

from __future__ import annotations

import resource
import time
from typing import Final

from loguru import logger

from supervisor import log
from supervisor.child import EXIT_RECYCLED, WorkerContext
from supervisor.core.fleet import RECYCLE_WORD
from supervisor.core.shortage import Shortage
from supervisor.sandbox import become_subreaper
from supervisor.worker.equipment import Equipment
from supervisor.worker.handlers import HandlerWorker
from supervisor.worker.loop import MAX_UNSTARTED, SHORTEST_REST_S, Worker
from supervisor.worker.scripts import ScriptWorker

MOST_OPEN_FILES: Final = 1 << 20
EXIT_OK: Final = 0
EXIT_STUCK: Final = 5
"""A process that cannot be killed is in this worker's tree: the arbiter finds it and parks the slot."""
EXIT_BROKEN: Final = 6
"""It got leases and could start none of them: it counts as a death, and another worker may do better."""
EXIT_NO_HANDLER: Final = 7
"""Its handler could not be imported or set up."""


def run(context: WorkerContext) -> int:
    """The life of a worker process; returns its exit status."""
    log.configure(f"worker {context.name}", context.settings.log)
    become_subreaper()
    _raise_open_files()
    equipment = _equip(context)
    kind: type[Worker] = ScriptWorker if context.pool.handler is None else HandlerWorker
    worker = kind(context, equipment)
    try:
        worker.work()
    finally:
        equipment.close()
    if worker.stuck_job is not None:
        context.scoreboard.say(f"a process of job {worker.stuck_job} cannot be killed: this slot is set aside")
        return EXIT_STUCK
    if worker.is_broken:
        context.scoreboard.say(f"{MAX_UNSTARTED} leases in a row could not be started")
        return EXIT_BROKEN
    if worker.has_no_handler is not None:
        context.scoreboard.say(f"the handler {context.pool.handler} cannot be had: {worker.has_no_handler}")
        return EXIT_NO_HANDLER
    if worker.worn is not None:
        context.scoreboard.say(f"{RECYCLE_WORD}{worker.worn}")
        return EXIT_RECYCLED
    return EXIT_OK


def _raise_open_files() -> None:
    """HAZARD: what a user's processes have sent one another and not yet received counts for the user as a whole, and
    sending fails from the sender's own limit of open files on. A job of our uid that receives nothing would stop us, our
    holder and our keepers, if we had not a higher limit than a job."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _equip(context: WorkerContext) -> Equipment:
    """What can be had here, found when the machine is not short of what the finding needs."""
    while True:
        try:
            return Equipment(context)
        except Shortage as want:
            logger.warning("nothing can be tried out, the machine is short of {}: trying again", want)
            context.scoreboard.beat()
            time.sleep(SHORTEST_REST_S)
