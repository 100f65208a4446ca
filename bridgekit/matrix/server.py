"""The HTTP side that the homeserver talks to: the application service API.

A 200 for a transaction is written only after the handler has returned, that is: after the events are on disk.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bridgekit.core.transaction import BadBody, parse
from bridgekit.errors import StoreError
from bridgekit.model.raw import Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AppserviceHandler(Protocol):
    """What the server does with what it received. Implemented by the runtime's inbox."""

    async def transaction(self, txn_id: str, transaction: Transaction) -> None:
        """Make the events durable; returns only when everything is committed.

        Raising `StoreError` (unavailable, lease lost) answers 503, anything else 500: the homeserver tries again.
        It runs to its end even if the homeserver hangs up meanwhile. `txn_id` is for logs only: never drop by it.
        """

    async def user_exists(self, user_id: str) -> bool:
        """The homeserver asks for a user in our namespace. True only if it is registered by now."""

    async def alias_exists(self, alias: str) -> bool:
        """The homeserver asks for an alias in our namespace. True only if it exists by now."""

    def ping_received(self, transaction_id: str | None) -> None:
        """A ping (MSC2659) arrived here, with the transaction id that its sender chose, if any."""


class AppserviceServer:
    """Serves the application service API. `app` is open for more routes (health, metrics) until `start`."""

    def __init__(
        self,
        *,
        hs_token: str,
        handler: AppserviceHandler,
        max_body_bytes: int = 64 * 1024 * 1024,
        stop_timeout_s: float = 10.0,
        on_hang_up: Callable[[], None] | None = None,
    ) -> None:
        """`on_hang_up` is called when the homeserver hung up on a transaction that was not answered yet: if it was
        restarted, the events that it had queued behind that transaction are gone."""
        if not hs_token:
            raise ValueError("hs_token must not be empty: it is all that tells the homeserver from anybody else")
        self._token = hs_token.encode()
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._stop_timeout_s = stop_timeout_s
        self._on_hang_up = on_hang_up or (lambda: None)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0
        # One byte more than allowed, because aiohttp refuses a body that is exactly as long as its limit.
        self.app = web.Application(client_max_size=max_body_bytes + 1, middlewares=[_errors_as_json])
        self._add_routes()

    @property
    def port(self) -> int:
        """The real port after `start`, which takes 0 for any."""
        return self._port

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `OSError` if the address is taken or is not ours."""
        # No access log: its lines hold the query string, and with it a token.
        runner = web.AppRunner(self.app, access_log=None, logger=_quiet_log(), shutdown_timeout=self._stop_timeout_s)
        await runner.setup()
        site = web.TCPSite(runner, host, port, backlog=1024)
        try:
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Take no more requests, and give those that are being worked on `stop_timeout_s` to end. Harmless twice."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        await runner.cleanup()
        # Requests whose homeserver hung up have no connection that cleanup would wait for.
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=self._stop_timeout_s)
            for task in pending:
                task.cancel()

    # --- routes -------------------------------------------------------------------------------------------------

    def _add_routes(self) -> None:
        # Spec, application service API, "Legacy routes": homeservers fall back to the paths without a prefix.
        for prefix in ("/_matrix/app/v1", ""):
            self._route("PUT", f"{prefix}/transactions/{{txn_id}}", self._transaction)
            self._route("GET", f"{prefix}/users/{{user_id}}", self._user)
            self._route("GET", f"{prefix}/rooms/{{alias}}", self._alias)
        for prefix in ("/_matrix/app/v1", "/_matrix/app/unstable/fi.mau.msc2659"):
            self._route("POST", f"{prefix}/ping", self._ping)
        for prefix in ("/_matrix/app/v1", "/_matrix/app/unstable"):
            self._route("GET", f"{prefix}/thirdparty/protocol/{{protocol}}", self._thirdparty_protocol)
            for kind in ("user", "location"):
                self._route("GET", f"{prefix}/thirdparty/{kind}", self._thirdparty_lookup)
                self._route("GET", f"{prefix}/thirdparty/{kind}/{{protocol}}", self._thirdparty_lookup)

    def _route(self, method: str, path: str, handler: Handler) -> None:
        async def authenticated(request: web.Request) -> web.StreamResponse:
            # Before the body is read: a stranger must not make us hold 64 MiB.
            refusal = self._refusal(request)
            return refusal if refusal is not None else await handler(request)

        async def expect(request: web.Request) -> web.StreamResponse | None:
            # "Expect: 100-continue" asks whether the body is welcome; aiohttp would say yes before we looked.
            refusal = self._refusal(request)
            if refusal is None and request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # the response's own bytes are counted from here
            return refusal

        self.app.router.add_route(method, path, authenticated, expect_handler=expect)

    def _refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request that does not carry the homeserver's token; None for one that does."""
        tokens = request.query.getall("access_token", [])
        for header in request.headers.getall("Authorization", []):
            scheme, _, value = header.partition(" ")
            if scheme.lower() == "bearer":
                tokens.append(value.strip())
        if not tokens:
            return _error(401, "M_MISSING_TOKEN", "The hs_token is missing")
        # Every one is compared, and each in constant time: how long the answer takes says nothing about the token.
        matches = [hmac.compare_digest(t.encode("utf-8", "surrogateescape"), self._token) for t in tokens]
        if not all(matches):
            return _error(403, "M_FORBIDDEN", "The hs_token is wrong")
        return None

    async def _transaction(self, request: web.Request) -> web.Response:
        length = request.content_length
        if length is not None and length > self._max_body_bytes:
            return self._too_large()
        try:
            body = await request.read()
        except web.RequestPayloadError:
            return _error(400, "M_NOT_JSON", "The body does not have the encoding that its headers say")
        if len(body) > self._max_body_bytes:
            return self._too_large()
        try:
            transaction = parse(body)
        except BadBody as error:
            log.warning("The homeserver sent a transaction that cannot be read: %s", error)
            return _error(400, error.errcode, error.message)
        txn_id = request.match_info["txn_id"]
        # In a task of its own: once begun it must end, even if the homeserver hangs up or this request is cancelled.
        try:
            return await self._guarded(self._handler.transaction(txn_id, transaction), lambda _: _ok())
        finally:
            if request.transport is None or request.transport.is_closing():
                self._on_hang_up()

    async def _user(self, request: web.Request) -> web.Response:
        found = self._handler.user_exists(request.match_info["user_id"])
        return await self._guarded(found, lambda yes: _ok() if yes else _not_found("No such user"))

    async def _alias(self, request: web.Request) -> web.Response:
        found = self._handler.alias_exists(request.match_info["alias"])
        return await self._guarded(found, lambda yes: _ok() if yes else _not_found("No such room alias"))

    async def _ping(self, request: web.Request) -> web.Response:
        # MSC2659: "The request body contains an optional `transaction_id` string field". Synapse sends null where the
        # bridge gave none, and the body itself may be missing: the connection works all the same.
        try:
            body = await request.read()
            transaction_id = msgspec.json.decode(body, type=_PingBody).transaction_id if body else None
        except (web.RequestPayloadError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            transaction_id = None
        self._handler.ping_received(transaction_id if isinstance(transaction_id, str) else None)
        # MSC2659: "When the token is correct, this returns HTTP 200 and an empty JSON object as the body."
        return _ok()

    async def _thirdparty_protocol(self, request: web.Request) -> web.Response:
        return _not_found("This bridge describes no third-party protocol")

    async def _thirdparty_lookup(self, request: web.Request) -> web.Response:
        return _json(200, b"[]")

    # --- calls into the bridge ----------------------------------------------------------------------------------

    async def _guarded(self, work: Coroutine[Any, Any, T], answer: Callable[[T], web.Response]) -> web.Response:
        """Run the handler to its end, whatever becomes of the request; never a 200 unless it returned."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            return answer(await asyncio.shield(task))
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            return _error(503, "M_UNKNOWN", "The bridge is stopping; try again")
        except StoreError:
            return _error(503, "M_UNKNOWN", "The bridge cannot store this now; try again")
        except Exception:  # noqa: BLE001 - logged by _ended, and the homeserver must hear of it
            return _error(500, "M_UNKNOWN", "Internal error of the bridge; try again")

    def _ended(self, task: asyncio.Task[Any]) -> None:
        # Here, not where it is awaited: the request may be gone by now, the reason must not be.
        self._tasks.discard(task)
        if task.cancelled():
            log.warning("A request of the homeserver was cancelled; it will try again")
            return
        error = task.exception()
        if isinstance(error, StoreError):
            log.warning("Told the homeserver to try again: %s", error)
        elif error is not None:
            log.error("A request of the homeserver failed; it will try again", exc_info=error)

    def _too_large(self) -> web.Response:
        return _error(413, "M_TOO_LARGE", f"The body is larger than {self._max_body_bytes} bytes")


class _PingBody(msgspec.Struct):
    transaction_id: Any = None


class _ErrorBody(msgspec.Struct):
    errcode: str
    error: str


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")


def _ok() -> web.Response:
    return _json(200, b"{}")


def _error(status: int, errcode: str, message: str) -> web.Response:
    return _json(status, msgspec.json.encode(_ErrorBody(errcode, message)))


def _not_found(message: str) -> web.Response:
    return _error(404, "M_NOT_FOUND", message)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What aiohttp itself refuses, in the words of the specification's standard error response."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        # Spec, client-server API: "404 ... M_UNRECOGNIZED" for an unknown endpoint, 405 for a wrong method of one.
        errcode = {404: "M_UNRECOGNIZED", 405: "M_UNRECOGNIZED", 413: "M_TOO_LARGE"}.get(error.status, "M_UNKNOWN")
        response = _error(error.status, errcode, error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        log.exception("A request failed: %s %s", request.method, request.path)
        return _error(500, "M_UNKNOWN", "Internal error of the bridge")


class _NoInput(logging.Filter):
    """aiohttp logs what it could not parse, and that may be a request line with a token in it: keep the kind only."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (HttpProcessingError, web.RequestPayloadError)):
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}", ()
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def _quiet_log() -> logging.Logger:
    http_log = log.getChild("http")
    if not http_log.filters:
        http_log.addFilter(_NoInput())
    return http_log
