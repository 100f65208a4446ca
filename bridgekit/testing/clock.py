"""Time that moves only when the test says so."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable

START_MS = 1_700_000_000_000
"""The first moment of a `ManualClock`, in ms since the epoch."""


class ManualClock:
    """`bridgekit.ports.Clock`: nobody's sleep ends before the test moves the time."""

    def __init__(self, now: int = START_MS) -> None:
        self._start = now
        self._micros = 0  # a whole number: a sum of fractions would never quite reach the end of a sleep
        self._count = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._start + self._micros // 1000

    def monotonic(self) -> float:
        return self._micros / 1_000_000

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._count += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._micros + max(1, _micros(seconds)), self._count, future))
        await future

    def next_in(self) -> float | None:
        """Seconds until the first sleep ends; None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():  # its task was cancelled
            heapq.heappop(self._sleepers)
        return (self._sleepers[0][0] - self._micros) / 1_000_000 if self._sleepers else None

    def jump(self, seconds: float) -> None:
        """Move the time at once, and wake whose sleep is over. They run when the test next waits."""
        self._micros += _micros(seconds)
        while self._sleepers and self._sleepers[0][0] <= self._micros:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    async def advance(self, seconds: float) -> None:
        """Move the time from one end of a sleep to the next, in a thousand steps at most, and let everybody finish what
        they then can."""
        await idle()
        end = self._micros + _micros(seconds)
        while (step := self.next_in()) is not None and self._micros + _micros(step) <= end:
            self.jump(min(max(step, seconds / 1000), (end - self._micros) / 1_000_000))
            await idle()
        self.jump((end - self._micros) / 1_000_000)
        await idle()


class PassingClock(ManualClock):
    """The real time, which passes by itself: for what talks over real sockets. `jump` moves it on besides, and wakes
    nobody."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + round(self._ahead * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def next_in(self) -> float | None:
        return None

    def jump(self, seconds: float) -> None:
        self._ahead += seconds

    async def advance(self, seconds: float) -> None:
        raise RuntimeError("this clock cannot be moved step by step; wait for what is needed")


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


async def idle() -> None:
    """Wait until no task of this event loop can go on by itself. Threads and sockets are not waited for."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    if ready is None:  # another kind of loop: long enough for what tests do
        for _ in range(1000):
            await asyncio.sleep(0)
        return
    quiet = 0
    while quiet < 3:  # a timer that is due is seen one turn later
        await asyncio.sleep(0)
        quiet = 0 if ready else quiet + 1


async def until(condition: Callable[[], bool], *, clock: ManualClock | None = None, within_s: float = 7200) -> None:
    """Wait until the condition holds. With a clock, time passes whenever nothing else happens, `within_s` at most.

    Raises AssertionError if it does not come true.
    """
    end = None if clock is None else clock.monotonic() + within_s
    await idle()
    while not condition():
        step = None if clock is None else clock.next_in()
        if clock is None or step is None or end is None or clock.monotonic() + step > end:
            raise AssertionError("nothing happens any more, and what was waited for has not come")
        clock.jump(step)
        await idle()
