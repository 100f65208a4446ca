"""One request to the homeserver: its errors typed, its refusals waited for, and nothing secret in the log.

Built on mautrix's `HTTPAPI`, which joins paths and counts calls. Its retries, its logging of bodies, its error classes
and its silence about timeouts are replaced (notes/mautrix.md, "Wrap it").
"""

from __future__ import annotations

import io
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, TypeVar

import aiohttp
from mautrix.api import HTTPAPI, Method
from yarl import URL

from bridgekit.core.backoff import Backoff
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError
from bridgekit.matrix.wire import decode, encode, refusal, words_of
from bridgekit.ports import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")
Query = Mapping[str, str | Sequence[str]]


class Repeat(Enum):
    """When a request may be sent again by itself."""

    SAFE = auto()  # a repeat does no harm: also when there was no answer
    REFUSED = auto()  # only after a 429, which says that nothing was done
    NEVER = auto()


class Answers:
    """What the homeserver has answered to our requests, each try counted.

    `last_at`: when it was last there and well (ms); None if never. `failing`: whether the last try found nobody, or a
    failure of the homeserver (or of a proxy before it).
    """

    def __init__(self) -> None:
        self.by_status: Counter[str] = Counter()  # "2xx", "3xx", "4xx", "5xx", "no_answer"
        self.rate_limited = 0  # of the "4xx", those that were a 429
        self.last_at: int | None = None
        self.failing = False

    def count(self, error: HomeserverError | None, now: int, *, unwell: bool) -> None:
        """One try has ended: well, if `error` is None; `now` in ms."""
        status = error.status if isinstance(error, MatrixRequestError) else 200 if error is None else None
        self.by_status["no_answer" if status is None else f"{status // 100}xx"] += 1
        self.rate_limited += status == 429
        self.failing = unwell
        if not unwell:
            self.last_at = now


class Transport:
    """Sends requests with the application service's token. `Homeserver` tells what the public attributes mean.

    `tries`: how often one request is sent at most. `max_wait_s`: the longest wait between two of them; a homeserver
    that asks for more gets its error raised, with `retry_after_ms`, so that the caller decides.

    Raises ValueError for an `url` that is none.
    """

    def __init__(
        self,
        *,
        url: str,
        as_token: str,
        clock: Clock,
        random: Callable[[], float],
        session: aiohttp.ClientSession | None = None,
        timeout_s: float = 30.0,
        max_wait_s: float = 30.0,
        tries: int = 4,
    ) -> None:
        self.answers = Answers()
        self.failures = 0
        self.on_failure: list[Callable[[], None]] = []
        self.on_recovered: list[Callable[[], None]] = []
        address = URL(url)  # raises ValueError too
        if address.scheme not in ("http", "https") or not address.host:
            raise ValueError(
                f"{url!r} is not the address of a homeserver: it must look like https://matrix.example.com"
            )
        self._url = url
        self._token = as_token
        self.clock = clock
        self._random = random
        self._session = session
        self._owns_session = session is None
        self.timeout_s = timeout_s
        self._max_wait_s = max_wait_s
        self._tries = tries
        self._backoff = Backoff(base_s=0.5, factor=2.0, max_s=8.0, retry_after_cap_s=max_wait_s)
        self._down = False

    @property
    def token(self) -> str:
        return self._token

    def address(self, path: str) -> URL:
        """The URL of a path that `wire.path` made."""
        base = URL(self._url)
        return base.with_path(f"{base.raw_path.rstrip('/')}/{path}", encoded=True)

    async def close(self) -> None:
        """Close the connections, if they are our own. A later request opens new ones."""
        if self._owns_session and self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def request(
        self,
        method: Method,
        path: str,
        answer: type[T],
        *,
        body: Mapping[str, Any] | bytes | None = None,
        mimetype: str = "application/json",
        query: Query | None = None,
        repeat: Repeat = Repeat.SAFE,
        counts: bool = True,
        timeout_s: float | None = None,
    ) -> T:
        """Send, and decode the answer as `answer` (`bytes`: as it came).

        Raises `HomeserverUnreachable` or `MatrixRequestError`. `counts` False: a 5xx to this request says nothing about
        the homeserver's health. `timeout_s` is for one try.
        """
        data = body if isinstance(body, bytes) else encode({} if body is None else body)
        api = _API(self._url, self._token, self.session(), self.clock, timeout_s or self.timeout_s)
        params: dict[str, Any] = dict(query or {})
        failed = 0
        while True:
            try:
                raw = await api.request(
                    method,
                    path,
                    data,
                    headers={"Content-Type": mimetype},
                    query_params=dict(params),
                    retry_count=0,
                )
                result = raw if answer is bytes else decode(raw, answer, f"{method} /{path}")
            except HomeserverError as error:
                self.note(error, counts=counts)
                failed += 1
                wait = self._wait(error, repeat, failed)
                if wait is None:
                    raise
                log.warning("%s; try %d of %d in %.1f s", error, failed + 1, self._tries, wait)
            else:
                self.note(None, counts=counts)
                return result
            await self.clock.sleep(wait)

    def session(self) -> aiohttp.ClientSession:
        """The open connections."""
        if self._session is None or (self._owns_session and self._session.closed):
            # No cookies: a load balancer's would tie every ghost to one backend, and the token is all we need.
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": f"bridgekit {HTTPAPI.default_ua}"}
            )
            # aiohttp repeats a request by itself when a kept connection turns out to be dead. We do that too, but count
            # it first: a homeserver that was restarted meanwhile may have lost what it had for us.
            self._session._retry_connection = False
        return self._session

    def note(self, error: HomeserverError | None, *, counts: bool = True) -> None:
        """One try has ended: well, if `error` is None. `counts` as in `request`."""
        unwell = isinstance(error, HomeserverUnreachable) or (
            counts and isinstance(error, MatrixRequestError) and error.status >= 500
        )
        self.answers.count(error, self.clock.now(), unwell=unwell)
        if unwell:
            self.failures += 1
            self._down = True
            listeners = self.on_failure
        elif self._down:
            self._down = False
            listeners = self.on_recovered
        else:
            return
        for listener in list(listeners):
            listener()

    def _wait(self, error: HomeserverError, repeat: Repeat, failed: int) -> float | None:
        """How long to wait before sending again, in seconds; None for not at all."""
        if repeat is Repeat.NEVER or failed >= self._tries:
            return None
        after_s: float | None = None
        if isinstance(error, MatrixRequestError):
            # Spec, rate limiting: "Homeservers SHOULD include a Retry-After header"; but one was seen to ask for 24 h.
            after_s = None if error.retry_after_ms is None else error.retry_after_ms / 1000
            if after_s is not None and after_s > self._max_wait_s:
                return None
            if error.status != 429 and (repeat is not Repeat.SAFE or error.status not in (502, 503, 504)):
                return None
        elif repeat is not Repeat.SAFE:
            return None
        return self._backoff.delay(failed - 1, self._random(), after_s)


