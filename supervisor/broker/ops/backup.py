"""backup: makes a checked copy of the queue, to be fetched with `backup_piece`."""

from __future__ import annotations

from supervisor.broker.service import Service
from supervisor.broker.session import Session
from supervisor.wire.control import Backup


async def backup(service: Service, session: Session, request: Backup) -> int:
    """One item, when the copy is there: its name and its size. Large databases take a while."""
    name, size = await service.backups.make()
    await session.emit(request.id, {"backup": name, "size": size})
    return 0
