"""What every store promises: `JournalContract` is inherited once for each implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridgekit.ports import Store
from tests.contract.append_contract import AppendContract
from tests.contract.call_contract import CallContract
from tests.contract.clean_contract import CleanContract
from tests.contract.directory_contract import DirectoryContract
from tests.contract.entry_contract import EntryContract
from tests.contract.lease_contract import LeaseContract
from tests.contract.media_contract import MediaContract
from tests.contract.repair_contract import RepairContract
from tests.contract.staging_contract import StagingContract
from tests.contract.values import NOW, Database, Opened, opened


class JournalContract(
    LeaseContract,
    AppendContract,
    StagingContract,
    EntryContract,
    RepairContract,
    CleanContract,
    DirectoryContract,
    MediaContract,
    CallContract,
):
    """All of it. A subclass provides the fixture `database`."""

    @pytest.fixture
    def database(self) -> Database:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, database: Database) -> AsyncIterator[Store]:
        async with opened(database.store()) as store:
            yield store

    @pytest.fixture
    async def second(self, database: Database, store: Store) -> AsyncIterator[Store]:
        """Another process on the same database."""
        async with opened(database.store()) as second:
            yield second

    @pytest.fixture
    async def held(self, store: Store) -> Opened:
        """The store, with the lease."""
        lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        return Opened(store, lease.epoch)
