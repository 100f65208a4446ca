"""The driver of the smallest bridge's chat: a WebSocket, and one room in which all can hear each other."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence

from aiohttp import web

from bridgekit.model.ids import ChatID, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.testing.conformance import Post, Remote


class MinimalRemote(Remote):
    """A server in this process."""

    friend = RemoteUserID("friend")
    remembers = False

    async def start(self) -> None:
        self._posts: list[Post] = []
        self._numbers = itertools.count(1)
        self._sockets: set[web.WebSocketResponse] = set()
        self._somebody = asyncio.Condition()
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"ws://{host}:{port}/"

    async def stop(self) -> None:
        await self.cut()
        await self._runner.cleanup()

    async def answer(self, question: str) -> str:
        return self._url

    async def chat(self) -> PortalKey:
        return PortalKey(ChatID(self._url))

    async def say(self, chat: PortalKey, text: str) -> RemoteMessageID:
        id = RemoteMessageID(f"m{next(self._numbers)}")
        async with self._somebody:  # who is not there does not hear it
            await self._somebody.wait_for(lambda: self._sockets)
        self._posts.append(Post(id=id, sender=self.friend, text=text))
        for socket in self._sockets:
            await socket.send_json([id, self.friend, time.time_ns() // 1_000_000, text])
        return id

    async def look(self, chat: PortalKey) -> Sequence[Post]:
        return tuple(self._posts)

    async def cut(self) -> None:
        while self._sockets:
            await self._sockets.pop().close()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async with self._somebody:
            self._sockets.add(socket)
            self._somebody.notify_all()
        async for frame in socket:
            id, text = json.loads(frame.data)
            self._posts.append(Post(id=RemoteMessageID(id), sender=RemoteUserID("me"), text=text))
        self._sockets.discard(socket)
        return socket
