"""A power loss at any moment: of what was acknowledged nothing is lost at full, only the newest at normal; never damage.

100 moments each by default; WORKER_POWER_LOSS_MOMENTS and WORKER_POWER_LOSS_SEED change how many and which.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from supervisor import store
from tests.store.power_loss import KINDS, Call, Disk, record

MOMENTS = int(os.environ.get("WORKER_POWER_LOSS_MOMENTS", "100"))
SEED = int(os.environ.get("WORKER_POWER_LOSS_SEED", "11"))
ROUNDS = max(70, min(300, MOMENTS // 4))

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace, which records the writes, is not installed"),
    pytest.mark.timeout(180 + MOMENTS // 2),
]


@dataclass
class _Found:
    """What the moments showed. `lost`: how many of the acknowledged were missing, for each moment with a loss."""

    moments: int = 0
    lost: list[int] = field(default_factory=list)


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_power_loss_at_any_moment_of_the_recorded_writes(synchronous: str, tmp_path: Path) -> None:
    calls = record(tmp_path / "recorded", tmp_path / "trace", synchronous, str(ROUNDS), str(SEED))
    assert sum(call.name == "acknowledge" for call in calls) > ROUNDS
    dice = random.Random(SEED)
    moments = sorted(dice.choices(range(len(calls) + 1), k=MOMENTS))
    found = _look_at(calls, moments, dice, tmp_path / "found")
    print(f"{synchronous}: {len(calls)} calls, {found.moments} moments, {len(found.lost)} of them with a loss, "
          f"at most {max(found.lost, default=0)} acknowledged ones")  # fmt: skip
    assert found.moments == MOMENTS
    if synchronous == "full":
        assert not found.lost
    else:
        # Were nothing ever lost here, the replay would not show what it claims for full.
        assert found.lost


def _look_at(calls: list[Call], moments: list[int], dice: random.Random, folder: Path) -> _Found:
    disk, done, found = Disk(), 0, _Found()
    for moment in moments:
        for call in calls[done:moment]:
            disk.apply(call)
        done = moment
        kept = KINDS[found.moments % len(KINDS)]
        files = disk.after_power_loss(kept, dice)
        found.moments += 1
        lost = _lost(files, disk.acknowledged, folder, f"at call {moment}, of the unsynced {kept} is kept, seed {SEED}")
        if lost:
            found.lost.append(lost)
    return found


def _lost(files: dict[str, bytes], acknowledged: list[str], folder: Path, saying: str) -> int:
    """How many acknowledged ones are missing; fails on anything worse. The newest are lost first, never one between."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "spool").mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    conn = store.open_writer(str(folder / "queue.db"))
    try:
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)], saying
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == [], saying
        counted = dict(conn.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        assert {state: n for state, n in store.counts(conn).items() if n} == counted, saying
        told = conn.execute("SELECT job, state, max(id) FROM events GROUP BY job ORDER BY job").fetchall()
        assert [row[:2] for row in told] == conn.execute("SELECT id, state FROM jobs ORDER BY id").fetchall(), saying
        known = {row[0] for row in conn.execute("SELECT request_id FROM jobs").fetchall()}
        known |= {f"lease-{row[0]}" for row in conn.execute("SELECT lease FROM attempts WHERE state = 'ended'")}
    finally:
        conn.close()
    for large in (word for word in acknowledged if word.startswith("large-") and word in known):
        sha256 = large.rsplit("-", 1)[1]
        assert hashlib.sha256((folder / "spool" / sha256).read_bytes()).hexdigest() == sha256, saying
    present = [word in known for word in acknowledged]
    assert present == sorted(present, reverse=True), saying
    return present.count(False)
