"""Looking into a database by hand: ad-hoc queries and the schema as it is. For tests, `doctor` and curious people.

Not imported by the rest of the store: sqlite_utils costs every daemon process 10 MB. Never writes.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlite_utils import Database


def query(conn: sqlite3.Connection, sql: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rows of any SELECT, by column name. Raises sqlite3.Error, or ValueError for what returns no rows."""
    return list(_database(conn).query(sql, values or {}))


def schema_of(conn: sqlite3.Connection) -> dict[str, str]:
    """Every table, index and trigger by name, with its statement in one line. For comparing databases."""
    rows = query(conn, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
    return {row["name"]: " ".join(row["sql"].split()) for row in rows}


def _database(conn: sqlite3.Connection) -> Database:
    # Without plugins and without its own pragma: the connection is to stay as it was configured.
    return Database(conn, recursive_triggers=False, execute_plugins=False)
