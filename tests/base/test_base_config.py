"""Settings: which source wins, what is computed, and how every mistake is answered."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

import msgspec
import pytest

import supervisor
from supervisor.config import Flags, HttpSettings, LogSettings, Pool, Settings, describe_settings, load
from supervisor.config import resolve as resolve_module
from supervisor.config.http import HTTP
from supervisor.config.keys import DAEMON, LIMIT, LOG, POOL, QUEUE, RETENTION
from supervisor.config.pools import OF_HANDLERS, OF_SCRIPTS
from supervisor.core.errors import SettingsError
from supervisor.core.limits import MIB, Limits
from supervisor.core.names import RUNTIMES
from supervisor.core.queues import NO_CAPS, QueueCaps, caps_of
from supervisor.core.retention import Retention
from supervisor.core.retry import RETRYABLE

HOME = {"HOME": "/home/somebody"}


def given(tmp_path: Path, toml: str = "", env: dict[str, str] | None = None, **flags: object) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(toml)
    path.chmod(0o600)
    return load(Flags(config=str(path), **flags), {**HOME, **(env or {})})


def refused(tmp_path: Path, toml: str = "", env: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        given(tmp_path, toml, env, **flags)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_without_any_source_everything_has_its_documented_default(tmp_path: Path) -> None:
    settings = given(tmp_path)
    assert settings.log == LogSettings("info", "auto", None)
    assert (settings.kill_grace_s, settings.shutdown_timeout_s) == (3.0, 30.0)
    assert (settings.max_source_bytes, settings.slot_uid_base) == (256 * MIB, 2_000_000)
    assert settings.socket_group is None
    assert list(settings.pools) == ["scripts"]
    pool = settings.pools["scripts"]
    assert pool.replicas == max(2, len(os.sched_getaffinity(0)))
    assert pool.types == tuple(RUNTIMES) and pool.queues == ()
    assert (pool.isolation, pool.network, pool.work, pool.on_loss) == ("auto", "asked", "tmpfs", "requeue")
    assert pool.retry_on == RETRYABLE
    assert (pool.retries, pool.env_pass, pool.node, pool.python, pool.modules) == (0, (), None, None, None)
    assert set(msgspec.structs.asdict(pool.maxima).values()) == {None}
    assert pool.limits.wall_s == pool.limits.cpu_s == 600.0


def test_flags_win_over_the_environment_that_wins_over_the_file(tmp_path: Path) -> None:
    toml = 'kill_grace = 1\n[log]\nlevel = "error"\n[pools.scripts]\nreplicas = 5'
    env = {"WORKER_KILL_GRACE": "2s", "WORKER_LOG__LEVEL": "debug", "WORKER_POOLS__SCRIPTS__REPLICAS": "6"}
    assert given(tmp_path, toml).kill_grace_s == 1
    assert given(tmp_path, toml, env).kill_grace_s == 2
    assert given(tmp_path, toml, env, sets=("kill_grace=3500ms",)).kill_grace_s == 3.5
    assert given(tmp_path, toml, env).log.level == "debug"
    assert given(tmp_path, toml, env, log_level="warning").log.level == "warning"
    assert given(tmp_path, toml).pools["scripts"].replicas == 5
    assert given(tmp_path, toml, env).pools["scripts"].replicas == 6
    assert given(tmp_path, toml, env, workers="7").pools["scripts"].replicas == 7
    assert given(tmp_path, toml, {"WORKER_WORKERS": "8"}).pools["scripts"].replicas == 8


def test_a_named_flag_wins_over_set(tmp_path: Path) -> None:
    assert given(tmp_path, log_level="error", sets=("log.level=debug",)).log.level == "error"


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert given(tmp_path, "kill_grace = 1", {"WORKER_KILL_GRACE": ""}).kill_grace_s == 1


def test_variables_that_are_known_but_no_settings_are_left_alone(tmp_path: Path) -> None:
    env = {"WORKER_SUPERVISOR_MARK": "x", "WORKER_CAMPAIGN_KILLS": "9", "WORKER_CONFIG": "/elsewhere", "WORKERS": "2"}
    assert given(tmp_path, "", env)


def test_the_config_variable_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("kill_grace = 9")
    path.chmod(0o600)
    assert load(Flags(), {**HOME, "WORKER_CONFIG": str(path)}).kill_grace_s == 9


def test_a_pool_table_changes_only_the_keys_it_names(tmp_path: Path) -> None:
    settings = given(
        tmp_path,
        """
        [pools.scripts]
        network = "never"
        [pools.scripts.limits]
        wall = "1h"
        output = "none"
        [pools.untrusted]
        queues = ["web", "mail"]
        types = ["node"]
        [pools.empty]
        """,
    )
    scripts, untrusted, empty = (settings.pools[name] for name in ("scripts", "untrusted", "empty"))
    assert scripts.network == "never" and scripts.replicas >= 2
    assert scripts.limits.wall_s == scripts.limits.cpu_s == 3600, "CPU follows wall"
    assert scripts.limits.output_bytes is None and scripts.limits.processes == 256
    assert untrusted.replicas == empty.replicas == 1
    assert untrusted.queues == ("web", "mail") and untrusted.types == ("node",)


def test_defaults_above_a_maximum_are_lowered_to_it(tmp_path: Path) -> None:
    toml = (
        '[pools.scripts.limits]\nopen_files = "none"\n[pools.scripts.max]\nwall = 60\nmemory = "100M"\nopen_files = 99'
    )
    pool = given(tmp_path, toml).pools["scripts"]
    lowered = msgspec.structs.replace(Limits(), wall_s=60.0, cpu_s=60.0, memory_bytes=100 * MIB, open_files=99)
    assert pool.limits == lowered, "CPU follows wall"
    assert (pool.maxima.wall_s, pool.maxima.memory_bytes, pool.maxima.cpu_s) == (60.0, 100 * MIB, None)


@pytest.mark.parametrize(
    ("ram_mib", "workers", "memory_mib"), [(64_000, 4, 512), (2_000, 2, 512), (1_000, 2, 400), (100, 10, 64)]
)
def test_all_workers_together_take_at_most_80_percent_of_the_memory_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ram_mib: int, workers: int, memory_mib: int
) -> None:
    pages = {"SC_PHYS_PAGES": ram_mib, "SC_PAGE_SIZE": MIB}
    monkeypatch.setattr(resolve_module.os, "sysconf", pages.__getitem__)
    pool = given(tmp_path, workers=str(workers)).pools["scripts"]
    assert pool.limits.memory_bytes == memory_mib * MIB
    explicit = given(tmp_path, workers=str(workers), sets=("pools.scripts.limits.memory=2G",)).pools["scripts"]
    assert explicit.limits.memory_bytes == 2048 * MIB


def test_variables_reach_pools_with_a_dash_and_lists_are_split_at_commas(tmp_path: Path) -> None:
    env = {
        "WORKER_POOLS__MY_POOL__QUEUES": "a, b",
        "WORKER_POOLS__MY_POOL__LIMITS__MEMORY": "1G",
        "WORKER_POOLS__MY_POOL__MAX__WALL": "2h",
    }
    pool = given(tmp_path, "[pools.my-pool]", env).pools["my-pool"]
    assert pool.queues == ("a", "b")
    assert pool.limits.memory_bytes == 1024 * MIB and pool.maxima.wall_s == 7200


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("kil_grace = 3", ["config.toml", "'kil_grace'", "did you mean 'kill_grace'?", "shutdown_timeout"]),
        ("kill_grace = 'soon'", ["kill_grace = 'soon'", "ms, s, m, h, d"]),
        ("kill_grace = true", ["kill_grace = True", "a duration such as"]),
        ("kill_grace = -1", ["kill_grace = -1", "a duration"]),
        ("kill_grace = nan", ["kill_grace = nan", "a duration"]),
        ("kill_grace = inf", ["kill_grace = inf", "a duration"]),
        ("kill_grace = [1]", ["kill_grace = [1]", "a duration"]),
        ("[kill_grace]\nx = 1", ["kill_grace = {'x': 1}", "a duration"]),
        ("max_source = '1X'", ["max_source = '1X'", "K, M or G"]),
        ("max_source = 1.5", ["max_source = 1.5", "a size"]),
        ("slot_uid_base = 0", ["slot_uid_base = 0", "a whole number from 1000"]),
        ("log = 'debug'", ["log is a table", "[log]"]),
        ("[log]\nlevel = 'loud'", ["log.level = 'loud'", "one of debug, info, warning, error"]),
        ("[log]\nlvel = 'info'", ["'log.lvel'", "did you mean 'level'?"]),
        ("[logs]\nlevel = 'info'", ["'logs'", "did you mean 'log'?"]),
        ("pools = 3", ["pools is a table"]),
        ("[pools]\nscripts = 3", ["pools.scripts is a table"]),
        ("[pools.Scripts]", ["'Scripts' is no name for a pool"]),
        ("[pools.a__b]", ["'a__b' is no name for a pool"]),
        ("[pools.scripts]\nreplicas = 0.5", ["pools.scripts.replicas = 0.5", "a whole number from 0 to 1024"]),
        ("[pools.scripts]\nreplicas = true", ["pools.scripts.replicas = True"]),
        ("[pools.scripts]\nreplicas = 1025", ["0 to 1024"]),
        ("[pools.a]\nreplicas = 1000\n[pools.b]\nreplicas = 1000", ["more than 1024"]),
        ("[pools.scripts]\ntypes = ['ruby']", [f"job types out of {', '.join(RUNTIMES)}"]),
        ("[pools.h]\nhandler = 'a'", ['a class as "package.module:Class"']),
        ("[pools.h]\nhandler = 'a:B'\ntypes = ['node']", ["pool h: node is a type of scripts"]),
        ("[pools.h]\nhandler = 'a:B'\nisolation = 'namespace'", ["pools.h.isolation is for scripts", "unsandboxed"]),
        ("[pools.h]\nhandler = 'a:B'\nuser = 'no-such-user'", ["there is no user 'no-such-user'"]),
        ("[pools.h]\nmode = 'fresh'", ["pools.h.mode goes with a handler"]),
        (
            "[pools.h]\nlease_batch = 10",
            ["pools.h.lease_batch is for tiny jobs of a handler", "pool h is for scripts", "take it out"],
        ),
        ("[pools.h]\nhandler = 'a:B'\nlease_batch = 101", ["a whole number from 1 to 100"]),
        ("[pools.h]\nhandler = 'a:B'\nmode = 'warm'", ["one of resident, fresh"]),
        ("[pools.h]\nmax_jobs = 0", ["a whole number from 1 to"]),
        ("[pools.scripts]\nretry_on = ['cancelled']", ["reasons out of exit,", "spawn_error"]),
        ("[pools.scripts]\nretry_on = ['ok']", ["reasons out of exit,", "spawn_error"]),
        ("[pools.scripts]\nretry_on = ['worker_lost']", ["reasons out of exit,", "spawn_error"]),
        ("[pools.scripts]\nqueues = ['a b']", ["queue names"]),
        ("[pools.scripts]\nisolation = 'total'", ["one of auto, namespace, landlock, plain"]),
        ("[pools.scripts]\nnode = 'node'", ["an absolute path"]),
        ("[pools.scripts]\nlimits = 3", ["pools.scripts.limits is a table"]),
        ("[pools.scripts.limits]\nmem = '1G'", ["'pools.scripts.limits.mem'", "'memory'"]),
        ("[pools.scripts.limits]\nmemory = '1M'", ["pool scripts", "limits.memory_bytes", "is below"]),
        ("[pools.scripts.limits]\nprocesses = 'many'", ["or none for no limit"]),
        ("[pools.scripts.limits.deep]\nx = 1", ["'pools.scripts.limits.deep'"]),
        ("socket = '/tmp/" + "x" * 120 + "'", ["125 bytes", "at most 107"]),
        ("socket = ''", ["socket = ''", "a path"]),
        ("x = ", ["not a TOML file"]),
        ("kill_grace = 1\nkill_grace = 2", ["not a TOML file"]),
    ],
)
def test_a_mistake_in_the_file_is_answered_with_the_file_the_key_and_what_is_legal(
    tmp_path: Path, toml: str, words: list[str]
) -> None:
    sentence = refused(tmp_path, toml)
    for word in words:
        assert word in sentence


def test_a_file_that_is_no_text_or_not_there_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "binary.toml").chmod(0o600)
    for name in ("binary.toml", "missing.toml", "."):
        with pytest.raises(SettingsError, match=re.escape(str(tmp_path / name).removesuffix("/."))):
            load(Flags(config=str(tmp_path / name)), HOME)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"WORKER_KILL_GRASE": "3"}, ["WORKER_KILL_GRASE", "the nearest is WORKER_KILL_GRACE"]),
        ({"WORKER_LOG_LEVEL": "info"}, ["WORKER_LOG_LEVEL", "the nearest is WORKER_LOG__LEVEL"]),
        ({"WORKER_STATEDIR": "/x"}, ["the nearest is WORKER_STATE_DIR"]),
        ({"WORKER_POOLS__SCRIPTS__REPLICA": "3"}, ["the nearest is WORKER_POOLS__SCRIPTS__REPLICAS"]),
        ({"WORKER_POOLS__SCRPTS__REPLICAS": "3"}, ["there is no pool 'scrpts'", "the pools are scripts"]),
        ({"WORKER_POOLS__SCRIPTS": "3"}, ["WORKER_POOLS__SCRIPTS"]),
        ({"WORKER_": "3"}, ["WORKER_: there is no such variable"]),
        ({"WORKER_WORKERS": "two"}, ["WORKER_WORKERS", "a whole number"]),
        ({"WORKER_KILL_GRACE": "soon"}, ["WORKER_KILL_GRACE: kill_grace = 'soon'"]),
    ],
)
def test_a_mistake_in_a_variable_is_answered_with_the_variable(
    tmp_path: Path, env: dict[str, str], words: list[str]
) -> None:
    sentence = refused(tmp_path, "", env)
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"workers": "-1"}, ["--workers", "a whole number"]),
        ({"log_format": "xml"}, ["--log-format", "one of auto, text, json"]),
        ({"sets": ("kill_grace",)}, ["--set kill_grace", "key=value"]),
        ({"sets": ("kill.grace=3",)}, ["there is no table 'kill'"]),
        ({"sets": ("pools=3",)}, ["there is no key 'pools'"]),
        ({"sets": ("pools.other.replicas=3",)}, ["there is no pool 'other'", "[pools.other]"]),
        ({"sets": ("pools.scripts=3",)}, ["pools holds tables"]),
        ({"sets": ("=3",)}, ["there is no key ''"]),
    ],
)
def test_a_mistake_in_a_flag_is_answered_with_the_flag(
    tmp_path: Path, flags: dict[str, object], words: list[str]
) -> None:
    sentence = refused(tmp_path, **flags)
    for word in words:
        assert word in sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only a daemon of root is strict about its settings file")
def test_root_reads_only_a_file_that_nobody_else_can_write(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    path.chmod(0o620)
    with pytest.raises(SettingsError, match="mode 620"):
        load(Flags(config=str(path)), HOME)
    path.chmod(0o600)
    os.chown(path, 12345, -1)
    with pytest.raises(SettingsError, match="uid 12345"):
        load(Flags(config=str(path)), HOME)


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = given(tmp_path, state_dir="state", socket="./s/../c.sock", log_file="log")
    assert settings.state_dir == f"{tmp_path}/state"
    assert settings.socket == f"{tmp_path}/c.sock"
    assert settings.log.file == f"{tmp_path}/log"


def test_every_key_is_described_and_every_described_key_can_be_set(tmp_path: Path) -> None:
    rows = describe_settings()
    assert len({key for key, *_ in rows}) == len(rows)
    for key, kind, default, description in rows:
        assert kind and default and description.endswith(".")
        example = {
            "duration": "90s",
            "size": "64M",
            "number": "1",
            "list": "node",
            "path": "/x",
            "text": "y",
            "address": "127.0.0.1:0",
        }
        value = example.get(kind.removesuffix(" | none"), kind.split(" | ")[0])
        has_floor = key.startswith(("slot_uid_base", "pools.NAME.limits.", "pools.NAME.max."))
        value = "2000" if value == "1" and has_floor else value
        value = "timeout" if key.endswith("retry_on") else value
        value = {"http.webhook_urls": "http://127.0.0.1/", "http.heartbeat": "20s"}.get(key, value)
        value = {"pools.NAME.handler": "a.b:C", "pools.NAME.user": pwd.getpwuid(os.geteuid()).pw_name}.get(key, value)
        file = (
            "[pools.scripts]\nhandler = 'a:B'"
            if key.endswith((".python_path", ".mode", ".user", ".lease_batch"))
            else "[http]\nlisten = '127.0.0.1:0'"
            if key == "http.webhook_urls"
            else ""
        )
        setting = key.replace("NAME", "scripts")
        assert given(tmp_path, file, sets=(f"{setting}={value}",)), key
        assert given(tmp_path, file, {"WORKER_" + setting.replace(".", "__").upper(): value}), key


def test_the_resolved_structs_have_no_field_without_a_key(tmp_path: Path) -> None:
    settings = given(tmp_path)
    described = {key.rsplit(".", 1)[-1] for key, *_ in describe_settings()}
    for field in (
        *settings.__struct_fields__,
        *settings.log.__struct_fields__,
        *settings.pools["scripts"].__struct_fields__,
        *settings.retention.__struct_fields__,
        *settings.http.__struct_fields__,
        *NO_CAPS.__struct_fields__,
    ):
        plain = field.removesuffix("_s").removesuffix("_bytes")
        assert {field, plain} & (
            described
            | {"log", "http", "webhooks", "pools", "queues", "retention", "checks", "name", "limits", "maxima"}
        ), field


def test_a_default_that_the_documentation_prints_is_the_one_in_force(tmp_path: Path) -> None:
    settings = given(tmp_path)
    scripts = settings.pools["scripts"]
    tables = [
        ("", DAEMON, settings),
        ("log.", LOG, settings.log),
        ("http.", HTTP, settings.http),
        ("retention.", RETENTION, settings.retention),
        ("queues.NAME.", QUEUE, caps_of(settings.queues, "any")),
        ("pools.NAME.", POOL, scripts),
        ("pools.NAME.limits.", LIMIT, scripts.limits),
    ]
    in_words = set()
    for place, keys, resolved in tables:
        for key in keys.values():
            value = getattr(resolved, key.field)
            if key.default.startswith(("unset", "none")):
                assert value in (None, ()), place + key.name
                continue
            try:
                said = key.kind.read(key.default)
            except ValueError:
                said = None
            if said != value:
                in_words.add(place + key.name)
    assert in_words == DEFAULTS_IN_WORDS


DEFAULTS_IN_WORDS = {
    "state_dir", "socket", "http.socket", "pools.NAME.replicas", "pools.NAME.types", "pools.NAME.queues", "pools.NAME.user",
    "pools.NAME.retries", "pools.NAME.limits.cpu", "pools.NAME.limits.memory",
}  # fmt: skip
"""Those that are no value: they depend on the machine, the user or another key."""


def test_a_setting_does_something() -> None:
    """Each is read somewhere outside of what reads settings; those of interpreters by the name of the runtime."""
    folder = Path(supervisor.__file__).parent
    code = "\n".join(path.read_text() for path in folder.rglob("*.py") if path.parent.name != "config")
    shapes = (Settings, LogSettings, HttpSettings, Pool, QueueCaps, Retention)
    fields = [field for shape in shapes for field in shape.__struct_fields__ if field not in RUNTIMES]
    assert [field for field in fields if not re.search(rf"\.{field}\b", code)] == []


def test_every_key_of_a_pool_goes_with_scripts_with_a_handler_or_with_both() -> None:
    """`supervisor/config/pools.py` refuses a key beside what it would do nothing for."""
    both = (
        "replicas", "types", "queues", "handler", "python", "retries", "retry_on", "on_loss", "max_jobs", "max_rss", "max_age",
    )  # fmt: skip
    assert sorted([*both, *OF_SCRIPTS, *OF_HANDLERS]) == sorted(POOL)


def test_what_is_kept_can_be_set_and_has_its_documented_default(tmp_path: Path) -> None:
    assert given(tmp_path).retention == Retention(7 * 86400.0, 30 * 86400.0, 30 * 86400.0, outputs_bytes=5 << 30)
    toml = '[retention]\ncompleted = "1d"\nfailed = "none"\nmax_cancelled = 7\noutputs = "1G"\nevents = "none"'
    kept = given(tmp_path, toml, {"WORKER_RETENTION__MAX_FAILED": "3"}).retention
    assert (kept.completed_s, kept.failed_s, kept.cancelled_s) == (86400.0, None, 30 * 86400.0)
    assert (kept.max_completed, kept.max_failed, kept.max_cancelled) == (None, 3, 7)
    assert (kept.outputs_bytes, kept.events_s) == (1 << 30, None)


QUEUES = """
[queues."*"]
max_queued = 1000
[queues.slow]
max_running = 1
[queues."a.b-C"]
max_queued = "none"
"""


def test_a_queue_has_the_caps_of_its_table_and_else_those_of_all_queues(tmp_path: Path) -> None:
    queues = given(tmp_path, QUEUES).queues
    assert caps_of(queues, "slow") == QueueCaps(1000, 1)
    assert caps_of(queues, "a.b-C") == QueueCaps(None, None)
    assert caps_of(queues, "any") == QueueCaps(1000, None)
    assert caps_of(given(tmp_path).queues, "any") == QueueCaps(None, None)


def test_a_queues_caps_can_be_set_from_anywhere(tmp_path: Path) -> None:
    env = {"WORKER_QUEUES__A_B_C__MAX_RUNNING": "2", "WORKER_QUEUES__NEW__MAX_QUEUED": "3"}
    queues = given(tmp_path, QUEUES, env, sets=("queues.a.b-C.max_queued=4", 'queues."*".max_running=9')).queues
    assert queues["a.b-C"] == QueueCaps(4, 2)
    assert queues["new"] == QueueCaps(3, 9)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[queues]\nslow = 3", "[queues.slow]"),
        ("queues = 3", "[queues]"),
        ("[queues.-a]\nmax_queued = 3", "no name for a queue"),
        ("[queues.a]\nmax_run = 3", "did you mean 'max_running'"),
        ("[queues.a]\nmax_running = -1", "whole number"),
        ('[retention]\ncompleted = "soon"', "not a duration"),
        ("[retention]\nmax = 3", "legal here: completed, failed"),
    ],
)
def test_mistakes_about_queues_and_retention_are_named(tmp_path: Path, toml: str, words: str) -> None:
    assert words in refused(tmp_path, toml)


WEBHOOKS = """
[http]
listen = "127.0.0.1:8080"
webhook_urls = ["https://hooks.example.com/jobs"]
[[webhooks]]
url = "https://hooks.example.com/all"
[[webhooks]]
url = "https://hooks.example.com/failed"
secret = "whsec_c2VjcmV0c2VjcmV0"
on = ["failed"]
"""


def test_webhooks_are_tables_of_the_file(tmp_path: Path) -> None:
    every, failed = given(tmp_path, WEBHOOKS).webhooks
    assert (every.secret, sorted(every.on)) == (None, ["cancelled", "completed", "failed"])
    assert (failed.secret, failed.on) == ("whsec_c2VjcmV0c2VjcmV0", ("failed",))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ('[http]\nlisten = "8080"', "HOST:PORT"),
        ('[http]\nlisten = "box.example:80"', "HOST:PORT"),
        ("[http]\nlisten = 8080", "HOST:PORT"),
        ("[http]\nrate = 0", "whole number from 1"),
        ('[http]\nhosts = ["Box:80"]', "in lower case"),
        ('[http]\nwebhook_urls = ["hooks.example.com"]', "must begin with http"),
        ('[http]\nlisten_on = "127.0.0.1:1"', "did you mean 'listen'"),
        ('[[webhooks]]\nurl = "file:///x"', "must begin with http"),
        ("[[webhooks]]\n", "url is missing"),
        ('[[webhooks]]\nurl = "http://a/"\non = ["running"]', "must be a list of cancelled, completed, failed"),
        ('[[webhooks]]\nurl = "http://a/"\nsecret = "short"', "16 characters"),
        ('[[webhooks]]\nurl = "http://a/"\nsecrets = "x"', "no key 'secrets'"),
        ('[[webhooks]]\nurl = "http://a/"\nsecret = "whsec_secret-secret"', "must be base64"),
        ('[[webhooks]]\nurl = "http://a/"', "\\[\\[webhooks\\]\\] is set, but .* set http.listen"),
        ('[http]\nwebhook_urls = ["http://a/"]', "http.webhook_urls is set, but .* set http.listen"),
        ('[http]\nheartbeat = "0s"', "from 100ms to 30s"),
        ('[http]\nheartbeat = "1m"', "from 100ms to 30s"),
        ("webhooks = 3", "write \\[\\[webhooks\\]\\]"),
    ],
)
def test_a_wrong_setting_of_http_is_named_with_what_is_legal(tmp_path: Path, file: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        given(tmp_path, file)
