"""A Matrix user, a bridge process and a webchat, joined: what most acceptance tests begin with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridgekit.testing.bridge import BridgeProcess
from bridgekit.testing.client import ClientEvent, MatrixClient
from example_bridge.webchat.client import Credentials, MessageEvent, WebchatClient
from tests.support.homeserver import AppserviceSlot
from tests.support.webchat import WebchatServer


def bridge_for(
    slot: AppserviceSlot,
    webchat: WebchatServer,
    directory: Path,
    *,
    database: str = "sqlite:bridge.db",
    more: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    module: str = "example_bridge",
) -> BridgeProcess:
    """The webchat bridge on a slot; not started."""
    return BridgeProcess(
        directory,
        homeserver_url=slot.homeserver_url,
        server_name=slot.server_name,
        registration=slot.registration,
        network={"url": webchat.url},
        ghost_prefix=slot.prefix,
        database=database,
        more=more,
        environment=environment,
        module=module,
    )


async def log_in(user: MatrixClient, bot: str, account: Credentials) -> str:
    """Log a Matrix user in to the webchat, by talking with the bot; the management room."""
    room = await user.create_room(invite=[bot], is_direct=True)
    await user.wait_for(lambda e: e.sender == bot and "Hello" in _body(e), room_id=room)
    await user.send_text(room, "login")
    await user.wait_for(lambda e: e.sender == bot and "token" in _body(e), room_id=room)
    await user.send_text(room, account.token)
    await user.wait_for(lambda e: e.sender == bot and "You are logged in" in _body(e), room_id=room)
    return room


def _body(event: ClientEvent) -> str:
    body = event.content.get("body", "")
    return body if isinstance(body, str) else ""


async def open_portal(user: MatrixClient, visitor: WebchatClient, agent: str, words: str = "hello") -> tuple[str, str]:
    """A webchat conversation with the logged-in agent, and its room on Matrix with the user in it: (chat, room)."""
    chat = await visitor.create_chat("direct", [agent])
    await visitor.send(chat.id, words)
    room = await user.wait_for_invite()
    await user.join(room)
    await user.wait_for_text(room, words)
    return chat.id, room


async def texts(client: WebchatClient, chat: str) -> list[str]:
    """Everything that was said in a chat, in the network's order."""
    return [event.message.text async for event in client.history(chat) if isinstance(event, MessageEvent)]


async def until_said(client: WebchatClient, chat: str, words: str, *, timeout_s: float = 30.0) -> MessageEvent:
    """Wait until somebody says this in a webchat chat. Opens a stream of its own: the client must have none."""
    # Closed before this returns: what is sent next must not go over a stream that is about to end.
    async with asyncio.timeout(timeout_s), contextlib.aclosing(client.stream()) as stream:
        async for event in stream:
            if isinstance(event, MessageEvent) and event.chat == chat and event.message.text == words:
                return event
    raise AssertionError("the stream ended")
