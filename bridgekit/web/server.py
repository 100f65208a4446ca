"""The listener for those who watch: on a port of its own, so that it is never reachable where the homeserver is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec
from aiohttp import web

from bridgekit.errors import BridgekitError
from bridgekit.model.entry import Stats
from bridgekit.web.metrics import Scrape, render
from bridgekit.web.readiness import Checks, health
from bridgekit.web.watched import Watched

log = logging.getLogger(__name__)

STATS_TIMEOUT_S = 5.0


class MonitoringServer:
    """Serves ``/healthz``, ``/readyz`` and ``/metrics`` to whoever reaches it: it asks for no token, and tells none.

    `redact` takes secrets out of what is shown: reasons are other programs' words.
    """

    def __init__(self, watched: Watched, *, redact: Callable[[str], str], checks: Checks | None = None) -> None:
        self._watched = watched
        self._redact = redact
        self._checks = checks or Checks(watched)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._app = web.Application()
        self._app.router.add_get("/healthz", self._healthz)
        self._app.router.add_get("/readyz", self._readyz)
        self._app.router.add_get("/metrics", self._metrics)

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    @property
    def port(self) -> int:
        """The real port after `start`, which takes 0 for any."""
        return self._port

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `OSError` if the address is taken or is not ours."""
        runner = web.AppRunner(self._app, access_log=None, logger=log, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port. Harmless twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await self._checks.stop()
            await runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        found = health(self._watched)
        return self._json(found, 200 if found.alive else 503)

    async def _readyz(self, request: web.Request) -> web.Response:
        found = await self._checks.readiness()
        return self._json(found, 200 if found.ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        scrape = Scrape(
            stats=await self._stats(),
            now=self._watched.now(),
            numbers=self._watched.numbers(),
            ages=self._watched.ages(),
            sessions=self._watched.sessions(),
            version=self._watched.version,
            network=self._watched.network,
        )
        body, content_type = render(scrape, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def _stats(self) -> Stats | None:
        try:
            async with asyncio.timeout(STATS_TIMEOUT_S):
                return await self._watched.stats()
        except (BridgekitError, TimeoutError) as error:
            log.info("a scrape goes without the database's numbers: %s", str(error) or "no answer in time")
            return None

    def _json(self, value: object, status: int) -> web.Response:
        shown = _redacted(msgspec.to_builtins(value), self._redact)
        return web.Response(
            status=status,
            body=msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n",
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )


def _redacted(value: object, redact: Callable[[str], str]) -> object:
    """The same value, every text in it shown to `redact` as it stands, before JSON escapes anything."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(each, redact) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(each, redact) for each in value]
    return value
