"""`PostgresStore` keeps the contract, also when the server goes away and comes back."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from bridgekit.errors import StoreUnavailable
from bridgekit.ports import Store
from bridgekit.store import open_store
from tests.contract.durable_contract import DurableContract, DurableDatabase
from tests.contract.values import NOW, Opened, opened
from tests.support.postgres import PostgresServer, StopMode


class PostgresDatabase:
    """A schema of its own in a database that many tests share: a database for each would take half a second."""

    def __init__(self, dsn: str, schema: str) -> None:
        self.url = f"{dsn}?search_path={schema}"

    def store(self) -> Store:
        return open_store(self.url)

    @asynccontextmanager
    async def blocked(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE entry, lease IN EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def dsn(postgres: PostgresServer) -> AsyncIterator[str]:
    dsn = await postgres.create_database()
    yield dsn
    await postgres.drop_database(dsn)


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    return (f"test_{number}" for number in itertools.count())


class TestPostgres(DurableContract):
    @pytest.fixture
    async def database(self, dsn: str, names: Iterator[str]) -> DurableDatabase:
        schema = next(names)
        connection = await asyncpg.connect(dsn)
        await connection.execute(f"CREATE SCHEMA {schema}")
        await connection.close()
        return PostgresDatabase(dsn, schema)


async def test_the_server_restarts(private_postgres: PostgresServer) -> None:
    store = open_store(await private_postgres.create_database())
    async with opened(store):
        lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        held = Opened(store, lease.epoch)
        await held.append("before")
        await private_postgres.stop()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await held.append("while away")
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await held.pending()
        await private_postgres.start()
        await held.append("while away", "after")
        assert await held.pending() == ["before", "while away", "after"]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_the_server_restarts_in_the_middle(mode: StopMode, private_postgres: PostgresServer) -> None:
    """Whatever was answered is there; what was refused may be repeated; everything is there once, in order."""
    store = open_store(await private_postgres.create_database())
    async with opened(store):
        lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        held = Opened(store, lease.epoch)
        answered: list[str] = []
        refused: list[str] = []
        first = asyncio.Event()

        async def write(writer: int) -> None:
            for number in range(100_000):
                name = f"{writer} {number:06}"
                try:
                    await held.append(name)
                except StoreUnavailable:
                    refused.append(name)
                    return
                answered.append(name)
                first.set()

        writers = [asyncio.create_task(write(writer)) for writer in range(20)]
        await first.wait()
        await private_postgres.stop(mode)
        await asyncio.gather(*writers)
        await private_postgres.start()

        survived = await held.pending()
        assert set(answered) <= set(survived) <= {*answered, *refused}
        await asyncio.gather(*(held.append(name) for name in refused))
        pending = await held.pending()
        assert sorted(pending) == sorted(answered + refused)
        for writer in range(20):
            own = [name for name in pending if name.startswith(f"{writer} ")]
            assert own == sorted(own)


async def test_a_server_that_is_not_there() -> None:
    store = open_store("postgresql://someone:s3cret@127.0.0.1:1/bridge")
    with pytest.raises(StoreUnavailable, match=re.escape("127.0.0.1:1/bridge")) as refused:
        await store.open()
    assert "s3cret" not in str(refused.value)
