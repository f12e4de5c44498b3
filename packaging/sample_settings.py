"""The annotated settings file and the list of variables, made from the keys and from the defaults of the settings' types.

A line that begins with `#` and a letter or bracket is a setting; without the `#` it holds. `# ` begins what is for people.
Its value is the default where that is one value everywhere, else the example below.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from supervisor.config.http import HTTP
from supervisor.config.keys import DAEMON, LIMIT, LOG, POOL, QUEUE, RETENTION, Key
from supervisor.config.pools import OF_HANDLERS, OF_SCRIPTS
from supervisor.config.settings import NO_MAXIMA, HttpSettings, LogSettings, Pool, Settings
from supervisor.core.limits import Limits
from supervisor.core.queues import QueueCaps
from supervisor.core.retention import Retention

WIDTH: Final = 110
EXAMPLES: Final[dict[str, object]] = {
    "state_dir": "/var/lib/worker-supervisor",
    "socket": "/run/worker-supervisor/control.sock",
    "socket_group": "daemon",
    "log.file": "/var/log/worker-supervisor/daemon.log",
    "http.listen": "127.0.0.1:8080",
    "http.socket": "/run/worker-supervisor/http.sock",
    "http.hosts": ["jobs.example.com"],
    "http.webhook_urls": ["https://hooks.example.com/"],
    "pools.scripts.replicas": 4,
    "pools.scripts.queues": ["default"],
    "pools.scripts.env_pass": ["HTTPS_PROXY"],
    "pools.scripts.node": "/usr/bin/node",
    "pools.scripts.python": "/usr/bin/python3",
    "pools.scripts.modules": "/srv/app/node_modules",
    "pools.words.handler": "handlers:Words",
    "pools.words.types": ["words"],
    "pools.words.queues": ["words"],
    "pools.words.replicas": 1,
    "pools.words.retries": 3,
    "pools.words.python_path": ["/srv/app"],
    "pools.words.user": "nobody",
}
"""What stands where there is no default, or none that can be written down."""
_PATHS: Final = "python_path"
_UNITS_S: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_UNITS_BYTES: Final = ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


class Table(NamedTuple):
    """One table of the settings file: its keys, where their defaults are, and what is said of it."""

    name: str
    keys: Mapping[str, Key]
    defaults: msgspec.Struct | type[msgspec.Struct]
    says: str
    is_optional: bool = False


def _without(keys: Mapping[str, Key], *names: str) -> dict[str, Key]:
    return {name: key for name, key in keys.items() if name not in names}


_HANDLER_KEYS: Final = ("handler", *OF_HANDLERS)
TABLES: Final = (
    Table("", DAEMON, Settings, "The daemon."),
    Table("log", LOG, LogSettings, "The daemon's log. What jobs print is kept in the state folder."),
    Table("http", HTTP, HttpSettings, "HTTP: off unless `listen` is set. Needs `pip install 'workerctl[http]'`."),
    Table("retention", RETENTION, Retention, "How long finished jobs are kept."),
    Table("pools.scripts", _without(POOL, *_HANDLER_KEYS), Pool, "The pool of scripts, which is always there."),
    Table("pools.scripts.limits", LIMIT, Limits, "What a job of it gets that does not say."),
    Table("pools.scripts.max", LIMIT, NO_MAXIMA, "The most that a job of it may ask for."),
    Table("queues.default", QUEUE, QueueCaps, 'Caps of a queue; a table [queues."*"] is for all without their own.'),
    Table(
        "pools.words",
        {name: POOL[name] for name in ("handler", "types", "queues", "replicas", "retries", *OF_HANDLERS)},
        Pool,
        "A pool for a Python class of yours. All keys of [pools.scripts] that are not about sandboxes go with it, too.",
        is_optional=True,
    ),
)
_UNTRUSTED: Final = """\
# A pool for scripts that nobody has read: submit them with `--queue untrusted`. Give [pools.scripts] a list of
# `queues` without this one. Its limits and its maxima are the same: a job may ask for less, not for more.
#[pools.untrusted]
#replicas = 1
#types = ["node", "python"]
#queues = ["untrusted"]
#isolation_minimum = "namespace"
#network = "never"
#on_loss = "fail"
#[pools.untrusted.limits]
#wall = "10s"
#memory = "128M"
#processes = 64
#disk = "16M"
#output = "1M"
#[pools.untrusted.max]
#wall = "10s"
#cpu = "10s"
#memory = "128M"
#processes = 64
#open_files = 1024
#file_size = "16M"
#disk = "16M"
#output = "1M"
"""
_LISTS: Final = """\
# Told of every job that ends so; as many tables as there are addresses. Without `secret`, `workerctl token --role
# webhook` prints what signs it.
#[[webhooks]]
#url = "https://hooks.example.com/jobs"
#on = ["failed"]

