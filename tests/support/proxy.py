"""What stands between a homeserver and a bridge in some tests: an HTTP proxy that tampers, a TCP relay."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

from bridgekit.testing.process import free_ports

Answer = tuple[int, bytes]
"""Status and JSON body."""

Forward = Callable[[], Awaitable[Answer]]
Tamper = Callable[[web.Request, Forward], Awaitable[Answer]]
"""Gets each request and what passes it on; says what is answered."""

_HOP_BY_HOP: Final = {"host", "connection", "transfer-encoding", "content-length", "keep-alive", "accept-encoding"}


async def _pass_on(request: web.Request, forward: Forward) -> Answer:
    return await forward()


class HttpProxy:
    """Passes every request on to `target`, through `tamper`, which may be changed at any time."""

    def __init__(self, target: str, *, port: int = 0) -> None:
        self.target: Final = target
        self.port: Final = port or free_ports(1)[0]
        self.url: Final = f"http://127.0.0.1:{self.port}"
        self.tamper: Tamper = _pass_on
        self._http: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        app = web.Application(client_max_size=2**27)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        assert self._http is not None
        await self._http.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()

        async def forward() -> Answer:
            assert self._http is not None
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
            # encoded: room ids and aliases must stay as they were quoted
            url = URL(self.target + request.raw_path, encoded=True)
            async with self._http.request(request.method, url, data=body, headers=headers) as response:
                return response.status, await response.read()

        status, answer = await self.tamper(request, forward)
        return web.Response(status=status, body=answer, content_type="application/json")


class Relay:
    """A port whose connections lead to another port, from `open` until `close`. Without: nobody listens."""

    def __init__(self, port: int, target_port: int) -> None:
        self._port: Final = port
        self._target_port: Final = target_port
        self._server: asyncio.Server | None = None
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
                try:
                    await asyncio.gather(_pump(reader, back), _pump(there, writer))
                finally:
                    back.close()
        except asyncio.CancelledError:
            pass  # closed by the test
        finally:
            writer.close()
            self._tasks.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
