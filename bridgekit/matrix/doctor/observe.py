"""Asks the homeserver, as plainly as a person with curl would: nothing repeated, nothing redirected, nothing hidden."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
import msgspec
from yarl import URL

from bridgekit.matrix.doctor.reply import Answer, NoAnswer, Reply

TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
"""For the connection and its TLS: a server without TLS may wait for the rest of what it takes for a request."""

TEXT = 200
"""How many characters of an answer are kept for people."""


class Asker:
    """Sends requests to the homeserver at `url`; `now` is our clock, in ms. Use it in `async with`."""

    def __init__(self, url: str, as_token: str, *, now: Callable[[], int], timeout_s: float = TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._token = as_token
        self._now = now
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=self._timeout)
        self._session._retry_connection = False  # aiohttp would repeat a GET by itself
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self,
        method: Literal["GET", "PUT", "POST", "DELETE"],
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: bool = True,
        user: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """`path` is percent-encoded already. `token` False: as anybody. `user`: on behalf of one of ours."""
        assert self._session is not None
        params = {**(query or {}), **({} if user is None else {"user_id": user})}
        asked_at = self._now()
        try:
            url = URL(f"{self._url}/{path}", encoded=True)
            if url.scheme not in ("http", "https") or not url.host:
                return NoAnswer("address")
            async with self._session.request(
                method,
                url.update_query(params),
                data=None if body is None else msgspec.json.encode(body),
                headers={"Authorization": f"Bearer {self._token}"} if token else {},
                allow_redirects=False,
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return lack(error)
        return Answer(
            status=response.status,
            body=_object(raw),
            text=raw[:TEXT].decode(errors="replace").strip(),
            headers={name.lower(): value for name, value in response.headers.items()},
            asked_at=asked_at,
            answered_at=self._now(),
        )


def lack(error: Exception) -> NoAnswer:
    """What kept an answer from coming."""
    message = _inner(error)
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return NoAnswer("certificate", message)
        case aiohttp.ClientSSLError():
            return NoAnswer("tls", message)
        case aiohttp.ClientConnectorDNSError():
            return NoAnswer("name", message)
        case TimeoutError():
            return NoAnswer("timeout", "")
        case aiohttp.InvalidURL() | ValueError():
            return NoAnswer("address", message)
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionRefusedError):
            return NoAnswer("refused", "connection refused")
        case _:
            return NoAnswer("broken", message)


def _inner(error: Exception) -> str:
    """The innermost words: aiohttp wraps what says the most."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
        return str(getattr(inner, "verify_message", "") or inner)
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
