"""The network of the media benchmark: what is said in it, and what has arrived. HTTP on loopback, in the measuring
process; the files' bytes do not pass through it, each bridge makes its own (`zeros`).

Both bridges are its users: `benchmarks._media_bridge` and `benchmarks._media_first`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import NamedTuple, Self

from aiohttp import ClientSession, ClientTimeout, web

PIECE = 64 * 1024

_ZEROS = bytes(PIECE)


async def zeros(size: int) -> AsyncIterator[bytes]:
    """A file of that size, in pieces, as fast as they are taken."""
    for start in range(0, size, PIECE):
        yield _ZEROS[: min(PIECE, size - start)]
        await asyncio.sleep(0)  # a real source lets others have their turn, too


class Said(NamedTuple):
    """A message of a chat, its `number`th: `text`, which is the name of its file, if it has one of `size` bytes."""

    number: int
    text: str
    size: int
    timestamp: int  # ms


class Network:
    """`got`: name and size of each file that has arrived from Matrix, whole."""

    def __init__(self) -> None:
        self.url = ""
        self.got: dict[str, int] = {}
        self._said: dict[str, list[Said]] = {}
        self._more = asyncio.Event()
        self._ending = False
        app = web.Application()
        app.add_routes([web.get("/events/{chat}", self._events), web.post("/got", self._take)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending = True
        self._changed()
        await self._runner.cleanup()

    def say(self, chat: str, text: str, size: int = 0) -> None:
        """Somebody says something; with a file of that many bytes, if there are any."""
        said = self._said.setdefault(chat, [])
        said.append(Said(len(said) + 1, text, size, int(time.time() * 1000)))
        self._changed()

    async def arrived(self, name: str) -> int:
        """Wait for a file from Matrix; its size."""
        while name not in self.got:
            await self._more.wait()
        return self.got[name]

    def _changed(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    async def _events(self, request: web.Request) -> web.Response:
        said = self._said.setdefault(request.match_info["chat"], [])
        after = int(request.query["after"])
        while len(said) <= after and not self._ending:
            await self._more.wait()
        return web.json_response(said[after:])

    async def _take(self, request: web.Request) -> web.Response:
        name, size = await request.json()
        self.got[name] = size
        self._changed()
        return web.json_response({})


def connection() -> ClientSession:
    """For `listen` and `give`."""
    return ClientSession(timeout=ClientTimeout(total=None))


async def listen(http: ClientSession, url: str, chat: str, after: int = 0) -> AsyncIterator[Said]:
    """What is said in a chat, from behind that number on."""
    while True:
        async with http.get(f"{url}/events/{chat}", params={"after": str(after)}) as response:
            for fields in await response.json():
                said = Said(*fields)
                after = said.number
                yield said


async def give(http: ClientSession, url: str, name: str, size: int) -> None:
    """A file from Matrix has arrived, so many bytes."""
    async with http.post(f"{url}/got", json=[name, size]) as response:
        response.raise_for_status()
