"""The adapter against a running webchat: what it tells the framework about chats and people."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from bridgekit.adapter import (
    Batch,
    CanResolve,
    ChatKind,
    Login,
    LoginID,
    Rejected,
    RemoteCaughtUp,
    RemoteChat,
    RemoteMessage,
    RemoteUserID,
    Session,
)
from example_bridge.webchat.adapter import WebchatAdapter, WebchatConfig
from example_bridge.webchat.client import MessageEvent, Ready, WebchatClient
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join
from tests.webchat.helpers import DEADLINE


def login_of(client: WebchatClient, id: str) -> Login:
    return Login(id=LoginID(id), user=RemoteUserID(id), name=id, secrets={"token": client.token or ""})


def adapter(server: Server) -> WebchatAdapter:
    return WebchatAdapter(WebchatConfig(url=server.url))


async def test_ready_stands_behind_what_was_there(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    for number in range(1200):  # more than a window
        await ann.send(chat.id, f"{number}")
    async with asyncio.timeout(DEADLINE), aclosing(bob.stream_and_ready()) as stream:
        before = []
        async for item in stream:
            if isinstance(item, Ready):
                break
            before.append(item)
    texts = [event.message.text for event in before if isinstance(event, MessageEvent)]
    assert texts == [f"{number}" for number in range(1200)]


async def test_a_session_begins_with_the_chats_and_says_when_it_has_caught_up(server: Server, join: Join) -> None:
    agent, visitor = await join(server, "agent", "agent"), await join(server, "visitor")
    direct = await visitor.create_chat("direct", ["agent"])
    group = await agent.create_chat("group", ["visitor"], name="All of us")
    await visitor.send(direct.id, "hello")
    async with adapter(server).connect(login_of(agent, "agent")) as session:
        events = []
        async with asyncio.timeout(DEADLINE):
            async for event in session.events({}):
                events.append(event)
                if isinstance(event, RemoteCaughtUp):
                    break
    listed, *rest = events
    assert isinstance(listed, Batch)
    chats = {str(chat.portal.chat): chat for chat in listed.events if isinstance(chat, RemoteChat)}
    assert set(chats) == {direct.id, group.id}
    assert (chats[group.id].kind, chats[group.id].name) == (ChatKind.GROUP, "All of us")
    assert chats[direct.id].kind is ChatKind.DIRECT
    assert set(chats[group.id].members or ()) == {"agent", "visitor"}
    assert [event.text.body for event in rest if isinstance(event, RemoteMessage)] == ["hello"]


def resolver(session: Session) -> CanResolve:
    assert isinstance(session, CanResolve)
    return session


async def test_people_are_found_by_id_and_by_name(server: Server, join: Join) -> None:
    agent = await join(server, "agent", "agent")
    vera, vera_too = await join(server, "v1"), await join(server, "v2")
    await vera.change_me(name="Vera")
    async with adapter(server).connect(login_of(agent, "agent")) as session:
        found = await resolver(session).resolve("vera")
        assert found is not None and (found.user, found.name) == ("v1", "Vera")
        assert (await resolver(session).resolve("v1")) == found
        assert await resolver(session).resolve("nobody") is None
        await vera_too.change_me(name="VERA")
        with pytest.raises(Rejected, match="several people are called that; say the id of one: v1, v2"):
            await resolver(session).resolve("Vera")
        # An id is one person's, whatever others are called.
        await vera_too.change_me(name="v1")
        found = await resolver(session).resolve("v1")
        assert found is not None and found.user == "v1"


async def test_a_chat_is_opened_once(server: Server, join: Join) -> None:
    agent, _ = await join(server, "agent", "agent"), await join(server, "visitor")
    async with adapter(server).connect(login_of(agent, "agent")) as session:
        first = await resolver(session).open_chat(RemoteUserID("visitor"))
        assert (first.kind, set(first.members or ())) == (ChatKind.DIRECT, {"agent", "visitor"})
        assert await resolver(session).open_chat(RemoteUserID("visitor")) == first
        for nobody in ("agent", "nobody"):
            with pytest.raises(Rejected):
                await resolver(session).open_chat(RemoteUserID(nobody))
