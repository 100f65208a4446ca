"""Names, members and rooms, both ways, on a real homeserver."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from urllib.parse import quote

from bridgekit.core.power import ADMIN_LEVEL
from bridgekit.testing.client import ClientEvent, MatrixClient
from example_bridge.webchat.client import ChatEvent, Credentials, MemberEvent, RoleEvent, WebchatClient
from tests.support.scene import Scene, Talk
from tests.support.world import until_said

PICTURE = b"\x89PNG\r\n\x1a\n and so on"


async def until_member(client: WebchatClient, chat: str, account: str, membership: str) -> MemberEvent:
    async with asyncio.timeout(30), contextlib.aclosing(client.stream()) as stream:
        async for event in stream:
            if not isinstance(event, MemberEvent) or event.chat != chat or event.member.id != account:
                continue
            if event.membership == membership:
                return event
    raise AssertionError("the stream ended")


async def until_chat(client: WebchatClient, chat: str, wanted: Callable[[ChatEvent], bool]) -> ChatEvent:
    async with asyncio.timeout(30), contextlib.aclosing(client.stream()) as stream:
        async for event in stream:
            if isinstance(event, ChatEvent) and event.chat == chat and wanted(event):
                return event
    raise AssertionError("the stream ended")


async def until_called(client: WebchatClient, chat: str, name: str) -> str:
    """Who gave the chat this name."""
    return (await until_chat(client, chat, lambda event: event.info.name == name)).actor


async def until_role(client: WebchatClient, chat: str, account: str, role: str) -> str:
    """Who gave somebody this role."""
    async with asyncio.timeout(30), contextlib.aclosing(client.stream()) as stream:
        async for event in stream:
            if isinstance(event, RoleEvent) and (event.chat, event.member.id, event.role) == (chat, account, role):
                return event.actor
    raise AssertionError("the stream ended")


async def group(
    scene: Scene,
) -> tuple[MatrixClient, Credentials, Credentials, WebchatClient, Credentials, str, str]:
    """Alice, in a group of the network with Vera and Ben, of which she is an admin there: (Alice, her account, Vera's
    account, Vera, Ben's account, chat, room)."""
    alice = await scene.user()
    agent, _ = await scene.webchat_user("Agent Alice", kind="agent")
    (vera, visitor), (ben, _) = await scene.webchat_user("Vera"), await scene.webchat_user("Ben")
    await scene.log_in(alice, agent)
    chat = (await visitor.create_chat("group", [agent.id, ben.id], name="Plans")).id
    await visitor.send(chat, "hello")
    room = await alice.wait_for_invite()
    await alice.join(room)
    await visitor.set_role(chat, agent.id, "admin")
    return alice, agent, vera, visitor, ben, chat, room


async def test_names_and_members_both_ways(shared: Scene) -> None:
    alice, agent, vera, visitor, ben, chat, room = await group(shared)
    levels = await alice.wait_for(
        lambda e: e.type == "m.room.power_levels" and alice.user_id in e.content["users"], room_id=room
    )
    ghosts = {name: shared.slot.ghost(account.id) for name, account in (("vera", vera), ("ben", ben))}
    assert levels.content["users"][alice.user_id] == ADMIN_LEVEL
    assert levels.content["users"][ghosts["vera"]] == ADMIN_LEVEL

    # The name, from here and from there.
    await alice.set_state(room, "m.room.name", {"name": "June"})
    assert await until_called(visitor, chat, "June") == agent.id
    await visitor.change_chat(chat, name="July")
    await alice.wait_for(lambda e: e.type == "m.room.name" and e.content["name"] == "July", room_id=room)

    # Removed here, brought back and removed again there.
    where = f"client/v3/rooms/{quote(room, safe='')}"
    await alice.request("POST", f"{where}/kick", {"user_id": ghosts["ben"], "reason": "too loud"})
    event = await until_member(visitor, chat, ben.id, "leave")
    assert (event.actor, event.reason) == (agent.id, "too loud")
    await visitor.add_member(chat, ben.id)
    await alice.wait_for_count(
        lambda e: e.state_key == ghosts["ben"] and e.content.get("membership") == "join", 2, room_id=room
    )
    await visitor.remove_member(chat, ben.id, ban=True, reason="again")
    gone = await alice.wait_for(
        lambda e: e.state_key == ghosts["ben"] and e.content.get("membership") == "ban", room_id=room
    )
    assert (gone.sender, gone.content["reason"]) == (ghosts["vera"], "again")
    # What the network does not allow is undone: a banned one is not brought in from here either.
    await alice.request("POST", f"{where}/unban", {"user_id": ghosts["ben"]})
    await alice.invite(room, ghosts["ben"])
    await alice.wait_for(lambda e: e.sender == shared.bot and "was not carried out" in (e.body or ""), room_id=room)
    assert ghosts["ben"] not in await alice.joined_members(room)

    # Who leaves the room leaves the group.
    await alice.leave(room)
    await until_member(visitor, chat, agent.id, "leave")


async def test_a_picture_and_roles_reach_the_network(shared: Scene) -> None:
    alice, agent, _, visitor, ben, chat, room = await group(shared)

    def levels_with(user: str, level: int | None) -> Callable[[ClientEvent], bool]:
        return lambda e: e.type == "m.room.power_levels" and e.content["users"].get(user) == level

    await alice.wait_for(levels_with(alice.user_id, ADMIN_LEVEL), room_id=room)
    ghost = shared.slot.ghost(ben.id)
    await alice.wait_for(lambda e: e.state_key == ghost and e.content.get("membership") == "join", room_id=room)

    # The picture, which everybody in the chat can have there; and nothing of it comes back as another one.
    mxc = await alice.upload(PICTURE, "image/png")
    await alice.set_state(room, "m.room.avatar", {"url": mxc, "info": {"mimetype": "image/png", "size": len(PICTURE)}})
    event = await until_chat(visitor, chat, lambda event: bool(event.info.avatar_url))
    assert event.actor == agent.id and event.info.avatar_url is not None
    async with visitor.open_file(event.info.avatar_url.rpartition("/")[2]) as file:
        assert (b"".join([piece async for piece in file.chunks]), file.mimetype) == (PICTURE, "image/png")
    # What is none is put back.
    await alice.set_state(room, "m.room.avatar", {"url": await alice.upload(b"<html>", "image/png")})
    await alice.wait_for(lambda e: e.sender == shared.bot and "no PNG, JPEG" in (e.body or ""), room_id=room)
    assert (await alice.get_state(room, "m.room.avatar") or {})["url"] == mxc

    # Roles, given and taken.
    for level, role in ((50, "moderator"), (None, "member")):
        levels = await alice.get_state(room, "m.room.power_levels") or {}
        users = {**levels["users"], ghost: level}
        users = {user: each for user, each in users.items() if each is not None}
        await alice.set_state(room, "m.room.power_levels", {**levels, "users": users})
        assert await until_role(visitor, chat, ben.id, role) == agent.id
    # The network has the last word, also about the picture.
    await visitor.set_role(chat, ben.id, "moderator")
    await alice.wait_for_count(levels_with(ghost, 50), 2, room_id=room)
    await visitor.change_chat(chat, avatar_url="")
    await alice.wait_for(lambda e: e.type == "m.room.avatar" and not e.content.get("url"), room_id=room)


async def test_a_portal_follows_its_room(shared: Scene, talk: Talk) -> None:
    """A room that a person made, who may upgrade it."""
    alice = talk.alice
    account, visitor = await shared.webchat_user("Gwen")
    ghost = shared.slot.ghost(account.id)
    old = await alice.create_room(invite=[ghost], is_direct=True, preset="trusted_private_chat")
    await alice.send_text(old, "hello")
    await alice.wait_for(lambda e: e.type == "m.bridge", room_id=old)
    async with asyncio.timeout(30), contextlib.aclosing(visitor.stream()) as stream:
        chat = (await anext(stream)).chat
    await until_said(visitor, chat, "hello")

    version = (await alice.get_state(old, "m.room.create") or {}).get("room_version", "1")
    answer = await alice.request("POST", f"client/v3/rooms/{quote(old, safe='')}/upgrade", {"new_version": version})
    new = str(answer["replacement_room"])
    # It is private, and the bot says what to do.
    await alice.wait_for(lambda e: e.sender == shared.bot and "Invite me" in (e.body or ""), room_id=old)
    await alice.invite(new, shared.bot)
    await alice.wait_for(lambda e: e.state_key == ghost and e.content.get("membership") == "join", room_id=new)
    await alice.send_text(new, "here we are")
    await until_said(visitor, chat, "here we are")
    await visitor.send(chat, "I see")
    await alice.wait_for(lambda e: e.sender == ghost and e.body == "I see", room_id=new)
