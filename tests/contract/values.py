"""Values to write, and short ways to write them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from bridgekit.model.entry import Append, Appended, Completion, Direction, Ending, Entry, NewEntry
from bridgekit.model.ids import DedupeKey, EventID, LaneKey, LoginID
from bridgekit.model.records import Fact
from bridgekit.ports import Store

NOW = 1_700_000_000_000
"""The time of these tests, in ms since the epoch."""

HOUR = 3_600_000
LANE = LaneKey("m:!room:example.org")

WEIRD = [
    "",
    "\x00",
    "a\x00b",
    "\ud800",  # half of a pair
    "\udfff and \ud83d",
    "\U0001f468\u200d\U0001f469\u200d\U0001f466",
    "e\u0301 is not \u00e9",
    "' OR 1=1; --",
    "\\x00 \\u0000 $1 ?1 %s",
    "\x1f\\s=",
    "x" * 10_000,
    "x" * 9_999 + "y",
    "\u65e5" * 4_000,
]
"""Texts that a stranger may use as an id or a name. No two are equal, nor may become so."""


class Database(Protocol):
    """Where an implementation keeps things: makes stores on the same one, as several processes would."""

    def store(self) -> Store:
        """A new store, not opened yet."""


class Opened:
    """A store whose lease is held, and what tests do with it all the time."""

    def __init__(self, store: Store, epoch: int) -> None:
        self.store = store
        self.epoch = epoch

    async def append(self, *dedupes: str, lane: LaneKey = LANE, at: int = NOW) -> list[Entry]:
        """Append one entry for each dedupe key; those that were new."""
        return list((await self.add([new_entry(dedupe, lane=lane, at=at) for dedupe in dedupes])).entries)

    async def add(self, entries: Sequence[NewEntry]) -> Appended:
        return await self.store.append(Append(entries=tuple(entries)), epoch=self.epoch)

    async def finish(self, *entries: Entry) -> None:
        ends = [Completion(lane=entry.lane, seq=entry.seq) for entry in entries]
        await self.store.complete(ends, epoch=self.epoch)

    async def bury(self, entry: Entry, *, at: int = NOW) -> int:
        """Make it a dead letter; its id."""
        end = Completion(lane=entry.lane, seq=entry.seq, dead=Ending("code", "the reason", at))
        await self.store.complete([end], epoch=self.epoch)
        return max(letter.id for letter in await self.store.dead_letters(limit=10_000))

    async def know(self, *facts: Fact) -> None:
        await self.store.record(facts, epoch=self.epoch)

    async def pending(self, lane: LaneKey = LANE) -> list[str]:
        return [entry.dedupe for entry in await self.store.peek(lane, limit=10_000)]


def new_entry(
    dedupe: str,
    *,
    lane: LaneKey = LANE,
    at: int = NOW,
    direction: Direction = Direction.MATRIX,
    payload: bytes = b'{"body":"\\u0000"}',
    login: LoginID | None = None,
) -> NewEntry:
    return NewEntry(
        lane=lane,
        dedupe=DedupeKey(dedupe),
        direction=direction,
        kind="m.room.message",
        payload=payload,
        received_at=at,
        login=login,
        event_id=EventID(f"${dedupe}"),
    )


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()
