"""One POST to a webhook's address, within bounds: a moment of time, no redirect, no more of the answer than its status.

What it is signed by is the scheme of standardwebhooks.com: HMAC-SHA256 over `ID.TIMESTAMP.BODY`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ssl
from typing import Final
from urllib.parse import urlsplit

import h11

from supervisor import __version__

POST_S: Final = 15.0
KEY_PREFIX: Final = "whsec_"
_READ_BYTES: Final = 16 << 10


class Undelivered(Exception):
    """There was no answer, or one that is none of a success. `final`: another try cannot help."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


def signature(key: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`. A key `whsec_BASE64` stands for the bytes that it encodes, any other for itself."""
    secret = key.encode()
    if key.startswith(KEY_PREFIX):
        try:
            secret = base64.b64decode(key.removeprefix(KEY_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


async def post(url: str, headers: dict[str, str], body: bytes) -> int:
    """The status of a success; raises Undelivered."""
    try:
        async with asyncio.timeout(POST_S):
            status = await _post(url, headers, body)
    except TimeoutError:
        raise Undelivered(f"no answer within {POST_S:g} s") from None
    except (OSError, ssl.SSLError, ValueError, h11.ProtocolError) as error:
        raise Undelivered(str(error) or type(error).__name__) from None
    if not 200 <= status < 300:
        raise Undelivered(f"it answered {status}", final=status == 410)
    return status


async def _post(url: str, headers: dict[str, str], body: bytes) -> int:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(
        parts.hostname, port, ssl=ssl.create_default_context() if secure else None, limit=_READ_BYTES
    )
    try:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_READ_BYTES)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        whole = {
            "host": parts.netloc,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "user-agent": f"workerctl/{__version__}",
            "connection": "close",
            **headers,
        }
        for event in (
            h11.Request(method="POST", target=target, headers=list(whole.items())),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        while True:
            heard = connection.next_event()
            if heard is h11.NEED_DATA:
                connection.receive_data(await reader.read(_READ_BYTES))
            elif isinstance(heard, h11.Response):
                return heard.status_code
            elif isinstance(heard, h11.ConnectionClosed | h11.EndOfMessage):
                raise ValueError("it closed the connection without an answer")
    finally:
        writer.transport.abort()
