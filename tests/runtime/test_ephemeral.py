from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridgekit.adapter.capabilities import CanMarkRead, CanType
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError, StoreError, Transient
from bridgekit.model.ids import ChatID, EventID, LoginID, PortalKey, RemoteMessageID, RemoteUserID, RoomID, UserID
from bridgekit.model.matrix import MatrixReceipt, MatrixTyping
from bridgekit.model.raw import Transaction
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Batch, Login, RemoteMember, RemoteReceipt, RemoteTyping
from bridgekit.testing.deeds import Outcome
from bridgekit.testing.harness import ALICE, IDENTITY, MINE, Harness
from bridgekit.testing.network import FakeNetwork

CHAT = PortalKey(ChatID("chat"))
FRIEND = RemoteUserID("friend")
GHOST = IDENTITY.ghosts.user_id(FRIEND)
BOB = UserID("@bob:test")


class World:
    """A bridge with one portal, in which the friend has said hello."""

    def __init__(self, harness: Harness, room: RoomID) -> None:
        self.harness = harness
        self.room = room
        self.network = harness.network
        self.homeserver = harness.homeserver
        self._count = 0

    async def push(self, *edus: dict[str, Any], events: tuple[bytes, ...] = ()) -> None:
        self._count += 1
        raws = tuple(json.dumps({"room_id": self.room, **edu}).encode() for edu in edus)
        await self.harness.bridge.transaction(f"e{self._count}", Transaction(events=events, ephemeral=raws))
        await self.harness.settle()

    async def read(self, event_id: str, user: UserID = ALICE, *, kind: str = "m.read", ts: int = 5) -> None:
        await self.push({"type": "m.receipt", "content": {event_id: {kind: {user: {"ts": ts}}}}})

    async def write(self, *users: UserID) -> None:
        await self.push({"type": "m.typing", "content": {"user_ids": list(users)}})

    async def says(self, text: str, *, at: int | None = None, id: str | None = None) -> EventID:
        """The friend says something; its event."""
        self.network.say("chat", FRIEND, text, at=at, id=id)
        await self.harness.until(lambda: text in self.homeserver.bodies(self.room))
        await self.harness.settle()
        return self.event(text)

    def event(self, text: str) -> EventID:
        timeline = self.homeserver.rooms[self.room].timeline
        (found,) = [event["event_id"] for event in timeline if event["content"].get("body") == text]
        return EventID(found)

    async def typing(self, user: str = FRIEND, *, chat: PortalKey = CHAT, **more: Any) -> None:
        self.network.emit(RemoteTyping(portal=chat, user=RemoteUserID(user), **more))
        await self.harness.settle()

    async def receipt(self, up_to: str, user: str = FRIEND, *, chat: PortalKey = CHAT) -> None:
        self.network.emit(RemoteReceipt(portal=chat, user=RemoteUserID(user), up_to=RemoteMessageID(up_to)))
        await self.harness.settle()

    @property
    def told(self) -> list[bool]:
        return [typing.typing for typing in self.network.typing]

    @property
    def marked(self) -> list[RemoteMessageID]:
        return [receipt.up_to for receipt in self.network.receipts]

    def is_typing(self) -> bool:
        return (self.room, GHOST) in self.homeserver.typing


async def world_of(harness: Harness) -> World:
    await harness.start()
    return World(harness, await harness.portal())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    harness = Harness()
    yield await world_of(harness)
    await harness.kill()


# --- receipts to the network ------------------------------------------------------------------------------------------
async def test_a_receipt_reaches_the_network(world: World) -> None:
    await world.read(world.event("hello"), ts=7)
    assert world.network.receipts == [MatrixReceipt(portal=CHAT, up_to=RemoteMessageID("m1"), timestamp=7)]


async def test_receipts_go_forward_only(world: World) -> None:
    first, second, third = world.event("hello"), await world.says("2"), await world.says("3")
    for event in (second, first, second, third, first):
        await world.read(event)
        await world.harness.settle(2)
    assert world.marked == ["m2", "m3"]


