"""The lanes: strict order inside each, bounded concurrency across, and a flood fills the disk, not the memory."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

import msgspec

from bridgekit.core.lane import is_call_lane
from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.model.entry import Entry
from bridgekit.model.ids import EventID, LaneKey
from bridgekit.ports import Clock, Journal
from bridgekit.runtime.buffers import Buffers
from bridgekit.runtime.completer import Completer
from bridgekit.runtime.heads import Handler, Heads, is_being_cancelled
from bridgekit.runtime.lane import AHEAD_OF_COMMIT, Handled, Lane, RetryLater, WaitFor
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.turns import Turns

__all__ = ["Handled", "Handler", "Lane", "Lanes", "RetryLater", "WaitFor", "is_being_cancelled"]

log = logging.getLogger(__name__)

HEADS_PER_ROUND = 8
"""So many heads begin before the event loop looks at the network again: about half a millisecond's work."""

RESTART_S = 1.0
"""How long a lane rests after a failure that nobody foresaw."""


class Lanes:
    """Runs a handler over every lane's head. One handler for all lanes; it looks at the key."""

    def __init__(
        self,
        journal: Journal,
        completer: Completer,
        lease: LeaseKeeper,
        clock: Clock,
        handler: Handler,
        *,
        concurrency: int = 256,
    ) -> None:
        self._journal = journal
        self._completer = completer
        self._lease = lease
        self._clock = clock
        self._lanes: dict[LaneKey, Lane] = {}
        self.buffers = Buffers()
        self._heads = Heads(
            journal, completer, lease, clock, handler, self.buffers, concurrency=concurrency, on_idle=self._drop
        )
        self.slots = self._heads.slots
        self._running = False
        self._turns = Turns(HEADS_PER_ROUND)

    # --- feeding --------------------------------------------------------------------------------------------------
    async def recover(self) -> list[LaneKey]:
        """Take up every lane that has pending entries, without starting it. Returns their keys."""
        keys: list[LaneKey] = []
        after: LaneKey | None = None
        while page := await self._journal.lanes(after=after):
            keys.extend(page)
            after = page[-1]
        for key in keys:
            self._lanes.setdefault(key, Lane(key, recovered=True, hurry=self._completer.hurry))
        return keys

    def start(self) -> None:
        """Let the lanes run."""
        self._running = True
        for lane in list(self._lanes.values()):
            self._ensure_worker(lane)

    def offer(self, entries: Iterable[Entry]) -> None:
        """Entries that were just committed, in order. What does not fit is fetched from the journal in its turn."""
        for entry in entries:
            lane = self._lane(entry.lane)
            if entry.seq <= lane.taken:
                continue
            # A number was left out: its append's answer never came here, or comes late. The journal knows the order.
            if lane.behind or entry.seq != lane.taken + 1 or not self.buffers.has_room(lane):
                lane.behind = True
                lane.offers += 1
            else:
                self.buffers.put(lane, entry)
            self._ensure_worker(lane)

    def wake(self, key: LaneKey) -> None:
        """The journal may hold entries of this lane that were not offered (a repair, a retried dead letter), or what
        the head was waiting for has come."""
        lane = self._lane(key)
        lane.behind = True
        lane.offers += 1
        lane.kick.set()
        self._ensure_worker(lane)

    def retry_now(self, which: Callable[[LaneKey], bool]) -> None:
        """What these lanes backed off from is over: try their heads at once, except where a wait was asked for."""
        for lane in self._lanes.values():
            if lane.buffer and lane.buffer[0].not_before and not lane.asked_to_wait and which(lane.key):
                lane.buffer[0] = msgspec.structs.replace(lane.buffer[0], not_before=0)
                lane.kick.set()

    def _lane(self, key: LaneKey) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, recovered=False, hurry=self._completer.hurry)
            self.buffers.enter(lane)
        return lane

    def _drop(self, lane: Lane) -> None:
        if self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
            self.buffers.leave(lane)

    # --- asking and holding ---------------------------------------------------------------------------------------
    def is_busy(self, key: LaneKey) -> bool:
        """Whether the lane has an entry at its head, or one that waits for its commit."""
        lane = self._lanes.get(key)
        return lane is not None and (
            lane.current is not None or bool(lane.buffer) or lane.behind or lane.uncommitted > 0
        )

    async def settled(self, key: LaneKey) -> None:
        """Wait until the entry that is being carried out now, if there is one, has ended and is on disk."""
        lane = self._lanes.get(key)
        if lane is not None:
            await lane.between.wait()
            await lane.settle()

    async def resolved(self, key: LaneKey, *, asked_by: Lane | None = None) -> None:
        """Wait until whatever of this lane may have reached the far end by now has ended and is on disk: what is being
        carried out, what failed without an answer, and what an earlier process may have begun. A head that is itself
        waited for by the other lane so names its own (`asked_by`): then it waits no longer."""
        lane = self._lanes.get(key)
        if lane is None:
            return
        self._completer.hurry()
        if asked_by is None:
            await lane.resolve()
            return
        waits = [asyncio.ensure_future(lane.resolve()), asyncio.ensure_future(asked_by.waited_for_by(lane))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def waited_for(self, key: LaneKey) -> AbstractContextManager[None]:
        """For the time of the block a head waits for this lane by way of another: see `resolved`, `asked_by`."""
        lane = self._lanes.get(key)
        return lane.waited_for() if lane is not None else nullcontext()

    def next_step(self, key: LaneKey) -> asyncio.Event | None:
        """Set when the lane's next entry has ended and is on disk; None if it has none."""
        lane = self._lanes.get(key)
        if lane is None or not self.is_busy(key):
            return None
        self._completer.hurry()
        return lane.next_step()

    @asynccontextmanager
    async def hold(self, key: LaneKey) -> AsyncIterator[None]:
        """Stop the lane between two entries, with everything before on disk, for the time of the block.

        Inside the block the journal may be rewritten behind the lane's back; it is read anew afterwards.
        """
        lane = self._lane(key)
        lane.holds += 1
        lane.released.clear()
        try:
            await lane.between.wait()
            await lane.settle()
            if lane.recovered:
                # Who was at the head when the last process ended must be known before others are put there.
                lane.note_recovered(await self._journal.peek(lane.key, limit=AHEAD_OF_COMMIT))
            try:
                yield
            finally:
                self.buffers.forget(lane)
                lane.rewrites += 1
                lane.kick.set()  # the head that it waits for may be another one now
        finally:
            # If it was cancelled before the block began, a head is still being carried out: nothing is forgotten.
            lane.holds -= 1
            if lane.holds == 0:
                lane.released.set()
            self._ensure_worker(lane)

    def is_pending(self, entry: Entry) -> bool:
        """Whether an entry that was put into memory is still to be carried out, or at the head now."""
        lane = self._lanes.get(entry.lane)
        return lane is not None and any(each.dedupe == entry.dedupe for each in lane.buffer)

    async def cancel(self, key: LaneKey, event_id: EventID) -> bool:
        """Forget the pending entry of an event. False if its turn has come: it is being carried out, or is done, or may
        have been carried out by an earlier process that could not write it down."""
        lane = self._lanes.get(key)
        if lane is not None and lane.current is not None and lane.current.event_id == event_id:
            return False
        async with self.hold(key):
            if lane is not None and lane.has_suspects:
                first = await self._journal.peek(key, limit=AHEAD_OF_COMMIT)
                if any(entry.event_id == event_id and lane.may_have_been_tried(entry) for entry in first):
                    return False
            cancelled = await self._journal.cancel(key, event_id, epoch=self._lease.epoch)
        if cancelled is not None and lane is not None:
            lane.close(cancelled)
        return cancelled is not None

    async def stop(self, *, drain_s: float) -> bool:
        """Let the heads finish for up to `drain_s` seconds, begin nothing new, then cancel what still runs.

        Returns whether everything that had begun also ended.
        """
        self._running = False
        tasks = {lane.task for lane in self._lanes.values() if lane.task is not None}
        for lane in self._lanes.values():
            lane.kick.set()
        pending: set[asyncio.Task[None]] = set()
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=drain_s)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return not pending

    # --- working --------------------------------------------------------------------------------------------------
    def _ensure_worker(self, lane: Lane) -> None:
        if self._running and lane.task is None:
            lane.task = asyncio.create_task(self._work(lane), name=f"lane {lane.key}")
            lane.task.add_done_callback(lambda task: self._worker_done(lane, task))

    def _worker_done(self, lane: Lane, task: asyncio.Task[None]) -> None:
        lane.task = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LeaseLost):
            self._lease.declare_lost()
            return
        if error is not None:
            log.error("a lane's worker failed; it is started again", exc_info=error, extra={"lane": lane.key})
            lane.rest_s = RESTART_S
            self.buffers.forget(lane)
        if lane.buffer or lane.behind:
            self._ensure_worker(lane)
        elif not lane.uncommitted and not lane.holds:
            self._drop(lane)

    async def _work(self, lane: Lane) -> None:
        if lane.rest_s:
            rest, lane.rest_s = lane.rest_s, 0.0
            await self._pause(lane, functools.partial(self._clock.sleep, rest))
        while self._running:
            if not is_call_lane(lane.key):
                await self._turns.take()
            if lane.holds:
                await lane.released.wait()
            if not lane.buffer:
                if not lane.behind:
                    return
                await self._fetch(lane)
                continue
            entry = lane.buffer[0]
            if (delay := (entry.not_before - self._clock.now()) / 1000) > 0:
                await self._pause(lane, functools.partial(self._clock.sleep, delay))
                continue
            lane.between.clear()
            try:
                # From here to the end of the head nobody may hold the lane.
                wait = await self._heads.carry_out(lane, entry)
            finally:
                lane.current = None
                lane.between.set()
            if wait is not None:
                await self._pause(lane, wait.ready)
            elif lane.barrier or lane.uncommitted >= AHEAD_OF_COMMIT:
                await lane.settle()
                lane.barrier = False

    async def _fetch(self, lane: Lane) -> None:
        # What is carried out but not yet committed is still in the journal: it must not be read a second time.
        await lane.settle()
        offers, rewrites = lane.offers, lane.rewrites
        try:
            limit = self.buffers.limit()
            entries = await self._journal.peek(lane.key, after=lane.taken, limit=limit)
        except StoreUnavailable as error:
            log.warning("%s; the lane waits", error, extra={"lane": lane.key})
            await self._clock.sleep(1.0)
            return
        if lane.holds or lane.rewrites != rewrites:
            return  # the journal was rewritten meanwhile; read it again afterwards
        lane.note_recovered(entries)
        for entry in entries:
            self.buffers.put(lane, entry)
        if len(entries) < limit and lane.offers == offers:
            lane.behind = False

    async def _pause(self, lane: Lane, until: Callable[[], Awaitable[object]]) -> None:
        """Wait, between two heads, for `until` or a kick. A kick means: look again."""
        if not self._running:
            return
        lane.kick.clear()
        waits = {asyncio.ensure_future(until()), asyncio.ensure_future(lane.kick.wait())}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for wait in done:
            wait.result()
