"""What the homeserver pushes, made durable before it is answered."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable

from bridgekit.core.from_matrix import BRIDGED_TYPES
from bridgekit.core.lane import event_key, matrix_lane
from bridgekit.errors import LeaseLost, StoreError
from bridgekit.model.entry import Append, Direction, NewDeadLetter, NewEntry
from bridgekit.model.ids import DedupeKey, EventID, RoomID, UserID
from bridgekit.model.raw import MalformedEvent, RawEvent, Transaction
from bridgekit.ports import Clock, Journal
from bridgekit.runtime import points
from bridgekit.runtime.counters import Counters
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)


class Inbox:
    """Writes what was pushed into the journal, in ONE SQL transaction, and then wakes the lanes."""

    def __init__(
        self,
        journal: Journal,
        lanes: Lanes,
        lease: LeaseKeeper,
        clock: Clock,
        *,
        bot: UserID,
        is_ours: Callable[[UserID], bool],
    ) -> None:
        self._journal = journal
        self._lanes = lanes
        self._lease = lease
        self._clock = clock
        self._bot = bot
        self._is_ours = is_ours
        self._background: set[asyncio.Task[None]] = set()
        self.counters = Counters()
        self.on_activity: Callable[[RoomID], None] = lambda room: None
        self.on_own_event: Callable[[EventID], None] = lambda event_id: None
        self.on_transaction: Callable[[str], None] = lambda txn_id: None

    async def transaction(self, txn_id: str, transaction: Transaction) -> None:
        """Make a transaction's events durable. Raises `StoreError`: then it must not be answered with 200."""
        self.on_transaction(txn_id)
        self.counters.transaction(
            events=len(transaction.events) + len(transaction.malformed),
            malformed=len(transaction.malformed),
            now=self._clock.now(),
        )
        entries = [entry for event in transaction.events if (entry := self.entry(event)) is not None]
        append = Append(
            entries=tuple(entries),
            dead=tuple(self._dead(event) for event in transaction.malformed),
        )
        if append.entries or append.dead:
            points.reach(points.APPEND_BEFORE)
            try:
                appended = await self._journal.append(append, epoch=self._lease.epoch)
            except LeaseLost:
                self._lease.declare_lost()
                raise
            points.reach(points.APPEND_AFTER)
            self._lanes.offer(appended.entries)
            if appended.duplicates:
                self.counters.duplicates[Direction.MATRIX] += appended.duplicates
                # The answer to an earlier try may have been lost, and with it the offer of what that try wrote.
                for lane in {entry.lane for entry in entries}:
                    self._lanes.wake(lane)
        for malformed in transaction.malformed:
            log.warning(
                "the homeserver sent a malformed event (%s); it is kept as a dead letter",
                malformed.reason,
                extra={"event_id": malformed.event_id, "room_id": malformed.room_id},
            )
        for event in transaction.events:
            if event.type == "m.room.redaction" and event.redacts is not None and not self._is_ours(event.sender):
                self._cancel(event.room_id, event.redacts)
            if event.sender == self._bot:
                self.on_own_event(event.event_id)
        for room in {entry.lane for entry in entries}:
            self.on_activity(RoomID(room[2:]))

    def entry(self, event: RawEvent) -> NewEntry | None:
        """The journal entry for an event, None for one that has nothing to do with a message.

        What our own ghosts and the bot send comes back to us; it is done already.
        """
        if self._is_ours(event.sender):
            return None
        is_member = event.type == "m.room.member" and event.state_key is not None
        if is_member:
            # Of memberships only those of our own users matter here: an invitation of the bot.
            if event.state_key != self._bot:
                return None
        elif event.type not in BRIDGED_TYPES or event.state_key is not None:
            return None
        return NewEntry(
            lane=matrix_lane(event.room_id),
            dedupe=event_key(event.event_id, event.origin_server_ts),
            direction=Direction.MATRIX,
            kind=event.type,
            payload=event.raw,
            received_at=self._clock.now(),
            event_id=event.event_id,
        )

    def _dead(self, event: MalformedEvent) -> NewDeadLetter:
        # By its content: the homeserver may repeat the transaction, and one dead letter is enough.
        unique = event.event_id or f"malformed:{hashlib.sha256(event.raw).hexdigest()}"
        return NewDeadLetter(
            lane=None,
            direction=Direction.MATRIX,
            kind=event.type or "malformed",
            payload=event.raw,
            received_at=self._clock.now(),
            code="malformed",
            reason=event.reason,
            dedupe=DedupeKey(f"e:{unique}"),
            event_id=event.event_id,
        )

    def _cancel(self, room: RoomID, target: EventID) -> None:
        """A message that is deleted before its turn need not cross at all. Not waited for: the 200 must not wait."""
        task = asyncio.create_task(self._try_cancel(room, target))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _try_cancel(self, room: RoomID, target: EventID) -> None:
        try:
            if await self._lanes.cancel(matrix_lane(room), target):
                log.info("a message was deleted before it was sent", extra={"event_id": target, "room_id": room})
        except StoreError as error:
            # Then it is sent, and the redaction in its own turn deletes it.
            log.warning("a deleted message could not be taken back: %s", error, extra={"event_id": target})

    async def stop(self) -> None:
        """End what runs beside the transactions."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
