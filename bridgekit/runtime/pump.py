"""Carries out what a table of slots (`bridgekit.core.slots`) says is due: in time, and so much at once at most."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from bridgekit.core.slots import Table
from bridgekit.errors import BridgekitError, HomeserverUnreachable
from bridgekit.ports import Clock
from bridgekit.runtime.lanes import is_being_cancelled

log = logging.getLogger(__name__)

REST_PER_SLOT_S = 0.000_01
"""How long a look through the table rests, for each slot in it: some ten times as long as the look takes."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Pump(Generic[K, V]):
    """One table and one way to carry out what it holds. `work` says whether it was done; whatever it raises means that
    it was not, and is never repeated, nor seen anywhere but in the debug log."""

    def __init__(
        self, name: str, table: Table[K, V], work: Callable[[K, V], Awaitable[bool]], clock: Clock, *, at_most: int
    ) -> None:
        self._name = name
        self._table = table
        self._work = work
        self._clock = clock
        self._at_most = at_most
        self._jobs: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def now(self) -> int:
        """The table's time, in ms: of the clock that never goes back."""
        return round(self._clock.monotonic() * 1000)

    def start(self) -> None:
        """Begin. What was offered before is carried out now."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Drop everything."""
        tasks = [*self._jobs, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = None

    def wake(self) -> None:
        """The table has changed."""
        self._wakeup.set()

    async def _run(self) -> None:
        while True:
            self._wakeup.clear()
            now = self.now()
            for key, value in self._table.due(now, self._at_most - len(self._jobs)):
                job = asyncio.create_task(self._carry_out(key, value), name=f"{self._name} job")
                self._jobs.add(job)
                job.add_done_callback(self._jobs.discard)
            # All hands full: the end of a job wakes.
            at = self._table.next_at(now) if len(self._jobs) < self._at_most else None
            await self._sleep(None if at is None else (at - now) / 1000)
            if (rest := len(self._table) * REST_PER_SLOT_S) >= 0.002:
                # A flood of what passes must not take the event loop from the messages.
                await self._clock.sleep(rest)

    async def _sleep(self, seconds: float | None) -> None:
        if seconds is None:
            await self._wakeup.wait()
            return
        waits = [asyncio.ensure_future(self._wakeup.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _carry_out(self, key: K, value: V) -> None:
        done = False
        try:
            done = await self._work(key, value)
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            log.debug("%s: cancelled from inside", self._name)
        except HomeserverUnreachable as error:
            log.debug("%s: %s; what waits is dropped", self._name, error)
            self._table.clear()  # by the time that it is back, nobody cares
        except (BridgekitError, OSError, EOFError) as error:  # TimeoutError is an OSError
            log.debug("%s: %s: %s", self._name, type(error).__name__, error)
        except Exception:  # an adapter's bug, or ours: nothing depends on it
            log.debug("%s failed", self._name, exc_info=True)
        finally:
            self._table.ended(key, self.now(), done=done)
            self._wakeup.set()
