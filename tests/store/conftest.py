from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor import store


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "queue.db")


@pytest.fixture
def conn(path: str) -> Iterator[store.Writer]:
    writer = store.open_writer(path)
    yield writer
    writer.close()


@pytest.fixture
def reader(conn: store.Writer, path: str) -> Iterator[sqlite3.Connection]:
    opened = store.open_reader(path)
    yield opened
    opened.close()
