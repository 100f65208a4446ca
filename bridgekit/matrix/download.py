"""A file on its way from the homeserver, or from where it redirects to: a stream, never whole in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver

from bridgekit.core.media_bytes import filename, mimetype
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError
from bridgekit.matrix.http import Transport
from bridgekit.matrix.redirects import MAX_HOPS, STATUSES, BadRedirect, Guard, Hop, host_of, is_public
from bridgekit.matrix.wire import read_answer, refusal, words_of
from bridgekit.model.media import MediaStream

T = TypeVar("T")

PIECE = 64 * 1024
"""The largest piece, in bytes."""


class Downloads:
    """Opens files. `stall_s`: how long a server may send nothing, once it has begun.

    `reachable` says which IP addresses may be asked beside the homeserver's own host, `private_hosts` which hosts
    though they are none of those; `resolver` makes what looks names up.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        stall_s: float,
        reachable: Callable[[str], bool] = is_public,
        private_hosts: Collection[str] = (),
        resolver: Callable[[], AbstractResolver] | None = None,
    ) -> None:
        self._transport = transport
        self._stall_s = stall_s
        self._reachable = reachable
        self._private_hosts = frozenset(map(host_of, private_hosts))
        self._resolver = resolver
        self._elsewhere: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._elsewhere is not None:
            session, self._elsewhere = self._elsewhere, None
            await session.close()

    @asynccontextmanager
    async def open(self, path: str, query: Mapping[str, str], *, within_s: float) -> AsyncIterator[MediaStream]:
        """The file at a path of the homeserver's. `within_s`: how long each server may take to begin.

        Raises `HomeserverUnreachable` or `MatrixRequestError` on entering, `HomeserverUnreachable` while reading. 404:
        it is not there; BAD_REDIRECT: the homeserver leads to where nobody should go.
        """
        endpoint = f"GET /{path}"
        async with AsyncExitStack() as stack:
            hop, followed = Hop(self._transport.address(path).with_query(query)), 0
            while (response := await self._get(stack, hop, endpoint, within_s)).status in STATUSES:
                if followed == MAX_HOPS:
                    raise _bad_redirect(f"it redirects more than {MAX_HOPS} times", endpoint)
                hop, followed = self._next(hop, response, endpoint), followed + 1
            yield _stream(response, self._chunks(response, endpoint))

    def _next(self, hop: Hop, response: aiohttp.ClientResponse, endpoint: str) -> Hop:
        location = response.headers.get("Location", "")
        response.close()
        try:
            return hop.follow(location, reachable=self._reachable, private_hosts=self._private_hosts)
        except BadRedirect as error:
            raise _bad_redirect(str(error), endpoint) from None

    async def _get(self, stack: AsyncExitStack, hop: Hop, endpoint: str, within_s: float) -> aiohttp.ClientResponse:
        """Its answer, which is a file or a redirect."""
        if hop.token:
            try:
                response = await self._ask(stack, hop, endpoint, within_s)
                await self._check(response, endpoint)
            except HomeserverError as error:
                # A 5xx may be the failure of another server, whose file this is.
                self._transport.note(error, counts=False)
                raise
            self._transport.note(None)
            return response
        try:
            response = await self._ask(stack, hop, endpoint, within_s)
        except BadRedirect as error:
            raise _bad_redirect(str(error), endpoint) from None
        if response.status == 200 or response.status in STATUSES:
            return response
        response.close()
        words = f"{response.status} from {hop.url.host}, where it redirects to"
        if response.status in (404, 410):
            raise MatrixRequestError(404, "M_NOT_FOUND", words, endpoint=endpoint)
        raise HomeserverUnreachable(words, endpoint=endpoint)

    async def _check(self, response: aiohttp.ClientResponse, endpoint: str) -> None:
        if response.status == 200 or (response.status in STATUSES and "Location" in response.headers):
            return
        body = await self._limited(read_answer(response), self._stall_s, endpoint)
        response.close()
        if 200 <= response.status < 300:
            raise HomeserverUnreachable(f"{response.status} without a file", endpoint=endpoint)
        raise refusal(response, body, endpoint, now=self._transport.clock.now())

    async def _ask(self, stack: AsyncExitStack, hop: Hop, endpoint: str, within_s: float) -> aiohttp.ClientResponse:
        session = self._transport.session() if hop.home else self._session()
        headers = {"Accept-Encoding": "identity"}  # else what is said of its length is not the file's
        if hop.token:
            headers["Authorization"] = f"Bearer {self._transport.token}"
        request = session.get(
            hop.url,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._transport.timeout_s),
            allow_redirects=False,
        )
        return await self._limited(stack.enter_async_context(request), within_s, endpoint)

    def _session(self) -> aiohttp.ClientSession:
        """For requests to others than the homeserver."""
        if self._elsewhere is None or self._elsewhere.closed:
            guard = Guard(reachable=self._reachable, private_hosts=self._private_hosts, resolver=self._resolver)
            self._elsewhere = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=guard, use_dns_cache=False, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._transport.session().headers,
            )
        return self._elsewhere

    async def _chunks(self, response: aiohttp.ClientResponse, endpoint: str) -> AsyncIterator[bytes]:
        while chunk := await self._limited(response.content.read(PIECE), self._stall_s, endpoint):
            yield chunk

    async def _limited(self, what: Awaitable[T], seconds: float, endpoint: str) -> T:
        try:
            async with asyncio.timeout(seconds):
                return await what
        except TimeoutError:
            raise HomeserverUnreachable(
                f"nothing of a file for {seconds:g} s", endpoint=endpoint, timed_out=True
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Also an end before the length that was announced.
            raise HomeserverUnreachable(words_of(error), endpoint=endpoint) from error


def _stream(response: aiohttp.ClientResponse, chunks: AsyncIterator[bytes]) -> MediaStream:
    return MediaStream(
        chunks,
        # What was compressed on the way is longer now.
        size=response.content_length if "Content-Encoding" not in response.headers else None,
        mimetype=mimetype(response.headers.get("Content-Type")),
        name=filename(response.headers.get("Content-Disposition", "")),
    )


def _bad_redirect(words: str, endpoint: str) -> MatrixRequestError:
    return MatrixRequestError(307, "BAD_REDIRECT", words, endpoint=endpoint)
