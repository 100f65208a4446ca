"""Chat lists, catching up after days away, and chats that begin on Matrix: on a real Synapse."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets

import pytest

from bridgekit.testing.api import Json
from bridgekit.testing.client import ClientEvent, MatrixClient
from example_bridge.webchat.client import MessageEvent
from tests.acceptance.conftest import SceneFactory
from tests.support.scene import Scene, Talk
from tests.support.world import until_said


async def test_eager_list_makes_rooms_with_members_and_names(make_scene: SceneFactory) -> None:
    async with make_scene(more={"chats": {"create": "eagerly", "max_members": 2}}) as scene:
        alice, (agent, agent_client) = await scene.user(), await scene.webchat_user("Agent Alice", kind="agent")
        people = [await scene.webchat_user(name) for name in ("Vera", "Bob", "Carol")]
        (_, visitor), (bob, _), (carol, _) = people
        group = await visitor.create_chat("group", [agent.id, bob.id, carol.id], name="Support")
        await scene.log_in(alice, agent)

        room = await alice.wait_for_invite()
        await alice.join(room)
        assert (await alice.get_state(room, "m.room.name")) == {"name": "Support"}
        await alice.wait_for_count(lambda e: e.sender == e.state_key and "displayname" in e.content, 4, room_id=room)
        ghosts = {user: profile for user, profile in (await alice.joined_members(room)).items() if user != scene.bot}
        del ghosts[alice.user_id]
        # The first two of three members; the third comes in with the first words.
        members = sorted((account.id, account.name) for account in group.members if account.id != agent.id)
        names = {profile.displayname for profile in ghosts.values()}
        assert names <= {name for _, name in members} and len(names) == 2
        for account, client in people:
            await client.send(group.id, f"from {account.id}")
            await alice.wait_for_text(room, f"from {account.id}")
        assert len(await alice.joined_members(room)) == 5

        # What the network changes while the bridge is away is there when it is back.
        await scene.bridge.stop()
        await agent_client.remove_member(group.id, carol.id)
        await agent_client.change_chat(group.id, name="Support, all day")
        await people[1][1].change_me(name="Bobby")
        await scene.bridge.start()
        await alice.wait_for(lambda e: e.type == "m.room.name" and e.content["name"] == "Support, all day")
        await visitor.send(group.id, "the end")
        await alice.wait_for_text(room, "the end")
        after = {profile.displayname for profile in (await alice.joined_members(room)).values()}
        assert {"Vera", "Bobby"} <= after and not after & {"Carol", "Bob"}


# --- catching up ------------------------------------------------------------------------------------------------------


async def unread(alice: MatrixClient, room: str) -> Json:
    """How many notifications and highlights the homeserver counts in a room."""
    answer = await alice.request("GET", "client/v3/sync", query={"timeout": 0})
    counts: Json = answer["rooms"]["join"][room]["unread_notifications"]
    return counts


async def read(alice: MatrixClient, room: str, event: str) -> None:
    await alice.request("POST", f"client/v3/rooms/{room}/receipt/m.read/{event}", body={})


def _said(events: list[ClientEvent]) -> list[str]:
    return [event.body or "" for event in events]


async def test_300_missed_messages(make_scene: SceneFactory, database: str) -> None:
    """Killed in the middle, too: what is shown is the newest, in order, at their own times, and nothing notifies."""
    scene = make_scene(database=database, more={"catch_up": {"older_than_s": 0, "replay": 40}})
    async with scene:
        talk = await scene.talk()
        await read(talk.alice, talk.room, (await talk.alice.timeline(talk.room, "m.room.message"))[0].event_id)
        await scene.bridge.stop()
        texts = [f"missed {number}" for number in range(300)]
        for text in texts:
            await talk.visitor.send(talk.chat, text)

        # As soon as some are replayed.
        await scene.bridge.start()
        await talk.alice.wait_for(lambda e: (e.body or "") in texts[260:280], room_id=talk.room)
        await scene.bridge.kill()
        more = [f"missed more {number}" for number in range(60)]
        for text in more:
            await talk.visitor.send(talk.chat, text)
        await scene.bridge.start()
        await talk.alice.wait_for(lambda e: e.body == more[-1], room_id=talk.room, timeout_s=60)

        events = await talk.alice.timeline(talk.room, "m.room.message")
        notices = [event for event in events if event.sender == scene.bot]
        assert [event.body for event in events if event not in notices] == ["hello", *texts[260:], *more[20:]]
        assert [int((event.body or "").split()[0]) for event in notices] == [260, 20]
        assert all("older messages, from" in (event.body or "") for event in notices)
        assert _said(events)[1] == notices[0].body
        assert _said(events)[-41] == notices[1].body
        assert {event.content["msgtype"] for event in events[1:]} == {"m.notice"}
        said = {
            e.message.text: e.timestamp async for e in talk.visitor.history(talk.chat) if isinstance(e, MessageEvent)
        }
        for event in events:
            if event not in notices:
                assert event.origin_server_ts == said[event.body or ""]
        counts = await unread(talk.alice, talk.room)
        assert counts == {"notification_count": 0, "highlight_count": 0}

        # What is new notifies as ever.
        await talk.visitor.send(talk.chat, "now")
        await talk.alice.wait_for_text(talk.room, "now")
        assert (await unread(talk.alice, talk.room))["notification_count"] == 1
        assert await scene.dead_letters() == []


# --- chats that begin on Matrix ---------------------------------------------------------------------------------------


async def test_pm(shared: Scene) -> None:
    alice, (agent, _) = await shared.user(), await shared.webchat_user("Agent Alice", kind="agent")
    name = f"Quentin of {secrets.token_hex(4)}"
    account, visitor = await shared.webchat_user(name)
    management = await shared.log_in(alice, agent)
    await alice.send_text(management, f"pm {name.upper()}")
    answer = await alice.wait_for(lambda e: "Your chat with" in (e.body or ""), room_id=management)
    assert answer.body is not None and answer.body.startswith(f"Your chat with {name}: https://matrix.to/")
    found = re.search(r"#/(![^?]+)\?via=(.+)$", answer.body)
    assert found is not None
    room = await alice.wait_for_invite()
    assert (found[1], found[2]) == (room, shared.slot.server_name)
    await alice.join(room)
    await alice.send_text(room, "any questions?")
    (chat,) = await visitor.chats()
    assert (await until_said(visitor, chat.id, "any questions?")).actor == agent.id
    await visitor.send(chat.id, "yes, one")
    await alice.wait_for_text(room, "yes, one")

    await alice.send_text(management, f"pm {account.id}")
    again = await alice.wait_for(
        lambda e: "Your chat with" in (e.body or "") and e.event_id != answer.event_id, room_id=management
    )
    assert again.body == answer.body
    await alice.send_text(management, "pm nobody at all")
    await alice.wait_for(lambda e: "Nobody at Webchat is known" in (e.body or ""), room_id=management)


@pytest.mark.parametrize("preset", ["trusted_private_chat", "private_chat"])
async def test_inviting_a_ghost(shared: Scene, talk: Talk, preset: str) -> None:
    account, visitor = await shared.webchat_user("Gwen")
    ghost = shared.slot.ghost(account.id)
    room = await talk.alice.create_room(invite=[ghost], is_direct=True, preset=preset)
    await talk.alice.send_text(room, "hello Gwen")
    await talk.alice.wait_for(lambda e: e.type == "m.room.member" and e.state_key == shared.bot, room_id=room)
    async with asyncio.timeout(30), contextlib.aclosing(visitor.stream()) as stream:
        chat = (await anext(stream)).chat
    assert (await until_said(visitor, chat, "hello Gwen")).actor == talk.agent.id
    await visitor.send(chat, "hello Alice")
    await talk.alice.wait_for(lambda e: e.sender == ghost and e.body == "hello Alice", room_id=room)
    members = await talk.alice.joined_members(room)
    assert set(members) == {talk.alice.user_id, ghost, shared.bot}
    assert members[ghost].displayname == "Gwen"

    if preset == "trusted_private_chat":
        # The ghost has power there, and hands it on: the room is what every portal is.
        assert "m.bridge" in {event.type for event in await talk.alice.state(room)}

    # Another room with the same person is not taken: the ghost says where the chat is.
    other = await talk.alice.create_room(invite=[ghost], is_direct=True, preset=preset)
    notice = await talk.alice.wait_for(lambda e: e.sender == ghost and "already" in (e.body or ""), room_id=other)
    assert room in (notice.body or "")
    await talk.alice.wait_for(lambda e: e.state_key == ghost and e.content.get("membership") == "leave", room_id=other)


async def test_inviting_a_ghost_to_an_encrypted_room(shared: Scene, talk: Talk) -> None:
    account, visitor = await shared.webchat_user("Gwen")
    ghost = shared.slot.ghost(account.id)
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    room = await talk.alice.create_room(
        invite=[ghost], is_direct=True, preset="trusted_private_chat", initial_state=[encryption]
    )
    notice = await talk.alice.wait_for(lambda e: e.sender == ghost and "encrypted" in (e.body or ""), room_id=room)
    plain = await talk.alice.wait_for_invite()
    assert plain in (notice.body or "")
    await talk.alice.join(plain)
    await talk.alice.send_text(plain, "in the clear")
    await talk.alice.wait_for_text(plain, "in the clear")
    (chat,) = await visitor.chats()
    assert (await until_said(visitor, chat.id, "in the clear")).actor == talk.agent.id
