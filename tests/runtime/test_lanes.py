"""Strict order in a lane, bounded work across them, and bounded memory, by themselves."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridgekit.core.lane import matrix_lane
from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.model.entry import Anchor, Append, Direction, Ending, Entry, NewEntry, Repair
from bridgekit.model.ids import DedupeKey, EventID, LaneKey, RoomID
from bridgekit.ports import Journal
from bridgekit.runtime import buffers
from bridgekit.runtime.completer import Completer
from bridgekit.runtime.lanes import Handled, Lane, Lanes, RetryLater, WaitFor
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.testing.clock import ManualClock, idle, until
from bridgekit.testing.harness import Door
from bridgekit.testing.journal import MemoryJournal

ROOM = RoomID("!room")
LANE = matrix_lane(ROOM)


class World:
    """Lanes over a journal in memory, and a handler that does as it is told."""

    def __init__(self, *, seed: int | None = None, concurrency: int = 256) -> None:
        rng = None if seed is None else random.Random(seed)
        self.clock = ManualClock()
        self.door = Door(rng)
        self.memory = MemoryJournal()
        self.journal = cast(Journal, self.door.guard(self.memory, store=True))
        self.lease = LeaseKeeper(self.journal, self.clock)
        self.completer = Completer(self.journal, self.lease, self.clock)
        self.lanes = Lanes(self.journal, self.completer, self.lease, self.clock, self.handle, concurrency=concurrency)
        self.done: dict[LaneKey, list[str]] = defaultdict(list)
        self.tries: list[str] = []
        self.plans: dict[str, list[BaseException | Ending | asyncio.Event]] = {}
        self.running = 0
        self.most_running = 0
        self.most_buffered = 0
        self.gate: asyncio.Event | None = None

    async def __aenter__(self) -> World:
        await self.memory.open()
        await self.lease.acquire()
        self.completer.start()
        self.lanes.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.lanes.stop(drain_s=0)
        await self.completer.stop()
        await self.lease.release()

    async def handle(self, entry: Entry, lane: Lane) -> Handled:
        self.tries.append(entry.dedupe)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.most_buffered = max(self.most_buffered, self.lanes.buffers.entries)
        try:
            if self.gate is not None:
                await self.gate.wait()
            plan = self.plans.get(entry.dedupe)
            if plan:
                what = plan.pop(0)
                if isinstance(what, asyncio.Event):
                    await what.wait()
                elif isinstance(what, BaseException):
                    raise what
                else:
                    return Handled(dead=what)
        finally:
            self.running -= 1
        self.done[entry.lane].append(entry.dedupe)
        return Handled(barrier=len(self.done[entry.lane]) % 7 == 0)

    async def append(self, *keys: str, lane: LaneKey = LANE, offer: bool = True) -> None:
        appended = await self.journal.append(
            Append(entries=tuple(new_entry(key, lane) for key in keys)), epoch=self.lease.epoch
        )
        if offer:
            self.lanes.offer(appended.entries)

    async def pending(self) -> int:
        stats = await self.memory.stats()
        return stats.pending_matrix


def new_entry(key: str, lane: LaneKey = LANE) -> NewEntry:
    return NewEntry(
        lane=lane, dedupe=DedupeKey(key), direction=Direction.MATRIX, kind="t", payload=b"x" * 10, received_at=0
    )


async def test_a_flood_stays_on_disk() -> None:
    async with World() as world:
        world.gate = asyncio.Event()
        for start in range(0, 50_000, 500):
            lane = matrix_lane(RoomID(f"!{start % 10_000}"))
            await world.append(*(f"{number}" for number in range(start, start + 500)), lane=lane)
        await idle()
        assert world.lanes.buffers.entries <= 20 * buffers.BUFFER_PER_LANE
        assert await world.pending() == 50_000
        world.gate.set()
        await until(lambda: sum(map(len, world.done.values())) == 50_000, clock=world.clock)
        for lane_done in world.done.values():
            assert lane_done == sorted(lane_done, key=int)
        await world.completer.flush()
        assert (world.lanes.buffers.entries, world.lanes.buffers.bytes, await world.pending()) == (0, 0, 0)


async def test_a_flood_into_many_lanes_is_bounded_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "BUFFER_TOTAL", 300)
    async with World() as world:
        world.gate = asyncio.Event()
        for number in range(100):
            await world.append(*(f"{number}.{i}" for i in range(20)), lane=matrix_lane(RoomID(f"!{number}")))
        await idle()
        assert world.lanes.buffers.entries <= 300 + 100  # one head for each lane beyond
        world.gate.set()
        await until(lambda: sum(map(len, world.done.values())) == 2000, clock=world.clock)
        for number in range(100):
            assert world.done[matrix_lane(RoomID(f"!{number}"))] == [f"{number}.{i}" for i in range(20)]


async def test_large_entries_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "BUFFER_BYTES", 100)
    async with World() as world:
        world.gate = asyncio.Event()
        await world.append(*(f"{i}" for i in range(50)))
        await idle()
        assert world.lanes.buffers.bytes <= 110
        world.gate.set()
        await until(lambda: len(world.done[LANE]) == 50, clock=world.clock)


async def test_no_more_at_once_than_allowed() -> None:
    async with World(concurrency=3) as world:
        for number in range(10):
            await world.append(f"{number}", lane=matrix_lane(RoomID(f"!{number}")))
        await until(lambda: sum(map(len, world.done.values())) == 10)
        assert world.most_running <= 3


async def test_an_answer_that_never_came() -> None:
    """The entry is on disk, and the one behind it is offered first: it does not overtake."""
    async with World() as world:
        await world.append("1")
        await world.append("2", offer=False)
        await world.append("3")
        await until(lambda: len(world.done[LANE]) == 3)
        assert world.done[LANE] == ["1", "2", "3"]
        await world.append("4", offer=False)
        await idle()
        await world.append("5")
        await until(lambda: len(world.done[LANE]) == 5)
        assert world.done[LANE] == ["1", "2", "3", "4", "5"]


async def test_offers_in_the_wrong_order() -> None:
    async with World() as world:
        one = await world.journal.append(Append(entries=(new_entry("1"),)), epoch=world.lease.epoch)
        two = await world.journal.append(Append(entries=(new_entry("2"),)), epoch=world.lease.epoch)
        world.lanes.offer(two.entries)
        world.lanes.offer(one.entries)
        await until(lambda: len(world.done[LANE]) == 2)
        world.lanes.offer(one.entries)
        world.lanes.offer(two.entries)
        await idle()
        assert world.done[LANE] == ["1", "2"]


async def test_a_hold_that_is_given_up_forgets_nothing() -> None:
    """Cancelled while the head is still being carried out: that head ends once, and is written down."""
    async with World() as world:
        gate = asyncio.Event()
        world.plans["1"] = [gate]
        await world.append("1", "2")
        await idle()

        async def held() -> None:
            async with world.lanes.hold(LANE):
                pass

        holding = asyncio.create_task(held())
        await idle()
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        gate.set()
        await until(lambda: len(world.done[LANE]) == 2)
        await world.completer.flush()
        await idle()
        assert world.tries == ["1", "2"]
        assert world.lanes.buffers.entries == 0


async def test_a_worker_that_fails_rests_first() -> None:
    async with World() as world:
        world.plans["1"] = [WaitFor(_fails), WaitFor(_fails)]
        await world.append("1")
        await idle()
        assert world.tries == ["1"]
        await world.clock.advance(3)
        assert world.tries == ["1", "1", "1"]
        assert world.done[LANE] == ["1"]


async def _fails() -> None:
    raise ValueError


async def test_a_call_that_cancels_itself_is_tried_again() -> None:
    async with World() as world:
        world.plans["1"] = [asyncio.CancelledError()]
        await world.append("1", "2")
        await world.clock.advance(5)
        assert world.done[LANE] == ["1", "2"]


async def test_a_kick_does_not_shorten_the_wait() -> None:
    async with World() as world:
        world.plans["1"] = [RetryLater(100.0, since=0)]
        await world.append("1")
        await idle()
        world.lanes.wake(LANE)
        await world.clock.advance(99)
        assert world.tries == ["1"]
        await world.clock.advance(2)
        assert world.done[LANE] == ["1"]


async def test_the_lease_is_lost() -> None:
    async with World() as world:
        await world.append("1")
        await until(lambda: world.done[LANE] == ["1"])
        await world.completer.flush()
        taken = await world.memory.acquire_lease(
            "other", now=world.clock.now(), ttl_ms=1000, replacing=world.lease.epoch
        )
        world.plans["2"] = [RetryLater(1.0, since=0)]
        with pytest.raises(LeaseLost):
            await world.append("2")
        assert taken.epoch != world.lease.epoch
        await world.clock.advance(10)
        assert world.lease.lost.is_set()
        world.lanes.wake(LANE)
        await world.clock.advance(100)
        assert world.tries == ["1"]


STEP = st.sampled_from(["append", "two", "silent", "hold", "repair", "cancel", "wake", "turns", "time", "release"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10_000),
    steps=st.lists(STEP, min_size=5, max_size=40),
    faults=st.sampled_from([0.0, 0.0, 0.2]),
)
def test_any_mixture(seed: int, steps: list[str], faults: float) -> None:
    """Offers, holds, repairs, cancels, retries, dead letters and a failing database, in any order: each entry ends
    once, in the order of the journal."""
    asyncio.run(_mixture(seed, steps, faults))


async def _mixture(seed: int, steps: list[str], faults: float) -> None:
    rng = random.Random(seed)
    async with World(seed=seed) as world:
        said: list[str] = []
        cancelled: set[str] = set()
        dead: set[str] = set()
        world.door.store_faults = faults
        tasks: list[asyncio.Task[None]] = []
        anchored = 0

        def key() -> str:
            said.append(str(len(said)))
            plan: list[BaseException | Ending | asyncio.Event] = []
            if rng.random() < 0.2:
                plan.append(RetryLater(rng.random() * 10, since=0))
            if rng.random() < 0.1:
                plan.append(WaitFor(lambda: world.clock.sleep(1)))
            if rng.random() < 0.1:
                plan.append(Ending(code="no", reason="", at=0))
                dead.add(said[-1])
            world.plans[said[-1]] = plan
            return said[-1]

        async def surely(*keys: str, offer: bool = True) -> None:
            while True:
                try:
                    await world.append(*keys, offer=offer)
                    return
                except StoreUnavailable:
                    world.lanes.wake(LANE)  # as the inbox does when the homeserver comes again

        async def cancel(which: str) -> None:
            perhaps = True
            try:
                perhaps = await world.lanes.cancel(LANE, EventID(f"${which}"))
            except StoreUnavailable:
                pass
            finally:
                if perhaps:
                    cancelled.add(which)

        async def hold() -> None:
            async with world.lanes.hold(LANE):
                await idle_turns(rng.randrange(5))

        async def repair(timeline: list[str]) -> None:
            async with world.lanes.hold(LANE):
                job = Repair(
                    lane=LANE,
                    timeline=tuple(new_entry(each) for each in timeline),
                    anchor=Anchor(room=ROOM, event_id=EventID("$a"), at=0),
                )
                while True:
                    try:
                        await world.journal.repair(job, epoch=world.lease.epoch)
                        return
                    except StoreUnavailable:
                        continue  # a repeat of the same repair is harmless

        async def finish(*some: asyncio.Task[None]) -> None:
            await until(lambda: all(task.done() for task in some), clock=world.clock)
            await asyncio.gather(*some, return_exceptions=True)

        for step in steps:
            match step:
                case "append":
                    await surely(key())
                case "two":
                    await surely(key(), key(), key())
                case "silent":
                    await surely(key(), offer=False)
                case "hold":
                    tasks.append(asyncio.create_task(hold()))
                case "repair":
                    missing = [key() for _ in range(rng.randrange(3))]
                    await finish(*tasks, asyncio.create_task(repair(said[anchored:])))
                    anchored = len(said) - len(missing)
                case "cancel" if said:
                    tasks.append(asyncio.create_task(cancel(rng.choice(said))))
                case "wake":
                    world.lanes.wake(LANE)
                case "turns":
                    await idle_turns(rng.randrange(30))
                case "time":
                    world.clock.jump(rng.random() * 5)
                case "release" if tasks:
                    rng.choice(tasks).cancel()
        await finish(*tasks)
        world.door.store_faults = 0.0
        world.lanes.wake(LANE)
        await world.clock.advance(600)
        got = world.done[LANE]
        assert got == sorted(set(got), key=int), (got, said)
        assert set(said) - set(got) <= cancelled | dead
        assert not dead & set(got)
        assert await world.pending() == 0


async def idle_turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)  # noqa: TID251 - turns, no time
