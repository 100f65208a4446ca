"""One process at a time: the lease, and the epoch that every write carries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bridgekit.errors import LeaseHeld, LeaseLost
from bridgekit.model.entry import Anchor, Append, Completion, Lease, Repair, Retention
from bridgekit.model.ids import EventID, RoomID
from bridgekit.model.records import ValueSaved
from bridgekit.ports import Store
from tests.contract.values import LANE, NOW, Opened, new_entry

WRITES: dict[str, Callable[[Store, int], Awaitable[object]]] = {
    "append": lambda store, epoch: store.append(Append(entries=(new_entry("late"),)), epoch=epoch),
    "complete": lambda store, epoch: store.complete([Completion(lane=LANE, seq=1)], epoch=epoch),
    "defer": lambda store, epoch: store.defer(LANE, 1, attempts=1, failed_since=NOW, not_before=NOW, epoch=epoch),
    "mark": lambda store, epoch: store.mark(LANE, 1, at=NOW, progress=b"late", epoch=epoch),
    "cancel": lambda store, epoch: store.cancel(LANE, EventID("$there"), epoch=epoch),
    "repair": lambda store, epoch: store.repair(
        Repair(
            lane=LANE,
            timeline=(new_entry("late"),),
            anchor=Anchor(RoomID("!room:example.org"), EventID("$late"), NOW),
        ),
        epoch=epoch,
    ),
    "retry_dead": lambda store, epoch: store.retry_dead(1, now=NOW, epoch=epoch),
    "drop_dead": lambda store, epoch: store.drop_dead(1, epoch=epoch),
    "clean": lambda store, epoch: store.clean(Retention(seen_ms=0, dead_ms=0), now=NOW + 1, epoch=epoch),
    "record": lambda store, epoch: store.record([ValueSaved("key", "late")], epoch=epoch),
}


class LeaseContract:
    async def test_a_free_lease_is_taken(self, store: Store) -> None:
        lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        assert lease == Lease(owner="first", epoch=lease.epoch, expires_at=NOW + 15_000)

    async def test_a_held_lease_is_refused_with_its_holder(self, store: Store, second: Store) -> None:
        lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        with pytest.raises(LeaseHeld) as refused:
            await second.acquire_lease("second", now=NOW + 14_999, ttl_ms=15_000)
        assert (refused.value.owner, refused.value.epoch) == ("first", lease.epoch)
        assert refused.value.expires_at == NOW + 15_000

    async def test_an_expired_lease_is_taken_over(self, store: Store, second: Store) -> None:
        old = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        new = await second.acquire_lease("second", now=NOW + 15_000, ttl_ms=15_000)
        assert new.epoch > old.epoch
        with pytest.raises(LeaseLost):
            await store.renew_lease(old, now=NOW + 15_001, ttl_ms=15_000)

    async def test_the_lease_of_a_dead_holder_is_replaced_by_its_epoch(self, store: Store, second: Store) -> None:
        old = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        with pytest.raises(LeaseHeld):
            await second.acquire_lease("second", now=NOW, ttl_ms=15_000, replacing=old.epoch - 1)
        new = await second.acquire_lease("second", now=NOW, ttl_ms=15_000, replacing=old.epoch)
        assert new.epoch > old.epoch
        # Two that found the same holder dead: one comes too late.
        with pytest.raises(LeaseHeld):
            await store.acquire_lease("third", now=NOW, ttl_ms=15_000, replacing=old.epoch)

    async def test_whose_it_is_can_be_read(self, store: Store, second: Store) -> None:
        assert await second.read_lease() is None
        lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        assert await second.read_lease() == lease
        renewed = await store.renew_lease(lease, now=NOW + 20_000, ttl_ms=15_000)
        assert await second.read_lease() == renewed
        await store.release_lease(renewed)
        assert await second.read_lease() is None

    async def test_an_own_lease_is_taken_with_the_next_epoch(self, store: Store) -> None:
        old = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        new = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        assert new.epoch > old.epoch
        with pytest.raises(LeaseLost):
            await store.record([], epoch=old.epoch)

    async def test_renewing_moves_the_end(self, store: Store, second: Store) -> None:
        lease = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        renewed = await store.renew_lease(lease, now=NOW + 20_000, ttl_ms=15_000)
        assert renewed == Lease(owner="first", epoch=lease.epoch, expires_at=NOW + 35_000)
        with pytest.raises(LeaseHeld):
            await second.acquire_lease("second", now=NOW + 34_999, ttl_ms=15_000)

    async def test_a_released_lease_is_free_and_its_epoch_is_over(self, store: Store, second: Store) -> None:
        old = await store.acquire_lease("first", now=NOW, ttl_ms=15_000)
        await store.release_lease(old)
        with pytest.raises(LeaseLost):
            await store.record([], epoch=old.epoch)
        with pytest.raises(LeaseLost):
            await store.renew_lease(old, now=NOW, ttl_ms=15_000)
        new = await second.acquire_lease("second", now=NOW, ttl_ms=15_000)
        assert new.epoch > old.epoch
        await store.release_lease(old)  # not ours any more: nothing happens
        await second.record([], epoch=new.epoch)

    async def test_of_many_who_want_it_one_gets_it(self, store: Store, second: Store) -> None:
        tries = [
            each.acquire_lease(f"{name} {number}", now=NOW, ttl_ms=15_000)
            for name, each in (("a", store), ("b", second))
            for number in range(5)
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, Lease) for result in results) == 1
        assert sum(isinstance(result, LeaseHeld) for result in results) == 9

    @pytest.mark.parametrize("name", WRITES)
    async def test_a_holder_who_lost_the_lease_writes_nothing(self, name: str, held: Opened, second: Store) -> None:
        store = held.store
        await held.bury((await held.append("dead", at=NOW))[0])
        (there,) = await held.append("there")
        new = await second.acquire_lease("second", now=NOW + 20_000, ttl_ms=15_000)
        letters, entries = await store.dead_letters(), await store.peek(LANE)
        with pytest.raises(LeaseLost):
            await WRITES[name](store, held.epoch)
        assert await store.dead_letters() == letters
        assert await store.peek(LANE) == entries == [there]
        assert await store.value("key") is None
        assert await store.anchor(RoomID("!room:example.org")) is None
        # The key of the dead letter was not forgotten, nor that of the refused entry remembered.
        known = Append(entries=(new_entry("dead"), new_entry("late")))
        assert [entry.dedupe for entry in (await second.append(known, epoch=new.epoch)).entries] == ["late"]

    @pytest.mark.parametrize("name", WRITES)
    async def test_without_a_lease_nothing_is_written(self, name: str, store: Store) -> None:
        for epoch in (0, 1):
            with pytest.raises(LeaseLost):
                await WRITES[name](store, epoch)

    async def test_a_lost_lease_spoils_no_neighbour(self, held: Opened) -> None:
        """Writes that are committed together fail one by one."""
        good = [held.append(f"good {number}") for number in range(10)]
        bad = [held.store.append(Append(entries=(new_entry(f"bad {n}"),)), epoch=held.epoch - 1) for n in range(10)]
        pairs = [each for pair in zip(good, bad, strict=True) for each in pair]
        results = await asyncio.gather(*pairs, return_exceptions=True)
        assert all(isinstance(result, LeaseLost) for result in results[1::2])
        assert await held.pending() == [f"good {number}" for number in range(10)]
