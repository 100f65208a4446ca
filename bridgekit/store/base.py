"""`bridgekit.ports.Store` in terms of programs: what SQLite and PostgreSQL have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import ParamSpec, TypeVar

from bridgekit.model.entry import (
    Anchor,
    Append,
    Appended,
    Completion,
    DeadLetter,
    Direction,
    Entry,
    Lease,
    NewStaged,
    Repair,
    Repaired,
    Retention,
    Staged,
    Stats,
)
from bridgekit.model.ids import (
    DedupeKey,
    EventID,
    LaneKey,
    LoginID,
    Nonce,
    PortalKey,
    RemoteMessageID,
    RemoteUserID,
    RoomID,
    UserID,
)
from bridgekit.model.records import (
    CallRecord,
    Fact,
    Ghost,
    LoginRecord,
    MediaJob,
    Membership,
    MessageRecord,
    Picture,
    Portal,
    ReactionRecord,
    UncertainSaved,
)
from bridgekit.store.group_commit import Commit, GroupCommit, Operation
from bridgekit.store.program import Program
from bridgekit.store.programs import append as appending
from bridgekit.store.programs import clean, dead, directory, entries, intake
from bridgekit.store.programs import lease as leases
from bridgekit.store.programs import repair as repairs

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")

STAGED_BYTES = 16 * 1024
"""So much of a staged transaction weighs as much as an entry."""

CLEAN_CHUNK = 500
"""Rows that one SQL transaction of `SqlStore.clean` looks at, so that no other write waits long."""


class SqlStore(ABC):
    """A store on a SQL database. A subclass says how to run programs; see `bridgekit.ports` for the promises."""

    def __init__(self, commit: Commit) -> None:
        self._writes = GroupCommit(commit)
        self.commit_seconds = self._writes.seconds

    # --- what a database provides -----------------------------------------------------------------------------------
    @abstractmethod
    async def open(self) -> None:
        """Connect and migrate. Raises `MigrationFailed`, `StoreUnavailable`."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the writes that wait, then close."""

    @abstractmethod
    async def _read(self, program: Callable[P, Program[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a program that only reads. It sees every write that was answered before."""

    # --- writing ----------------------------------------------------------------------------------------------------
    async def _write(self, program: Callable[P, Program[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        def alone(arguments: Sequence[None]) -> Program[list[T]]:
            return [(yield from program(*args, **kwargs))]

        result: T = await self._writes.write(Operation(alone, None))
        return result

    async def _write_together(
        self,
        program: Callable[[Sequence[A], int], Program[list[T]]],
        argument: A,
        *,
        epoch: int,
        weight: int,
        urgent: bool = False,
    ) -> T:
        """As one program with the neighbours in the queue that want the same."""

        def together(arguments: Sequence[A]) -> Program[list[T]]:
            return program(arguments, epoch)

        operation = Operation(together, argument, family=(program, epoch), weight=weight, urgent=urgent)
        result: T = await self._writes.write(operation)
        return result

    # --- the lease --------------------------------------------------------------------------------------------------
    async def acquire_lease(self, owner: str, *, now: int, ttl_ms: int, replacing: int | None = None) -> Lease:
        return await self._write(leases.acquire, owner, now, ttl_ms, replacing)

    async def renew_lease(self, lease: Lease, *, now: int, ttl_ms: int) -> Lease:
        return await self._write(leases.renew, lease, now, ttl_ms)

    async def release_lease(self, lease: Lease) -> None:
        await self._write(leases.release, lease)

    async def read_lease(self) -> Lease | None:
        return await self._read(leases.read)

    # --- entries ----------------------------------------------------------------------------------------------------
    async def append(self, append: Append, *, epoch: int) -> Appended:
        weight = len(append.entries) + len(append.facts) + len(append.cursors) + len(append.dead) + len(append.unstage)
        return await self._write_together(appending.append, append, epoch=epoch, weight=weight)

    async def stage(self, staged: NewStaged, *, epoch: int) -> int:
        weight = 1 + len(staged.body) // STAGED_BYTES
        # Urgent: the homeserver waits for it, and it stands in no order with anything that is queued.
        return await self._write_together(intake.stage, staged, epoch=epoch, weight=weight, urgent=True)

    async def staged(self, *, after: int = 0, limit: int = 100, max_bytes: int = 1 << 20) -> list[Staged]:
        return await self._read(intake.staged, after, limit, max_bytes)

    async def lanes(self, *, after: LaneKey | None = None, limit: int = 1000) -> list[LaneKey]:
        return await self._read(entries.lanes, after, limit)

    async def peek(self, lane: LaneKey, *, after: int = 0, limit: int = 100) -> list[Entry]:
        return await self._read(entries.peek, lane, after, limit)

    async def waiting(self, lane: LaneKey, dedupe: DedupeKey) -> Entry | None:
        return await self._read(entries.waiting, lane, dedupe)

    async def complete(self, completions: Collection[Completion], *, epoch: int) -> None:
        weight = sum(1 + len(completion.facts) for completion in completions)
        await self._write_together(entries.complete, completions, epoch=epoch, weight=weight)

    async def defer(
        self, lane: LaneKey, seq: int, *, attempts: int, failed_since: int, not_before: int, epoch: int
    ) -> None:
        await self._write(entries.defer, lane, seq, attempts, failed_since, not_before, epoch)

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
        await self._write(entries.mark, lane, seq, at, progress, epoch, facts)

    async def cancel(self, lane: LaneKey, event_id: EventID, *, epoch: int) -> DedupeKey | None:
        return await self._write(entries.cancel, lane, event_id, epoch)

    async def repair(self, repair: Repair, *, epoch: int) -> Repaired:
        return await self._write(repairs.repair, repair, epoch)

    async def anchor(self, room: RoomID) -> Anchor | None:
        return await self._read(repairs.anchor, room)

    async def stats(self) -> Stats:
        return await self._read(entries.stats)

    # --- dead letters, cleaning -------------------------------------------------------------------------------------
    async def dead_letters(
        self, *, after: int = 0, limit: int = 100, direction: Direction | None = None
    ) -> list[DeadLetter]:
        return await self._read(dead.dead_letters, after, limit, direction)

    async def dead_letter(self, id: int) -> DeadLetter | None:
        return await self._read(dead.dead_letter, id)

    async def retry_dead(self, id: int, *, now: int, epoch: int | None = None) -> Entry | None:
        return await self._write(dead.retry, id, now, epoch)

    async def drop_dead(self, id: int, *, epoch: int | None = None) -> bool:
        return await self._write(dead.drop, id, epoch)

    async def clean(self, retention: Retention, *, now: int, epoch: int) -> int:
        total = 0
        cursor: clean.SeenCursor | None = clean.SeenCursor()
        while cursor is not None:
            before = now - retention.seen_ms
            deleted, cursor = await self._write(clean.seen, before, cursor, CLEAN_CHUNK, epoch)
            total += deleted
        total += await self._clean(clean.dead_letters, now - retention.dead_ms, epoch)
        total += await self._clean(clean.uncertain, now - retention.dead_ms, epoch)
        total += await self._clean(clean.pictures, now - retention.pictures_ms, epoch)
        if retention.messages_ms is not None:
            total += await self._clean(clean.messages, now - retention.messages_ms, epoch)
        return total

    async def _clean(self, program: Callable[[int, int, int], Program[int]], before: int, epoch: int) -> int:
        total = 0
        while deleted := await self._write(program, before, CLEAN_CHUNK, epoch):
            total += deleted
        return total

    # --- the directory ----------------------------------------------------------------------------------------------
    async def record(self, facts: Collection[Fact], *, epoch: int) -> None:
        await self._write_together(directory.record, facts, epoch=epoch, weight=len(facts))

    async def secret(self) -> bytes:
        return await self._read(directory.secret)

    async def value(self, key: str) -> str | None:
        return await self._read(directory.value, key)

    async def portal(self, key: PortalKey) -> Portal | None:
        return await self._read(directory.portal, key)

    async def portal_by_room(self, room: RoomID) -> Portal | None:
        return await self._read(directory.portal_by_room, room)

    async def portals(self, *, after: PortalKey | None = None, limit: int = 1000) -> list[Portal]:
        return await self._read(directory.portals, after, limit)

    async def portal_logins(self, key: PortalKey) -> list[LoginID]:
        return await self._read(directory.portal_logins, key)

    async def relays(self) -> dict[PortalKey, LoginID]:
        return await self._read(directory.relays)

    async def ghost(self, remote_id: RemoteUserID) -> Ghost | None:
        return await self._read(directory.ghost, remote_id)

    async def ghost_by_user(self, user_id: UserID) -> Ghost | None:
        return await self._read(directory.ghost_by_user, user_id)

    async def logins(self, *, user_id: UserID | None = None) -> list[LoginRecord]:
        return await self._read(directory.logins, user_id)

    async def login(self, id: LoginID) -> LoginRecord | None:
        return await self._read(directory.login, id)

    async def cursors(self, login: LoginID) -> dict[str, str]:
        return await self._read(directory.cursors, login)

    async def membership(self, room: RoomID, user_id: UserID) -> Membership | None:
        return await self._read(directory.membership, room, user_id)

    async def members(self, room: RoomID) -> list[UserID]:
        return await self._read(directory.members, room)

    async def message_by_remote(self, portal: PortalKey, remote_id: RemoteMessageID) -> list[MessageRecord]:
        return await self._read(directory.message_by_remote, portal, remote_id)

    async def message_by_event(self, room: RoomID, event_id: EventID) -> MessageRecord | None:
        return await self._read(directory.message_by_event, room, event_id)

    async def messages_by_event(self, room: RoomID, event_id: EventID) -> list[MessageRecord]:
        return await self._read(directory.messages_by_event, room, event_id)

    async def reactions(self, portal: PortalKey, target: RemoteMessageID) -> list[ReactionRecord]:
        return await self._read(directory.reactions, portal, target)

    async def reaction_by_event(self, room: RoomID, event_id: EventID) -> ReactionRecord | None:
        return await self._read(directory.reaction_by_event, room, event_id)

    async def media_jobs(self, *, after: int = 0, limit: int = 1000) -> list[MediaJob]:
        return await self._read(directory.media_jobs, after, limit)

    async def media_job(self, id: str) -> MediaJob | None:
        return await self._read(directory.media_job, id)

    async def picture(self, key: str) -> Picture | None:
        return await self._read(directory.picture, key)

    async def ongoing_calls(self) -> list[CallRecord]:
        return await self._read(directory.calls)

    async def uncertain(self, nonce: Nonce) -> UncertainSaved | None:
        return await self._read(directory.uncertain, nonce)

    async def management_room(self, user_id: UserID) -> RoomID | None:
        return await self._read(directory.management_room, user_id)

    async def management_user(self, room: RoomID) -> UserID | None:
        return await self._read(directory.management_user, room)
