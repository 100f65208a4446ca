"""Commits the ends of entries, many together, while their lanes go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bridgekit.core.backoff import Backoff
from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.model.entry import Completion
from bridgekit.ports import Clock, Journal
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)

MAX_BATCH = 1000

GATHER_S = 0.05
"""How long a completion waits for others, unless its lane waits for it: a commit costs the disk the same for one as for
many, and the homeserver's next transaction, which has to wait for the disk, goes first."""

ENOUGH = 800
"""So many completions wait no longer."""


class Completer:
    """One queue of completions for all lanes; whatever waits goes to disk in one SQL transaction.

    A completion is retried until it is on disk: its entry has been carried out, and forgetting that would repeat it.
    """

    def __init__(self, journal: Journal, lease: LeaseKeeper, clock: Clock) -> None:
        self._journal = journal
        self._lease = lease
        self._clock = clock
        self._backoff = Backoff(base_s=0.1, max_s=5.0)
        self._waiting: list[tuple[Completion, Callable[[], None]]] = []
        self._wakeup = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="completer")

    def add(self, completion: Completion, committed: Callable[[], None], *, urgent: bool = False) -> None:
        """Queue a completion; `committed` is called when it is on disk. `urgent`: its lane waits for that."""
        self._waiting.append((completion, committed))
        self._idle.clear()
        if urgent or len(self._waiting) >= ENOUGH:
            self.hurry()
        elif self._timer is None and not self._wakeup.is_set():
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self.hurry)

    def hurry(self) -> None:
        """Somebody waits for what is queued: gather no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wakeup.set()

    async def flush(self) -> None:
        """Wait until everything queued is on disk."""
        self.hurry()
        await self._idle.wait()

    async def stop(self, *, within_s: float = 10.0) -> None:
        """Write what waits, then end. If the lease is lost, or the database is away for so long, what waits is given
        up: whoever works here next repeats it, as after a crash."""
        if self._task is None:
            return
        if not self._lease.lost.is_set():
            flushing = asyncio.ensure_future(self.flush())
            await asyncio.wait({flushing, self._task}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            flushing.cancel()
            if self._waiting:
                log.warning("%d finished entries could not be written down; they are repeated", len(self._waiting))
        if self._timer is not None:
            self._timer.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _run(self) -> None:
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            if batch and not await self._commit([completion for completion, _ in batch]):
                return
            for _, committed in batch:
                committed()
            if not self._waiting:
                self._idle.set()
            elif self._timer is None:
                self.hurry()  # the batch was full

    async def _commit(self, completions: list[Completion]) -> bool:
        attempt = 0
        while True:
            try:
                await self._journal.complete(completions, epoch=self._lease.epoch)
            except StoreUnavailable as error:
                delay = self._backoff.delay(attempt, 0.5)
                attempt += 1
                log.warning("%s; %d finished entries wait, next try in %.1f s", error, len(completions), delay)
                await self._clock.sleep(delay)
            except LeaseLost:
                self._lease.declare_lost()
                return False
            except Exception:
                # A bug of ours. Giving up would hold every lane for ever, in silence: say so, and try again.
                log.exception("finished entries could not be written down")
                attempt += 1
                await self._clock.sleep(self._backoff.delay(attempt, 0.5))
            else:
                return True
