"""A store without a database, for tests: `MemoryJournal` keeps the promises of `bridgekit.ports.Store` but durability.

It is proved by the same contract suite as the real stores (``tests/contract``), and written quite differently.
"""

from __future__ import annotations

import asyncio
import secrets as random_bytes
from bisect import insort
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec

from bridgekit.core.histogram import Histogram
from bridgekit.errors import LeaseHeld, LeaseLost, StoreUnavailable
from bridgekit.model.entry import (
    COUNTED,
    RETRIED_BESIDE,
    Anchor,
    Append,
    Appended,
    Completion,
    DeadLetter,
    Direction,
    Entry,
    Lease,
    NewDeadLetter,
    NewEntry,
    Repair,
    Repaired,
    Retention,
    Stats,
    retried_kind,
)
from bridgekit.model.ids import DedupeKey, EventID, LaneKey, RoomID
from bridgekit.model.records import Fact
from bridgekit.testing.directory import Knowledge, MemoryDirectory
from bridgekit.testing.staging import Intake, MemoryIntake


@dataclass
class Seen:
    """What is remembered of a dedupe key."""

    lane: LaneKey | None
    seq: int
    at: int


@dataclass
class Checked:
    """An anchor, and the lane's number from which on entries are newer than the check that moved it."""

    anchor: Anchor
    lane: LaneKey
    boundary: int


@dataclass
class Memory:
    """What a database would hold. Journals that share one behave like processes on one database."""

    lease: Lease | None = None
    epoch: int = 0
    next_seq: dict[LaneKey, int] = field(default_factory=dict)
    pending: dict[LaneKey, list[Entry]] = field(default_factory=dict)  # each by number
    seen: dict[DedupeKey, Seen] = field(default_factory=dict)
    dead: dict[int, DeadLetter] = field(default_factory=dict)
    last_dead_id: int = 0
    anchors: dict[RoomID, Checked] = field(default_factory=dict)
    secret: bytes = field(default_factory=lambda: random_bytes.token_bytes(32))
    knowledge: Knowledge = field(default_factory=Knowledge)
    intake: Intake = field(default_factory=Intake)


