"""Conversations that begin on Matrix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridgekit.errors import (
    HomeserverUnreachable,
    MatrixRequestError,
    NotSupported,
    Rejected,
    Transient,
)
from bridgekit.model.ids import LoginID, RemoteUserID, RoomID, UserID
from bridgekit.model.remote import Login
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, IDENTITY, MINE, Harness
from bridgekit.testing.network import FakeNetwork

BOT = IDENTITY.bot
FRIEND = UserID("@fake_friend:test")
STRANGER = UserID("@stranger:test")


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    network = FakeNetwork()
    network.people = {"Fred": RemoteUserID("friend"), "friend": RemoteUserID("friend"), "Eve Else": RemoteUserID("eve")}
    harness = Harness(network)
    await harness.start()
    await harness.settle(1)
    yield harness
    await harness.kill()


def portal_rooms(harness: Harness) -> list[RoomID]:
    """The rooms that mirror a chat."""
    return [room.id for room in harness.homeserver.rooms.values() if any(k[0] == "m.bridge" for k in room.state)]


def notices(harness: Harness, room: RoomID, sender: UserID) -> list[str]:
    return [
        event["content"]["body"]
        for event in harness.homeserver.rooms[room].timeline
        if event["sender"] == sender and event["content"].get("msgtype") == "m.notice"
    ]


class Alice:
    """In a room with the bot."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.room = harness.homeserver.invite_bot(ALICE)

    async def says(self, text: str) -> str:
        """What the bot answers."""
        await self.harness.settle(1)
        before = len(notices(self.harness, self.room, BOT))
        self.harness.homeserver.say(self.room, ALICE, text)
        await self.harness.settle(1)
        return "\n".join(notices(self.harness, self.room, BOT)[before:])


# --- pm ---------------------------------------------------------------------------------------------------------------
async def test_pm_opens_the_chat(harness: Harness) -> None:
    alice = Alice(harness)
    answer = await alice.says("pm Fred")
    (room,) = portal_rooms(harness)
    assert answer == f"Your chat with Name of friend: https://matrix.to/#/{room}?via=test"
    members = harness.homeserver.rooms[room].members
    assert members[ALICE] == "invite" and members[FRIEND] == members[BOT] == "join"
    harness.homeserver.join_person(room, ALICE)
    harness.homeserver.say(room, ALICE, "hi Fred")
    await harness.until(lambda: harness.network.texts("mine+friend") == ["hi Fred"])
    # By another name the same room; and back in, who has left it.
    harness.homeserver.remove(room, ALICE)
    assert str(room) in await alice.says("pm friend")
    assert portal_rooms(harness) == [room]
    assert members[ALICE] == "invite"
    assert "pm NAME - " in await alice.says("help")


async def test_a_name_of_several_words(harness: Harness) -> None:
    assert "Name of eve" in await Alice(harness).says("pm  Eve   Else ")


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("pm", None, "Whom do you want to write to?"),
        ("pm Nobody", None, "Nobody at Fake is known by that name."),
        ("pm Fred", Rejected("two are called Fred"), "That did not work: two are called Fred."),
        ("pm Fred", NotSupported("bots have no chats"), "That did not work: bots have no chats."),
        ("pm Fred", Transient("busy"), "That did not work: busy."),
        ("pm Fred", ConnectionResetError("gone"), "Fake does not answer. Try again later."),
        ("pm Fred", TimeoutError(), "Fake does not answer. Try again later."),
        ("pm Fred", asyncio.CancelledError(), "Fake does not answer. Try again later."),
        ("pm Fred", ZeroDivisionError("bug"), "Internal error in the bridge"),
    ],
)
async def test_pm_that_does_not_work(harness: Harness, text: str, error: BaseException | None, words: str) -> None:
    if error is not None:
        harness.network.resolve_errors.append(error)
    assert words in await Alice(harness).says(text)
    assert portal_rooms(harness) == []
    assert await harness.store.dead_letters() == []