async def test_messages_of_the_same_moment_are_read_as_they_come(world: World) -> None:
    at = world.harness.clock.now()
    for event in (await world.says("2", at=at), await world.says("3", at=at)):
        await world.read(event)
        await world.harness.settle(2)
    assert world.marked == ["m2", "m3"]


async def test_a_message_from_the_future_does_not_hold_up_receipts(world: World) -> None:
    await world.read(await world.says("from the year 3000", at=32_503_680_000_000))
    await world.harness.settle(2)
    await world.read(await world.says("now", at=world.harness.clock.now()))
    assert world.marked == ["m2", "m3"]


async def test_receipts_are_coalesced(world: World) -> None:
    events = [world.event("hello"), *[await world.says(str(number)) for number in (2, 3, 4)]]
    for event in events:
        await world.read(event)
    assert world.marked == ["m1"]
    await world.harness.settle(1)
    assert world.marked == ["m1", "m4"]


@pytest.mark.parametrize(
    ("user", "kind"),
    [(BOB, "m.read"), (GHOST, "m.read"), (IDENTITY.bot, "m.read"), (ALICE, "m.read.private"), (ALICE, "m.fully_read")],
)
async def test_receipts_that_concern_nobody(world: World, user: UserID, kind: str) -> None:
    await world.read(world.event("hello"), user, kind=kind)
    assert world.marked == []


async def test_a_receipt_of_no_message(world: World) -> None:
    await world.read("$unknown")
    await world.push({"type": "m.receipt", "room_id": "!elsewhere", "content": {"$a": {"m.read": {ALICE: {"ts": 1}}}}})
    await world.push({"type": "m.receipt", "content": "nonsense"}, {"type": "m.typing"})
    assert world.marked == []


async def test_a_message_that_is_read_while_it_is_being_sent(world: World) -> None:
    gate = asyncio.Event()
    world.network.next_sends(Outcome(gate=gate))
    mine = world.homeserver.say(world.room, ALICE, "to you")
    await world.harness.until(lambda: world.network.texts("chat") == ["to you"])
    # Both sides know of it already, and the bridge does not know yet that it is one.
    await world.read(mine)
    await world.receipt("s1")
    assert (world.marked, world.homeserver.receipts.get((world.room, GHOST))) == ([], None)
    gate.set()
    await world.harness.settle(1)
    assert world.marked == ["s1"]
    assert world.homeserver.receipts[world.room, GHOST] == mine


async def test_what_fails_at_the_network_is_not_repeated(world: World) -> None:
    world.network.next_deeds("mark_read", Transient("busy"), ValueError("a bug"))
    await world.read(world.event("hello"))
    await world.harness.settle(10)
    await world.read(await world.says("2"))
    await world.harness.settle(10)
    assert (world.marked, len(world.network.tries_of("mark_read"))) == ([], 2)
    await world.read(await world.says("3"))
    assert world.marked == ["m3"]


async def test_no_message_waits_for_a_receipt(world: World) -> None:
    gate = asyncio.Event()
    world.network.next_deeds("mark_read", Outcome(gate=gate))
    world.network.next_deeds("set_typing", Outcome(gate=gate))
    await world.read(world.event("hello"))
    await world.write(ALICE)
    world.homeserver.say(world.room, ALICE, "to you")
    await world.harness.until(lambda: world.network.texts("chat") == ["to you"])
    await world.read(await world.says("2", id="second"))
    await world.harness.settle(5)
    assert (world.marked, world.told) == (["m1"], [True])  # one call at a time
    gate.set()
    await world.harness.settle(1)
    assert (world.marked, world.told) == (["m1", "second"], [True, True])


async def test_a_network_that_wants_neither() -> None:
    harness = Harness(FakeNetwork(lacks=[CanMarkRead, CanType]))
    world = await world_of(harness)
    await world.read(world.event("hello"))
    await world.write(ALICE)
    await harness.settle(10)
    assert world.network.tried == []
    await harness.kill()


