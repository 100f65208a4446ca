"""Rooms and ghosts: made once, whatever fails, and cosmetics hold up nothing."""

from __future__ import annotations

import asyncio

import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError, Transient
from bridgekit.model.ids import ChatID, LoginID, PortalKey, RemoteUserID, UserID
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import ChatKind, Login, RemoteChat
from bridgekit.testing.clock import idle
from bridgekit.testing.harness import ALICE, IDENTITY, Harness
from bridgekit.testing.network import FakeNetwork, FakeSession

FRIEND = UserID("@fake_friend:test")


def gone(status: int = 500, errcode: str = "M_UNKNOWN") -> MatrixRequestError:
    return MatrixRequestError(status, errcode, "injected")


async def test_two_events_at_once_make_one_room(harness: Harness) -> None:
    harness.network.say("chat", "friend", "one")
    harness.network.say("chat", "other", "two")
    chat = PortalKey(ChatID("chat"))
    harness.network.emit(RemoteChat(portal=chat, name="Named", members=()))
    (record,) = harness.bridge.books.logins()
    session = harness.bridge.sessions.session(record.login.id)
    portals = await asyncio.gather(*(harness.bridge.portals.ensure(chat, record, session) for _ in range(5)))
    await harness.settle(5)
    assert len({portal.room for portal in portals}) == 1
    assert harness.homeserver.calls.count("create_room") == 2  # the bot's own room, too
    room = portals[0].room
    assert room is not None
    assert harness.homeserver.bodies(room) == ["one", "two"]


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize(
    "call", ["create_room", "invite", "join", "send_state", "get_state", "register", "ensure_device", "set_displayname"]
)
@pytest.mark.parametrize("error", [HomeserverUnreachable("gone"), gone(), gone(429, "M_LIMIT_EXCEEDED"), gone(502)])
async def test_each_step_fails_twice(
    harness: Harness, call: str, lost: bool, error: HomeserverUnreachable | MatrixRequestError
) -> None:
    await harness.settle(1)
    harness.homeserver.fail(call, error, times=2, lost=lost)
    for number in range(3):
        harness.network.say("chat", "friend", f"told {number}")
    await harness.settle(60)
    portal = await harness.store.portal(PortalKey(ChatID("chat")))
    assert portal is not None and portal.room is not None
    assert harness.homeserver.bodies(portal.room) == ["told 0", "told 1", "told 2"]
    assert sum(room.members.get(ALICE) == "invite" for room in harness.homeserver.rooms.values()) == 1


async def test_a_stumbling_server_does_not_cost_the_room(harness: Harness) -> None:
    """500 M_UNKNOWN is no word on the room: it must not be given up for a second one."""
    await harness.settle(1)
    harness.homeserver.fail("get_state", gone(), times=1)
    harness.network.say("chat", "friend", "told")
    harness.homeserver.fail("join", gone(500, "M_UNKNOWN"), times=1)
    await harness.settle(60)
    assert harness.homeserver.calls.count("create_room") == 2
    assert "delete_alias" not in harness.homeserver.calls


async def test_an_event_from_a_room_that_is_being_made(harness: Harness) -> None:
    """It is pushed before createRoom answers, and waits for the room to be known."""
    await harness.settle(1)
    gate = harness.homeserver.gate("get_state")
    harness.network.say("chat", "friend", "hello")
    await idle()
    room = max(harness.homeserver.rooms, key=lambda each: int(each[5:]))
    harness.homeserver.join_person(room, ALICE)
    harness.homeserver.say(room, ALICE, "at once")
    await idle()
    gate.set()
    await harness.settle(5)
    assert harness.network.texts("chat") == ["at once"]


@pytest.mark.parametrize("turns", range(25))
async def test_an_event_while_the_room_becomes_known(turns: int) -> None:
    """However the two interleave, the event waits for the room and is not left waiting for the next one."""
    harness = Harness(seed=turns)
    await harness.start()
    await harness.settle(1)
    harness.network.say("chat", "friend", "hello")
    while harness.homeserver.calls.count("create_room") < 2 or len(harness.homeserver.rooms) < 2:
        await turn()
    room = max(harness.homeserver.rooms, key=lambda each: int(each[5:]))
    for _ in range(turns * 2):
        await turn()
    harness.homeserver.join_person(room, ALICE)
    harness.homeserver.say(room, ALICE, "at once")
    await harness.settle(5)
    assert harness.network.texts("chat") == ["at once"]
    await harness.kill()


