"""What the homeserver pushes, made durable before it is answered."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bridgekit.core import staging
from bridgekit.core.call.route import CALL_TYPES, MARK, call_id_of, matrix_lane_of
from bridgekit.core.from_matrix import BRIDGED_STATE, BRIDGED_TYPES
from bridgekit.core.lane import event_key, is_call_lane, matrix_lane, room_of
from bridgekit.core.transaction import read_event, split_events
from bridgekit.errors import LeaseLost, StoreError
from bridgekit.model.entry import Append, Direction, Entry, NewDeadLetter, NewEntry
from bridgekit.model.ids import DedupeKey, EventID, RoomID, UserID
from bridgekit.model.raw import MalformedEvent, RawEvent, Transaction
from bridgekit.ports import Clock, Journal
from bridgekit.runtime import points
from bridgekit.runtime.counters import Counters
from bridgekit.runtime.intake import Intake
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.pushed import Pushed

log = logging.getLogger(__name__)

JUST_READ = 2_000
"""So many events are kept as they were read until their turn comes."""

JUST_READ_BYTES = 4 * 1024 * 1024
"""The same bound in bytes: a flood of large events must not fill the memory."""


class Inbox:
    """Writes what was pushed to disk before it is answered: a few events at once as entries, many as they came, in one
    piece, which `intake` unpacks into entries in its turn. Whatever became an entry is offered to its lane."""

    def __init__(
        self,
        journal: Journal,
        lanes: Lanes,
        lease: LeaseKeeper,
        clock: Clock,
        *,
        bot: UserID,
        is_ours: Callable[[UserID], bool],
        direct_events: int | None = None,
    ) -> None:
        """`direct_events`: a transaction of so many is not staged (None: `staging.DIRECT_EVENTS`)."""
        self._journal = journal
        self._lanes = lanes
        self._lease = lease
        self._clock = clock
        self._bot = bot
        self.is_ours = is_ours
        self._direct_events = staging.DIRECT_EVENTS if direct_events is None else direct_events
        self._background: set[asyncio.Task[None]] = set()
        self._just_read: dict[EventID, RawEvent] = {}
        self._just_read_bytes = 0  # since it was last empty
        self.counters = Counters()
        self.intake = Intake(journal, lease, clock, self)
        self.on_activity: Callable[[RoomID], None] = lambda room: None
        self.on_own_event: Callable[[EventID], None] = lambda event_id: None
        self.on_transaction: Callable[[str], None] = lambda txn_id: None
        self.on_member: Callable[[RawEvent], None] = lambda event: None
        # At once, from memory: it waits for no disk, must not hold up the answer, and a crash may lose it.
        self.on_ephemeral: Callable[[Sequence[bytes]], None] = lambda raws: None

    async def transaction(self, txn_id: str, transaction: Transaction) -> None:
        """Make a transaction's events durable. Raises `StoreError`: then it must not be answered with 200."""
        self.on_transaction(txn_id)
        if transaction.ephemeral:
            self.on_ephemeral(transaction.ephemeral)
        events = transaction.events
        self.counters.transaction(events=len(events), now=self._clock.now())
        if not events:
            return
        with self.intake.serving():
            # Nothing may overtake what is staged, of whatever size; but calls do not wait for what people write.
            if len(events) > self._direct_events or self.intake.busy:
                if transaction.ephemeral or transaction.to_device:
                    # Views would keep the whole body in memory, and the intake counts only its events.
                    events = [bytes(event) for event in events]
                await self.intake.stage(txn_id, events)
                if any(MARK in bytes(event) for event in events):
                    await self._write_calls(events)
            else:
                await self._write(txn_id, events)

    async def _write_calls(self, events: Sequence[bytes | msgspec.Raw]) -> None:
        """Of a transaction that is staged: the events of calls at once. They are there again when it is unpacked, and
        are known then."""
        try:
            pushed = self.read((raw for raw in events if MARK in bytes(raw)), received_at=self._clock.now())
            entries = [entry for entry in pushed.entries if is_call_lane(entry.lane)]
            if entries:
                await self.append(Pushed(pushed.events, entries=entries))
        except StoreError:
            raise
        except Exception:
            log.exception("a call's events could not be taken in at once; they are unpacked with the others")

    async def _write(self, txn_id: str, events: Sequence[bytes | msgspec.Raw]) -> None:
        try:
            await self.append(self.read(events, received_at=self._clock.now()))
        except StoreError:
            raise
        except Exception:
            # A bug of ours. The homeserver would send it again for ever, and nothing behind it.
            log.exception("a pushed transaction could not be taken in at once; it is set aside")
            await self.intake.stage(txn_id, events)

    # --- taking apart, writing ------------------------------------------------------------------------------------
    def read(self, raws: Iterable[bytes | msgspec.Raw], *, received_at: int) -> Pushed:
        """Take pushed events apart. `received_at`: when they were, in ms since the epoch."""
        events, malformed = split_events(raws)
        return Pushed(
            events,
            malformed,
            [entry for event in events if (entry := self.entry(event, received_at=received_at)) is not None],
            [self._dead(event, received_at) for event in malformed],
        )

    async def append(self, pushed: Pushed, *, unstage: tuple[int, ...] = ()) -> None:
        """Write it as entries, in ONE SQL transaction which also ends the staged transactions that it was `unstage`d
        from, and wake the lanes. A repeat is harmless."""
        entries = pushed.entries
        append = Append(entries=tuple(entries), dead=tuple(pushed.dead), unstage=unstage)
        if append.entries or append.dead or unstage:
            points.reach(points.APPEND_BEFORE)
            try:
                appended = await self._journal.append(append, epoch=self._lease.epoch)
            except LeaseLost:
                self._lease.declare_lost()
                raise
            points.reach(points.APPEND_AFTER)
            self._remember(pushed.events)
            self._lanes.offer(appended.entries)
            self.counters.malformed += len(pushed.malformed)
            if appended.duplicates:
                self.counters.duplicates[Direction.MATRIX] += appended.duplicates
                # The answer to an earlier try may have been lost, and with it the offer of what that try wrote.
                for lane in {entry.lane for entry in entries}:
                    self._lanes.wake(lane)
        for malformed in pushed.malformed:
            log.warning(
                "the homeserver sent a malformed event (%s); it is kept as a dead letter",
                malformed.reason,
                extra={"event_id": malformed.event_id, "room_id": malformed.room_id},
            )
        for event in pushed.events:
            if event.type == "m.room.redaction" and event.redacts is not None and not self.is_ours(event.sender):
                self._cancel(event.room_id, event.redacts)
            if event.sender == self._bot:
                self.on_own_event(event.event_id)
            if event.type == "m.room.member":
                self.on_member(event)
        for lane in {entry.lane for entry in entries}:
            if (room := room_of(lane)) is not None:
                self.on_activity(room)

    async def take(self, entries: Sequence[NewEntry]) -> None:
        """Write what was found to be missing, in lanes where nothing stands behind it. Raises `StoreError`."""
        if entries:
            await self.append(Pushed(entries=entries))

    def _remember(self, events: Sequence[RawEvent]) -> None:
        size = sum(len(event.raw) for event in events)
        if len(self._just_read) + len(events) > JUST_READ or self._just_read_bytes + size > JUST_READ_BYTES:
            self._just_read.clear()
            self._just_read_bytes = 0
        if size > JUST_READ_BYTES or len(events) > JUST_READ:
            return
        self._just_read_bytes += size
        for event in events:
            self._just_read[event.event_id] = event

    def event(self, entry: Entry) -> RawEvent:
        """The event of an entry, without reading it a second time if it has just come in. Call it once."""
        event = self._just_read.pop(entry.event_id, None) if entry.event_id is not None else None
        if event is not None and event.raw is entry.payload:
            return event
        read = read_event(entry.payload)
        assert isinstance(read, RawEvent), "only readable events become entries"
        return read

    def entry(self, event: RawEvent, *, received_at: int | None = None) -> NewEntry | None:
        """The journal entry for an event, None for one that never means anything to the other side. `received_at` in ms
        since the epoch; None: now. Whether its room is a portal is asked in its turn.

        What our own ghosts and the bot send comes back to us; it is done already.
        """
        lane = matrix_lane(event.room_id)
        if event.state_key is None:
            if event.type in CALL_TYPES:
                if (call := call_id_of(event.raw)) is None:
                    return None  # no client could tell which call it is about
                lane = matrix_lane_of(call)
            elif event.type not in BRIDGED_TYPES:
                return None
        elif event.type != "m.room.member" and (event.state_key or event.type not in BRIDGED_STATE):
            return None
        if self.is_ours(event.sender):
            return None
        return NewEntry(
            lane=lane,
            dedupe=event_key(event.event_id, event.origin_server_ts),
            direction=Direction.MATRIX,
            kind=event.type,
            payload=event.raw,
            received_at=self._clock.now() if received_at is None else received_at,
            event_id=event.event_id,
        )

    def _dead(self, event: MalformedEvent, received_at: int) -> NewDeadLetter:
        return self.letter(
            event.raw,
            received_at=received_at,
            code="malformed",
            reason=event.reason,
            kind=event.type or "malformed",
            event_id=event.event_id,
        )

    def letter(
        self,
        raw: bytes,
        *,
        received_at: int,
        code: str,
        reason: str,
        kind: str = "malformed",
        event_id: EventID | None = None,
    ) -> NewDeadLetter:
        """What was pushed and can be no entry, kept as it came."""
        # By its content: the homeserver may repeat the transaction, and one dead letter is enough.
        unique = event_id or f"malformed:{hashlib.sha256(raw).hexdigest()}"
        return NewDeadLetter(
            lane=None,
            direction=Direction.MATRIX,
            kind=kind,
            payload=raw,
            received_at=received_at,
            code=code,
            reason=reason,
            dedupe=DedupeKey(f"e:{unique}"),
            event_id=event_id,
        )

    # --- what was redacted before its turn ------------------------------------------------------------------------
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
        """End what runs beside the transactions. What is staged then is unpacked at the next start."""
        await self.intake.stop()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
