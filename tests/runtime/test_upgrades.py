"""A portal follows its room to the replacement, if both rooms name each other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ChatID, PortalKey, RoomID, UserID
from bridgekit.model.records import ValueSaved
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.homeserver import FakeRoom

CHAT = PortalKey(ChatID("chat"))
BOT, FRIEND = UserID("@bot:test"), UserID("@fake_friend:test")
LEVELS = {"users": {BOT: 100, ALICE: 100}, "invite": 50, "state_default": 50}


def room_of(harness: Harness, room: RoomID) -> FakeRoom:
    return harness.homeserver.rooms[room]


def replaced(
    harness: Harness, old: RoomID, *, invited: bool = True, predecessor: RoomID | None = None, levels: Any = LEVELS
) -> RoomID:
    """Alice upgrades a room."""
    new = harness.homeserver.add_room(ALICE)
    room = room_of(harness, new)
    room.state["m.room.create", ""] = {"room_version": "12", "predecessor": {"room_id": predecessor or old}}
    room.state["m.room.power_levels", ""] = levels
    if invited:
        room.members[BOT] = "invite"
    harness.homeserver.set_state(old, ALICE, "m.room.tombstone", {"body": "moved", "replacement_room": new})
    return new


async def moved(harness: Harness, new: RoomID) -> bool:
    portal = await harness.store.portal(CHAT)
    return portal is not None and portal.room == new


async def test_the_portal_follows(harness: Harness) -> None:
    old = await harness.portal()
    new = replaced(harness, old)
    await harness.settle(5)
    assert await moved(harness, new)
    room = room_of(harness, new)
    assert room.members[FRIEND] == "join" and room.members[BOT] == "join"
    assert room.state["m.room.name", ""] == {"name": "Chat chat"}
    assert any(type == "m.bridge" for type, _ in room.state)
    assert new in harness.homeserver.aliases.values() and old not in harness.homeserver.aliases.values()
    harness.network.say("chat", "friend", "there")
    harness.homeserver.say(new, ALICE, "here")
    await harness.settle(5)
    assert harness.homeserver.bodies(new) == ["there"]
    # What is still said in the old room is for the chat all the same.
    harness.homeserver.say(old, ALICE, "late")
    await harness.settle(5)
    assert harness.network.texts("chat") == ["here", "late"]
    assert len(harness.homeserver.rooms) == 3  # the bot's own room, too


@pytest.mark.parametrize("is_moved", [True, False])
async def test_what_becomes_of_the_old_room(harness: Harness, is_moved: bool) -> None:
    """People leave it, take its bots out, call it something else: nothing of that is about the chat."""
    old = await harness.portal()
    new = replaced(harness, old, invited=is_moved)
    await harness.settle(5)
    harness.homeserver.set_state(old, ALICE, "m.room.name", {"name": "Chat chat" if not is_moved else "old"})
    if is_moved:
        harness.homeserver.set_membership(old, ALICE, FRIEND, "leave")
        harness.homeserver.set_membership(old, ALICE, BOT, "leave")
    harness.homeserver.set_membership(old, ALICE, ALICE, "leave")
    await harness.settle(5)
    assert harness.network.tried == []
    assert await moved(harness, new if is_moved else old)
    assert await harness.store.dead_letters() == []


async def test_and_follows_again(harness: Harness) -> None:
    first = await harness.portal()
    second = replaced(harness, first)
    await harness.settle(5)
    third = replaced(harness, second)
    await harness.settle(5)
    assert await moved(harness, third)
    harness.homeserver.say(first, ALICE, "very late")
    await harness.settle(5)
    assert harness.network.texts("chat") == ["very late"]


@pytest.mark.parametrize("why", ["predecessor", "no entry", "no power"])
async def test_an_upgrade_that_is_not_followed(harness: Harness, why: str) -> None:
    old = await harness.portal()
    new = replaced(
        harness,
        old,
        invited=why != "no entry",
        predecessor=RoomID("!elsewhere") if why == "predecessor" else None,
        levels=LEVELS if why != "no power" else {"users": {ALICE: 100}, "invite": 50},
    )
    await harness.settle(5)
    assert not await moved(harness, new)
    assert len(harness.homeserver.bodies(old, notices=True)) == 1
    assert room_of(harness, new).members.get(BOT) != "join"
    # Once it is let in, the portal follows; but never a room that says it comes from elsewhere.
    room_of(harness, new).state["m.room.power_levels", ""] = LEVELS
    harness.homeserver.set_membership(new, ALICE, BOT, "invite")
    await harness.settle(5)
    assert await moved(harness, new) is (why != "predecessor")


async def test_a_room_of_another_chat_is_not_taken(harness: Harness) -> None:
    old = await harness.portal()
    other = await harness.portal("other")
    harness.homeserver.set_state(old, ALICE, "m.room.tombstone", {"replacement_room": other})
    await harness.settle(5)
    assert not await moved(harness, other)


@pytest.mark.parametrize("content", [{}, {"replacement_room": 5}, {"replacement_room": "x"}, {"replacement_room": ""}])
async def test_a_tombstone_that_names_nothing(harness: Harness, content: dict[str, Any]) -> None:
    old = await harness.portal()
    harness.homeserver.set_state(old, ALICE, "m.room.tombstone", content)
    await harness.settle(5)
    assert await moved(harness, old)


@pytest.mark.parametrize("call", ["join", "get_state", "send_state", "create_alias", "delete_alias", "invite"])
@pytest.mark.parametrize("lost", [False, True])
async def test_each_step_fails_twice(harness: Harness, call: str, lost: bool) -> None:
    old = await harness.portal()
    harness.homeserver.fail(call, HomeserverUnreachable("gone"), times=2, lost=lost)
    new = replaced(harness, old)
    await harness.until(lambda: room_of(harness, new).members[BOT] == "join")  # from then on we hear of what is said
    harness.homeserver.say(new, ALICE, "at once")
    harness.network.say("chat", "friend", "meanwhile")
    await harness.settle(120)
    assert await moved(harness, new)
    assert harness.network.texts("chat") == ["at once"]
    assert [*harness.homeserver.bodies(old), *harness.homeserver.bodies(new)] == ["hello", "meanwhile"]
    assert room_of(harness, new).members[FRIEND] == "join"
    assert await harness.store.dead_letters() == []


@pytest.mark.parametrize("after", range(0, 24, 2))
async def test_a_crash_at_any_write(after: int) -> None:
    harness = Harness(seed=after)
    await harness.start()
    old = await harness.portal()
    new = replaced(harness, old)
    for _ in range(after * 3):
        await turn()
    await harness.kill()
    await harness.start()
    await harness.until(lambda: room_of(harness, new).members[BOT] == "join")
    harness.homeserver.say(new, ALICE, "at once")
    await harness.settle(120)
    assert await moved(harness, new)
    assert harness.network.texts("chat") == ["at once"]
    assert room_of(harness, new).members[FRIEND] == "join"
    await harness.kill()


async def turn() -> None:
    await asyncio.sleep(0)  # noqa: TID251 - one turn, no time


@pytest.mark.parametrize("let_in", [True, False])
async def test_where_ghosts_may_not_speak_any_more(harness: Harness, let_in: bool) -> None:
    """Homeservers take the power to speak from the old room. A message waits for a while, and is not lost."""
    old = await harness.portal()
    new = replaced(harness, old, invited=False)
    await harness.settle(5)
    harness.homeserver.fail(
        "send_event",
        MatrixRequestError(403, "M_FORBIDDEN", "no power"),
        times=1_000,
        when=lambda arguments: arguments["room"] == old and arguments["user"] != BOT,
    )
    harness.network.say("chat", "friend", "waits")
    await harness.settle(20)
    if let_in:
        harness.homeserver.set_membership(new, ALICE, BOT, "invite")
    await harness.settle(600)
    assert await moved(harness, new) is let_in
    (where,) = (room for room in harness.homeserver.rooms if "waits" in harness.homeserver.bodies(room))
    assert where != old and await harness.store.dead_letters() == []


async def test_rooms_that_name_each_other_lead_nowhere(harness: Harness) -> None:
    """Whoever runs a homeserver can make such a circle of rooms; a chat may have left it since."""
    here, there = harness.homeserver.add_room(ALICE), harness.homeserver.add_room(ALICE)
    for room, other in ((here, there), (there, here)):
        await harness.bridge.books.save(ValueSaved(f"moved {room}", other))
        room_of(harness, room).members[BOT] = "join"
    harness.homeserver.say(here, ALICE, "round and round")
    harness.homeserver.say(there, ALICE, "and round")
    await harness.settle(5)
    assert harness.network.tried == [] and await harness.store.dead_letters() == []
    assert await harness.store.lanes() == []


async def test_a_portal_that_comes_back_is_heard_in_every_room(harness: Harness) -> None:
    first = await harness.portal()
    second = replaced(harness, first)
    await harness.settle(5)
    room_of(harness, first).state["m.room.create", ""] = {"predecessor": {"room_id": second}}
    room_of(harness, first).state["m.room.power_levels", ""] = LEVELS
    harness.homeserver.set_state(second, ALICE, "m.room.tombstone", {"replacement_room": first})
    await harness.settle(5)
    assert await moved(harness, first)
    harness.homeserver.say(second, ALICE, "still here")
    harness.homeserver.say(first, ALICE, "back")
    await harness.settle(5)
    assert sorted(harness.network.texts("chat")) == ["back", "still here"]
