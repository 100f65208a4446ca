"""A running network and accounts in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from example_bridge.webchat.client import Kind, WebchatClient
from example_bridge.webchat.server.app import Config, Server, start

StartServer = Callable[..., Awaitable[Server]]
Join = Callable[..., Awaitable[WebchatClient]]


@pytest.fixture
async def start_server(tmp_path: Path) -> AsyncIterator[StartServer]:
    """Starts servers, by default on one file, faults allowed; stops those that still run."""
    running: list[Server] = []

    async def start_one(**options: object) -> Server:
        server = await start(Config(**{"db": tmp_path / "webchat.db", "faults": True, **options}))  # type: ignore[arg-type]
        running.append(server)
        return server

    yield start_one
    for server in running:
        await server.stop()


@pytest.fixture
async def server(start_server: StartServer) -> Server:
    return await start_server()


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    """Makes an account on a server and returns its client."""
    async with AsyncExitStack() as stack:

        async def join_one(server: Server | str, id: str, kind: Kind = "visitor", **options: float) -> WebchatClient:
            url = server if isinstance(server, str) else server.url
            async with WebchatClient(url) as anybody:
                made = await anybody.create_account(id.strip() or "nameless", kind, id=id)
            return await stack.enter_async_context(WebchatClient(url, made.token, **options))

        yield join_one
