"""What a reload makes of two settings: who is replaced, what only a restart applies."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import supervisor.worker
from supervisor.config import LogSettings, Pool, Settings
from supervisor.config.changes import FIXED, NOT_TOLD_TO_WORKERS, TOLD_TO_WORKERS, compare
from supervisor.core.limits import Limits

POOL = Pool(name="scripts", replicas=2)
OLD = Settings(state_dir="/s", socket="/k", pools={"scripts": POOL})
replace = msgspec.structs.replace


def pool(**changes: object) -> Settings:
    return replace(OLD, pools={"scripts": replace(POOL, **changes)})


def test_the_same_settings_change_nothing() -> None:
    changes = compare(OLD, replace(OLD))
    assert changes.settings == OLD
    assert (changes.keys, changes.needs_restart, changes.renewed, changes.replicas) == ((), (), (), {})


@pytest.mark.parametrize(
    ("new", "keys", "renewed"),
    [
        (pool(limits=Limits(wall_s=1.0)), ("pools.scripts.limits",), ()),
        (pool(maxima=Limits(wall_s=1.0)), ("pools.scripts.max",), ()),
        (pool(retries=3), ("pools.scripts.retries",), ()),
        (pool(queues=("a",)), ("pools.scripts.queues",), ()),
        (pool(replicas=3), ("pools.scripts.replicas",), ()),
        (pool(artifacts=3), ("pools.scripts.artifacts",), ("scripts",)),
        (pool(types=("python",)), ("pools.scripts.types",), ("scripts",)),
        (replace(OLD, kill_grace_s=9.0), ("kill_grace",), ("scripts",)),
        (replace(OLD, log=LogSettings(level="debug")), ("log",), ("scripts",)),
        (replace(OLD, shutdown_timeout_s=9.0), ("shutdown_timeout",), ()),
        (replace(OLD, max_source_bytes=9), ("max_source",), ()),
    ],
)
def test_only_what_a_worker_was_told_replaces_workers(
    new: Settings, keys: tuple[str, ...], renewed: tuple[str, ...]
) -> None:
    changes = compare(OLD, new)
    assert (changes.keys, changes.renewed, changes.settings) == (keys, renewed, new)


def test_the_runners_of_a_handler_have_its_limits_from_their_start() -> None:
    old = pool(handler="package.module:Class")
    new = replace(old, pools={"scripts": replace(old.pools["scripts"], limits=Limits(wall_s=1.0))})
    assert compare(old, new).renewed == ("scripts",)


def test_what_holds_for_the_daemons_whole_life_keeps_its_value_and_is_named() -> None:
    changes = compare(OLD, replace(OLD, state_dir="/t", slot_uid_base=3_000_000, kill_grace_s=1.0))
    assert changes.needs_restart == ("state_dir", "slot_uid_base")
    assert changes.keys == ("kill_grace",)
    assert (changes.settings.state_dir, changes.settings.slot_uid_base) == ("/s", OLD.slot_uid_base)


def test_pools_come_and_go_and_change_their_number() -> None:
    new = replace(OLD, pools={"scripts": replace(POOL, replicas=5), "extra": Pool(name="extra", replicas=1)})
    changes = compare(OLD, new)
    assert (changes.added, changes.removed, changes.replicas) == (("extra",), (), {"scripts": (2, 5)})
    back = compare(new, OLD)
    assert (back.added, back.removed, back.replicas) == ((), ("extra",), {"scripts": (5, 2)})


def test_a_setting_that_a_worker_reads_is_one_that_it_hears_of() -> None:
    """One that is read there and in no table would keep its old value in workers after a reload."""
    folder = Path(supervisor.worker.__file__).parent
    code = "\n".join(path.read_text() for path in folder.glob("*.py"))
    read, read_of_pool = (set(re.findall(rf"\b{of}\.(\w+)", code)) for of in ("settings", "pool"))
    assert {"kill_grace_s", "slot_uid_base"} <= read and {"env_pass", "limits"} <= read_of_pool
    assert read - {*FIXED, *TOLD_TO_WORKERS} == set()
    assert read_of_pool & set(NOT_TOLD_TO_WORKERS) <= {"limits", "maxima"}, "those of handlers alone"


def test_the_named_fields_are_fields() -> None:
    assert {*FIXED, *TOLD_TO_WORKERS} <= set(Settings.__struct_fields__)
    assert set(NOT_TOLD_TO_WORKERS) <= set(Pool.__struct_fields__)
