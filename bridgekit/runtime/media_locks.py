"""Who changes the files of a message does so alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridgekit.model.ids import PortalKey


class MessageLocks:
    """A lock for each message that somebody is at."""

    def __init__(self) -> None:
        self._locks: dict[tuple[PortalKey, str], tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, portal: PortalKey, message: str) -> AsyncIterator[None]:
        """Nobody else changes the jobs or the events of this message's (`MediaJob.message`) files meanwhile."""
        key = (portal, message)
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
