"""A broker's writing half, run under a recorder: the real group commit, checkpoints, spool. Every acknowledgement is
a write to fd `ACKS`, made only when the commit has been answered, so that the recording has both in one order.

python -m tests.store.recorded_writer FOLDER full|normal ROUNDS SEED
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys
from functools import partial

from supervisor import store
from supervisor.broker.commit import Committer
from supervisor.broker.reserve import Reserve
from supervisor.core.job import Content, JobSpec
from supervisor.paths import Paths
from supervisor.spool import Spool
from tests.store.making import EXIT_1, INTERRUPTED, OK, new_job

ACKS = 200  # beyond what a test process may have open: the parent makes it its own
MOST_AT_ONCE = 12


async def _write(folder: str, synchronous: store.Synchronous, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    paths = Paths(folder, f"{folder}/s")
    committer = Committer(
        partial(store.open_writer, paths.database, synchronous),
        Reserve(f"{folder}/reserve"),
        lambda events: None,
        lambda error: os._exit(75),
    )
    await committer.connected()
    for number in range(rounds):
        jobs = [number * MOST_AT_ONCE + k for k in range(dice.randint(1, MOST_AT_ONCE))]
        work = [_submit(committer, job) for job in jobs]
        work += [_run_one(committer, dice.random()) for _ in range(dice.randint(0, 8))]
        if number % 25 == 0:
            work.append(_submit_from_spool(committer, Spool(paths), number))
        await asyncio.gather(*work)
        if number % 100 == 59:
            await asyncio.sleep(1.2)  # the idle checkpoint is a part of what is recorded
    await committer.close()


async def _submit(committer: Committer, number: int) -> None:
    await committer.run(lambda tx: store.submit(tx, new_job(number, priority=number % 3)))
    _acknowledge(f"request-{number}")


async def _submit_from_spool(committer: Committer, spool: Spool, number: int) -> None:
    data = random.Random(number).randbytes(300_000)
    sha256 = hashlib.sha256(data).hexdigest()
    spool.append(sha256, 0, data[:100_000])
    spool.append(sha256, 100_000, data[100_000:])
    spool.complete(sha256)
    spec = JobSpec(main="big.js", contents=(Content(path="big.js", sha256=sha256, size=len(data)),))
    new = new_job(0, request_id=f"large-{number}-{sha256}", spec=spec, inline={})
    await committer.run(lambda tx: store.submit(tx, new))
    _acknowledge(f"large-{number}-{sha256}")


async def _run_one(committer: Committer, dice: float) -> None:
    lease = await committer.run(
        lambda tx: store.claim(tx, types=["node"], queues=None, worker="w", incarnation="w"), essential=True
    )
    if lease is None:
        return
    outcome = (OK, EXIT_1, INTERRUPTED)[int(dice * 3)]
    said = {"incarnation": "w", "outcome": outcome, "isolation": "plain", "result": None, "progress": None}
    await committer.run(partial(store.settle, lease=lease.lease, dice=dice, **said), essential=True)
    _acknowledge(f"lease-{lease.lease}")


def _acknowledge(what: str) -> None:
    os.write(ACKS, f"{what}\n".encode())


if __name__ == "__main__":
    asyncio.run(
        _write(sys.argv[1], "normal" if sys.argv[2] == "normal" else "full", int(sys.argv[3]), int(sys.argv[4]))
    )
