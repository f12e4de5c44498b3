"""Small contents by their sha256: sources up to 256 KiB lie in the database, so that a submit is one commit."""

from __future__ import annotations

from base64 import b64encode

from supervisor.core.job import INLINE_BYTES, JobSpec
from supervisor.store.batch import Tx


def keep(tx: Tx, sha256: str, data: bytes) -> None:
    """Stores a content under its sha256, which the caller has verified; one that is there already is left."""
    tx.conn.execute(
        "INSERT INTO contents (sha256, size, data) VALUES (?, ?, ?) ON CONFLICT (sha256) DO NOTHING",
        (sha256, len(data), data),
    )


def needed_by(spec: JobSpec) -> set[str]:
    """The contents that a job needs, wherever they lie: they are kept until no job does."""
    needed = {content.sha256 for content in spec.contents}
    if spec.stdin is not None:
        needed.add(spec.stdin.sha256)
    return needed


def inline_of(tx: Tx, spec: JobSpec) -> dict[str, str]:
    """Base64 by sha256 of those contents of a job that lie in the database; the others lie in the spool."""
    found: dict[str, str] = {}
    for content in (*spec.contents, *((spec.stdin,) if spec.stdin else ())):
        if content.size <= INLINE_BYTES and content.sha256 not in found:
            row = tx.conn.execute("SELECT data FROM contents WHERE sha256 = ?", (content.sha256,)).fetchone()
            if row is not None:
                found[content.sha256] = b64encode(row[0]).decode("ascii")
    return found