async def test_while_the_network_is_away(world: World) -> None:
    world.network.connect_errors.append(OSError("away"))
    world.network.drop_connections()
    await world.harness.settle()
    await world.read(world.event("hello"))
    await world.write(ALICE)
    await world.harness.until(lambda: world.network.connections == 2)
    await world.harness.settle(10)
    assert world.network.tried == []
    await world.read(world.event("hello"))
    assert world.marked == ["m1"]


# --- typing to the network --------------------------------------------------------------------------------------------
async def test_typing_is_repeated_while_it_lasts_and_stops_at_once(world: World) -> None:
    await world.write(ALICE, BOB, GHOST)
    assert world.network.typing == [MatrixTyping(portal=CHAT, typing=True)]
    await world.write(ALICE)
    await world.harness.settle(3.9)
    assert world.told == [True]
    await world.harness.settle(0.1)
    assert world.told == [True, True]
    await world.write(BOB)
    assert world.told == [True, True, False]
    await world.harness.settle(100)
    assert world.told == [True, True, False]


async def test_typing_ends_though_nobody_says_so(world: World) -> None:
    await world.write(ALICE)
    await world.harness.settle(59.9)
    assert world.told == [True] * 15
    await world.harness.settle(0.1)
    assert world.told == [True] * 15 + [False]
    await world.write(ALICE)
    assert world.told[-1] is True


async def test_typing_that_fails_is_not_repeated(world: World) -> None:
    world.network.next_deeds("set_typing", Transient("busy"))
    await world.write(ALICE)
    await world.harness.settle(30)
    await world.write()
    assert (world.told, len(world.network.tries_of("set_typing"))) == ([], 1)


async def test_typing_of_people_without_a_login_stays_here(world: World) -> None:
    await world.write(BOB, GHOST, IDENTITY.bot)
    assert world.told == []


# --- receipts to Matrix -----------------------------------------------------------------------------------------------
async def test_a_remote_receipt_is_the_ghosts(world: World) -> None:
    mine = world.homeserver.say(world.room, ALICE, "to you")
    await world.harness.until(lambda: world.network.texts("chat") == ["to you"])
    await world.harness.settle()
    await world.receipt("s1")
    assert world.homeserver.receipts[world.room, GHOST] == mine
    await world.harness.settle(2)
    await world.receipt("m1")  # back
    assert world.homeserver.receipts[world.room, GHOST] == mine


async def test_remote_receipts_are_coalesced(world: World) -> None:
    for number in (2, 3, 4):
        await world.says(str(number))
    before = world.homeserver.calls.count("send_receipt")
    for id in ("m1", "m2", "m3", "m4"):
        await world.receipt(id)
    assert world.homeserver.receipts[world.room, GHOST] == world.event("hello")
    await world.harness.settle(1)
    assert world.homeserver.receipts[world.room, GHOST] == world.event("4")
    assert world.homeserver.calls.count("send_receipt") == before + 2


async def test_nothing_is_made_for_what_passes(world: World) -> None:
    rooms, users = set(world.homeserver.rooms), set(world.homeserver.users)
    elsewhere = PortalKey(ChatID("elsewhere"))
    for user, chat in [("stranger", CHAT), (FRIEND, elsewhere), ("stranger", elsewhere)]:
        await world.typing(user, chat=chat)
        await world.receipt("m1", user, chat=chat)
    await world.receipt("unknown")
    await world.harness.settle(30)
    assert (set(world.homeserver.rooms), set(world.homeserver.users)) == (rooms, users)
    assert world.homeserver.typing == {}
    assert [user for _, user in world.homeserver.receipts if user != IDENTITY.bot] == []


async def test_what_our_own_account_does_is_ignored(world: World) -> None:
    world.network.say("chat", MINE, "from my phone")  # it has a ghost now
    await world.harness.until(lambda: "from my phone" in world.homeserver.bodies(world.room))
    await world.typing(MINE)
    await world.receipt("m1", MINE)
    assert "set_typing" not in world.homeserver.calls
    assert [user for _, user in world.homeserver.receipts if user != IDENTITY.bot] == []


