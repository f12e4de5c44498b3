"""Sending a job's content ahead of its submit, in pieces, from where the daemon says it goes on."""

from __future__ import annotations

from base64 import b64encode

from ctl.errors import DaemonFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctl.blob import Blob
    from ctl.session import Session

PIECE_BYTES = 700_000
_STALLS = 3


def put(session: Session, blob: Blob) -> None:
    """Returns when the daemon holds `blob` whole. What it holds already is not sent again."""
    fields = {"sha256": blob.sha256, "size": blob.size}
    offset, stalls = 0, 0
    # A small blob is sent at once; of a large one the daemon may have some or all, so it is asked first.
    data = blob.read() if blob.size <= PIECE_BYTES else b""
    while True:
        answer = session.call("put", {**fields, "offset": offset, "data": b64encode(data).decode()})
        if answer["complete"]:
            return
        stalls = stalls + 1 if answer["offset"] <= offset and data else 0
        if stalls >= _STALLS:
            raise DaemonFailed("internal", f"the upload does not get beyond byte {offset} of {blob.size}")
        offset = answer["offset"]
        data = blob.read(offset, PIECE_BYTES)
