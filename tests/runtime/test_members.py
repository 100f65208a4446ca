"""Who is in a portal's room, as the network says it: comings, goings, and who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bridgekit.core.power import ADMIN_LEVEL
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import ChatID, PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.remote import RemoteChat, RemoteMember, Role
from bridgekit.testing.harness import ALICE, MINE, Harness

CHAT = PortalKey(ChatID("chat"))


def ghost(name: str) -> UserID:
    return UserID(f"@fake_{name}:test")


def member(name: str, *, joined: bool, **more: Any) -> RemoteMember:
    return RemoteMember(portal=CHAT, user=RemoteUserID(name), joined=joined, **more)


def last_member_event(harness: Harness, room: RoomID, user: UserID) -> dict[str, Any]:
    timeline = harness.homeserver.rooms[room].timeline
    return next(e for e in reversed(timeline) if e["type"] == "m.room.member" and e.get("state_key") == user)


async def in_room(harness: Harness, *names: str) -> RoomID:
    room = await harness.portal()
    for name in names:
        harness.network.emit(member(name, joined=True))
    await harness.settle(5)
    assert all(harness.homeserver.rooms[room].members[ghost(name)] == "join" for name in names)
    return room


@pytest.mark.parametrize(
    ("role", "actor"), [(Role.MODERATOR, ghost("friend")), (Role.MEMBER, UserID("@bot:test"))], ids=["ghost", "bot"]
)
@pytest.mark.parametrize("banned", [False, True])
async def test_a_removal_is_by_whoever_may(harness: Harness, role: Role, actor: UserID, banned: bool) -> None:
    room = await in_room(harness, "ben")
    harness.network.emit(RemoteChat(portal=CHAT, roles={RemoteUserID("friend"): role}))
    by = RemoteUserID("friend")
    harness.network.emit(member("ben", joined=False, by=by, banned=banned, reason="spam"))
    await harness.settle(5)
    event = last_member_event(harness, room, ghost("ben"))
    assert event["sender"] == actor
    assert event["content"] == {"membership": "ban" if banned else "leave", "reason": "spam"}
    # And again with the network's word, also for one who was banned.
    harness.network.emit(member("ben", joined=True, by=by))
    await harness.settle(5)
    assert harness.homeserver.rooms[room].members[ghost("ben")] == "join"


async def test_who_leaves_or_is_removed_by_nobody_known(harness: Harness) -> None:
    room = await in_room(harness, "ben", "cleo")
    harness.network.emit(member("ben", joined=False))
    harness.network.emit(member("cleo", joined=False, by=RemoteUserID("nobody")))
    await harness.settle(5)
    members = harness.homeserver.rooms[room].members
    assert (members[ghost("ben")], members[ghost("cleo")]) == ("leave", "leave")
    assert last_member_event(harness, room, ghost("cleo"))["sender"] == "@bot:test"


async def test_where_the_bot_has_no_power_the_ghost_leaves(harness: Harness) -> None:
    room = await in_room(harness, "ben")
    harness.homeserver.rooms[room].creator = ALICE
    harness.network.emit(member("ben", joined=False, by=RemoteUserID("friend")))
    await harness.settle(5)
    assert harness.homeserver.rooms[room].members[ghost("ben")] == "leave"


async def test_one_who_was_added_is_invited_by_whoever_did(harness: Harness) -> None:
    room = await in_room(harness)
    inviters: list[UserID] = []

    def note(arguments: Mapping[str, Any]) -> bool:
        inviters.append(arguments["by"])
        return len(inviters) == 1  # the ghost may not invite; so the bot does

    harness.homeserver.fail("invite", MatrixRequestError(403, "M_FORBIDDEN", "no power"), times=1, when=note)
    harness.network.emit(member("ben", joined=True, by=RemoteUserID("friend")))
    await harness.settle(5)
    assert harness.homeserver.rooms[room].members[ghost("ben")] == "join"
    assert inviters[:1] == [ghost("friend")]


async def test_roles_become_power(harness: Harness) -> None:
    room = await in_room(harness, "ben")
    levels = harness.homeserver.rooms[room].state["m.room.power_levels", ""]
    said = {RemoteUserID("friend"): Role.ADMIN, RemoteUserID("ben"): Role.MODERATOR, MINE: Role.MODERATOR}
    for _ in range(2):
        harness.network.emit(RemoteChat(portal=CHAT, roles=said))
        await harness.settle(5)
    now = harness.homeserver.rooms[room].state["m.room.power_levels", ""]
    assert now == {**levels, "users": {ghost("friend"): ADMIN_LEVEL, ghost("ben"): 50, ALICE: 50}}
    writes = [e for e in harness.homeserver.rooms[room].timeline if e["type"] == "m.room.power_levels"]
    assert len(writes) == 1
    # Whoever has no role any more is a member; a person keeps what the room gave them.
    harness.network.emit(RemoteChat(portal=CHAT, roles={RemoteUserID("friend"): Role.MEMBER}))
    await harness.settle(5)
    assert harness.homeserver.rooms[room].state["m.room.power_levels", ""] == {**levels, "users": {ALICE: 50}}
