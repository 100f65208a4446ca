"""Portals' rooms: what they look like, how that changes, and that there is one of each, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from bridgekit.core.namespace import portal_alias_localpart
from bridgekit.model.ids import ChatID, PortalKey
from bridgekit.testing.client import MatrixClientError
from bridgekit.testing.process import free_ports
from tests.acceptance.conftest import SceneFactory
from tests.support.homeserver import Homeserver
from tests.support.proxy import Answer, Forward, HttpProxy
from tests.support.scene import Scene, Talk, raw_events

PICTURE = b"\x89PNG\r\n\x1a\n" + b"first"
OTHER_PICTURE = b"\x89PNG\r\n\x1a\n" + b"second"


@pytest.fixture(scope="module")
async def pictures() -> AsyncIterator[str]:
    """A web server with two pictures; its address."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=PICTURE if request.path == "/1.png" else OTHER_PICTURE, content_type="image/png")

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = free_ports(1)
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


# --- looks ------------------------------------------------------------------------------------------------------------


async def test_group_looks_like_the_chat(shared: Scene, pictures: str) -> None:
    alice, (agent, _) = await shared.user(), await shared.webchat_user("Agent Alice", kind="agent")
    _, visitor = await shared.webchat_user("Vera", avatar_url=f"{pictures}/1.png")
    bob, _ = await shared.webchat_user("Bob")
    carol, _ = await shared.webchat_user("Carol")
    await shared.log_in(alice, agent)
    chat = await visitor.create_chat("group", [agent.id, bob.id], name="Support", avatar_url=f"{pictures}/1.png")
    await visitor.send(chat.id, "hello")
    room = await alice.wait_for_invite()
    await alice.join(room)
    hello = await alice.wait_for_text(room, "hello")

    # The room.
    assert await alice.get_state(room, "m.room.name") == {"name": "Support"}
    avatar = await alice.get_state(room, "m.room.avatar")
    assert avatar is not None
    assert await alice.download(avatar["url"]) == PICTURE
    state = await alice.state(room)
    bridged = {event.type: event for event in state if event.type in ("m.bridge", "uk.half-shot.bridge")}
    assert bridged["m.bridge"].content == bridged["uk.half-shot.bridge"].content
    assert bridged["m.bridge"].content == {
        "bridgebot": shared.bot,
        "creator": shared.bot,
        "protocol": {"id": "webchat", "displayname": "Webchat"},
        "channel": {"id": chat.id, "displayname": "Support", "avatar_url": avatar["url"]},
    }
    # The people in it: not the agent, who is Alice herself.
    members = await alice.joined_members(room)
    assert sorted(profile.displayname or "" for user, profile in members.items() if user.startswith("@as")) == sorted(
        ["Vera", "Bob", "Webchat bridge bot"]
    )
    assert await alice.download(members[hello.sender].avatar_url or "") == PICTURE

    # Another name and picture of the chat.
    await visitor.change_chat(chat.id, name="Sales", avatar_url=f"{pictures}/2.png")
    await alice.wait_for(lambda e: e.type == "m.room.name" and e.content == {"name": "Sales"}, room_id=room)
    await visitor.change_chat(chat.id, avatar_url="")
    await alice.wait_for(lambda e: e.type == "m.room.avatar" and not e.content.get("url"), room_id=room)
    seen = [event.content["url"] for event in alice.events if event.type == "m.room.avatar" and event.content]
    assert [await alice.download(url) for url in seen] == [PICTURE, OTHER_PICTURE]
    channel = next(event for event in await alice.state(room) if event.type == "m.bridge").content["channel"]
    assert channel == {"id": chat.id, "displayname": "Sales"}

    # Another name and picture of a person.
    await visitor.change_me(name="Vera Violet", avatar_url=f"{pictures}/2.png")

    def renewed() -> bool | None:
        shown = [e.content for e in alice.events if e.type == "m.room.member" and e.state_key == hello.sender]
        return (shown[-1].get("displayname") == "Vera Violet" and shown[-1]["avatar_url"] not in seen[:1]) or None

    await alice.wait_until(renewed)
    await visitor.send(chat.id, "it is me")
    await alice.wait_for_text(room, "it is me")
    profile = await alice.profile(hello.sender)
    assert profile.displayname == "Vera Violet"
    assert await alice.download(profile.avatar_url or "") == OTHER_PICTURE

    # Somebody comes and goes.
    await visitor.add_member(chat.id, carol.id)
    came = await alice.wait_for(
        lambda e: (
            e.type == "m.room.member"
            and e.content.get("membership") == "join"
            and e.content.get("displayname") == "Carol"
        ),
        room_id=room,
    )
    async with shared.webchat.client(carol) as herself:
        await herself.remove_member(chat.id, carol.id)
    await alice.wait_for(
        lambda e: e.state_key == came.state_key and e.content.get("membership") == "leave", room_id=room
    )
    assert came.state_key not in await alice.joined_members(room)


async def test_direct_chat_is_a_direct_room(talk: Talk) -> None:
    events = await talk.alice.timeline(talk.room, "m.room.member")
    invitation = next(event for event in events if event.state_key == talk.alice.user_id)
    assert invitation.sender == talk.bot
    assert invitation.content["is_direct"] is True
    levels = await talk.alice.get_state(talk.room, "m.room.power_levels")
    assert levels is not None
    assert levels["events"]["m.room.encryption"] == 100
    assert levels["users"] == {}  # version 12: the creator stands above them
    assert (await talk.alice.get_state(talk.room, "m.room.create") or {})["room_version"] == "12"