class _API(HTTPAPI):
    def __init__(self, url: str, token: str, session: aiohttp.ClientSession, clock: Clock, timeout_s: float) -> None:
        super().__init__(url, token, client_session=session, log=None)  # what mautrix would log is overridden below
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    def _log_request(self, *args: Any, **kwargs: Any) -> None:
        """Not with mautrix's text, which holds the body."""

    def _log_request_done(self, *args: Any, **kwargs: Any) -> None:
        """Logged by `_send`, which knows the method."""

    async def _send(  # type: ignore[override]  # the answer stays bytes: msgspec decodes it into a type
        self, method: Method, url: URL, content: Any, query_params: dict[str, str], headers: dict[str, str]
    ) -> tuple[bytes, aiohttp.ClientResponse]:
        endpoint = f"{method} {url.path}"  # never the query
        data = content
        if isinstance(content, bytes):
            data = io.BytesIO(content)  # aiohttp warns of large bytes, and writes a file in pieces
        elif isinstance(content, str | dict):
            data = None  # what mautrix makes of an empty body
        start = time.perf_counter()
        try:
            # Not redirected: PUT and POST do not survive it, and the token is for this server only.
            async with self.session.request(
                str(method),
                url,
                data=data,
                params=query_params,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                body = await response.read()
        except TimeoutError:
            log.debug("%s: no answer in time", endpoint)
            raise HomeserverUnreachable(
                f"no answer within {self._timeout.total:g} s", endpoint=endpoint, timed_out=True
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.debug("%s: %s", endpoint, type(error).__name__)
            raise HomeserverUnreachable(words_of(error), endpoint=endpoint) from error
        log.debug("%s: %d in %.1f ms", endpoint, response.status, (time.perf_counter() - start) * 1000)
        if not 200 <= response.status < 300:
            raise refusal(response, body, endpoint, now=self._clock.now())
        return body, response
