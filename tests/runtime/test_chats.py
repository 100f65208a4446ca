"""Lists of chats, and who is in them."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ChatID, PortalKey, RemoteUserID, UserID
from bridgekit.model.remote import Batch, ChatKind, RemoteChat, RemoteMember, RemoteProfile
from bridgekit.runtime import points
from bridgekit.runtime.chats import EAGER_AT_ONCE, ChatRules
from bridgekit.testing.harness import ALICE, MINE, Harness
from bridgekit.testing.homeserver import FakeRoom
from bridgekit.testing.network import FakeNetwork


def ghost(name: str) -> UserID:
    return UserID(f"@fake_{name}:test")


def key(chat: str) -> PortalKey:
    return PortalKey(ChatID(chat))


def rooms(harness: Harness) -> dict[str, FakeRoom]:
    """The portals' rooms by name."""
    named = {
        room.state.get(("m.room.name", ""), {}).get("name", ""): room for room in harness.homeserver.rooms.values()
    }
    return {name: room for name, room in named.items() if name.startswith("Chat ")}


def inside(room: FakeRoom, how: str = "join") -> set[str]:
    """Which ghosts are in a room."""
    return {user[6:-5] for user, membership in room.members.items() if membership == how and user.startswith("@fake_")}


async def listed(*chats: str, eagerly: bool = True, seed: int | None = None, **rules: Any) -> Harness:
    harness = Harness(FakeNetwork(), seed=seed, chats=ChatRules(eagerly=eagerly, **rules))
    harness.network.lists_chats = True
    for chat in chats:
        harness.network.chat(chat, MINE, "friend", f"member of {chat}")
    await harness.start()
    await harness.settle(60)
    return harness


async def test_eagerly_each_listed_chat_becomes_a_room() -> None:
    harness = await listed("one", "two")
    made = rooms(harness)
    assert set(made) == {"Chat one", "Chat two"}
    for name, room in made.items():
        assert room.members[ALICE] == "invite"
        assert inside(room) == {"friend", f"member=20of=20{name[5:]}"}
    assert harness.homeserver.names[ghost("friend")] == "Name of friend"
    # What is said there later goes to that room, and a new connection's list makes no other.
    harness.network.drop_connections()
    harness.network.say("one", "friend", "hello")
    await harness.until(lambda: harness.homeserver.bodies(made["Chat one"].id) == ["hello"])
    await harness.settle(60)
    assert rooms(harness) == made
    await harness.kill()


async def test_on_the_first_message_a_list_makes_nothing() -> None:
    harness = await listed("one", "two", eagerly=False)
    assert rooms(harness) == {}
    harness.network.say("two", "friend", "hello")
    await harness.until(lambda: list(rooms(harness)) == ["Chat two"])
    await harness.kill()


async def test_on_the_first_message_a_list_that_waited_for_its_session_makes_nothing() -> None:
    """A restart between the list's coming and its turn: then nobody can be asked yet."""
    harness = Harness(FakeNetwork(), chats=ChatRules())
    await harness.start()
    harness.kill_at(points.PULL_AFTER)
    harness.network.chat("one", MINE, "friend")
    harness.network.emit(harness.network.chats[key("one")])
    await harness.settle()
    await harness.kill()
    harness.network.connect_errors.append(ConnectionError("not yet"))
    await harness.start()
    await harness.settle(120)
    assert rooms(harness) == {}
    await harness.kill()


async def test_a_chat_that_our_account_is_not_in_becomes_no_room() -> None:
    harness = await listed()
    harness.network.chat("left", "friend", "other")
    harness.network.emit(RemoteChat(portal=key("left"), name="Chat left"))
    harness.network.chat("mine", MINE, "friend")
    harness.network.emit(RemoteChat(portal=key("mine"), name="Chat mine"))
    await harness.settle(60)
    assert set(rooms(harness)) == {"Chat mine"}
    await harness.kill()


async def test_many_chats_wait_for_each_other_and_not_the_messages_for_them() -> None:
    harness = Harness(FakeNetwork(), chats=ChatRules(eagerly=True))
    await harness.start()
    await harness.settle(1)
    gate = harness.homeserver.gate("create_room")
    for number in range(40):
        harness.network.emit(harness.network.chat(f"{number}", MINE, "friend"))
    await harness.settle()
    assert harness.homeserver.calls.count("create_room") - 1 <= EAGER_AT_ONCE  # one is the canary's
    harness.network.say("other", "friend", "hello")
    await harness.settle()
    assert harness.homeserver.calls.count("create_room") - 1 <= EAGER_AT_ONCE + 1
    gate.set()
    await harness.settle(1)
    assert len(rooms(harness)) == 41
    assert await harness.store.dead_letters() == []
    await harness.kill()


