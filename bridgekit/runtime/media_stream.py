"""One file on its way: never in memory as a whole, its size verified, broken off when nothing moves."""

from __future__ import annotations

import asyncio
import functools
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import IO, TypeVar

from bridgekit.core.media_info import with_learnt
from bridgekit.model.media import MediaRef, MediaStream
from bridgekit.ports import Clock
from bridgekit.runtime import points
from bridgekit.runtime.lanes import is_being_cancelled
from bridgekit.runtime.media_rules import MediaRules

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_S = 300.0
"""How long the homeserver may take to store a file that it has got whole: see `bridgekit.matrix.upload`."""

PIECE = 64 * 1024
"""Bytes that are handed on at once, at most: how far it has got shows after each."""

LEAST_PER_S = 1024
"""A transfer that is slower, over `MediaRules.stall_timeout_s`, counts as stalled: it holds a place of its login's."""

CLOSE_S = 15.0
"""How long one that is broken off may take to let go, before it is told once more, and then is left to itself."""

Opener = Callable[[], AbstractAsyncContextManager[MediaStream]]
Send = Callable[[AsyncIterator[bytes], int, MediaRef], Awaitable[T]]
"""Gives the bytes to the homeserver, so many, of the file as it is known by now."""


class SourceFailed(Exception):
    """The adapter's side failed: `error` is what it raised."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(repr(error))
        self.error = error


class TooLarge(Exception):
    """The file is larger than the homeserver takes."""


class TooLargeToKeep(Exception):
    """The file is larger than what the bridge may keep on its disk."""


class NoRoom(Exception):
    """Other files have what the bridge may keep on its disk."""


class _WrongSize(Exception):
    """It is not as long as was said. `got`: how long it is; None: longer."""

    def __init__(self, got: int | None) -> None:
        super().__init__("wrong size")
        self.got = got


class Transfers:
    """Carries files from the network to the homeserver. `moved` is told how many bytes have come."""

    def __init__(self, clock: Clock, rules: MediaRules, *, moved: Callable[[int], None]) -> None:
        self._clock = clock
        self._rules = rules
        self._moved = moved
        self._kept = 0  # bytes on disk

    @property
    def spool_bytes(self) -> int:
        """How much of files may be on disk."""
        return self._rules.spool_bytes

    async def carry(self, ref: MediaRef, open: Opener, send: Send[T], *, limit: int | None) -> tuple[T, MediaRef]:
        """Open the file and send it. Returns what `send` did, and what is known of the file now.

        Raises `SourceFailed`, `TooLarge`, `TooLargeToKeep`, `NoRoom`, `OSError` of the disk, and whatever `send`
        raises.
        """
        watch = Watch(self._clock, self._rules.stall_timeout_s)
        return await watch.over(self._carry(ref, open, send, limit, watch))

    async def _carry(
        self, ref: MediaRef, open: Opener, send: Send[T], limit: int | None, watch: Watch
    ) -> tuple[T, MediaRef]:
        got: int | None = None
        try:
            async with _opened(open) as stream:
                size = stream.size if stream.size is not None else ref.size
                if size is not None and size >= 0:
                    known = with_learnt(ref, stream, size)
                    _check(size, limit)
                    return await send(self._verified(stream.chunks, size, watch), size, known), known
                return await self._spooled(ref, stream, send, limit, watch)
        except _WrongSize as wrong:
            watch.seen()
            got = wrong.got
        # What it says of its length is wrong, or it was cut off: count.
        async with _opened(open) as stream:
            return await self._spooled(ref, stream, send, limit, watch, expected=got)

    async def _spooled(
        self,
        ref: MediaRef,
        stream: MediaStream,
        send: Send[T],
        limit: int | None,
        watch: Watch,
        *,
        expected: int | None = None,
    ) -> tuple[T, MediaRef]:
        """The homeserver wants to know the length first. `expected`: how long it was, the last time."""
        # Without a name from the beginning: whatever happens to the process, nothing of it is left.
        with tempfile.TemporaryFile(dir=self._rules.directory) as file:
            size = 0
            try:
                async for chunk in self._source(stream.chunks, watch):
                    size += len(chunk)
                    self._kept += len(chunk)
                    _check(size, limit)
                    self._check_room(size)
                    await self._offloaded(functools.partial(file.write, chunk))
                if expected is not None and size != expected:
                    # A wrong length is wrong in the same way each time; a connection breaks somewhere.
                    raise SourceFailed(ConnectionAbortedError(f"it had {expected} bytes, then {size}"))
                await self._offloaded(functools.partial(file.seek, 0))
                known = with_learnt(ref, stream, size)
                return await send(self._read(file, watch), size, known), known
            finally:
                self._kept -= size

    def _check_room(self, size: int) -> None:
        if size > self._rules.spool_bytes:
            raise TooLargeToKeep
        if self._kept > self._rules.spool_bytes:
            raise NoRoom  # one of those that are under way lets go of its own, so the last of them has room

    async def _source(self, chunks: AsyncIterator[bytes], watch: Watch) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                self._moved(len(chunk))
                for start in range(0, len(chunk), PIECE):
                    piece = chunk[start : start + PIECE]
                    watch.seen(len(piece))
                    yield piece
        except (GeneratorExit, SourceFailed):
            raise
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise SourceFailed(ConnectionAbortedError("the download was cancelled")) from error
        except Exception as error:
            raise SourceFailed(error) from error

    async def _verified(self, chunks: AsyncIterator[bytes], size: int, watch: Watch) -> AsyncIterator[bytes]:
        """The last piece is held back until it is known to be the last: the homeserver takes a file for whole when it
        has as many bytes as it was told."""
        count, held = 0, b""
        async for chunk in self._source(chunks, watch):
            count += len(chunk)
            if count > size:
                raise _WrongSize(None)
            if held:
                yield held
                watch.seen()
                points.reach(points.MEDIA_HALF)
            held = chunk
        if count != size:
            raise _WrongSize(count)
        watch.complete()
        if held:
            yield held

    async def _read(self, file: IO[bytes], watch: Watch) -> AsyncIterator[bytes]:
        while piece := await self._offloaded(functools.partial(file.read, PIECE)):
            yield piece
            watch.seen(len(piece))
            points.reach(points.MEDIA_HALF)
        watch.complete()

    async def _offloaded(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work) if self._rules.offload else work()


def _check(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise TooLarge


@asynccontextmanager
async def _opened(open: Opener) -> AsyncIterator[MediaStream]:
    """As the adapter's context manager; what that raises by itself is its failure, what the block raises is not."""
    try:
        manager = open()
        stream = await manager.__aenter__()
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        raise SourceFailed(ConnectionAbortedError("the download was cancelled")) from error
    except Exception as error:
        raise SourceFailed(error) from error
    try:
        yield stream
    except BaseException as error:
        try:
            await manager.__aexit__(type(error), error, error.__traceback__)
        except Exception as closing:
            if closing is not error:
                raise error from closing
        raise
    try:
        await manager.__aexit__(None, None, None)
    except Exception:  # noqa: BLE001 - the file has come, whatever its source now says
        return


