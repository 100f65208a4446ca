"""The bridge's database, for commands that work beside a running bridge or without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from bridgekit.adapter.base import Adapter
from bridgekit.app import database_url
from bridgekit.config import Config, load
from bridgekit.errors import ConfigError
from bridgekit.ports import Store
from bridgekit.store import open_store
from bridgekit.store.sqlite import SqliteStore

T = TypeVar("T")


def on_database(config: Path, adapter: type[Adapter], work: Callable[[Config, Store], Coroutine[Any, Any, T]]) -> T:
    """Do the work on the configuration's database. Raises `ConfigError`, `StoreError`."""
    parsed, _ = load(config, adapter)
    directory = config.resolve().parent

    async def run() -> T:
        async with opened(parsed, directory) as store:
            return await work(parsed, store)

    return asyncio.run(run())


@asynccontextmanager
async def opened(parsed: Config, directory: Path) -> AsyncIterator[Store]:
    """The store. A SQLite file that is not there is not made: to look at a bridge must not begin one."""
    store = open_store(database_url(parsed, directory))
    if isinstance(store, SqliteStore) and not store.path.exists():
        raise ConfigError("database", f"there is no file {store.path} yet", "Run the bridge first.")
    await store.open()
    try:
        yield store
    finally:
        await store.close()
