"""`SqliteStore` keeps the contract."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bridgekit.ports import Store
from bridgekit.store import open_store
from tests.contract.durable_contract import DurableContract, DurableDatabase


class SqliteDatabase:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite:///{path}"

    def store(self) -> Store:
        return open_store(self.url)

    @asynccontextmanager
    async def blocked(self) -> AsyncIterator[None]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")


class TestSqlite(DurableContract):
    @pytest.fixture
    def database(self, tmp_path: Path) -> DurableDatabase:
        return SqliteDatabase(tmp_path / "bridge.db")