class Watch:
    """Breaks a piece of work off when it has not moved for a while, or moves so slowly that it would hold its place for
    ever."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._last = clock.monotonic()
        self._since: float | None = None  # from when on `_moved` counts; None: nothing has come yet, or all has
        self._moved = 0

    def seen(self, size: int = 0) -> None:
        """So many bytes have moved."""
        self._last = self._clock.monotonic()
        if size and self._since is None:
            self._since, self._moved = self._last, 0
        self._moved += size

    def complete(self) -> None:
        """There are no more bytes, and whoever got them may take `ANSWER_S` beyond the usual for them."""
        self._last, self._since = self._clock.monotonic() + ANSWER_S, None

    async def over(self, work: Awaitable[T]) -> T:
        """Do it. Raises `SourceFailed` with a `TimeoutError` if it has stalled."""
        task = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self._stalled())
        try:
            await asyncio.wait((task, watching), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise SourceFailed(TimeoutError(watching.result()))
        finally:
            watching.cancel()
            if not task.done():
                await self._break_off(task)

    async def _break_off(self, task: asyncio.Future[T]) -> None:
        """Cancel it. What does not end then, such as a connection that cannot be closed, must not hold its place."""
        for _ in range(2):
            task.cancel()
            timer = asyncio.ensure_future(self._clock.sleep(CLOSE_S))
            try:
                await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
            if task.done():
                if not task.cancelled():
                    task.exception()  # of no interest any more
                return
        log.error("a file that was broken off does not end; the adapter holds on to it")

    async def _stalled(self) -> str:
        """Returns when it has, and says how."""
        while True:
            now = self._clock.monotonic()
            if (rest := self._last + self._seconds - now) <= 0:
                return f"nothing has moved for {self._seconds:g} s"
            if self._since is not None and (passed := now - self._since) >= self._seconds:
                if self._moved < LEAST_PER_S * passed:
                    return f"only {self._moved} bytes have moved in {passed:.0f} s"
                self._since, self._moved = now, 0
            await self._clock.sleep(rest)
