"""The secrets of the HTTP side: a bearer token for each role, and the key that signs webhooks. One file, 0600.

Made once and then only read: whoever wants others removes the file and has the gateway started again.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from typing import Final

import msgspec

from supervisor.core.errors import SettingsError

ROLES: Final = ("read", "write")
_BYTES: Final = 32
_LARGEST_BYTES: Final = 4096


class Tokens(msgspec.Struct, frozen=True):
    """`read` may look, `write` may do everything that HTTP offers. `webhook` is a key in the form `whsec_BASE64`."""

    read: str
    write: str
    webhook: str

    def of(self, role: str) -> str:
        """The one of that name."""
        return str(getattr(self, role))


def read_or_make(state_dir: str) -> Tokens:
    """The tokens of this state folder; raises SettingsError where their file cannot be used, OSError."""
    try:
        return read(state_dir)
    except FileNotFoundError:
        return _make(state_dir)


def read(state_dir: str) -> Tokens:
    """The tokens that there are; raises FileNotFoundError where none were made, SettingsError."""
    path = path_of(state_dir)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o077:
            raise SettingsError(f"{path} must be a file of your own with mode 0600: close it, or remove it")
        tokens = msgspec.json.decode(os.read(fd, _LARGEST_BYTES), type=Tokens)
    except msgspec.DecodeError as error:
        raise SettingsError(f"{path} is damaged ({error}): remove it, the next start makes other tokens") from None
    finally:
        os.close(fd)
    if min(map(len, (tokens.read, tokens.write, tokens.webhook))) < _BYTES:
        raise SettingsError(f"{path} holds a token that is too short: remove it, the next start makes other tokens")
    return tokens


def path_of(state_dir: str) -> str:
    """Where they lie."""
    return f"{state_dir}/tokens"


def _make(state_dir: str) -> Tokens:
    key = base64.b64encode(secrets.token_bytes(_BYTES)).decode()
    tokens = Tokens(secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES), f"whsec_{key}")
    unfinished = f"{path_of(state_dir)}.new"
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, msgspec.json.encode(tokens))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(unfinished, path_of(state_dir))
    return tokens
