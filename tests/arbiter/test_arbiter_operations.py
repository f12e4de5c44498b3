"""What operators do to a running daemon: scale, restart, reload, hold. With workers that are busy, deaf or dying."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from arbiter_harness import Daemon, daemon_in, eventually


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with daemon_in(tmp_path) as one:
        yield one


@pytest.fixture
def configured(daemon: Daemon) -> Daemon:
    """Started with a settings file, without `--workers`."""
    daemon.workers = 2
    configure(daemon, "[pools.scripts]\nreplicas = 2\n")
    return daemon


def configure(daemon: Daemon, text: str) -> None:
    (daemon.folder / "config.toml").write_text(text)
    (daemon.folder / "config.toml").chmod(0o600)


def start_configured(daemon: Daemon, **environment: str) -> None:
    command = daemon.command
    daemon.command = lambda socket_path=None: [  # type: ignore[method-assign]
        word for word in command(socket_path) if word not in ("--workers", str(daemon.workers))
    ]
    daemon.start(WORKER_CONFIG=str(daemon.folder / "config.toml"), **environment)


def pids(daemon: Daemon) -> dict[str, int]:
    return {title.removeprefix("worker "): process.pid for title, process in daemon.living_workers().items()}


def terms(daemon: Daemon, worker: str) -> str:
    return daemon.read(f"{worker.replace('/', '-')}.terms")


def test_scaling_up_adds_slots_and_scaling_down_takes_the_highest_numbers(daemon: Daemon) -> None:
    daemon.start()
    before = pids(daemon)
    assert daemon.does("scale", pool="scripts", replicas=4)["data"] == {"pool": "scripts", "before": 2, "replicas": 4}
    eventually(lambda: len(daemon.living_workers()) == 4)
    assert before.items() <= pids(daemon).items()
    assert list(daemon.members()) == ["scripts/1", "scripts/2", "scripts/3", "scripts/4"]
    assert sorted(member["index"] for member in daemon.members().values()) == [0, 1, 2, 3]
    daemon.does("scale", pool="scripts", replicas=1)
    eventually(lambda: list(daemon.members()) == ["scripts/1"])
    assert pids(daemon) == {"scripts/1": before["scripts/1"]}
    assert {exited["how"] for exited in daemon.heard("exited")} == {"left"}
    assert daemon.does("scale", pool="scripts", replicas=0)["ok"]
    eventually(lambda: daemon.members() == {})


def test_a_surplus_worker_finishes_first_and_its_place_can_be_wanted_again_meanwhile(daemon: Daemon) -> None:
    daemon.tell("scripts-2.does", "busy")
    daemon.start()
    busy = daemon.living_workers()["worker scripts/2"]
    daemon.does("scale", pool="scripts", replicas=1)
    eventually(lambda: terms(daemon, "scripts/2") == "1")
    assert daemon.members()["scripts/2"]["state"] == "stopping"
    daemon.does("scale", pool="scripts", replicas=1)
    daemon.does("scale", pool="scripts", replicas=3)
    eventually(lambda: "scripts/3" in pids(daemon))
    assert busy.alive and terms(daemon, "scripts/2") == "1"
    daemon.tell("scripts-2.does", "")
    os.kill(busy.pid, signal.SIGTERM)
    eventually(lambda: pids(daemon).get("scripts/2", busy.pid) != busy.pid)
    assert not any("backoff" in member["state"] for member in daemon.members().values())


def test_a_scale_that_cannot_be_had_changes_nothing_and_names_what_can(daemon: Daemon) -> None:
    daemon.start()
    for fields, words in (
        ({"pool": "nope", "replicas": 1}, "the pools are scripts"),
        ({"pool": "scripts", "replicas": 1025}, "0 to 1024"),
        ({"pool": "scripts", "replicas": -1}, "0 to 1024"),
    ):
        done = daemon.does("scale", **fields)
        assert not done["ok"] and done["code"] == "bad_request" and words in done["message"]
    assert len(daemon.living_workers()) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only a root daemon gives its jobs other uids")
def test_a_slot_whose_uid_is_somebodys_is_not_added(daemon: Daemon) -> None:
    # Two slots below `nobody`: the third one's jobs would be it.
    daemon.settings["slot_uid_base"] = "65532"
    daemon.start()
    done = daemon.does("scale", pool="scripts", replicas=3)
    assert not done["ok"] and "'nobody'" in done["message"] and "slot_uid_base" in done["message"]
    assert len(daemon.living_workers()) == 2


def test_a_restart_replaces_one_worker_after_the_other(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "busy")
    daemon.start()
    before = daemon.living_workers()
    assert daemon.does("restart")["data"] == {"workers": ["scripts/1", "scripts/2"]}
    eventually(lambda: terms(daemon, "scripts/1") == "1")
    eventually(lambda: terms(daemon, "scripts/2") == "0")  # it may have only just begun
    assert daemon.members()["scripts/2"]["renewal"] == "restart"
    daemon.tell("scripts-1.does", "")
    os.kill(before["worker scripts/1"].pid, signal.SIGTERM)
    eventually(lambda: not any(member["renewal"] for member in daemon.members().values()))
    assert not any(process.alive for process in before.values())
    assert [exited["worker"] for exited in daemon.heard("exited")] == ["scripts/1", "scripts/2"]


def test_a_successor_that_is_not_there_yet_keeps_the_others_in_their_place(daemon: Daemon) -> None:
    daemon.start()
    second = daemon.living_workers()["worker scripts/2"]
    daemon.tell("broker.mute")
    daemon.does("restart")
    eventually(lambda: daemon.heard("exited"))
    eventually(lambda: len(daemon.living_workers()) == 2)
    assert second.alive and terms(daemon, "scripts/2") == "0"
    (daemon.folder / "broker.mute").unlink()
    daemon.does("hold", on=False)
    eventually(lambda: not second.alive)


def test_a_restart_releases_a_parked_worker_at_once(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "die 9")
    daemon.start(ready=False, DUMMY_CONSTANTS="supervisor.core.fleet.WORKER_DELAY_CAP_S=0.01")
    eventually(lambda: daemon.heard("fleet") and daemon.members()["scripts/1"]["state"] == "parked")
    daemon.tell("scripts-1.does", "")
    daemon.does("restart", pool="scripts")
    eventually(lambda: set(pids(daemon)) == {"scripts/1", "scripts/2"})
    eventually(lambda: not any(member["renewal"] for member in daemon.members().values()))


def test_a_recycled_worker_is_replaced_at_once_and_is_no_death(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "die 4")
    daemon.start(ready=False)
    eventually(lambda: len([exited for exited in daemon.heard("exited") if exited["how"] == "recycled"]) > 7)
    assert daemon.members()["scripts/1"]["state"] != "parked"


def test_a_reload_adds_and_removes_pools_and_leaves_the_workers_of_others_alone(configured: Daemon) -> None:
    start_configured(configured)
    before = pids(configured)
    configure(configured, "[pools.scripts]\nreplicas = 3\n[pools.extra]\nreplicas = 1\n")
    done = configured.does("reload")
    assert done["ok"], done
    assert done["data"]["pools"] == {"added": ["extra"], "removed": [], "renewed": []}
    assert (
        done["data"]["replicas"] == [{"pool": "scripts", "before": 2, "replicas": 3}] and done["data"]["workers"] == []
    )
    eventually(lambda: set(pids(configured)) == {"extra/1", "scripts/1", "scripts/2", "scripts/3"})
    assert before.items() <= pids(configured).items()
    assert {**configured.heard("configure")[-1]["settings"]}["pools"]["scripts"]["replicas"] == 3
    configure(configured, "[pools.scripts]\nreplicas = 2\n")
    assert configured.does("reload")["data"]["pools"]["removed"] == ["extra"]
    eventually(lambda: set(pids(configured)) == {"scripts/1", "scripts/2"})


def test_a_reload_replaces_the_workers_of_a_changed_pool_one_by_one(configured: Daemon) -> None:
    start_configured(configured)
    before = configured.living_workers()
    configure(configured, "synchronous = 'normal'\n[pools.scripts]\nreplicas = 2\nartifacts = 7\n")
    done = configured.does("reload")
    assert done["data"]["changed"] == ["pools.scripts.artifacts"]
    assert done["data"]["needs_restart"] == ["synchronous"]
    eventually(lambda: len(configured.heard("exited")) == 2 and len(configured.living_workers()) == 2)
    assert not any(process.alive for process in before.values())


def test_wrong_settings_change_nothing_and_say_why_in_the_answer_and_in_health(configured: Daemon) -> None:
    start_configured(configured)
    before = pids(configured)
    configure(configured, "[pools.scripts]\nreplicas = 'many'\n")
    done = configured.does("reload")
    assert (done["ok"], done["code"]) == (False, "bad_settings")
    assert "config.toml" in done["message"] and "pools.scripts.replicas" in done["message"]
    assert done["message"].removeprefix("nothing has changed: ") in configured.heard("fleet")[-1]["notes"][0]
    configure(configured, "[pools.scripts]\nreplicas = 2\n")
    assert configured.does("reload")["ok"]
    assert configured.heard("fleet")[-1]["notes"] == []
    assert pids(configured) == before


def test_a_hangup_reloads(configured: Daemon) -> None:
    start_configured(configured)
    configure(configured, "[pools.scripts]\nreplicas = 1\n")
    configured.signal(signal.SIGHUP)
    eventually(lambda: set(pids(configured)) == {"scripts/1"})
    configure(configured, "no settings")
    configured.signal(signal.SIGHUP)
    eventually(lambda: configured.heard("fleet")[-1]["notes"])
    assert set(pids(configured)) == {"scripts/1"}


def test_settings_that_can_never_be_read_to_their_end_do_not_hold_the_arbiter_up(configured: Daemon) -> None:
    start_configured(configured, DUMMY_CONSTANTS="supervisor.arbiter.reading.READ_S=0.5")
    (configured.folder / "config.toml").unlink()
    os.mkfifo(configured.folder / "config.toml", 0o600)
    configured.ask(b'say {"say":"reload","request":900}\n')
    assert configured.does("scale", pool="scripts", replicas=3)["ok"]
    done = eventually(lambda: [one for one in configured.heard("done") if one["request"] == 900])[0]
    assert not done["ok"] and "took longer" in done["message"]
    eventually(lambda: not configured.zombies() and "reader" not in configured.children())


def test_settings_that_are_too_long_are_refused_at_once_and_for_that(configured: Daemon) -> None:
    start_configured(configured)
    modules = "".join(f'[pools.p{number}]\nreplicas = 0\nmodules = "/{"m" * 3000}"\n' for number in range(500))
    configure(configured, modules)
    done = configured.does("reload")
    assert not done["ok"] and "more than 1 MiB" in done["message"]
    assert len(configured.living_workers()) == 2


def test_a_hold_outlives_the_broker_that_asked_for_it(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.does("hold", on=True)["ok"]
    assert daemon.heard("fleet")[-1]["held"] is True
    first = daemon.children()["broker"]
    first.kill()
    eventually(lambda: daemon.children().get("broker", first).pid != first.pid)
    eventually(lambda: daemon.heard("fleet")[-1]["broker"] != first.pid)
    assert daemon.heard("fleet")[-1]["held"] is True


def test_nothing_is_begun_during_a_shutdown(daemon: Daemon) -> None:
    daemon.tell("scripts-1.does", "busy")
    daemon.start()
    daemon.signal(signal.SIGTERM)
    eventually(lambda: terms(daemon, "scripts/1") == "1")
    done = daemon.does("scale", pool="scripts", replicas=5)
    assert (done["ok"], done["code"]) == (False, "stopping")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
