"""The homeserver answers again: what backed off from it is tried at once, but not over and over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridgekit.ports import Clock

EVERY_S = 10.0
"""How often, at most. Where it fails at one thing and answers others, it seems to come back with each of those."""


class Recovered:
    """Calls `retry` when told that the homeserver is back; if that was a moment ago, a moment later."""

    def __init__(self, clock: Clock, retry: Callable[[], None]) -> None:
        self._clock = clock
        self._retry = retry
        self._resting: asyncio.Task[None] | None = None
        self._again = False
        self._stopped = False

    def __call__(self) -> None:
        if self._stopped:
            return
        if self._resting is not None:
            self._again = True
            return
        self._retry()
        self._resting = asyncio.create_task(self._rest(), name="the homeserver is back")

    async def stop(self) -> None:
        """Try nothing more."""
        self._stopped = True
        if self._resting is not None:
            self._resting.cancel()
            await asyncio.gather(self._resting, return_exceptions=True)

    async def _rest(self) -> None:
        await self._clock.sleep(EVERY_S)
        self._resting = None
        if self._again:
            self._again = False
            self()