async def test_who_has_left_neither_reads_nor_writes(world: World) -> None:
    world.network.emit(RemoteMember(portal=CHAT, user=FRIEND, joined=False))
    await world.harness.until(lambda: world.homeserver.rooms[world.room].members[GHOST] == "leave")
    await world.harness.settle(1)
    await world.typing()
    await world.receipt("m1")
    assert "set_typing" not in world.homeserver.calls
    assert (world.room, GHOST) not in world.homeserver.receipts


async def test_what_waits_is_dropped_while_the_homeserver_is_away(world: World) -> None:
    await world.says("2")
    error = HomeserverUnreachable("no answer", endpoint="receipt")
    world.homeserver.fail("send_receipt", error, when=lambda call: call["user"] == GHOST)
    gate = world.homeserver.gate("send_receipt")
    await world.receipt("m1")
    await world.receipt("m2")
    gate.set()
    await world.harness.settle(10)
    assert (world.room, GHOST) not in world.homeserver.receipts


# --- typing to Matrix -------------------------------------------------------------------------------------------------
async def test_a_ghost_types_until_it_expires(world: World) -> None:
    await world.typing(expires_s=12)
    assert world.homeserver.typing == {(world.room, GHOST): 12_000}
    await world.harness.settle(11.9)
    assert world.is_typing()
    await world.harness.settle(0.1)
    assert not world.is_typing()
    await world.harness.settle(100)
    assert world.homeserver.calls.count("set_typing") == 2


async def test_long_typing_is_renewed(world: World) -> None:
    await world.typing(expires_s=50)
    assert world.homeserver.typing[world.room, GHOST] == 20_000
    await world.harness.settle(45)
    assert world.homeserver.typing[world.room, GHOST] == 5_000
    assert world.homeserver.calls.count("set_typing") == 4
    await world.harness.settle(5)
    assert not world.is_typing()


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 1e300])
async def test_nobody_types_for_ever(world: World, seconds: float) -> None:
    await world.typing(expires_s=seconds)
    assert world.is_typing()
    await world.harness.settle(120)
    assert not world.is_typing()


@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
async def test_odd_times(world: World, seconds: float) -> None:
    await world.typing(expires_s=seconds)
    await world.harness.settle(120)
    assert not world.is_typing()


async def test_a_ghost_stops_typing(world: World) -> None:
    await world.typing()
    await world.typing(typing=False)
    assert not world.is_typing()
    await world.harness.settle(1)
    await world.typing()
    assert world.is_typing()
    await world.says("here it is")
    assert not world.is_typing()


async def test_something_malformed_does_not_end_the_session(world: World) -> None:
    await world.typing(expires_s="long")
    await world.receipt("m1", user=["not", "hashable"])  # type: ignore[arg-type]
    await world.typing()
    assert world.is_typing()
    assert world.network.connections == 1


async def test_while_the_homeserver_is_away(world: World) -> None:
    world.homeserver.fail("set_typing", HomeserverUnreachable("no answer", endpoint="typing"), times=2)
    world.homeserver.fail("send_receipt", HomeserverUnreachable("no answer", endpoint="receipt"), times=100)
    await world.typing()
    await world.receipt("m1")
    await world.harness.settle(30)
    assert world.homeserver.calls.count("set_typing") == 1
    world.homeserver.mend()
    await world.typing()
    assert world.is_typing()
    await world.says("2", id="second")
    await world.receipt("second")
    assert world.homeserver.receipts[world.room, GHOST] == world.event("2")


async def test_a_refusal_of_the_homeserver(world: World) -> None:
    world.homeserver.fail("set_typing", MatrixRequestError(403, "M_FORBIDDEN", "no"))
    await world.typing()
    await world.harness.settle(30)
    assert world.homeserver.calls.count("set_typing") == 1


