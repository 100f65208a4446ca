"""One measured server as a process of its own: ``python -m benchmarks._server KIND DIRECTORY``.

It prints its port, then obeys what comes on standard input: ``until N`` is answered, once N events are fully handled,
with the moment when that was so (ns of the machine's monotonic clock, which all processes share). It ends when standard
input does, so that it never outlives the measurement. All three run on uvloop, as bridgekit and mautrix's own `Program`
do where it is installed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import uvloop
from aiohttp import web

OnHandled = Callable[[int], None]


@asynccontextmanager
async def mautrix_appservice(directory: Path, on_handled: OnHandled) -> AsyncIterator[int]:
    """mautrix-python's AppService as it comes, with one handler that does nothing."""
    from mautrix.appservice import AppService
    from mautrix.appservice.state_store.file import FileASStateStore
    from mautrix.types import Event

    from benchmarks._messages import BOT_LOCALPART, SERVER_NAME, TOKEN

    service = AppService(
        server="http://127.0.0.1:9",
        domain=SERVER_NAME,
        as_token="as_token",
        hs_token=TOKEN,
        bot_localpart=BOT_LOCALPART,
        id="bench",
        state_store=FileASStateStore(path=str(directory / "mx-state.json"), binary=False),
    )

    async def handle(event: Event) -> None:
        on_handled(1)

    service.matrix_event_handler(handle)
    await service.start("127.0.0.1", 0)
    try:
        yield _port(service.runner)
    finally:
        await service.stop()


@asynccontextmanager
async def bare_aiohttp(directory: Path, on_handled: OnHandled) -> AsyncIterator[int]:
    """Parses the JSON and does nothing with it."""

    async def handle(request: web.Request) -> web.Response:
        on_handled(len((await request.json())["events"]))
        return web.json_response({})

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_put("/_matrix/app/v1/transactions/{txn_id}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield _port(runner)
    finally:
        await runner.cleanup()


def _port(runner: web.AppRunner | None) -> int:
    assert runner is not None
    port: int = runner.addresses[0][1]
    return port


@asynccontextmanager
async def bridgekit_bridge(directory: Path, on_handled: OnHandled) -> AsyncIterator[int]:
    """A whole bridge on SQLite: see `benchmarks._bridge`."""
    # Here, because the other processes must not carry its memory.
    from benchmarks._bridge import running

    async with running(directory, on_handled) as port:
        yield port


SERVERS: dict[str, Callable[[Path, OnHandled], AbstractAsyncContextManager[int]]] = {
    "bridgekit": bridgekit_bridge,
    "mautrix": mautrix_appservice,
    "aiohttp": bare_aiohttp,
}


class Handled:
    """Counts what is handled, and knows when a count was reached."""

    def __init__(self) -> None:
        self._count = 0
        self._wanted: int | None = None
        self._last_ns = 0

    def add(self, number: int) -> None:
        self._count += number
        self._last_ns = time.monotonic_ns()
        self._answer()

    def until(self, wanted: int) -> None:
        self._wanted = wanted
        self._answer()

    def _answer(self) -> None:
        if self._wanted is not None and self._count >= self._wanted:
            self._wanted = None
            print(self._last_ns, flush=True)


async def serve(kind: str, directory: Path) -> None:
    handled = Handled()
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with SERVERS[kind](directory, handled.add) as port:
        print(port, flush=True)
        while line := await lines.readline():
            handled.until(int(line.split()[1]))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(serve(sys.argv[1], Path(sys.argv[2])))