async def test_pm_without_an_account_or_a_connection() -> None:
    harness = Harness()
    await harness.start(login=False)
    alice = Alice(harness)
    assert "You are not logged in to Fake" in await alice.says("pm Fred")
    harness.network.connect_errors.extend(ConnectionError("no") for _ in range(50))
    await alice.says("login")
    await alice.says("token")
    assert "no connection to Fake now" in await alice.says("pm Fred")
    await harness.kill()


@pytest.mark.parametrize("point", [points.ROOM_BEFORE, points.ROOM_CREATED])
async def test_killed_while_opening(harness: Harness, point: str) -> None:
    alice = Alice(harness)
    await harness.settle(1)
    dead = harness.kill_at(point)
    harness.homeserver.say(alice.room, ALICE, "pm Fred")
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.until(lambda: any("Your chat with" in each for each in notices(harness, alice.room, BOT)))
    assert len(portal_rooms(harness)) == 1


async def test_the_homeserver_is_away_while_opening(harness: Harness) -> None:
    alice = Alice(harness)
    await harness.settle(1)
    harness.homeserver.fail("create_room", HomeserverUnreachable("gone"), times=2, lost=True)
    harness.homeserver.say(alice.room, ALICE, "pm Fred")
    await harness.settle(300)
    assert sum("Your chat with" in each for each in notices(harness, alice.room, BOT)) == 1
    assert len(portal_rooms(harness)) == 1


async def test_a_chat_that_was_begun_and_given_up_holds_nobody_up(harness: Harness) -> None:
    """The homeserver is away for the first try, the network for the second: there is no third."""
    alice = Alice(harness)
    await harness.settle(1)
    harness.homeserver.fail("create_room", HomeserverUnreachable("gone"))
    harness.homeserver.say(alice.room, ALICE, "pm Fred")
    await harness.settle()
    harness.network.resolve_errors.append(ConnectionError("gone"))
    await harness.settle(60)
    assert any("does not answer" in each for each in notices(harness, alice.room, BOT))
    room = harness.homeserver.invite_bot(STRANGER)
    await harness.settle(1)
    assert "Hello!" in notices(harness, room, BOT)[0]


# --- inviting a ghost -------------------------------------------------------------------------------------------------
async def test_an_invited_ghost_makes_the_room_the_portal(harness: Harness) -> None:
    room = harness.homeserver.invite_ghost(ALICE, FRIEND)
    harness.homeserver.say(room, ALICE, "hi there")
    await harness.until(lambda: harness.network.texts("mine+friend") == ["hi there"])
    members = harness.homeserver.rooms[room].members
    assert members == {ALICE: "join", FRIEND: "join", BOT: "join"}
    assert harness.homeserver.names[FRIEND] == "Name of friend"
    harness.network.say("mine+friend", "friend", "hello yourself")
    await harness.until(lambda: "hello yourself" in harness.homeserver.bodies(room))
    assert portal_rooms(harness) == [room]
    assert notices(harness, room, FRIEND) == []
    # Later the same person by pm: the same room.
    assert str(room) in await Alice(harness).says("pm Fred")
    assert await harness.store.dead_letters() == []


async def test_what_was_said_before_the_ghost_came_in_crosses_first(harness: Harness) -> None:
    """A homeserver pushes nothing of a room in which no user of ours is yet."""
    room = harness.homeserver.invite_ghost(ALICE, FRIEND)
    invitation = harness.homeserver.outbox.pop()
    for text in ("one", "two"):
        harness.homeserver.say(room, ALICE, text)
        harness.homeserver.outbox.pop()
    harness.homeserver.outbox.append(invitation)
    harness.homeserver.say(room, ALICE, "three")
    await harness.until(lambda: len(harness.network.texts("mine+friend")) == 3)
    assert harness.network.texts("mine+friend") == ["one", "two", "three"]


