"""A network of files, which does with them what a test says, and ``python -m tests.support.filechat``, its bridge.

Where ``FILECHAT_KILL_AT=point:count`` says, the bridge kills itself (`tests.chaos.bridge.killer`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from aiohttp import web

from bridgekit import adapter as bk
from bridgekit.cli import main
from bridgekit.runtime import points
from tests.chaos.bridge import killer

KILL_AT = "FILECHAT_KILL_AT"
PIECE = 64 * 1024


@dataclass
class Served:
    """A file. `sized`: whether the server says how long it is. Before `gate` is set nothing of it is sent; it is cut
    off after `cut_after` bytes, `cuts` times."""

    data: bytes
    sized: bool = True
    gate: asyncio.Event | None = None
    cut_after: int | None = None
    cuts: int = 1
    opened: int = 0


class FileChat:
    """The network: everything that was said, and the files."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self._said: list[dict[str, Any]] = []
        self._more = asyncio.Event()
        self._ending = asyncio.Event()
        self.url = ""
        app = web.Application()
        app.add_routes([web.get("/events", self._events), web.get("/files/{id}", self._file)])
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._more.set()
        for file in self.files.values():
            if file.gate is not None:
                file.gate.set()
        await self._runner.cleanup()

    def say(self, text: str, *files: bk.MediaRef) -> None:
        """The friend says something."""
        now = time.time_ns() // 1_000_000  # what is old notifies nobody, and so becomes another event
        self._said.append({"text": text, "files": msgspec.to_builtins(files), "at": now})
        self._more.set()
        self._more = asyncio.Event()

    def file(self, data: bytes, *, known: bool = True, name: str = "", mimetype: str = "", **how: Any) -> bk.MediaRef:
        """A file for messages. `known`: messages say how long it is; `how`: of `Served`."""
        id = f"f{len(self.files) + 1}"
        self.files[id] = Served(data, **how)
        return bk.MediaRef(id, name=name, mimetype=mimetype, size=len(data) if known else None)

    async def _events(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        while len(self._said) <= after and not self._ending.is_set():
            await self._more.wait()
        return web.json_response(self._said[after:])

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = self.files[request.match_info["id"]]
        file.opened += 1
        cut = file.cut_after if file.opened <= file.cuts else None
        response = web.StreamResponse()
        if file.sized:
            response.content_length = len(file.data)
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if file.gate is not None:
            await file.gate.wait()
        for start in range(0, len(file.data), PIECE):
            if cut is not None and start >= cut:
                assert request.transport is not None
                request.transport.abort()
                break
            await response.write(file.data[start : start + PIECE])
        return response


class FileChatConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: of the `FileChat`."""

    url: str


class FileSession(bk.Session, bk.CanFetchMedia):
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url

    async def events(self, after: bk.Cursors) -> AsyncIterator[bk.RemoteEvent]:
        place = int(after.get("", "0"))
        while True:
            async with self.http.get(f"{self.url}/events", params={"after": str(place)}) as response:
                for said in await response.json():
                    place += 1
                    yield bk.RemoteMessage(
                        portal=bk.PortalKey(bk.ChatID("chat")),
                        id=bk.RemoteMessageID(f"m{place}"),
                        sender=bk.RemoteUserID("friend"),
                        timestamp=said["at"],
                        text=bk.Text(said["text"]),
                        media=msgspec.convert(said["files"], tuple[bk.MediaRef, ...]),
                        cursor=bk.Cursor("", str(place)),
                    )

    @asynccontextmanager
    async def open_media(self, message: bk.RemoteMessage, ref: bk.MediaRef) -> AsyncIterator[bk.MediaStream]:
        async with self.http.get(f"{self.url}/files/{ref.id}") as response:
            yield bk.MediaStream(response.content.iter_any(), size=response.content_length)


class FileChatAdapter(bk.Adapter):
    network = bk.Network(id="filechat", name="File chat")
    config = FileChatConfig
    settings: FileChatConfig

    async def login(self, prompt: bk.Prompt) -> bk.Login:
        return bk.Login(id=bk.LoginID("me"), user=bk.RemoteUserID("me"), name="Me")

    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncIterator[bk.Session]:
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            yield FileSession(http, self.settings.url)


if __name__ == "__main__":
    if wanted := os.environ.get(KILL_AT):
        name, _, number = wanted.partition(":")
        points.hook = killer(name, int(number), Path("/dev/null"))
    main(FileChatAdapter)