async def test_what_several_logins_see_one_of_them_says(world: World) -> None:
    other = Login(id=LoginID("other"), user=RemoteUserID("other"), name="Other")
    await world.harness.bridge.logins.add(LoginRecord(login=other, user_id=BOB))
    await world.harness.until(lambda: world.network.connections == 2)
    await world.says("both see it")
    await world.harness.settle(10)  # the copy has made the other login one of the portal's
    sees = [record.login.id for record in await world.harness.bridge.books.portal_logins(CHAT)]
    assert sees == [MINE, "other"]
    world.network.emit(RemoteTyping(portal=CHAT, user=FRIEND), to=LoginID(MINE))
    await world.harness.settle()
    world.network.emit(RemoteTyping(portal=CHAT, user=FRIEND, typing=False), to=LoginID(MINE))
    await world.harness.settle(2)
    world.network.emit(RemoteTyping(portal=CHAT, user=FRIEND), to=LoginID("other"))  # late
    await world.harness.settle()
    assert not world.is_typing()


async def test_people_with_several_logins_in_a_room(world: World) -> None:
    other = Login(id=LoginID("other"), user=RemoteUserID("other"), name="Other")
    await world.harness.bridge.logins.add(LoginRecord(login=other, user_id=BOB))
    await world.harness.until(lambda: world.network.connections == 2)
    second = await world.says("both see it", id="second")
    await world.harness.settle(10)
    await world.read(second, BOB)
    await world.write(BOB)
    assert [(call.login, call.deed) for call in world.network.done] == [("other", "mark_read"), ("other", "set_typing")]


# --- beside the journal -----------------------------------------------------------------------------------------------
async def test_nothing_is_written_down(world: World) -> None:
    world.harness.door.refused |= {"append", "stage", "record", "complete"}
    await world.write(ALICE)
    await world.read(world.event("hello"))
    await world.typing()
    await world.receipt("m1")
    assert (world.told, world.marked, world.is_typing()) == ([True], ["m1"], True)
    assert world.homeserver.receipts[world.room, GHOST] == world.event("hello")


async def test_messages_beside_it_are_written_down(world: World) -> None:
    message = world.network.say("chat", FRIEND, "2")
    world.network.emit(
        Batch(
            events=(
                RemoteTyping(portal=CHAT, user=FRIEND),
                RemoteReceipt(portal=CHAT, user=FRIEND, up_to=message.id),
            ),
            state=b"ratchet",
        )
    )
    await world.harness.settle(1)
    assert world.is_typing()
    assert world.homeserver.receipts[world.room, GHOST] == world.event("2")
    stored = await world.harness.store.login(LoginID(MINE))
    assert stored is not None
    assert stored.login.state == b"ratchet"
    assert await world.harness.store.dead_letters() == []


@pytest.mark.parametrize("direct_events", [None, 0], ids=["at once", "staged"])
async def test_it_waits_for_no_disk(direct_events: int | None) -> None:
    harness = Harness(direct_events=direct_events)
    world = await world_of(harness)
    harness.door.refused |= {"append", "stage"}
    event = json.dumps(
        {
            "event_id": "$x",
            "room_id": world.room,
            "sender": ALICE,
            "type": "m.room.message",
            "content": {"msgtype": "m.text", "body": "x"},
        }
    ).encode()
    with pytest.raises(StoreError):
        await world.push({"type": "m.typing", "content": {"user_ids": [ALICE]}}, events=(event,))
    await harness.settle()
    assert world.told == [True]
    await harness.kill()


async def test_the_end_waits_for_none_of_it() -> None:
    before = asyncio.all_tasks()
    harness = Harness()
    world = await world_of(harness)
    world.network.next_deeds("mark_read", Outcome(gate=asyncio.Event()))
    await world.read(world.event("hello"))
    await world.write(ALICE)
    await world.typing()
    harness.homeserver.gate("send_receipt")
    await world.receipt("m1")
    await harness.stop()
    await harness.settle()
    assert asyncio.all_tasks() == before
