"""A bridge's database, held so that its commits wait."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator

import asyncpg

from tests.support.scene import Scene


@contextlib.asynccontextmanager
async def blocked(scene: Scene) -> AsyncIterator[None]:
    """While the block runs, no write of the bridge can be committed; reads go on.

    Leave it within 10 s on SQLite: so long the bridge waits for the lock before it gives an error.
    """
    scheme, _, rest = scene.database.partition(":")
    if scheme == "sqlite":
        other = sqlite3.connect(scene.directory / rest, isolation_level=None, timeout=10)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
    else:
        connection = await asyncpg.connect(scene.database)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE lease, entry, lane IN EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()