async def test_power_is_passed_on_where_the_ghost_has_it(harness: Harness) -> None:
    levels = {"users": {ALICE: 100, FRIEND: 100}, "events": {"m.room.name": 50}}
    room = harness.homeserver.add_room(ALICE)
    harness.homeserver.rooms[room].state["m.room.power_levels", ""] = levels
    harness.homeserver.invite_ghost(ALICE, FRIEND, room=room)
    await harness.settle(1)
    now = harness.homeserver.rooms[room].state["m.room.power_levels", ""]
    assert now == {**levels, "users": {ALICE: 100, FRIEND: 100, BOT: 100}}


async def test_without_power_the_room_is_a_portal_all_the_same(harness: Harness) -> None:
    forbidden = MatrixRequestError(403, "M_FORBIDDEN", "no power")
    harness.homeserver.fail("send_state", forbidden, times=100)
    room = harness.homeserver.invite_ghost(ALICE, FRIEND)
    harness.homeserver.say(room, ALICE, "hi there")
    await harness.until(lambda: harness.network.texts("mine+friend") == ["hi there"])
    assert await harness.store.dead_letters() == []


async def test_a_chat_that_has_a_room(harness: Harness) -> None:
    alice = Alice(harness)
    await alice.says("pm Fred")
    (portal,) = portal_rooms(harness)
    room = harness.homeserver.invite_ghost(ALICE, FRIEND)
    await harness.settle(1)
    (words,) = notices(harness, room, FRIEND)
    assert words == f"You have a room for this chat already: https://matrix.to/#/{portal}?via=test"
    assert harness.homeserver.rooms[room].members == {ALICE: "join", FRIEND: "leave", BOT: "leave"}
    assert portal_rooms(harness) == [portal]


async def test_an_encrypted_room_gets_a_plain_one(harness: Harness) -> None:
    room = harness.homeserver.invite_ghost(ALICE, FRIEND, encrypted=True)
    await harness.settle(1)
    (portal,) = portal_rooms(harness)
    (words,) = notices(harness, room, FRIEND)
    assert "encrypted" in words and str(portal) in words
    assert harness.homeserver.rooms[room].members[FRIEND] == "leave"
    assert harness.homeserver.rooms[portal].members[ALICE] == "invite"


async def test_where_the_bot_cannot_come_the_chat_gets_a_room_of_ours(harness: Harness) -> None:
    forbidden = MatrixRequestError(403, "M_FORBIDDEN", "no power")
    room = harness.homeserver.add_room(ALICE)
    harness.homeserver.fail("invite", forbidden, when=lambda call: call["room"] == room)
    harness.homeserver.invite_ghost(ALICE, FRIEND, room=room)
    await harness.settle(1)
    (portal,) = portal_rooms(harness)
    (words,) = notices(harness, room, FRIEND)
    assert "cannot be invited" in words and str(portal) in words


async def test_a_room_with_others_or_with_a_past_stays_what_it_is(harness: Harness) -> None:
    group = harness.homeserver.invite_ghost(ALICE, FRIEND, room=harness.homeserver.add_room(ALICE, STRANGER))
    diary = harness.homeserver.add_room(ALICE)
    harness.homeserver.say(diary, ALICE, "dear diary")
    harness.homeserver.invite_ghost(ALICE, FRIEND, room=diary)
    alice = Alice(harness)
    await alice.says("help")
    harness.homeserver.invite_ghost(ALICE, FRIEND, room=alice.room)
    await harness.settle(60)
    for room, words in ((group, "nobody else"), (diary, "before I was invited"), (alice.room, "the bridge's bot")):
        assert words in notices(harness, room, FRIEND)[0]
        assert harness.homeserver.rooms[room].members[FRIEND] == "leave"
    assert harness.homeserver.rooms[diary].members[BOT] == "leave"
    assert harness.homeserver.rooms[alice.room].members[BOT] == "join"
    assert portal_rooms(harness) == []
    assert harness.network.opened == []
    assert harness.network.accepted == []


async def test_who_is_not_logged_in_is_told(harness: Harness) -> None:
    room = harness.homeserver.invite_ghost(STRANGER, FRIEND)
    await harness.settle(1)
    assert "You are not logged in to Fake" in notices(harness, room, FRIEND)[0]
    assert harness.homeserver.rooms[room].members[FRIEND] == "leave"