async def test_old_room_version(make_scene: SceneFactory, tmp_path: Path) -> None:
    homeserver = Homeserver(tmp_path / "old", slots=1, config={"default_room_version": "10"})
    async with homeserver.synapse, make_scene(on=homeserver) as scene:
        talk = await scene.talk()
        assert (await talk.alice.get_state(talk.room, "m.room.create") or {})["room_version"] == "10"
        levels = await talk.alice.get_state(talk.room, "m.room.power_levels")
        assert levels is not None
        assert levels["users"] == {talk.bot: 100}
        with pytest.raises(MatrixClientError):
            await talk.alice.set_state(talk.room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        await talk.alice.send_text(talk.room, "to webchat")
        assert await talk.from_alice("to webchat") == ["to webchat"]
        await talk.visitor.send(talk.chat, "to matrix")
        assert await talk.from_visitor("to matrix") == ["hello", "to matrix"]


# --- one of each ------------------------------------------------------------------------------------------------------


async def test_many_first_messages_at_once_make_one_room(shared: Scene) -> None:
    alice, (agent, _) = await shared.user(), await shared.webchat_user("Agent Alice", kind="agent")
    _, visitor = await shared.webchat_user()
    await shared.log_in(alice, agent)
    chat = await visitor.create_chat("direct", [agent.id])
    await asyncio.gather(*(visitor.send(chat.id, f"{number}") for number in range(10)))
    room = await alice.wait_for_invite()
    await alice.join(room)
    await visitor.send(chat.id, "end")
    await alice.wait_for_text(room, "end")
    assert sorted((await alice.texts(room))[:-1]) == sorted(str(number) for number in range(10))
    assert not alice.invites


async def alias_of(scene: Scene, chat: str) -> str:
    """The localpart of the alias under which the bridge makes a chat's room."""
    async with scene.store() as store:
        secret = await store.secret()
    return portal_alias_localpart(scene.slot.prefix, secret, PortalKey(ChatID(chat)))


async def first_contact(scene: Scene, *, unusable: bool) -> tuple[str, Talk]:
    """A portal whose alias is taken by a room of the bot, as after a crash; that room, and the portal."""
    alice, (agent, _) = await scene.user(), await scene.webchat_user("Agent Alice", kind="agent")
    account, visitor = await scene.webchat_user()
    management = await scene.log_in(alice, agent)
    chat = f"chat of {account.id}"
    async with scene.slot.client() as bot:
        begun = await bot.create_room(alias_localpart=await alias_of(scene, chat))
        if unusable:
            await bot.leave(begun)
    talk = await scene.conversation(alice, management, agent, account, visitor, chat_id=chat)

    assert not alice.invites
    assert await alice.get_state(talk.room, "m.bridge", f"bridgekit://webchat//{chat}") is not None
    await talk.alice.send_text(talk.room, "to webchat")
    assert await talk.from_alice("to webchat") == ["to webchat"]
    assert await talk.from_visitor("hello") == ["hello"]
    async with scene.slot.client() as bot:
        assert await bot.resolve_alias(f"#{await alias_of(scene, chat)}:{scene.slot.server_name}") == talk.room
    return begun, talk


async def test_room_of_an_earlier_attempt_is_finished(shared: Scene) -> None:
    begun, talk = await first_contact(shared, unusable=False)
    assert talk.room == begun


async def test_room_that_nobody_can_enter_is_replaced(make_scene: SceneFactory) -> None:
    async with make_scene(module="tests.support.impatient") as scene:
        begun, talk = await first_contact(scene, unusable=True)
        assert talk.room != begun
        assert "an alias names a room that cannot be used; making a new one" in scene.log()


@contextlib.asynccontextmanager
async def slow_create_room(homeserver: Homeserver) -> AsyncIterator[tuple[HttpProxy, asyncio.Event, asyncio.Event]]:
    """A proxy that, once `hold` is set, keeps the answers to createRoom until `release`: (proxy, hold, release)."""
    hold, release = asyncio.Event(), asyncio.Event()

    async def late(request: web.Request, forward: Forward) -> Answer:
        answer = await forward()
        if request.path.endswith("/createRoom") and hold.is_set():
            await release.wait()
        return answer

    async with HttpProxy(homeserver.url) as proxy:
        proxy.tamper = late
        yield proxy, hold, release


@pytest.mark.parametrize("crash", [False, True], ids=["answered late", "never answered"])
async def test_push_before_create_room_has_answered(
    make_scene: SceneFactory, homeserver: Homeserver, database: str, crash: bool
) -> None:
    async with (
        slow_create_room(homeserver) as (proxy, hold, release),
        make_scene(homeserver_url=proxy.url, database=database) as scene,
    ):
        alice, (agent, _) = await scene.user(), await scene.webchat_user("Agent Alice", kind="agent")
        account, visitor = await scene.webchat_user()
        management = await scene.log_in(alice, agent)
        hold.set()
        chat = await visitor.create_chat("direct", [agent.id])
        await visitor.send(chat.id, "hello")
        room = await alice.wait_for_invite()
        await alice.join(room)
        quick = [await alice.send_text(room, text) for text in ("quick", "quicker")]
        # Synapse pushes them, too, but does not tell when; this is answered when they are on disk.
        assert await scene.push("quick", await raw_events(alice, room, quick)) == 200
        if crash:
            await scene.bridge.kill()
            hold.clear()
            release.set()
            await scene.bridge.start()
        else:
            release.set()

        await alice.wait_for_text(room, "hello")
        assert not alice.invites
        ghost = next(e.sender for e in alice.events if e.body == "hello" and e.room_id == room)
        talk = Talk(alice, scene.bot, management, agent, visitor, account.id, ghost, chat.id, room)
        assert await talk.from_alice("quicker") == ["quick", "quicker"]
        await alice.send_text(room, "end")
        assert await talk.from_alice("end") == ["quick", "quicker", "end"]
        assert await talk.from_visitor("hello") == ["hello"]