async def turn() -> None:
    await asyncio.sleep(0)  # noqa: TID251 - one turn, no time


async def test_an_event_between_two_tries_to_make_the_room(harness: Harness) -> None:
    """createRoom's answer is lost, and the person writes before the room is found again."""
    await harness.settle(1)
    harness.homeserver.fail("create_room", HomeserverUnreachable("no answer"), lost=True)
    harness.homeserver.fail("resolve_alias", HomeserverUnreachable("no answer"), times=5)
    harness.network.say("chat", "friend", "hello")
    await idle()
    room = max(harness.homeserver.rooms, key=lambda each: int(each[5:]))
    harness.homeserver.join_person(room, ALICE)
    harness.homeserver.say(room, ALICE, "at once")
    await harness.settle(600)
    assert harness.network.texts("chat") == ["at once"]
    assert harness.homeserver.bodies(room) == ["hello"]


async def test_a_kicked_ghost_comes_back(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.remove(room, FRIEND)
    harness.network.say("chat", "friend", "again")
    await harness.settle(1)
    assert harness.homeserver.bodies(room) == ["hello", "again"]


async def test_a_lost_room_holds_up_nobody(harness: Harness) -> None:
    room = await harness.portal()
    del harness.homeserver.rooms[room]
    harness.network.say("chat", "friend", "again")
    harness.network.say("chat", "friend", "and again")
    harness.network.say("other", "friend", "elsewhere")
    await harness.settle(60)
    assert await harness.store.dead_letters() == []
    assert any(harness.homeserver.bodies(each) == ["again", "and again"] for each in harness.homeserver.rooms)
    assert any(harness.homeserver.bodies(each) == ["elsewhere"] for each in harness.homeserver.rooms)


@pytest.mark.parametrize("error", [Transient("later"), ConnectionResetError(), KeyError("a bug"), RuntimeError()])
async def test_a_network_that_does_not_describe(harness: Harness, error: Exception) -> None:
    harness.network.describe_errors.extend([error, error])
    await harness.portal()
    assert harness.homeserver.names[FRIEND] == "friend"
    assert await harness.store.dead_letters() == []


@pytest.mark.parametrize("name", ["x" * 10_000, "nul \x00", "half \ud83d"], ids=["long", "nul", "surrogate"])
async def test_odd_names(harness: Harness, name: str) -> None:
    harness.network.names[RemoteUserID("friend")] = name
    shown = harness.homeserver.names
    chat = PortalKey(ChatID("chat"))
    harness.network.chats[chat] = RemoteChat(portal=chat, kind=ChatKind.GROUP, name=name, topic=name, members=())
    await harness.portal()
    assert 0 < len(shown[FRIEND].encode()) <= 256
    assert "\x00" not in shown[FRIEND]


async def test_a_refused_name_does_not_cost_the_messages(harness: Harness) -> None:
    harness.homeserver.fail("set_displayname", gone(400, "M_UNKNOWN"), times=100)
    room = await harness.portal()
    assert harness.homeserver.bodies(room) == ["hello"]


@pytest.mark.parametrize("chat", ["日" * 300, "x" * 5000, "a/b c\x00", "\U0001f600" * 100], ids=range(4))
async def test_odd_chat_ids(harness: Harness, chat: str) -> None:
    room = await harness.portal(chat)
    for _, state_key in harness.homeserver.rooms[room].state:
        assert len(state_key.encode()) <= 255


async def test_each_login_is_invited_once() -> None:
    harness = Harness(FakeNetwork())
    await harness.start()
    bob = LoginRecord(login=Login(id=LoginID("bob"), user=RemoteUserID("bob")), user_id=UserID("@bob:test"))
    await harness.bridge.logins.add(bob)
    room = await harness.portal()
    harness.network.say("chat", "friend", "again")
    await harness.settle(60)
    assert harness.homeserver.rooms[room].members[UserID("@bob:test")] == "invite"
    assert harness.homeserver.rooms[room].members[ALICE] == "join"
    assert IDENTITY.bot in harness.homeserver.rooms[room].members
    assert FakeSession.dedupes_for is not None
    await harness.kill()
