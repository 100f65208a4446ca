"""Fairness on the event loop: work that never waits must not keep the network waiting."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets so many callers go on, first come first served, between two looks of the event loop at the network.

    A flood of entries is carried out in small portions, so that the homeserver's next transaction is read, written
    down and answered in between.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = size
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._running = False
        self._loop: asyncio.AbstractEventLoop | None = None  # asking for it costs a system call

    async def take(self) -> None:
        """Return at once, or in one of the event loop's next rounds."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        if not self._running:
            self._running = True
            loop.call_soon(self._round, loop)
        if self._left:
            self._left -= 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        idle = self._left == self._size
        self._left = self._size
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # its caller was cancelled
                turn.set_result(None)
                self._left -= 1
        if idle:
            self._running = False
        else:
            loop.call_soon(self._round, loop)
