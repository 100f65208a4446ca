"""The smallest bridge is one: text crosses both ways, on a real Synapse."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from bridgekit.testing.bridge import BridgeProcess
from tests.conftest import NewUser
from tests.support.homeserver import AppserviceSlot

MINIMAL: Final = Path(__file__).parents[2] / "example_bridge" / "minimal.py"


class Chat:
    """The network of the smallest bridge."""

    def __init__(self) -> None:
        self.said: Final[asyncio.Queue[tuple[str, str]]] = asyncio.Queue()
        """What the bridge has sent: id, text."""
        self.url = ""
        self._socket: Final[asyncio.Future[web.WebSocketResponse]] = asyncio.get_running_loop().create_future()

    async def say(self, id: str, sender: str, text: str) -> None:
        """Say something, as somebody else, once the bridge is there."""
        socket = await self._socket
        await socket.send_json([id, sender, time.time_ns() // 1_000_000, text])

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._socket.set_result(socket)
        async for frame in socket:
            id, text = json.loads(frame.data)
            await self.said.put((id, text))
        return socket


@asynccontextmanager
async def running_chat() -> AsyncIterator[Chat]:
    chat = Chat()
    app = web.Application()
    app.router.add_get("/", chat.serve)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    chat.url = f"ws://{host}:{port}/"
    yield chat
    await runner.cleanup()


async def test_text_both_ways(appservice: AppserviceSlot, new_user: NewUser, tmp_path: Path) -> None:
    alice = await new_user("alice")
    bridge = BridgeProcess(
        tmp_path / "bridge",
        homeserver_url=appservice.homeserver_url,
        server_name=appservice.server_name,
        registration=appservice.registration,
        network={},
        ghost_prefix=appservice.prefix,
        module="example_bridge.minimal",
    )
    async with running_chat() as chat, bridge:
        management = await alice.create_room(invite=[appservice.bot], is_direct=True)
        await alice.wait_for(lambda e: "Hello" in (e.body or ""), room_id=management)
        await alice.send_text(management, "login")
        await alice.wait_for(lambda e: "Where is the chat?" in (e.body or ""), room_id=management)
        await alice.send_text(management, chat.url)
        await alice.wait_for(lambda e: "You are logged in" in (e.body or ""), room_id=management)
        await chat.say("1", "bob", "hello")
        room = await alice.wait_for_invite()
        await alice.join(room)
        said = await alice.wait_for_text(room, "hello")
        assert said.sender == appservice.ghost("bob")
        await alice.send_text(room, "good day")
        async with asyncio.timeout(20):
            first, text = await chat.said.get()
        assert text == "good day"
        await alice.send_text(room, "good day")
        async with asyncio.timeout(20):
            second, text = await chat.said.get()
        assert text == "good day" and second != first
        await chat.say("2", "bob", "and to you")
        await alice.wait_for_text(room, "and to you")
        assert await alice.texts(room) == ["hello", "good day", "good day", "and to you"]


def test_it_is_as_small_as_is_said() -> None:
    assert len(MINIMAL.read_text(encoding="utf-8").splitlines()) <= 40
