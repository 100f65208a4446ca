"""The listener: statuses, bodies, and nothing secret in them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from bridgekit.core.redaction import Redactor
from bridgekit.errors import StoreUnavailable
from bridgekit.web.server import MonitoringServer
from bridgekit.web.watched import LoginState
from tests.web.fakes import FakeBridge, failing

Answer = tuple[int, str, str]


@contextlib.asynccontextmanager
async def served(bridge: FakeBridge, *secrets: str) -> AsyncIterator[Any]:
    """`await get(path)`: status, content type, body."""
    server = MonitoringServer(bridge, redact=Redactor(secrets))
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as http:

        async def get(path: str, **options: Any) -> Answer:
            async with http.get(f"http://127.0.0.1:{server.port}{path}", **options) as response:
                return response.status, response.content_type, await response.text()

        try:
            yield get
        finally:
            await server.stop()
    await server.stop()


async def test_health() -> None:
    bridge = FakeBridge()
    async with served(bridge) as get:
        assert (await get("/healthz"))[:2] == (200, "application/json")
        bridge.is_lease_lost = True
        status, _, body = await get("/healthz")
    assert status == 503
    assert msgspec.json.decode(body)["alive"] is False


async def test_readiness_says_what_is_wrong_without_secrets() -> None:
    reason = 'GET https://chat.example/?access_token=abc123&since="5: the token t0k\\"en-of-alice is old'
    bridge = FakeBridge(logins=[LoginState("alice@phone", "waiting", reason)])
    async with served(bridge, 't0k\\"en-of-alice') as get:
        assert (await get("/readyz"))[0] == 200
        bridge.read = failing(StoreUnavailable("the database is locked"))
        status, kind, body = await get("/readyz")
    assert (status, kind) == (503, "application/json")
    found = msgspec.json.decode(body)
    assert found["ready"] is False
    assert found["database"] == {"ok": False, "reason": "the database is locked", "took_ms": None}
    (login,) = found["sessions"]
    assert (login["login"], login["state"]) == ("alice@phone", "waiting")
    assert login["reason"] == (
        'GET https://chat.example/?access_token=(redacted)&since="5: the token (redacted) is old'
    )


async def test_metrics_also_while_the_database_is_away() -> None:
    bridge = FakeBridge(found=StoreUnavailable("the disk is full"))
    async with served(bridge) as get:
        status, kind, body = await get("/metrics")
        assert (status, kind) == (200, "text/plain")
        assert "bridgekit_database_up 0.0" in body
        _, kind, body = await get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert kind == "application/openmetrics-text"
        assert body.endswith("# EOF\n")


async def test_nothing_else_is_there() -> None:
    async with served(FakeBridge()) as get:
        assert (await get("/_matrix/app/v1/transactions/1"))[0] == 404
        assert (await get("/"))[0] == 404