# A rule of the code check, added or (same runtime and rule) replaced; an empty pattern switches one off.
#[[checks]]
#runtime = "node"
#rule = "eval"
#pattern = ""
"""


def settings_file() -> str:
    """The text of config.toml."""
    lines = [
        "# Every setting of worker-supervisor. Copy it to /etc/worker-supervisor/config.toml (a daemon of root; owned by",
        "# root, writable by nobody else) or ~/.config/worker-supervisor/config.toml, and take the # away where a line",
        "# begins with # and no space. `workerctl check-config --config FILE` checks it, `workerctl reload` applies it.",
        "#",
        "# Durations: 90 (seconds), 250ms, 1h30m. Sizes: 1048576 (bytes), 512M, 2G. A variable wins over the file, a flag",
        "# over both. In the name of a variable a pool or queue is in capitals, with _ for -.",
        "#",
        "# Made by packaging/generate.py from the keys that the daemon knows.",
    ]
    for table in TABLES:
        lines += ["", *_prose(f"---- {table.says}")]
        if table.name:
            lines.append(f"{'#' if table.is_optional else ''}[{table.name}]")
        for key in table.keys.values():
            lines += ["", *_prose(key.description), *_prose(_facts(table, key))]
            lines.append(f"#{key.name} = {_toml(value_of(table, key))}")
    return "\n".join(lines) + "\n\n" + _UNTRUSTED + "\n" + _LISTS


def environment_file() -> str:
    """The text of .env.example."""
    lines = [
        "# Every variable of worker-supervisor: for `docker run --env-file`, compose, and a unit's EnvironmentFile=. Take the",
        "# # away where a line begins with #WORKER. Values are not quoted. A variable wins over the settings file.",
        "#",
        "# Made by packaging/generate.py from the keys that the daemon knows.",
        "",
        "# The settings file. One that is named must exist.",
        "#WORKER_CONFIG=/etc/worker-supervisor/config.toml",
        "",
        *_prose("How many workers the pool scripts has; short for WORKER_POOLS__SCRIPTS__REPLICAS."),
        "#WORKER_WORKERS=4",
    ]
    for table in TABLES:
        lines += ["", *_prose(f"---- {table.says}")]
        if table.is_optional:
            lines += _prose(f"These count only where the settings file has a table [{table.name}].")
        for key in table.keys.values():
            lines += ["", *_prose(key.description), *_prose(_facts(table, key))]
            lines.append(f"#{variable(table, key)}={_plain(value_of(table, key), key)}")
    return "\n".join(lines) + "\n"


def variable(table: Table, key: Key) -> str:
    """The environment variable of a key."""
    return "WORKER_" + "__".join([*(table.name.split(".") if table.name else ()), key.name]).upper()


def value_of(table: Table, key: Key) -> object:
    """What the sample says: the default of the settings' type in the words of people, or the example."""
    path = f"{table.name}.{key.name}".lstrip(".")
    if path in EXAMPLES:
        return EXAMPLES[path]
    value = _default(table.defaults, key.field)
    if value is None and key.kind.name.endswith("none"):
        return "none"
    if value is None or value == ():
        raise LookupError(f"{path} has no default that can be written down: give it an example in EXAMPLES")
    if key.kind.name.startswith("duration"):
        return _in_units(value, _UNITS_S) or f"{round(value * 1000)}ms"
    if key.kind.name.startswith("size"):
        return _in_units(value, _UNITS_BYTES) or value
    return list(value) if isinstance(value, tuple) else int(value) if isinstance(value, float) else value


def _default(defaults: msgspec.Struct | type[msgspec.Struct], field: str) -> Any:
    if isinstance(defaults, msgspec.Struct):
        return getattr(defaults, field)
    found = next(one for one in msgspec.structs.fields(defaults) if one.name == field)
    if found.default_factory is not msgspec.NODEFAULT:
        return found.default_factory()
    return None if found.default is msgspec.NODEFAULT else found.default


def _in_units(value: float, units: tuple[tuple[int, str], ...]) -> str | None:
    for size, unit in units:
        if value >= size and value % size == 0:
            return f"{int(value // size)}{unit}"
    return None


def _facts(table: Table, key: Key) -> str:
    legal = key.kind.name if key.kind.name.startswith(("duration", "size")) else key.kind.legal
    default = "none" if table.defaults is NO_MAXIMA else key.default
    return f"({legal.replace(' | ', ' or ')}; default: {default})"


def _prose(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _plain(value: object, key: Key) -> str:
    return (":" if key.name == _PATHS else ",").join(map(str, value)) if isinstance(value, list) else str(value)


def unused() -> list[str]:
    """The examples and keys of scripts that no table has any more."""
    known = {f"{table.name}.{name}".lstrip(".") for table in TABLES for name in table.keys}
    return [path for path in EXAMPLES if path not in known] + [name for name in OF_SCRIPTS if name not in POOL]