class MemoryJournal(MemoryDirectory, MemoryIntake):
    """`bridgekit.ports.Store` in memory.

    ``MemoryJournal(sharing=other)`` is a second process on the same database, or the same one after a restart.
    """

    def __init__(self, *, sharing: MemoryJournal | None = None) -> None:
        self._memory: Memory = Memory() if sharing is None else sharing._memory
        self._open = False
        self.commit_seconds = Histogram()
        MemoryDirectory.__init__(self, self._memory.knowledge)
        MemoryIntake.__init__(self, self._memory.intake)

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _reading(self) -> None:
        # As with a real store, others run before the answer comes; what follows happens at once.
        await asyncio.sleep(0)
        if not self._open:
            raise StoreUnavailable("the journal is closed")

    async def _writing(self, epoch: int | None) -> None:
        await self._reading()
        if epoch is not None and (self._memory.lease is None or self._memory.lease.epoch != epoch):
            raise LeaseLost("another process has taken over, or the lease was given up")

    # --- the lease --------------------------------------------------------------------------------------------------
    async def acquire_lease(self, owner: str, *, now: int, ttl_ms: int, replacing: int | None = None) -> Lease:
        await self._reading()
        held = self._memory.lease
        if held is not None and held.owner != owner and held.expires_at > now and held.epoch != replacing:
            raise LeaseHeld(held.owner, held.expires_at, held.epoch)
        self._memory.epoch += 1
        self._memory.lease = Lease(owner=owner, epoch=self._memory.epoch, expires_at=now + ttl_ms)
        return self._memory.lease

    async def renew_lease(self, lease: Lease, *, now: int, ttl_ms: int) -> Lease:
        await self._writing(lease.epoch)
        self._memory.lease = msgspec.structs.replace(lease, expires_at=now + ttl_ms)
        return self._memory.lease

    async def release_lease(self, lease: Lease) -> None:
        await self._reading()
        if self._memory.lease is not None and self._memory.lease.epoch == lease.epoch:
            self._memory.lease = None

    async def read_lease(self) -> Lease | None:
        await self._reading()
        return self._memory.lease

    # --- entries ----------------------------------------------------------------------------------------------------
    async def append(self, append: Append, *, epoch: int) -> Appended:
        await self._writing(epoch)
        if not self._memory.intake.unstage(append):
            return Appended((), duplicates=len(append.entries))
        entries = [self._add(new) for new in append.entries if new.dedupe not in self._memory.seen]
        for letter in append.dead:
            if letter.dedupe not in self._memory.seen:
                self._memory.seen[letter.dedupe] = Seen(letter.lane, 0, letter.received_at)
                self._bury(letter)
        if append.login is not None:
            self._session_saved(append.login, append.cursors, append.state)
        self._write(append.facts)
        return Appended(tuple(entries), duplicates=len(append.entries) - len(entries))

    def _number(self, lane: LaneKey) -> int:
        seq = self._memory.next_seq.get(lane, 1)
        self._memory.next_seq[lane] = seq + 1
        return seq

    def _add(self, new: NewEntry, *, lane: LaneKey | None = None) -> Entry:
        lane = new.lane if lane is None else lane
        entry = Entry(seq=self._number(lane), **(msgspec.structs.asdict(new) | {"lane": lane}))
        self._memory.pending.setdefault(lane, []).append(entry)
        self._memory.seen[entry.dedupe] = Seen(lane, entry.seq, entry.received_at)
        return entry

    def _bury(self, letter: NewDeadLetter) -> None:
        self._memory.last_dead_id += 1
        self._memory.dead[self._memory.last_dead_id] = DeadLetter(
            id=self._memory.last_dead_id, ended_at=letter.received_at, **msgspec.structs.asdict(letter)
        )

    def _find(self, lane: LaneKey | None, seq: int) -> Entry | None:
        if lane is None:
            return None
        return next((entry for entry in self._memory.pending.get(lane, ()) if entry.seq == seq), None)

    def _change(self, lane: LaneKey, seq: int, **changes: object) -> None:
        entries = self._memory.pending.get(lane, [])
        entries[:] = [msgspec.structs.replace(each, **changes) if each.seq == seq else each for each in entries]

    async def lanes(self, *, after: LaneKey | None = None, limit: int = 1000) -> list[LaneKey]:
        await self._reading()
        keys = (key for key, entries in self._memory.pending.items() if entries and (after is None or key > after))
        return sorted(keys)[:limit]

    async def peek(self, lane: LaneKey, *, after: int = 0, limit: int = 100) -> list[Entry]:
        await self._reading()
        return [entry for entry in self._memory.pending.get(lane, ()) if entry.seq > after][:limit]

    async def waiting(self, lane: LaneKey, dedupe: DedupeKey) -> Entry | None:
        await self._reading()
        seen = self._memory.seen.get(dedupe)
        return self._find(lane, seen.seq) if seen is not None and seen.lane == lane else None

    async def complete(self, completions: Collection[Completion], *, epoch: int) -> None:
        await self._writing(epoch)
        for completion in completions:
            entry = self._find(completion.lane, completion.seq)
            if entry is not None:
                self._memory.pending[completion.lane].remove(entry)
            if entry is not None and completion.dead is not None:
                ending = completion.dead
                self._memory.last_dead_id += 1
                self._memory.dead[self._memory.last_dead_id] = DeadLetter(
                    id=self._memory.last_dead_id,
                    lane=entry.lane,
                    direction=entry.direction,
                    kind=entry.kind,
                    payload=entry.payload,
                    dedupe=entry.dedupe,
                    received_at=entry.received_at,
                    ended_at=ending.at,
                    code=ending.code,
                    reason=ending.reason,
                    login=entry.login,
                    event_id=entry.event_id,
                )
        for completion in completions:
            self._write(completion.facts)

    async def defer(
        self, lane: LaneKey, seq: int, *, attempts: int, failed_since: int, not_before: int, epoch: int
    ) -> None:
        await self._writing(epoch)
        self._change(lane, seq, attempts=attempts, failed_since=failed_since, not_before=not_before)

    async def mark(
        self,
        lane: LaneKey,
        seq: int,
        *,
        at: int | None,
        progress: bytes | None = None,
        epoch: int,
        facts: Collection[Fact] = (),
    ) -> None:
        await self._writing(epoch)
        self._change(lane, seq, marked_at=at, **({} if progress is None else {"progress": progress}))
        self._write(facts)

    async def cancel(self, lane: LaneKey, event_id: EventID, *, epoch: int) -> DedupeKey | None:
        await self._writing(epoch)
        for entry in self._memory.pending.get(lane, ()):
            if entry.event_id == event_id:
                if entry.marked_at is not None or entry.attempts or entry.progress is not None:
                    return None
                self._memory.pending[lane].remove(entry)
                return entry.dedupe
        return None

    # --- the gap check ----------------------------------------------------------------------------------------------
    async def repair(self, repair: Repair, *, epoch: int) -> Repaired:
        await self._writing(epoch)
        lane, memory = repair.lane, self._memory
        before = list(memory.pending.get(lane, ()))
        waiting = {entry.dedupe: entry for entry in before}
        checked = memory.anchors.get(repair.anchor.room)
        boundary = checked.boundary if checked is not None and checked.lane == lane else 0

        order: list[Entry | NewEntry] = [
            entry for entry in before if entry.seq < boundary and not _among(entry, repair.timeline)
        ]
        held_back = late = missing = 0
        for event in _once(repair.timeline):
            if event.dedupe in waiting:
                order.append(waiting[event.dedupe])
            elif event.dedupe in memory.seen:
                late, held_back = late + held_back, 0
            else:
                order.append(event)
                missing, held_back = missing + 1, held_back + 1
        newer = [entry for entry in before if entry.seq >= boundary and not _among(entry, repair.timeline)]
        order.extend(newer)

        in_place = 0
        while in_place < len(before) and order[in_place] is before[in_place]:
            in_place += 1
        memory.pending[lane] = before[:in_place]
        for each in order[in_place:]:
            if isinstance(each, NewEntry):
                self._add(each, lane=lane)
            else:
                moved = msgspec.structs.replace(each, seq=self._number(lane))
                memory.pending[lane].append(moved)
                memory.seen[moved.dedupe].seq = moved.seq
        first_newer = memory.next_seq.get(lane, 1)
        if newer and (repair.timeline or checked is not None):
            first_newer = memory.seen[newer[0].dedupe].seq
        memory.anchors[repair.anchor.room] = Checked(repair.anchor, lane, first_newer)
        return Repaired(missing=missing, late=late)

    async def anchor(self, room: RoomID) -> Anchor | None:
        await self._reading()
        checked = self._memory.anchors.get(room)
        return None if checked is None else checked.anchor

    # --- dead letters -----------------------------------------------------------------------------------------------
    async def dead_letters(
        self, *, after: int = 0, limit: int = 100, direction: Direction | None = None
    ) -> list[DeadLetter]:
        await self._reading()
        letters = (letter for id, letter in sorted(self._memory.dead.items()) if id > after)
        return [letter for letter in letters if direction in (None, letter.direction)][:limit]

    async def dead_letter(self, id: int) -> DeadLetter | None:
        await self._reading()
        return self._memory.dead.get(id)

    async def retry_dead(self, id: int, *, now: int, epoch: int | None = None) -> Entry | None:
        await self._writing(epoch)
        letter = self._memory.dead.get(id)
        if letter is None or letter.lane is None:
            return None
        del self._memory.dead[id]
        if epoch is None:
            self._memory.knowledge.values[RETRIED_BESIDE] = str(id)
        seen = self._memory.seen.get(letter.dedupe)
        if seen is not None and seen.lane == letter.lane and (entry := self._find(seen.lane, seen.seq)) is not None:
            return entry
        return self._add(
            NewEntry(
                lane=letter.lane,
                dedupe=letter.dedupe,
                direction=letter.direction,
                kind=retried_kind(letter.kind),
                payload=letter.payload,
                received_at=now,
                login=letter.login,
                event_id=letter.event_id,
            )
        )

    async def drop_dead(self, id: int, *, epoch: int | None = None) -> bool:
        await self._writing(epoch)
        return self._memory.dead.pop(id, None) is not None

    # --- cleaning, counting -----------------------------------------------------------------------------------------
    async def clean(self, retention: Retention, *, now: int, epoch: int) -> int:
        await self._writing(epoch)
        old_keys = [
            key
            for key, seen in self._memory.seen.items()
            if seen.at < now - retention.seen_ms and not self._needed(seen)
        ]
        old_letters = [id for id, letter in self._memory.dead.items() if letter.ended_at < now - retention.dead_ms]
        for key in old_keys:
            del self._memory.seen[key]
        for id in old_letters:
            del self._memory.dead[id]
        forgotten = self._forget(
            uncertain_before=now - retention.dead_ms,
            pictures_before=now - retention.pictures_ms,
            messages_before=None if retention.messages_ms is None else now - retention.messages_ms,
        )
        return len(old_keys) + len(old_letters) + forgotten

    def _needed(self, seen: Seen) -> bool:
        if self._find(seen.lane, seen.seq) is not None:
            return True
        return any(
            checked.lane == seen.lane and (checked.anchor.at <= seen.at or checked.boundary <= seen.seq)
            for checked in self._memory.anchors.values()
        )

    async def stats(self) -> Stats:
        await self._reading()
        received: dict[Direction, list[int]] = {direction: [] for direction in Direction}
        for entries in self._memory.pending.values():
            for entry in entries:
                insort(received[entry.direction], entry.received_at)
        staged = self._memory.intake.rows.values()
        matrix, remote = received[Direction.MATRIX], received[Direction.REMOTE]
        jobs = [job.created_at for job in self._known.media_jobs.values()]
        return Stats(
            pending_matrix=min(len(matrix), COUNTED),
            pending_remote=min(len(remote), COUNTED),
            oldest_matrix_ms=min((*matrix[:1], *(row.received_at for row in staged)), default=None),
            oldest_remote_ms=remote[0] if remote else None,
            dead=min(len(self._memory.dead), COUNTED),
            staged=sum(row.events for row in staged),
            media=min(len(jobs), COUNTED),
            oldest_media_ms=min(jobs, default=None),
        )

    async def secret(self) -> bytes:
        await self._reading()
        return self._memory.secret

    async def record(self, facts: Collection[Fact], *, epoch: int) -> None:
        await self._writing(epoch)
        self._write(facts)


def _among(entry: Entry, timeline: Sequence[NewEntry]) -> bool:
    return any(event.dedupe == entry.dedupe for event in timeline)


def _once(timeline: Iterable[NewEntry]) -> list[NewEntry]:
    """Without repeats of the same event."""
    events: dict[DedupeKey, NewEntry] = {}
    for event in timeline:
        events.setdefault(event.dedupe, event)
    return list(events.values())
