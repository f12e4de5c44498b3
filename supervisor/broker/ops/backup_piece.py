"""backup_piece: a range of the archive that `backup` has made."""

from __future__ import annotations

import base64
from typing import Any

from supervisor.broker.service import Caller, Service
from supervisor.wire.control import BackupPiece


async def backup_piece(service: Service, _: Caller, request: BackupPiece) -> dict[str, Any]:
    """The bytes from `offset` on as base64, and whether they are the last: then the copy is gone."""
    data, last = await service.backups.read(request.backup, request.offset, request.length)
    return {"offset": request.offset, "data": base64.b64encode(data).decode(), "eof": last}
