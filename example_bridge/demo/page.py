"""The demo's page: the webchat as a visitor sees it beside a small Matrix view. The demo serves it, on loopback."""

from __future__ import annotations

import hmac
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from example_bridge.webchat.server import app as webchat_app

__all__ = ["DemoPage", "MatrixSide", "Session", "WebchatSide", "origin"]

_PAGE: Final = Path(__file__).with_name("page")
_KIT: Final = webchat_app.STATIC / "kit"
"""What both chat pages are made of."""


class WebchatSide(msgspec.Struct, frozen=True):
    """Where the visitor's page is, and who the visitor is."""

    link: str
    """Logs the visitor in."""
    name: str


class MatrixSide(msgspec.Struct, frozen=True):
    """With what the small Matrix view, or any client, speaks for the demo's user."""

    homeserver: str
    user_id: str
    password: str
    access_token: str
    room: str
    """Which room is shown at first."""
    name: str


class Session(msgspec.Struct, frozen=True):
    """What the page must know."""

    webchat: WebchatSide
    matrix: MatrixSide


class DemoPage:
    """The page at `url` while the context is open. Whoever asks for `session` must know `key`."""

    def __init__(self, port: int, key: str, session: Session) -> None:
        self._port: Final = port
        self._key: Final = key
        self._session: Final = session
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The link for the person, which carries the key where no server sees it."""
        return f"{origin(self._port)}/#key={self._key}"

    async def __aenter__(self) -> Self:
        application = web.Application(middlewares=[self._only_for_us])
        application.router.add_get("/", self._index)
        application.router.add_get("/session", self._answer_session)
        application.router.add_static("/page", _PAGE)
        application.router.add_static("/kit", _KIT)
        application.on_response_prepare.append(self._add_headers)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _only_for_us(self, request: web.Request, handler: Any) -> web.StreamResponse:
        # A stranger's name that resolves to 127.0.0.1 would make a stranger's page one of this origin.
        if request.host != f"127.0.0.1:{self._port}":
            raise web.HTTPMisdirectedRequest(text=f"the demo is at {origin(self._port)}\n")
        response: web.StreamResponse = await handler(request)
        return response

    async def _index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(_PAGE / "index.html")

    async def _answer_session(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._key.encode()):
            raise web.HTTPForbidden(text="open the link that make demo prints\n")
        return web.Response(body=msgspec.json.encode(self._session), content_type="application/json")

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        webchat = self._session.webchat.link.partition("/#")[0]
        response.headers.update(webchat_app.PAGE_HEADERS)
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: http: https:;"
            f" media-src 'self' blob:;"
            f" connect-src 'self' {self._session.matrix.homeserver}; frame-src {webchat}; base-uri 'none';"
            f" form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
            f" trusted-types matrix-html"
        )


def origin(port: int) -> str:
    """The page's origin, as a browser writes it."""
    return f"http://127.0.0.1:{port}"
