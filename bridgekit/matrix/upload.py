"""A file on its way to the homeserver: streamed, never whole in memory, never repeated by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

import aiohttp
from mautrix.api import Method

from bridgekit.core.media_bytes import OCTETS, exactly
from bridgekit.core.media_bytes import mimetype as checked_type
from bridgekit.errors import HomeserverError, HomeserverUnreachable
from bridgekit.matrix.http import Transport
from bridgekit.matrix.wire import decode, read_answer, refusal, words_of

T = TypeVar("T")

PIECE = 64 * 1024
"""How much is handed to a connection at a time, in bytes."""

ANSWER_S = 300.0
"""How long the server may take when it has everything: it makes thumbnails, or hands the file on, before it answers."""


async def send_file(
    transport: Transport,
    method: Method,
    path: str,
    answer: type[T],
    *,
    chunks: AsyncIterator[bytes],
    size: int,
    mimetype: str,
    query: Mapping[str, str],
    stall_s: float,
) -> T:
    """Send `size` bytes, and decode the answer.

    `stall_s`: how long the server may take nothing; the source may take its time. What the source raises comes out as
    it is, and the server then has no file. The source is read in the task that called, and no more of it once the
    server has answered. Raises `WrongSize`, `HomeserverUnreachable` or `MatrixRequestError`.
    """
    handover = _Handover(stall_s)
    request = asyncio.create_task(
        _send(transport, method, path, answer, handover, size=size, mimetype=mimetype, query=query)
    )
    request.add_done_callback(lambda _: handover.close())
    try:
        async with contextlib.aclosing(exactly(chunks, size)) as pieces:
            async for chunk in pieces:
                for start in range(0, len(chunk), PIECE):
                    await handover.give(chunk[start : start + PIECE])
                if handover.closed:
                    break  # too large, for instance: there is nothing more to say to it
        await handover.give(None)
        await asyncio.wait([request])
    finally:
        if not request.done():
            request.cancel()
            # The connection is closed when this is over, and not before: the server must not take what it got for all.
            await asyncio.wait([request])
        elif not request.cancelled():
            request.exception()  # raised below, unless the source has raised something
    try:
        result = request.result()
    except HomeserverError as error:
        transport.note(error)
        raise
    transport.note(None)
    return result


class _Handover:
    """Hands pieces from the task that reads the source to the one that writes to the server, one at a time."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._piece: bytes | None = None
        self._given = asyncio.Event()
        self._taken = asyncio.Event()
        self.closed = False
        self.complete = False
        self.limit = asyncio.timeout(None)

    async def give(self, piece: bytes | None) -> None:
        """Returns when it was taken, at once if nobody takes anything any more; None is the end."""
        if self.closed:
            return
        self._piece = piece
        self._given.set()
        await self._taken.wait()
        self._taken.clear()

    def close(self) -> None:
        """Nobody takes anything any more."""
        self.closed = True
        self._taken.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """For the task that writes."""
        while True:
            self._watch(None)  # the source's time is not the server's
            await self._given.wait()
            self._given.clear()
            self._watch(self._stall_s)
            if self._piece is None:
                self.complete = True
                self._watch(ANSWER_S)
                self._taken.set()
                return
            yield self._piece  # goes on when the connection has taken it
            self._taken.set()

    def _watch(self, seconds: float | None) -> None:
        when = None if seconds is None else asyncio.get_running_loop().time() + seconds
        with contextlib.suppress(RuntimeError):  # it has just run out
            self.limit.reschedule(when)


async def _send(
    transport: Transport,
    method: Method,
    path: str,
    answer: type[T],
    handover: _Handover,
    *,
    size: int,
    mimetype: str,
    query: Mapping[str, str],
) -> T:
    endpoint = f"{method} /{path}"
    headers = {
        "Authorization": f"Bearer {transport.token}",
        "Content-Length": str(size),
        "Content-Type": checked_type(mimetype) or OCTETS,
    }
    try:
        async with (
            handover.limit,
            transport.session().request(
                str(method),
                transport.address(path),
                data=handover.pieces(),
                params=dict(query),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=transport.timeout_s),
                allow_redirects=False,
            ) as response,
        ):
            body = await read_answer(response)
            if not handover.complete:
                response.close()  # it has answered early; what follows on this connection would be the rest of the file
    except TimeoutError:
        what = "no answer to a file" if handover.complete else "it takes no more of a file"
        raise HomeserverUnreachable(what, endpoint=endpoint, timed_out=True) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise HomeserverUnreachable(words_of(error), endpoint=endpoint) from error
    if not 200 <= response.status < 300:
        raise refusal(response, body, endpoint, now=transport.clock.now())
    if not handover.complete:
        raise HomeserverUnreachable("it answered before it had the whole file", endpoint=endpoint)
    return decode(body, answer, endpoint)
