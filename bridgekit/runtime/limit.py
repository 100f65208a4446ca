"""One time limit for many calls: a timer now and then, instead of one for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

T = TypeVar("T")

LOOKS = 20
"""A limit is looked at so many times within its length, at least once a second: a call may take that much longer."""


class _Call:
    __slots__ = ("at", "cancelling", "expired", "task")

    def __init__(self, task: asyncio.Task[object], at: float) -> None:
        self.task: Final = task
        self.at: Final = at
        self.cancelling: Final = task.cancelling()
        self.expired = False


class TimeLimit:
    """Calls that may take `seconds` each, and up to a twentieth (at most a second) more."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._every_s = min(seconds / LOOKS, 1.0)
        self._running: dict[_Call, None] = {}  # in the order in which they began, and so will expire
        self._loop: asyncio.AbstractEventLoop | None = None  # asking for it costs a system call
        self._looking = False

    async def on(self, call: Awaitable[T]) -> T:
        """Await the call. Raises what it raises, or `TimeoutError` after it was cancelled because of its time."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "called from a task"
        mine = _Call(task, loop.time() + self._seconds)
        self._running[mine] = None
        if not self._looking:
            self._looking = True
            loop.call_later(self._every_s, self._look, loop)
        try:
            result = await call
        except asyncio.CancelledError:
            # Only if nobody else wanted this task to end, too.
            if mine.expired and task.uncancel() <= mine.cancelling:
                raise TimeoutError(f"no answer within {self._seconds:g} s") from None
            raise
        except BaseException:
            if mine.expired:
                task.uncancel()
            raise
        finally:
            del self._running[mine]
        if mine.expired:
            task.uncancel()
        return result

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for call in self._running:
            if call.at > now:
                break
            if not call.expired:
                call.expired = True
                call.task.cancel()
        if self._running:
            loop.call_later(self._every_s, self._look, loop)
        else:
            self._looking = False