async def test_who_may_not_use_the_bridge_gets_no_answer(harness: Harness) -> None:
    nobody = UserID("@mallory:elsewhere")
    room = harness.homeserver.invite_ghost(nobody, FRIEND)
    await harness.settle(1)
    assert notices(harness, room, FRIEND) == []
    assert harness.homeserver.rooms[room].members[FRIEND] == "leave"


async def test_a_user_id_that_is_nobodys_ghost(harness: Harness) -> None:
    room = harness.homeserver.invite_ghost(ALICE, UserID("@fake_=zz:test"))
    await harness.settle(1)
    assert harness.homeserver.rooms[room].members[UserID("@fake_=zz:test")] == "leave"
    assert await harness.store.dead_letters() == []


async def test_an_invitation_that_was_taken_back(harness: Harness) -> None:
    room = harness.homeserver.invite_ghost(ALICE, FRIEND)
    harness.homeserver.remove(room, FRIEND)
    await harness.settle(60)
    assert notices(harness, room, FRIEND) == []
    assert portal_rooms(harness) == []


async def test_the_bot_is_invited_too(harness: Harness) -> None:
    room = harness.homeserver.invite_ghost(ALICE, FRIEND)
    harness.homeserver.rooms[room].members[BOT] = "invite"
    harness.homeserver.emit(room, ALICE, "m.room.member", {"membership": "invite"}, state_key=BOT)
    harness.homeserver.say(room, ALICE, "hi there")
    await harness.until(lambda: harness.network.texts("mine+friend") == ["hi there"])
    assert notices(harness, room, BOT) == []


@pytest.mark.parametrize("call", ["register", "join", "invite", "messages", "send_state", "joined_members"])
@pytest.mark.parametrize("lost", [True, False])
async def test_the_homeserver_is_away_meanwhile(harness: Harness, call: str, lost: bool) -> None:
    harness.homeserver.fail(call, HomeserverUnreachable("gone"), times=2, lost=lost)
    room = harness.homeserver.invite_ghost(ALICE, FRIEND)
    harness.homeserver.say(room, ALICE, "hi there")
    await harness.until(lambda: harness.network.texts("mine+friend") == ["hi there"])
    assert portal_rooms(harness) == [room]


@pytest.mark.parametrize("seed", range(4))
async def test_killed_at_any_moment_it_ends_in_one_portal(seed: int) -> None:
    """And while the same person writes from the other side."""
    harness = Harness(seed=seed)
    rng = harness.rng
    assert rng is not None
    await harness.start()
    await harness.settle(1)
    room = harness.homeserver.invite_ghost(ALICE, FRIEND)
    if seed % 2:
        harness.network.chat("mine+friend", MINE, "friend")
        harness.network.say("mine+friend", "friend", "hello from there")
    for _ in range(3):
        for _ in range(rng.randrange(60)):
            await asyncio.sleep(0)  # noqa: TID251 - one turn, no time
        await harness.kill()
        await harness.start()
    await harness.settle(120)
    portals = await harness.store.portals()
    assert len(portals) == 1
    assert portals[0].room is not None
    if portals[0].room != room:
        assert harness.homeserver.rooms[room].members[FRIEND] == "leave"
        assert str(portals[0].room) in notices(harness, room, FRIEND)[0]
    if seed % 2:
        assert harness.homeserver.bodies(portals[0].room) == ["hello from there"]
    await harness.kill()


async def test_the_account_that_is_connected_begins_the_chat(harness: Harness) -> None:
    async def script(_: object) -> Login:
        return Login(id=LoginID("asleep"), user=RemoteUserID("asleep"), name="Asleep")

    harness.network.login_script = script
    alice = Alice(harness)
    await alice.says("login")
    await harness.bridge.sessions.disconnect(LoginID(MINE))
    assert "Your chat with" in await alice.says("pm Fred")
    assert [portal.key.chat for portal in await harness.store.portals()] == ["asleep+friend"]
