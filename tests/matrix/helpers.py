"""What the tests of `bridgekit.matrix` share: a held clock, a bridge that notes what comes, a stand-in homeserver."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from bridgekit.model.raw import Transaction


class HeldClock:
    """Sleeps pass at once; how long they were is kept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> int:
        return 1_700_000_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class FakeBridge:
    """An `AppserviceHandler`. `work` is awaited in every transaction: to block it, or to make it fail."""

    def __init__(self) -> None:
        self.transactions: list[tuple[str, Transaction]] = []
        self.done: list[str] = []
        self.pings: list[str | None] = []
        self.asked: list[str] = []
        self.exists: bool | Exception = False
        self.work: Callable[[], Awaitable[None]] | None = None
        self.on_ping: Callable[[str | None], None] = self.pings.append

    async def transaction(self, txn_id: str, transaction: Transaction) -> None:
        self.transactions.append((txn_id, transaction))
        if self.work is not None:
            await self.work()
        self.done.append(txn_id)

    async def user_exists(self, user_id: str) -> bool:
        return self._exists(user_id)

    async def alias_exists(self, alias: str) -> bool:
        return self._exists(alias)

    def ping_received(self, transaction_id: str | None) -> None:
        self.on_ping(transaction_id)

    def _exists(self, what: str) -> bool:
        self.asked.append(what)
        if isinstance(self.exists, Exception):
            raise self.exists
        return self.exists


class Seen(msgspec.Struct):
    """A request as the stand-in got it."""

    method: str
    path: str  # still percent-encoded
    query: dict[str, str]
    query_string: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer(
    status: int = 200, body: object = None, *, raw: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """An answer for `StandIn`: JSON, or `raw`."""

    async def handler(request: web.Request) -> web.Response:
        data = msgspec.json.encode({} if body is None else body) if raw is None else raw
        return web.Response(status=status, body=data, headers={"Content-Type": "application/json", **(headers or {})})

    return handler


async def reset(request: web.Request) -> web.StreamResponse:
    """Hang up without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


class StandIn:
    """A homeserver that says what the test wants: the next of `answers`, else `otherwise`."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answers: deque[Answer] = deque()
        self.otherwise: Answer = answer()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(
            Seen(
                request.method,
                request.rel_url.raw_path,
                dict(request.query),
                request.query_string,
                dict(request.headers),
                await request.read(),
            )
        )
        return await (self.answers.popleft() if self.answers else self.otherwise)(request)


@asynccontextmanager
async def stand_in(*answers: Answer, host: str = "127.0.0.1") -> AsyncIterator[StandIn]:
    server = StandIn()
    server.answers.extend(answers)
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        server.url = f"http://{host}:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def assert_never_logged(caplog: pytest.LogCaptureFixture, *secrets: str) -> None:
    """Not in a message, an argument, an extra field or a traceback of any record."""
    assert caplog.records, "nothing was logged at all, so nothing is proved"
    formatter = logging.Formatter("%(message)s")
    for record in caplog.records:
        everything = formatter.format(record) + repr(vars(record))
        for secret in secrets:
            assert secret not in everything, record.getMessage()
