"""The time of calls. They are timed by the wall clock, because both ends say by that until when they ring; and somebody
may set it back while they do."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridgekit.ports import Clock

log = logging.getLogger(__name__)

NOTICED_MS = 1_000
"""Less is no reason to touch anything."""


class CallClock:
    """`bridgekit.ports.Clock`: the bridge's. `set_back` is told before anybody has a time that is by so many ms behind
    the one that was to be expected."""

    def __init__(self, clock: Clock, set_back: Callable[[int], None]) -> None:
        self._clock = clock
        self._set_back = set_back
        self._last = clock.now(), clock.monotonic()

    def now(self) -> int:
        (then, began), now, monotonic = self._last, self._clock.now(), self._clock.monotonic()
        self._last = now, monotonic
        behind = then + int((monotonic - began) * 1000) - now
        if behind >= NOTICED_MS:
            log.warning("the clock was set back by %.0f s; what is due in calls is due so much earlier", behind / 1000)
            self._set_back(behind)
        return now

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
