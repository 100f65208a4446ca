"""`bridgekit.testing.MemoryJournal` keeps the contract."""

from __future__ import annotations

import pytest

from bridgekit.errors import StoreUnavailable
from bridgekit.model.ids import LaneKey
from bridgekit.ports import Store
from bridgekit.testing.journal import MemoryJournal
from tests.contract.journal_contract import JournalContract
from tests.contract.values import Database


class MemoryDatabase:
    def __init__(self) -> None:
        self._first = MemoryJournal()

    def store(self) -> Store:
        return MemoryJournal(sharing=self._first)


class TestMemory(JournalContract):
    @pytest.fixture
    def database(self) -> Database:
        return MemoryDatabase()


async def test_a_closed_journal_says_so() -> None:
    journal = MemoryJournal()
    with pytest.raises(StoreUnavailable):
        await journal.peek(LaneKey("m:!a"))
    async with journal:
        assert await journal.peek(LaneKey("m:!a")) == []
