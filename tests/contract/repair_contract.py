"""The gap check's result: what the homeserver lost comes back in its place."""

from __future__ import annotations

import itertools
from enum import Enum

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bridgekit.model.entry import Anchor, Entry, Repair, Repaired
from bridgekit.model.ids import DedupeKey, EventID, LaneKey, RoomID
from tests.contract.values import LANE, NOW, Opened, new_entry

ROOM = RoomID("!room:example.org")


def job(*timeline: str, lane: LaneKey = LANE, room: RoomID = ROOM, anchor: str = "$anchor", at: int = NOW) -> Repair:
    return Repair(
        lane=lane,
        timeline=tuple(new_entry(name, lane=lane, at=at) for name in timeline),
        anchor=Anchor(room, EventID(anchor), at),
    )


class Fate(Enum):
    """What became of an event of the timeline before the check."""

    LOST = "lost"
    WAITING = "waiting"
    TRIED = "tried"  # waiting, with an attempt and a mark to keep
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


class RepairContract:
    async def test_nothing_missing_moves_only_the_anchor(self, held: Opened) -> None:
        await held.append("1", "2", "3")
        before = await held.store.peek(LANE)
        assert await held.store.anchor(ROOM) is None
        assert await held.store.repair(job("1", "2", "3", anchor="$3", at=NOW + 1), epoch=held.epoch) == Repaired(0, 0)
        assert await held.store.peek(LANE) == before
        assert await held.store.anchor(ROOM) == Anchor(ROOM, EventID("$3"), NOW + 1)
        assert await held.store.repair(job(anchor="$3", at=NOW + 2), epoch=held.epoch) == Repaired(0, 0)
        assert await held.store.anchor(ROOM) == Anchor(ROOM, EventID("$3"), NOW + 2)

    async def test_into_an_unknown_lane(self, held: Opened) -> None:
        assert await held.store.repair(job("1", "2"), epoch=held.epoch) == Repaired(missing=2, late=0)
        assert await held.pending() == ["1", "2"]
        (entry,) = await held.append("3")
        assert entry.seq == 3

    async def test_a_hole_is_filled_before_what_waits_behind_it(self, held: Opened) -> None:
        one, three, four = await held.append("1", "3", "4")
        assert await held.store.repair(job("1", "2", "3", "4"), epoch=held.epoch) == Repaired(missing=1, late=0)
        entries = await held.store.peek(LANE)
        assert [entry.dedupe for entry in entries] == ["1", "2", "3", "4"]
        assert entries[0] == one
        assert entries[2] == msgspec.structs.replace(three, seq=entries[2].seq)
        assert entries[3] == msgspec.structs.replace(four, seq=entries[3].seq)
        # New numbers are greater than any given before.
        assert min(entry.seq for entry in entries[1:]) > four.seq

    async def test_a_hole_behind_finished_events_is_late(self, held: Opened) -> None:
        one, three, _ = await held.append("1", "3", "4")
        await held.finish(one, three)
        result = await held.store.repair(job("1", "2", "3", "4", "5"), epoch=held.epoch)
        assert result == Repaired(missing=2, late=1)
        assert await held.pending() == ["2", "4", "5"]

    async def test_what_came_while_reading_goes_last(self, held: Opened) -> None:
        await held.append("new", "2")
        assert await held.store.repair(job("1", "2"), epoch=held.epoch) == Repaired(missing=1, late=0)
        assert await held.pending() == ["1", "2", "new"]

    async def test_what_waits_from_before_the_anchor_goes_first(self, held: Opened) -> None:
        """The anchor moves even while its lane stands still: the next timeline does not show what still waits."""
        await held.append("1", "2")
        await held.store.repair(job("1", "2", anchor="$2"), epoch=held.epoch)
        await held.append("4", "new")
        assert await held.store.repair(job("3", "4", anchor="$4"), epoch=held.epoch) == Repaired(missing=1, late=0)
        assert await held.pending() == ["1", "2", "3", "4", "new"]
        # What was newer than that check belongs to the next one.
        assert await held.store.repair(job("5", "new", anchor="$new"), epoch=held.epoch) == Repaired(missing=1, late=0)
        assert await held.pending() == ["1", "2", "3", "4", "5", "new"]

    async def test_the_first_check_may_only_set_the_anchor(self, held: Opened) -> None:
        await held.append("1", "2")
        await held.store.repair(job(anchor="$2"), epoch=held.epoch)
        await held.append("4")
        assert await held.store.repair(job("3", "4", anchor="$4"), epoch=held.epoch) == Repaired(missing=1, late=0)
        assert await held.pending() == ["1", "2", "3", "4"]

    async def test_a_repaired_entry_is_an_ordinary_one(self, held: Opened) -> None:
        await held.append("2")
        await held.store.repair(job("1", "2"), epoch=held.epoch)
        assert await held.append("1", "2") == []
        assert await held.store.cancel(LANE, EventID("$2"), epoch=held.epoch)
        await held.finish(*await held.store.peek(LANE))
        assert await held.pending() == []
        assert await held.store.repair(job("1", "2"), epoch=held.epoch) == Repaired(missing=0, late=0)

    async def test_an_event_known_in_another_lane_is_not_missing(self, held: Opened) -> None:
        await held.append("1", lane=LaneKey("m:!old"))
        assert await held.store.repair(job("1", "2"), epoch=held.epoch) == Repaired(missing=1, late=0)
        assert await held.pending() == ["2"]
        assert await held.pending(LaneKey("m:!old")) == ["1"]

    async def test_an_event_twice_in_the_timeline_is_one(self, held: Opened) -> None:
        assert await held.store.repair(job("1", "2", "1"), epoch=held.epoch) == Repaired(missing=2, late=0)
        assert await held.pending() == ["1", "2"]

    @pytest.fixture
    def rooms(self) -> itertools.count[int]:
        """A fresh room for every example."""
        return itertools.count()

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,  # each example has a room of its own
            HealthCheck.differing_executors,  # the class is inherited, so that each store runs the same examples
        ],
    )
    @given(
        fates=st.lists(st.sampled_from(Fate), max_size=12),
        older=st.integers(0, 3),
        newer=st.lists(st.integers(0, 12), max_size=3),
        shuffle=st.randoms(use_true_random=False),
    )
    @example(fates=[Fate.LOST, Fate.WAITING], older=2, newer=[0], shuffle=None)
    async def test_the_order_afterwards_is_the_timelines(
        self,
        held: Opened,
        rooms: itertools.count[int],
        fates: list[Fate],
        older: int,
        newer: list[int],
        shuffle: object,
    ) -> None:
        number = next(rooms)
        room, lane = RoomID(f"!{number}"), LaneKey(f"m:!{number}")
        store, epoch = held.store, held.epoch

        def name(kind: str, index: int) -> str:
            return f"{number} {kind} {index}"

        # Before: entries that an earlier check covered; then what arrived, in whatever order it did.
        from_before = [name("older", index) for index in range(older)]
        await held.append(*from_before, lane=lane)
        await store.repair(job(lane=lane, room=room, anchor="$before"), epoch=epoch)
        timeline = [name("event", index) for index in range(len(fates))]
        fate_of = dict(zip(timeline, fates, strict=True))
        arrived = [event for event in timeline if fate_of[event] is not Fate.LOST]
        if hasattr(shuffle, "shuffle"):
            shuffle.shuffle(arrived)
        behind = [name("newer", index) for index in range(len(newer))]
        for event, place in zip(behind, newer, strict=True):
            arrived.insert(place, event)
        entries = {entry.dedupe: entry for entry in await held.append(*arrived, lane=lane)}
        for event, fate in fate_of.items():
            await self._meet(held, entries.get(DedupeKey(event)), fate)
        before = {entry.dedupe: entry for entry in await store.peek(lane, limit=1000)}

        result = await store.repair(job(*timeline, lane=lane, room=room, anchor="$after"), epoch=epoch)

        over = {Fate.DONE, Fate.DEAD, Fate.CANCELLED}
        open_events = [event for event in timeline if fate_of[event] not in over]
        arrived_behind = [event for event in arrived if event in behind]
        after = await store.peek(lane, limit=1000)
        assert [entry.dedupe for entry in after] == from_before + open_events + arrived_behind
        lost = [index for index, fate in enumerate(fates) if fate is Fate.LOST]
        assert result.missing == len(lost)
        assert result.late == len([index for index in lost if over & set(fates[index:])])
        # Nothing of what waited was changed but its number; new numbers are greater than all old ones.
        highest = max([entry.seq for entry in entries.values()] + [entry.seq for entry in before.values()], default=0)
        for entry in after:
            if (old := before.get(entry.dedupe)) is not None:
                assert entry == msgspec.structs.replace(old, seq=entry.seq)
                assert entry.seq == old.seq or entry.seq > highest
            else:
                assert entry.seq > highest

        # A second time changes nothing, and the lane goes on behind.
        again = await store.repair(job(*timeline, lane=lane, room=room, anchor="$after"), epoch=epoch)
        assert again == Repaired(missing=0, late=0)
        assert await store.peek(lane, limit=1000) == after
        (last,) = await held.append(name("last", 0), lane=lane)
        assert all(entry.seq < last.seq for entry in after)

    async def _meet(self, held: Opened, entry: Entry | None, fate: Fate) -> None:
        """Let it happen to the entry."""
        if entry is None:
            return
        match fate:
            case Fate.TRIED:
                await held.store.defer(
                    entry.lane, entry.seq, attempts=2, failed_since=NOW, not_before=NOW, epoch=held.epoch
                )
                await held.store.mark(entry.lane, entry.seq, at=NOW, progress=b"half", epoch=held.epoch)
            case Fate.DONE:
                await held.finish(entry)
            case Fate.DEAD:
                await held.bury(entry)
            case Fate.CANCELLED:
                assert await held.store.cancel(entry.lane, EventID(f"${entry.dedupe}"), epoch=held.epoch)
            case Fate.LOST | Fate.WAITING:
                pass
