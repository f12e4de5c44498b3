"""The keys of `[http]`, and the `[[webhooks]]` tables: where HTTP is served, to whom, and who is told of ended jobs."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from typing import Final

from supervisor.config.keys import Key
from supervisor.config.kinds import DURATION, PATH, SIZE, Kind, count, names, or_none
from supervisor.config.settings import HttpSettings, Webhook
from supervisor.core.errors import SettingsError
from supervisor.core.names import FINAL_STATES
from supervisor.core.webhooks import fault_of

_PORTS: Final = 65535
_FIELDS: Final = ("url", "secret", "on")
_SHORTEST_SECRET: Final = 16
_LONGEST: Final = 2048
_ENCODED: Final = "whsec_"
_LEAST_HEARTBEAT_S: Final = 0.1
_MOST_HEARTBEAT_S: Final = 30.0
"""The dashboard takes a stream that says nothing for a minute for lost."""


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`: an address (an IPv6 one in brackets) or localhost; raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or re.fullmatch(r"\d{1,5}", port, re.ASCII) is None or int(port) > _PORTS:
        raise ValueError
    if host == "localhost":
        return "127.0.0.1", int(port)
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    return str(ipaddress.IPv4Address(host)), int(port)


def _read_address(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004
    try:
        split_address(value)
    except ValueError:
        # What the library says does not tell what is legal.
        raise ValueError from None
    return value


def _read_urls(value: object) -> object:
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list) or not all(isinstance(url, str) for url in value):
        raise ValueError
    for url in value:
        if (fault := fault_of(url)) is not None:
            raise ValueError(f"{url!r} is no address: {fault}")
    return tuple(value)


def _read_heartbeat(value: object) -> object:
    seconds = DURATION.read(value)
    if not isinstance(seconds, float) or not _LEAST_HEARTBEAT_S <= seconds <= _MOST_HEARTBEAT_S:
        raise ValueError
    return seconds


HEARTBEAT: Final = Kind("duration", "a duration from 100ms to 30s", _read_heartbeat)
ADDRESS: Final = Kind(
    "address",
    'HOST:PORT, such as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"; HOST is no other name',
    _read_address,
)
URLS: Final = Kind("list", "a list of addresses that begin with http:// or https://", _read_urls)

HTTP: Final = {
    key.name: key
    for key in (
        Key(
            "listen",
            "listen",
            ADDRESS,
            "unset",
            "Where HTTP is served, such as 127.0.0.1:8080; port 0 is any free one. Unset: nowhere. "
            "Needs `pip install 'workerctl[http]'`.",
        ),
        Key(
            "socket",
            "socket",
            PATH,
            "http.sock beside the control socket",
            "The Unix socket on which it is served, too.",
        ),
        Key(
            "hosts",
            "hosts",
            names(r"[a-z0-9]([a-z0-9.-]{0,252}[a-z0-9])?", "names of hosts in lower case, without a port"),
            "none",
            "Names under which it may be asked besides addresses and localhost, such as that of a proxy in front.",
        ),
        Key("max_body", "max_body_bytes", SIZE, "16M", "The largest request; workerctl can submit larger scripts."),
        Key(
            "rate",
            "rate",
            or_none(count(1, 1_000_000)),
            "100",
            "How many requests an address may make in a second; twice as many may come at once.",
        ),
        Key(
            "heartbeat",
            "heartbeat_s",
            HEARTBEAT,
            "15s",
            "A stream of events that has nothing to say says so after so long: from 100ms to 30s.",
        ),
        Key(
            "webhook_urls",
            "webhook_urls",
            URLS,
            "none",
            "Below which addresses a job may have its own webhook (--webhook). None: no job may.",
        ),
    )
}


def read_webhooks(value: object, source: str) -> tuple[Webhook, ...]:
    """The `[[webhooks]]` tables; raises SettingsError naming the table and what is legal."""
    if not isinstance(value, list) or not all(isinstance(table, Mapping) for table in value):
        raise SettingsError(f"{source}: webhooks is a list of tables: write [[webhooks]] and its keys below, once each")
    return tuple(_read(table, f"{source}: webhooks, table {number}") for number, table in enumerate(value, 1))


def check_webhooks(http: HttpSettings, webhooks: tuple[Webhook, ...]) -> None:
    """Raises SettingsError where webhooks are wanted and there is nobody to send them."""
    if http.listen is None and (webhooks or http.webhook_urls):
        wanted = "[[webhooks]]" if webhooks else "http.webhook_urls"
        raise SettingsError(
            f'{wanted} is set, but webhooks are sent by the gateway: set http.listen = "127.0.0.1:8080"'
        )


def _read(table: Mapping[str, object], where: str) -> Webhook:
    unknown = [name for name in table if name not in _FIELDS]
    if unknown:
        raise SettingsError(f"{where}: there is no key {unknown[0]!r}; legal here: {', '.join(_FIELDS)}")
    url = table.get("url")
    if not isinstance(url, str) or len(url) > _LONGEST:
        raise SettingsError(f"{where}: url is missing, or no text: it is where the webhook goes")
    if (fault := fault_of(url)) is not None:
        raise SettingsError(f"{where}: url = {url!r}: {fault}")
    secret = table.get("secret")
    if secret is not None and not (
        isinstance(secret, str) and secret.isprintable() and _SHORTEST_SECRET <= len(secret) <= _LONGEST
    ):
        raise SettingsError(f"{where}: secret must be text of {_SHORTEST_SECRET} characters at least")
    if secret is not None and secret.startswith(_ENCODED) and not _is_base64(secret.removeprefix(_ENCODED)):
        raise SettingsError(
            f"{where}: what follows {_ENCODED} in secret must be base64: no receiver would find the key"
        )
    states = sorted(FINAL_STATES)
    on = table.get("on", states)
    if not isinstance(on, list) or not on or not all(state in FINAL_STATES for state in on):
        raise SettingsError(f"{where}: on = {on!r}: it must be a list of {', '.join(states)}")
    return Webhook(url=url, secret=secret, on=tuple(on))


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