async def test_name_topic_and_members_follow() -> None:
    harness = await listed("one")
    network, (room,) = harness.network, rooms(harness).values()
    network.emit(RemoteChat(portal=key("one"), name="Chat renamed", topic="Fish", members=_ids(MINE, "a", "b")))
    await harness.settle(1)
    assert room.state["m.room.name", ""] == {"name": "Chat renamed"}
    assert room.state["m.room.topic", ""] == {"topic": "Fish"}
    assert inside(room) == {"a", "b"}
    network.emit(RemoteMember(portal=key("one"), user=RemoteUserID("c"), joined=True))
    network.emit(RemoteMember(portal=key("one"), user=RemoteUserID("a"), joined=False))
    network.emit(RemoteMember(portal=key("one"), user=RemoteUserID(MINE), joined=False))
    network.emit(RemoteProfile(user=RemoteUserID("c"), name="Cesar"))
    await harness.settle(1)
    assert inside(room) == {"b", "c"}
    assert harness.homeserver.names[ghost("c")] == "Cesar"
    # The same once more: nothing is written.
    harness.homeserver.calls.clear()
    network.emit(RemoteChat(portal=key("one"), name="Chat renamed", topic="Fish", members=_ids(MINE, "b", "c")))
    network.emit(RemoteProfile(user=RemoteUserID("c"), name="Cesar"))
    await harness.settle(1)
    assert not {"send_state", "invite", "join", "leave", "register", "set_displayname"} & set(harness.homeserver.calls)
    await harness.kill()


async def test_a_large_group_joins_in_part_and_the_others_when_they_speak() -> None:
    harness = await listed(max_members=3)
    everybody = [f"m{number}" for number in range(50)]
    harness.network.emit(harness.network.chat("big", MINE, *everybody))
    await harness.settle(1)
    (room,) = rooms(harness).values()
    assert inside(room) == {"m0", "m1", "m2"}
    harness.network.emit(RemoteMember(portal=key("big"), user=RemoteUserID("late"), joined=True))
    harness.network.say("big", "m40", "hello")
    await harness.until(lambda: harness.homeserver.bodies(room.id) == ["hello"])
    assert inside(room) == {"m0", "m1", "m2", "m40"}
    await harness.kill()


async def test_one_who_may_not_come_in_does_not_cost_the_others_their_chat() -> None:
    harness = await listed()
    banned = MatrixRequestError(403, "M_FORBIDDEN", "banned")
    harness.homeserver.fail("join", banned, times=9, when=lambda call: call["user"] == ghost("b"))
    harness.network.emit(harness.network.chat("one", MINE, "a", "b", "c"))
    await harness.settle(1)
    (room,) = rooms(harness).values()
    assert inside(room) == {"a", "c"}
    assert await harness.store.dead_letters() == []
    await harness.kill()


@pytest.mark.parametrize("call", ["register", "invite", "join", "create_room", "send_state", "leave"])
async def test_the_homeserver_is_away_in_the_middle(call: str) -> None:
    harness = await listed("one")
    (room,) = rooms(harness).values()
    harness.homeserver.fail(call, HomeserverUnreachable("gone"), times=3, lost=True)
    harness.network.emit(RemoteChat(portal=key("one"), name="Chat one b", members=_ids(MINE, "a", "b")))
    harness.network.emit(harness.network.chat("two", MINE, "a", "b", "c"))
    await harness.settle(300)
    assert inside(room) == {"a", "b"}
    assert inside(rooms(harness)["Chat two"]) == {"a", "b", "c"}
    assert len(rooms(harness)) == 2
    await harness.kill()


@pytest.mark.parametrize("point", [points.ROOM_BEFORE, points.ROOM_CREATED, points.PULL_BEFORE, points.PULL_AFTER])
async def test_killed_while_the_list_becomes_rooms(point: str) -> None:
    harness = Harness(FakeNetwork(), seed=3, chats=ChatRules(eagerly=True))
    harness.network.lists_chats = True
    await harness.start()
    await harness.settle(60)
    names = [f"{number}" for number in range(9)]
    for name in names:
        harness.network.chat(name, MINE, "friend")
    dead = harness.kill_at(point)
    harness.network.drop_connections()
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.settle(120)
    portals = [room for room in harness.homeserver.rooms.values() if "friend" in inside(room)]
    assert len(portals) == len(names)
    assert set(rooms(harness)) == {f"Chat {name}" for name in names}
    await harness.kill()


async def test_direct_chats_are_told_from_groups() -> None:
    harness = await listed()
    chats = (
        harness.network.chat("dm", MINE, "friend", kind=ChatKind.DIRECT),
        harness.network.chat("group", MINE, "friend"),
    )
    harness.network.emit(Batch(events=chats))
    await harness.settle(1)
    assert {(p.key.chat, p.dm) for p in await harness.store.portals()} == {("dm", True), ("group", False)}
    await harness.kill()


def _ids(*users: str) -> tuple[RemoteUserID, ...]:
    return tuple(RemoteUserID(user) for user in users)
