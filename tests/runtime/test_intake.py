"""What is staged becomes entries once, in order, whatever fails, and never holds up the homeserver."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from typing import Any, cast

import pytest

from bridgekit.core import staging
from bridgekit.core.transaction import parse
from bridgekit.errors import LeaseLost, StoreUnavailable, Transient
from bridgekit.model.entry import Append, Appended, Entry, NewEntry, NewStaged, Staged
from bridgekit.model.ids import RoomID, UserID
from bridgekit.model.raw import RawEvent, Transaction
from bridgekit.ports import Journal
from bridgekit.runtime import inbox as inboxes
from bridgekit.runtime import intake as intakes
from bridgekit.runtime.completer import Completer
from bridgekit.runtime.inbox import Inbox
from bridgekit.runtime.lanes import Handled, Lane, Lanes
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.testing.clock import ManualClock, idle, until
from bridgekit.testing.harness import ALICE, Door, Harness
from bridgekit.testing.journal import MemoryJournal
from bridgekit.testing.staging import Intake

ROOM = RoomID("!room:test")
BOT = UserID("@bot:test")
MANY = staging.DIRECT_EVENTS + 1


def event(name: str, *, room: RoomID = ROOM, **more: Any) -> bytes:
    made = {"event_id": f"${name}", "room_id": room, "sender": ALICE, "type": "m.room.message", "origin_server_ts": 5}
    return json.dumps({**made, "content": {"body": name}, **more}).encode()


def names(prefix: str, count: int = MANY) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


class FaultyJournal(MemoryJournal):
    """Does what it is told when it is called, and writes down what was asked of it."""

    def __init__(self, *, sharing: MemoryJournal | None = None) -> None:
        super().__init__(sharing=sharing)
        self.calls: list[str] = []
        self.lost_answers: list[str] = []  # the next calls of these names take effect, and fail
        self.never: set[str] = set()  # events that break an append

    async def append(self, append: Append, *, epoch: int) -> Appended:
        self.calls.append("append")
        if any(entry.event_id in self.never for entry in append.entries):
            raise ValueError("a bug of ours")
        result = await super().append(append, epoch=epoch)
        self._answer("append")
        return result

    async def stage(self, staged: NewStaged, *, epoch: int) -> int:
        self.calls.append("stage")
        result = await super().stage(staged, epoch=epoch)
        self._answer("stage")
        return result

    @property
    def intake(self) -> Intake:
        """What is staged."""
        return self._intake

    def _answer(self, call: str) -> None:
        if call in self.lost_answers:
            self.lost_answers.remove(call)
            raise StoreUnavailable("the answer was lost")


class World:
    """An inbox with its intake, lanes behind it, and a handler that takes everything."""

    def __init__(self, *, sharing: MemoryJournal | None = None, seed: int | None = None) -> None:
        self.clock = ManualClock()
        self.clock.jump(1000)
        self.memory = FaultyJournal(sharing=sharing)
        self.door = Door(None if seed is None else random.Random(seed))
        self.journal = cast(Journal, self.door.guard(self.memory, store=True))
        self.lease = LeaseKeeper(self.journal, self.clock)
        completer = Completer(self.journal, self.lease, self.clock)
        self.lanes = Lanes(self.journal, completer, self.lease, self.clock, self._handle)
        self._completer = completer
        self.inbox = Inbox(self.journal, self.lanes, self.lease, self.clock, bot=BOT, is_ours=lambda user: user == BOT)
        self.handled: dict[RoomID, list[str]] = {}

    async def __aenter__(self) -> World:
        await self.memory.open()
        await self.lease.acquire()
        self._completer.start()
        self.lanes.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.inbox.stop()
        await self.lanes.stop(drain_s=0)
        await self._completer.stop(within_s=0)  # what backs off does so on the held clock
        await self.lease.release()

    async def begin(self) -> World:
        """Let the intake work; it has looked at what was left behind."""
        self.inbox.intake.start()
        await idle()
        return self

    async def _handle(self, entry: Entry, lane: Lane) -> Handled:
        self.handled.setdefault(RoomID(lane.key[2:]), []).append(str(entry.event_id)[1:])
        return Handled()

    async def push(self, *wanted: str, room: RoomID = ROOM) -> None:
        await self.inbox.transaction("1", Transaction(events=[event(name, room=room) for name in wanted]))

    async def staged(self) -> int:
        return (await self.memory.stats()).staged

    async def until_handled(self, wanted: Sequence[str], room: RoomID = ROOM) -> None:
        """All of them, once, in this order."""
        await until(lambda: len(self.handled.get(room, ())) >= len(wanted), clock=self.clock, within_s=600)
        await idle()
        assert self.handled[room] == list(wanted)
        assert await self.staged() == 0
        assert not self.inbox.intake.busy
        assert self.inbox.intake.bytes == 0


# --- what is staged, and when it is unpacked --------------------------------------------------------------------------


async def test_a_few_events_are_written_at_once() -> None:
    async with World() as world:
        await world.begin()
        await world.push(*names("a", staging.DIRECT_EVENTS))
        assert world.memory.calls == ["append"]
        await world.until_handled(names("a", staging.DIRECT_EVENTS))


async def test_nothing_overtakes_what_is_staged() -> None:
    async with World() as world:
        await world.begin()
        world.door.refused = {"append"}
        await world.push(*names("a"))
        await world.push("b")
        await world.push("other", room=RoomID("!other:test"))
        await world.push(*names("c", 3))
        assert await world.staged() == MANY + 5
        assert world.handled == {}
        world.door.refused = set()
        await world.until_handled([*names("a"), "b", *names("c", 3)])
        world.memory.calls.clear()
        await world.push("at once again")
        assert world.memory.calls == ["append"]


@pytest.mark.parametrize("seed", range(20))
async def test_the_order_is_kept_whatever_the_sizes_and_faults(seed: int) -> None:
    rng = random.Random(seed)
    async with World(seed=seed) as world:
        await world.begin()
        world.door.store_faults = 0.3
        wanted: list[str] = []
        for number in range(30):
            more = names(f"{number}.", rng.choice((1, 2, MANY, 3 * MANY)))
            wanted += more
            while True:
                try:
                    await world.push(*more)
                    break
                except StoreUnavailable:
                    await world.clock.advance(rng.random())
            if rng.random() < 0.3:
                await idle()
        world.door.store_faults = 0.0
        await world.until_handled(wanted)
        assert await world.memory.dead_letters() == []


async def test_while_transactions_arrive_unpacking_waits_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "QUIET_S", 0.005)
    async with World() as world:
        await world.begin()
        wanted: list[str] = []
        while not world.handled:
            assert len(wanted) * 0.001 < MANY * 2 * staging.LONGEST_S
            wanted += (more := names(f"{len(wanted)}.", MANY))
            await world.push(*more)
            if len(wanted) * 0.001 < MANY * (staging.LONGEST_S - 0.002):
                assert "append" not in world.memory.calls
            await world.clock.advance(0.001)
        await world.until_handled(wanted)


async def test_in_a_quiet_moment_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "QUIET_S", 0.005)
    async with World() as world:
        await world.begin()
        await world.push(*names("a"))
        await world.clock.advance(0.004)
        assert world.memory.calls == ["stage"]
        await world.clock.advance(0.001)
        assert world.memory.calls == ["stage", "append"]
        await world.until_handled(names("a"))


async def test_a_flood_stays_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "MEMORY_BYTES", 20_000)
    monkeypatch.setattr(intakes, "READ_BYTES", 10_000)
    async with World() as world:
        await world.begin()
        world.door.refused = {"append"}
        wanted: list[str] = []
        for number in range(100):
            wanted += (more := names(f"{number}."))
            await world.push(*more)
            await idle()
            assert world.inbox.intake.bytes <= 20_000
        assert await world.staged() == 100 * MANY
        world.door.refused = set()
        await world.until_handled(wanted)


async def test_what_came_beside_the_events_is_not_kept_in_memory() -> None:
    async with World() as world:
        await world.begin()
        world.door.refused = {"append"}
        events = b",".join(event(name) for name in names("a"))
        body = b'{"events":[%s],"ephemeral":[{"type":"m.typing","content":{}}]}' % events
        before = sys.getrefcount(body)
        await world.inbox.transaction("1", parse(body))
        await idle()
        assert await world.staged() == MANY
        assert sys.getrefcount(body) == before  # nothing that waits is a view of it
        world.door.refused = set()
        await world.until_handled(names("a"))


async def test_a_flood_of_large_events_stays_on_disk() -> None:
    async with World() as world:
        await world.begin()
        for number in range(200):
            large = event(f"{number}", content={"body": "x" * 60_000})
            await world.inbox.transaction("1", Transaction(events=[large]))
            assert sum(len(each.raw) for each in world.inbox._just_read.values()) <= inboxes.JUST_READ_BYTES


async def test_several_transactions_are_unpacked_in_one_sql_transaction() -> None:
    async with World() as world:
        await world.begin()
        world.door.refused = {"append"}
        for number in range(8):
            await world.push(*names(f"{number}."))
        world.door.refused = set()
        world.memory.calls.clear()
        await world.until_handled([name for number in range(8) for name in names(f"{number}.")])
        assert len(world.memory.calls) <= 2


# --- crashes and faults -----------------------------------------------------------------------------------------------


async def test_what_an_earlier_process_left_behind_comes_first() -> None:
    async with World() as before:
        await before.begin()
        before.door.refused = {"append"}
        await before.push(*names("a"))
        await before.push("b")
    async with World(sharing=before.memory) as world:
        await world.push("c")  # before the intake has looked
        await world.begin()
        await world.push("d")
        await world.until_handled([*names("a"), "b", "c", "d"])


async def test_settled_waits_for_what_is_staged_now() -> None:
    async with World() as world:
        settled = asyncio.create_task(world.inbox.intake.settled())
        await idle()
        assert not settled.done()  # nobody has looked at what an earlier process left behind
        await world.begin()
        await settled
        world.door.refused = {"append"}
        await world.push(*names("a"))
        settled = asyncio.create_task(world.inbox.intake.settled())
        await world.push(*names("b"))
        await idle()
        assert not settled.done()
        world.door.refused = set()
        await until(settled.done, clock=world.clock)
        assert world.handled[ROOM][:MANY] == names("a")
        await world.until_handled([*names("a"), *names("b")])


async def test_an_unpacking_whose_answer_is_lost_is_harmless() -> None:
    async with World() as world:
        await world.begin()
        world.memory.lost_answers = ["append", "append"]
        await world.push(*names("a"))
        await world.push("b")
        await world.until_handled([*names("a"), "b"])


@pytest.mark.parametrize("again", [True, False])
async def test_a_staging_whose_answer_is_lost_is_found(again: bool) -> None:
    """Whether or not the homeserver sends it once more."""
    async with World() as world:
        await world.begin()
        world.memory.lost_answers = ["stage"]
        with pytest.raises(StoreUnavailable):
            await world.push(*names("a"))
        if again:
            await world.push(*names("a"))
        await world.push("b")
        await world.until_handled([*names("a"), "b"])


async def test_a_staging_that_reaches_the_disk_only_later_is_found() -> None:
    async with World() as world:
        await world.begin()
        world.door.refused = {"stage"}
        with pytest.raises(StoreUnavailable):
            await world.push(*names("a"))
        await idle()
        late = NewStaged(txn_id="1", received_at=0, events=1, body=staging.join([event("late")]))
        await world.memory.stage(late, epoch=world.lease.epoch)
        await world.until_handled(["late"])


async def test_a_staging_that_is_overtaken_by_its_repeat_is_found() -> None:
    async with World() as world:
        await world.begin()
        rows = world.memory.intake.rows
        world.memory.intake.last += 1  # this number was given to it
        world.door.refused = {"stage"}
        with pytest.raises(StoreUnavailable):
            await world.push(*names("a"))
        world.door.refused = set()
        await world.push(*names("a"))
        await world.until_handled(names("a"))
        late = [event(name) for name in names("a")]
        rows[1] = Staged(number=1, txn_id="1", received_at=0, events=MANY, body=staging.join(late))
        await world.clock.advance(120)
        await world.push("b")
        await world.until_handled([*names("a"), "b"])
        assert rows == {}


async def test_what_is_pushed_meanwhile_does_not_end_the_search_for_what_appears_late() -> None:
    async with World() as world:
        await world.begin()
        rows = world.memory.intake.rows
        world.memory.intake.last += 1  # this number was given to it
        world.door.refused = {"stage"}
        with pytest.raises(StoreUnavailable):
            await world.push(*names("a"))
        world.door.refused = set()
        wanted = names("a")
        await world.push(*wanted)
        for number in range(10):
            wanted += (more := names(f"{number}."))
            await world.push(*more)
            await world.clock.advance(1)
        late = staging.join([event(name) for name in names("a")])
        rows[1] = Staged(number=1, txn_id="1", received_at=0, events=MANY, body=late)
        await world.clock.advance(120)
        await world.until_handled(wanted)
        assert rows == {}


async def test_who_has_lost_the_lease_stages_nothing() -> None:
    async with World() as world:
        await world.begin()
        other = MemoryJournal(sharing=world.memory)
        await other.open()
        await other.acquire_lease("other", now=world.clock.now() + 3_600_000, ttl_ms=1000)
        with pytest.raises(LeaseLost):
            await world.push(*names("a"))
        assert world.lease.lost.is_set()
        assert await world.staged() == 0


# --- what cannot be unpacked ------------------------------------------------------------------------------------------


async def letters(world: World) -> list[tuple[str, bytes]]:
    return [(letter.code, letter.payload) for letter in await world.memory.dead_letters()]


async def test_a_malformed_event_costs_only_itself() -> None:
    async with World() as world:
        await world.begin()
        events = [event(name) for name in names("a")]
        await world.inbox.transaction("1", Transaction(events=[*events[:3], b"5", *events[3:]]))
        await world.until_handled(names("a"))
        assert await letters(world) == [("malformed", b"5")]


@pytest.mark.parametrize("count", [3, MANY], ids=["at once", "staged"])
@pytest.mark.parametrize("where", ["reading", "writing"])
async def test_an_event_that_breaks_our_code_costs_only_itself(
    where: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World() as world:
        await world.begin()
        if where == "writing":
            world.memory.never = {"$a1"}
        else:
            real = world.inbox.entry

            def entry(event: RawEvent, *, received_at: int | None = None) -> NewEntry | None:
                if event.event_id == "$a1":
                    raise ValueError("a bug of ours")
                return real(event, received_at=received_at)

            monkeypatch.setattr(world.inbox, "entry", entry)
        await world.push("before")
        await world.push(*names("a", count))
        await world.push("after")
        rest = [name for name in names("a", count) if name != "a1"]
        await world.until_handled(["before", *rest, "after"])
        assert await letters(world) == [("bug", event("a1"))]


@pytest.mark.parametrize("body", [b"", b"[", b'{"events": []}', b"\xff"])
async def test_a_damaged_copy_is_kept_and_holds_up_nobody(body: bytes) -> None:
    async with World() as world:
        for one in (staging.join([event("a")]), body, staging.join([event("b")])):
            await world.memory.stage(NewStaged(txn_id="1", received_at=0, events=1, body=one), epoch=world.lease.epoch)
        await world.begin()
        await world.until_handled(["a", "b"])
        assert await letters(world) == [("malformed", body)]


# --- in the whole bridge ----------------------------------------------------------------------------------------------


async def test_what_is_redacted_while_it_is_staged_does_not_cross() -> None:
    harness = Harness(direct_events=0)
    await harness.start()
    room = await harness.portal()
    harness.network.next_sends(Transient("busy"))
    harness.door.refused = {"append"}
    harness.homeserver.say(room, ALICE, "one")
    two = harness.homeserver.say(room, ALICE, "two")
    harness.homeserver.say(room, ALICE, "three")
    harness.homeserver.emit(room, ALICE, "m.room.redaction", {"redacts": two}, redacts=two)
    await idle()
    assert (await harness.store.stats()).staged == 4
    harness.door.refused = set()
    await harness.settle(60)
    assert harness.network.texts("chat") == ["one", "three"]
    await harness.kill()


async def test_a_comparison_takes_nothing_staged_for_missing() -> None:
    harness = Harness(direct_events=0)
    await harness.start()
    room = await harness.portal()
    harness.door.refused = {"append"}
    for body in ("one", "two", "three"):
        harness.homeserver.say(room, ALICE, body)
    await idle()
    assert (await harness.store.stats()).staged == 3
    checking = asyncio.create_task(harness.bridge.gaps.check(room))
    await idle()
    assert not checking.done()
    harness.door.refused = set()
    await harness.until(checking.done)
    await harness.settle(60)
    assert harness.bridge.gaps.missing == 0
    assert harness.network.texts("chat") == ["one", "two", "three"]
    await harness.kill()


async def test_what_is_pushed_while_a_room_is_read_is_not_missing() -> None:
    harness = Harness(direct_events=0)
    await harness.start()
    room = await harness.portal()
    answer = harness.homeserver.gate("messages")
    checking = asyncio.create_task(harness.bridge.gaps.check(room))
    await idle()
    harness.door.refused = {"append"}
    harness.homeserver.say(room, ALICE, "one")
    harness.homeserver.say(room, ALICE, "two")
    await idle()
    assert (await harness.store.stats()).staged == 2
    answer.set()
    await idle()
    harness.door.refused = set()
    await harness.until(checking.done)
    await harness.settle(60)
    assert harness.bridge.gaps.missing == 0
    assert harness.network.texts("chat") == ["one", "two"]
    await harness.kill()


async def test_what_was_staged_before_a_crash_crosses_before_what_the_homeserver_lost() -> None:
    harness = Harness(direct_events=0)
    await harness.start()
    room = await harness.portal()
    harness.door.refused = {"append"}
    harness.homeserver.say(room, ALICE, "staged")
    await idle()
    await harness.kill()
    harness.homeserver.say(room, ALICE, "lost")
    harness.homeserver.lose_outbox()
    await harness.start()
    harness.homeserver.say(room, ALICE, "new")
    await harness.settle(120)
    assert harness.network.texts("chat") == ["staged", "lost", "new"]
    assert harness.bridge.gaps.missing == 1
    await harness.kill()
