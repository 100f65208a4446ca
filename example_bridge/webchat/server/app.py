"""Puts the network together and serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import WSCloseCode, web

from example_bridge.webchat.server.calls import Calls
from example_bridge.webchat.server.connection import Connection
from example_bridge.webchat.server.faults import Faults
from example_bridge.webchat.server.files import Files
from example_bridge.webchat.server.http import NETWORK, add_routes, authenticate, errors_as_json
from example_bridge.webchat.server.hub import Hub
from example_bridge.webchat.server.media_http import MEDIA_HEADERS, add_media_routes
from example_bridge.webchat.server.network import Network, wall_clock_ms
from example_bridge.webchat.server.protocol import MAX_FRAME_BYTES, IceServer
from example_bridge.webchat.server.store import Store

STATIC = Path(__file__).with_name("static")
SOCKETS = web.AppKey("sockets", set[web.WebSocketResponse])

HEARTBEAT = 30.0
"""Seconds between two pings of the server."""
FAREWELL = 2.0
"""Seconds that open requests and sockets get when the server stops."""

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: http: https:;"
    " media-src 'self' blob:;"
    " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The page gets code from here alone, and can make none of what people write."""
PAGE_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
FRAMED_BY = web.AppKey("framed_by", str)


@dataclass(frozen=True, slots=True)
class Config:
    """How to run the network."""

    db: Path
    host: str = "127.0.0.1"
    port: int = 0
    """0: a free one."""
    dedupe_seconds: int = 86_400
    """0: nonces are not remembered."""
    max_text_length: int = 4_000
    """Code points of a message."""
    max_upload_size: int = 2 << 30
    """Bytes of one file."""
    upload_seconds: int = 86_400
    """How long the bytes of a file may take that was announced."""
    ice_servers: tuple[IceServer, ...] = ()
    """STUN and TURN servers for the media of calls."""
    faults: bool = False
    """Whether tests may break things over /api/faults."""
    framed_by: str = "'none'"
    """Which page may show the webchat's inside itself: an origin, as Content-Security-Policy writes it."""
    now: Callable[[], int] = wall_clock_ms
    """Milliseconds since 1970."""


class Server:
    """A running network: `url` until `stop`."""

    def __init__(self, url: str, network: Network, runner: web.AppRunner, expiring: asyncio.Task[None]) -> None:
        self.url = url
        self.network = network
        self._runner = runner
        self._expiring = expiring
        self._stopped = False

    async def stop(self) -> None:
        """Say goodbye to the sockets, finish what is being written, close the file. A second time does nothing."""
        if self._stopped:
            return
        self._stopped = True
        self._expiring.cancel()
        await asyncio.wait([self._expiring])
        await self._runner.cleanup()
        self.network.calls.close()
        await asyncio.gather(*self.network.unfinished)
        await self.network.store.close()


async def start(config: Config) -> Server:
    """Open the file and listen."""
    hub = Hub()
    store = Store(config.db, hub.publish)
    files = Files(config.db.with_name(config.db.name + "-files"))
    await store.open()
    faults = Faults()
    network = Network(
        store=store,
        hub=hub,
        files=files,
        calls=Calls(
            store=store, publish=hub.publish, there=lambda account: bool(hub.of(account)), faults=faults, now=config.now
        ),
        faults=faults,
        faults_allowed=config.faults,
        max_text_length=config.max_text_length,
        dedupe_seconds=config.dedupe_seconds,
        max_upload_size=config.max_upload_size,
        upload_seconds=config.upload_seconds,
        ice_servers=config.ice_servers,
        now=config.now,
    )
    runner = web.AppRunner(
        make_app(network, framed_by=config.framed_by),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=FAREWELL,
        handler_cancellation=True,  # who is kept waiting in silence and leaves, leaves nothing behind
    )
    try:
        files.open()
        await network.clear_files()
        await network.expire_files()
        await runner.setup()
        site = web.TCPSite(runner, config.host, config.port)
        await site.start()
    except BaseException:
        await runner.cleanup()
        await store.close()
        raise
    host, port = runner.addresses[0][:2]
    expiring = asyncio.create_task(network.keep_expiring())
    return Server(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", network, runner, expiring)


def make_app(network: Network, *, framed_by: str = "'none'") -> web.Application:
    app = web.Application(client_max_size=MAX_FRAME_BYTES, middlewares=[errors_as_json])
    app[NETWORK] = network
    app[SOCKETS] = set()
    app[FRAMED_BY] = framed_by
    add_routes(app, faults=network.faults_allowed)
    add_media_routes(app)
    app.router.add_get("/api/stream", stream)
    app.router.add_get("/", page)
    app.router.add_static("/static", STATIC)
    app.on_shutdown.append(close_sockets)
    app.on_response_prepare.append(add_page_headers)
    return app


async def stream(request: web.Request) -> web.WebSocketResponse:
    account = await authenticate(request)
    network = request.app[NETWORK]
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=MAX_FRAME_BYTES, timeout=FAREWELL, compress=False)
    await socket.prepare(request)
    request.app[SOCKETS].add(socket)

    def abort() -> None:
        if request.transport is not None:
            request.transport.abort()

    connection = Connection(
        account.id,
        socket,
        abort,
        store=network.store,
        hub=network.hub,
        faults=network.faults,
        submit=network.submit,
        act=network.act,
        ringing=network.calls.pending,
    )
    try:
        await connection.run()
    finally:
        request.app[SOCKETS].discard(socket)
    return socket


async def page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def add_page_headers(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith("/api/media/"):
        response.headers.update(MEDIA_HEADERS)
    elif not request.path.startswith("/api/"):
        response.headers.update(PAGE_HEADERS)
        response.headers["Content-Security-Policy"] = f"{CONTENT_POLICY}; frame-ancestors {request.app[FRAMED_BY]}"


async def close_sockets(app: web.Application) -> None:
    async def close(socket: web.WebSocketResponse) -> None:
        with suppress(ConnectionError):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server is stopping")

    sockets = app[SOCKETS]
    await asyncio.gather(*(close(socket) for socket in sockets))
