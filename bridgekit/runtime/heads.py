"""The head of a lane: carried out, and ended on disk, or put off."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable

from bridgekit.core.lane import is_call_lane, room_of
from bridgekit.core.policy import INTERNAL_ERROR
from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.model.entry import Completion, Ending, Entry
from bridgekit.ports import Clock, Journal
from bridgekit.runtime.buffers import Buffers
from bridgekit.runtime.completer import Completer
from bridgekit.runtime.lane import AHEAD_OF_COMMIT, Handled, Lane, RetryLater, WaitFor
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)

Handler = Callable[[Entry, Lane], Awaitable[Handled]]


class Heads:
    """Gives heads to the handler, and does with them what it says."""

    def __init__(
        self,
        journal: Journal,
        completer: Completer,
        lease: LeaseKeeper,
        clock: Clock,
        handler: Handler,
        buffers: Buffers,
        *,
        concurrency: int,
        on_idle: Callable[[Lane], None],
    ) -> None:
        """`on_idle`: a lane whose last entry is on disk, and that nobody works on."""
        self._journal = journal
        self._completer = completer
        self._lease = lease
        self._clock = clock
        self._handler = handler
        self._buffers = buffers
        self._on_idle = on_idle
        self.slots = asyncio.Semaphore(concurrency)
        # Calls never wait behind messages, however many of those wait for a slow network.
        self._call_slots = asyncio.Semaphore(concurrency)

    async def carry_out(self, lane: Lane, entry: Entry) -> WaitFor | None:
        """Carry it out. Returns what to wait for before it is tried again. Raises `LeaseLost`."""
        lane.current = entry
        async with self._call_slots if is_call_lane(lane.key) else self.slots:
            await self._lease.check()
            tried_before = lane.begin(entry.dedupe)
            try:
                handled = await self._handler(entry, lane)
            except WaitFor as ready:
                if not tried_before:
                    lane.close(entry.dedupe)
                return ready
            except RetryLater as later:
                wait = await self._defer(lane, entry, later)
                # What goes to a room has no mark: the homeserver may have taken it, and lost its answer.
                certain = room_of(lane.key) is not None and lane.buffer and lane.buffer[0].marked_at is None
                if certain and not tried_before:
                    lane.close(entry.dedupe)
                return wait
            except StoreUnavailable as error:
                log.warning("%s; the lane waits", error, extra={"lane": lane.key})
                return await self._defer(lane, entry, self._soon(entry))
            except LeaseLost:
                raise
            except asyncio.CancelledError:
                if is_being_cancelled():
                    raise
                # A library cancelled what it waited for itself, and let that escape.
                log.warning("a call was cancelled from inside; trying again", extra={"lane": lane.key})
                return await self._defer(lane, entry, self._soon(entry))
            except Exception:
                # A bug of ours must hold up nobody; the raw event is kept as a dead letter.
                log.exception("an entry could not be handled", extra={"lane": lane.key, "event_id": entry.event_id})
                handled = Handled(dead=Ending(code="bug", reason=INTERNAL_ERROR, at=self._clock.now()))
        self._buffers.pop(lane)
        self._end(lane, entry, handled)
        lane.barrier = handled.barrier
        return None

    def _end(self, lane: Lane, entry: Entry, handled: Handled) -> None:
        lane.uncommitted += 1
        lane.committed.clear()

        def committed() -> None:
            lane.uncommitted -= 1
            lane.close(entry.dedupe)
            if lane.uncommitted == 0:
                lane.committed.set()
                if lane.task is None and not lane.buffer and not lane.behind and not lane.holds:
                    self._on_idle(lane)
            if handled.then is not None:
                handled.then()

        completion = Completion(lane=entry.lane, seq=entry.seq, facts=handled.facts, dead=handled.dead)
        self._completer.add(
            completion, committed, urgent=handled.barrier or lane.uncommitted >= AHEAD_OF_COMMIT or lane.holds > 0
        )

    def _soon(self, entry: Entry) -> RetryLater:
        return RetryLater(1.0, since=entry.failed_since or self._clock.now())

    async def _defer(self, lane: Lane, entry: Entry, retry: RetryLater) -> WaitFor | None:
        try:
            await self._journal.defer(
                lane.key,
                entry.seq,
                attempts=entry.attempts + 1,
                failed_since=retry.since,
                not_before=self._clock.now() + int(retry.delay_s * 1000),
                epoch=self._lease.epoch,
            )
            # The handler may have left a mark or progress: what is on disk is the truth.
            stored = await self._journal.peek(lane.key, after=entry.seq - 1, limit=1)
        except StoreUnavailable as error:
            log.warning("%s; the lane waits", error, extra={"lane": lane.key})
            stored = []
        if not stored:
            # What is in memory may lack a mark that is on disk, and would be sent a second time: read it anew.
            self._buffers.forget(lane)
            return WaitFor(functools.partial(self._clock.sleep, max(retry.delay_s, 1.0)))
        lane.buffer[0] = stored[0]
        lane.asked_to_wait = retry.asked
        return None


def is_being_cancelled() -> bool:
    """Whether somebody wants the present task to end; if not, a `CancelledError` is another library's failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
