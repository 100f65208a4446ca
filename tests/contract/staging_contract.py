"""A transaction is made durable as it came, and becomes entries once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bridgekit.errors import LeaseLost
from bridgekit.model.entry import Append, Appended, Direction, NewDeadLetter, NewEntry, NewStaged, Stats
from bridgekit.model.ids import DedupeKey, LaneKey
from bridgekit.ports import Store
from tests.contract.values import LANE, NOW, WEIRD, Database, Opened, new_entry, opened


def transaction(txn_id: str = "1", *, body: bytes = b"[{}]", events: int = 1, at: int = NOW) -> NewStaged:
    return NewStaged(txn_id=txn_id, received_at=at, events=events, body=body)


async def stage(held: Opened, *bodies: bytes) -> list[int]:
    return [await held.store.stage(transaction(body=body), epoch=held.epoch) for body in bodies]


async def unpack(held: Opened, numbers: Sequence[int], *entries: NewEntry) -> Appended:
    return await held.store.append(Append(entries=entries, unstage=tuple(numbers)), epoch=held.epoch)


class StagingContract:
    async def test_what_was_staged_is_read_as_it_was_written(self, held: Opened) -> None:
        assert await held.store.staged() == []
        for number, text in enumerate(WEIRD):
            body = bytes(range(256)) + text.encode("utf-8", "surrogatepass")
            new = transaction(text, body=body, events=number, at=NOW + number)
            given = await held.store.stage(new, epoch=held.epoch)
            (read,) = await held.store.staged(after=given - 1)
            assert (read.number, read.txn_id, read.received_at, read.events, read.body) == (
                given,
                text,
                NOW + number,
                number,
                body,
            )

    async def test_they_are_read_in_the_order_in_which_they_were_staged(self, held: Opened) -> None:
        numbers = await stage(held, b"a", b"b", b"c")
        assert numbers == sorted(set(numbers))
        assert [each.body for each in await held.store.staged()] == [b"a", b"b", b"c"]
        assert [each.body for each in await held.store.staged(after=numbers[0])] == [b"b", b"c"]
        assert [each.body for each in await held.store.staged(after=numbers[0], limit=1)] == [b"b"]
        assert await held.store.staged(after=numbers[2]) == []

    async def test_those_that_wait_together_keep_the_order_of_their_calls(self, held: Opened) -> None:
        bodies = [b"%03d" % number for number in range(100)]
        jobs = [held.store.stage(transaction(body=body), epoch=held.epoch) for body in bodies]
        numbers = await asyncio.gather(*jobs)
        assert numbers == sorted(set(numbers))
        assert [each.body for each in await held.store.staged(limit=1000)] == bodies

    async def test_reading_is_bounded_by_bytes_but_goes_on(self, held: Opened) -> None:
        await stage(held, b"1" * 60, b"2" * 40, b"3", b"4" * 500, b"5")
        found: list[bytes] = []
        after, sizes = 0, []
        while page := await held.store.staged(after=after, max_bytes=100):
            found += [each.body for each in page]
            sizes.append(len(page))
            after = page[-1].number
        assert found == [b"1" * 60, b"2" * 40, b"3", b"4" * 500, b"5"]
        assert sizes == [2, 1, 1, 1]

    async def test_unpacking_writes_the_entries_and_forgets_the_transactions(self, held: Opened) -> None:
        numbers = await stage(held, b"a", b"b", b"c")
        done = await unpack(held, numbers[:2], new_entry("1"), new_entry("2"))
        assert ([entry.seq for entry in done.entries], done.duplicates) == ([1, 2], 0)
        assert await held.pending() == ["1", "2"]
        assert [each.body for each in await held.store.staged()] == [b"c"]
        # One that holds nothing for us is forgotten all the same.
        assert await unpack(held, numbers[2:]) == Appended(())
        assert await held.store.staged() == []

    async def test_what_is_known_is_left_out(self, held: Opened) -> None:
        await held.append("1")
        done = await unpack(held, await stage(held, b"a"), new_entry("1"), new_entry("2"))
        assert ([entry.dedupe for entry in done.entries], done.duplicates) == (["2"], 1)
        assert await held.store.staged() == []

    async def test_unpacking_twice_does_nothing_the_second_time(self, held: Opened) -> None:
        """The answer to the first try may have been lost."""
        numbers = await stage(held, b"a", b"b")
        letter = NewDeadLetter(
            lane=None,
            direction=Direction.MATRIX,
            kind="malformed",
            payload=b"5",
            received_at=NOW,
            code="malformed",
            reason="is not an object",
            dedupe=DedupeKey("malformed"),
        )
        await unpack(held, numbers, new_entry("1"))
        again = Append(entries=(new_entry("1"), new_entry("unheard of")), dead=(letter,), unstage=tuple(numbers))
        assert await held.store.append(again, epoch=held.epoch) == Appended((), duplicates=2)
        assert await held.pending() == ["1"]
        assert await held.store.dead_letters() == []

    async def test_one_that_was_done_before_does_not_disturb_its_neighbours(self, held: Opened) -> None:
        first, second = await stage(held, b"a", b"b")
        await unpack(held, [first], new_entry("1"))
        results = await asyncio.gather(
            held.add([new_entry("2")]),
            unpack(held, [first], new_entry("1")),
            unpack(held, [second], new_entry("3")),
            held.add([new_entry("4")]),
        )
        assert [[entry.dedupe for entry in each.entries] for each in results] == [["2"], [], ["3"], ["4"]]
        assert [each.duplicates for each in results] == [0, 1, 0, 0]
        assert await held.pending() == ["1", "2", "3", "4"]

    async def test_a_staged_number_is_never_given_twice(self, held: Opened, database: Database) -> None:
        (first,) = await stage(held, b"a")
        await unpack(held, [first])
        (second,) = await stage(held, b"b")
        assert second > first
        await unpack(held, [second])
        await held.store.close()
        async with opened(database.store()) as store:
            lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
            assert await store.stage(transaction(), epoch=lease.epoch) > second

    async def test_they_survive_a_restart(self, held: Opened, database: Database) -> None:
        numbers = await stage(held, b"a", b"b")
        await held.store.close()
        async with opened(database.store()) as store:
            assert [(each.number, each.body) for each in await store.staged()] == list(
                zip(numbers, (b"a", b"b"), strict=True)
            )

    async def test_only_the_holder_stages_and_unpacks(self, held: Opened, second: Store) -> None:
        numbers = await stage(held, b"a")
        await second.acquire_lease("second", now=NOW + 60_000, ttl_ms=15_000)
        with pytest.raises(LeaseLost):
            await stage(held, b"b")
        with pytest.raises(LeaseLost):
            await unpack(held, numbers, new_entry("1"))
        assert [each.body for each in await second.staged()] == [b"a"]
        assert await second.peek(LANE) == []

    async def test_stats_count_their_events(self, held: Opened) -> None:
        await held.add([new_entry("1", at=NOW), new_entry("2", lane=LaneKey("r:"), direction=Direction.REMOTE)])
        numbers = [
            await held.store.stage(transaction(events=events, at=NOW + at), epoch=held.epoch)
            for events, at in ((3, -5), (4, 9))
        ]
        assert await held.store.stats() == Stats(1, 1, NOW - 5, NOW, 0, staged=7)
        await unpack(held, numbers[:1])
        assert await held.store.stats() == Stats(1, 1, NOW, NOW, 0, staged=4)
        await held.finish(*await held.store.peek(LANE))
        assert await held.store.stats() == Stats(0, 1, NOW + 9, NOW, 0, staged=4)
