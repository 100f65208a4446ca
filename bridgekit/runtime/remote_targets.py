"""The message that a change from the network is about: found, waited for, or shut out where it comes too late."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum

import msgspec

from bridgekit.core.lane import again_key, matrix_lane, message_key, remote_lane, user_lane
from bridgekit.model.entry import Append, Completion, Direction, Entry, NewEntry
from bridgekit.model.ids import DedupeKey, PortalKey, RemoteMessageID, RoomID
from bridgekit.model.records import AliasSaved, MessageRecord
from bridgekit.model.remote import RemoteEdit, RemoteMessage, RemoteReaction
from bridgekit.ports import Journal
from bridgekit.runtime.addresses import decode
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import Lane, Lanes
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.media_note import NO_SLOTS
from bridgekit.runtime.retrying import Retrying

log = logging.getLogger(__name__)

SHUT_OUT = "shut_out"
"""The journal's kind of an entry that stands in a message's place, and does nothing: a change came before the message
and has said what there was to say, or the message came under another name, so it must not appear any more."""

DROPPED = 10_000
"""So many messages that were ended before their turn are remembered until it comes."""


class Claim(Enum):
    """What is known of a message that the bridge has no event of."""

    SHUT_OUT = "shut_out"  # nothing; from now on it is shut out
    BEHIND = "behind"  # it waits behind the change, in the same lane
    ENDED = "ended"  # it was skipped, has failed, was deleted, or is too long ago


class RemoteTargets:
    """Every method may be repeated after a crash, and raises `StoreError`."""

    def __init__(self, books: Books, journal: Journal, lanes: Lanes, lease: LeaseKeeper, retrying: Retrying) -> None:
        self._books = books
        self._journal = journal
        self._lanes = lanes
        self._lease = lease
        self._retrying = retrying
        self._dropped: dict[DedupeKey, None] = {}

    async def find(
        self, portal: PortalKey, remote_id: RemoteMessageID, lane: Lane, *, room: RoomID | None
    ) -> list[MessageRecord]:
        """The events that a remote message is, in order of the parts; it waits, bounded, for the sends in flight from
        `room` if there is none yet, and for the echo of a send of which nobody knows what became."""
        await lane.settle()
        records = await self._books.message_by_remote(portal, remote_id)
        if not records and room is not None:
            await self.sends_in_flight(room)
            records = await self._books.message_by_remote(portal, remote_id)
            if not records and await self._echo_passed(portal, remote_id, room):
                records = await self._books.message_by_remote(portal, remote_id)
        return records

    async def _echo_passed(self, portal: PortalKey, remote_id: RemoteMessageID, room: RoomID) -> bool:
        """Whether the echo of a message of ours was still waiting in a lane of its own (see `addresses`). What follows
        it in the chat may come here first, and only the echo says which event the message is."""
        key = DedupeKey(message_key(portal, remote_id, "echo"))
        try:
            # The echo may itself wait for the room's lane, whose head must not wait for us meanwhile.
            with self._lanes.waited_for(matrix_lane(room)):
                async with asyncio.timeout(self._retrying.delivery.confirm_wait_ms / 1000):
                    waited = await self._steps_until_passed(portal, key)
        except TimeoutError:
            log.info("the echo of a message takes long; going on without it", extra={"lane": remote_lane(portal)})
            return False
        return waited

    async def _steps_until_passed(self, portal: PortalKey, key: DedupeKey) -> bool:
        waited = False
        for record in await self._books.portal_logins(portal):
            lane = user_lane(record.login.user)
            # Asked before looking: a step in between would be missed.
            while (step := self._lanes.next_step(lane)) is not None and await self._journal.waiting(lane, key):
                waited = True
                await step.wait()
        return waited

    async def sends_in_flight(self, room: RoomID, *, unless: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Wait, bounded, until what may have been sent to the network from this room is known under its remote id; or
        until `unless`, asked after each step, is so."""
        lane = matrix_lane(room)
        resolved = asyncio.ensure_future(self._lanes.resolved(lane)) if unless is not None else None
        try:
            async with asyncio.timeout(self._retrying.delivery.confirm_wait_ms / 1000):
                if unless is None or resolved is None:
                    await self._lanes.resolved(lane)
                    return
                # Asked before looking: a step in between would be missed.
                while (step := self._lanes.next_step(lane)) is not None and not await unless():
                    stepped = asyncio.ensure_future(step.wait())
                    try:
                        await asyncio.wait({resolved, stepped}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        stepped.cancel()
                    if resolved.done():
                        return
        except TimeoutError:
            log.info("sends to the network take long; going on without them", extra={"room_id": room})
        finally:
            if resolved is not None:
                resolved.cancel()

    # --- messages of several names ----------------------------------------------------------------------------------
    async def renamed(self, message: RemoteMessage) -> tuple[AliasSaved, ...] | None:
        """What to write down of a message that is there under another of its names; None if it is not."""
        for alias in message.aliases:
            records = await self._books.message_by_remote(message.portal, alias)
            if records and records[0].remote_id != message.id:
                return named(message, records[0].remote_id)
        return None

    async def is_ended(self, message: RemoteMessage, entry: Entry, lane: Lane) -> bool:
        """Whether the message, which is at the lane's head, was ended under another of its names: skipped, deleted
        before it came. If not, nothing appears under those any more."""
        # Whatever an earlier attempt has ended was this one's.
        ours = entry.is_retried or entry.progress is not None
        ended, behind = False, []
        for alias in message.aliases:
            match await self.shut_out(message.portal, alias, entry) if alias != message.id else Claim.SHUT_OUT:
                case Claim.ENDED:
                    ended = not ours
                case Claim.BEHIND:
                    behind.append(alias)
        if behind and not ended and not ours:
            # Before they end, or after a crash this one would be theirs.
            await self._journal.mark(
                entry.lane, entry.seq, at=entry.marked_at, progress=NO_SLOTS, epoch=self._lease.epoch
            )
            lane.noted(msgspec.structs.replace(entry, progress=NO_SLOTS))
        for alias in behind:
            await self.drop_behind(message.portal, alias, entry)
        return ended

    # --- changes that come before their message ---------------------------------------------------------------------
    async def shut_out(self, portal: PortalKey, remote_id: RemoteMessageID, entry: Entry) -> Claim:
        """Keep a message from appearing after what is in `entry`, which is at the lane's head: a change of it, or the
        same message under another name."""
        key = DedupeKey(message_key(portal, remote_id))
        stand_in = NewEntry(
            lane=entry.lane,
            dedupe=key,
            direction=Direction.REMOTE,
            kind=SHUT_OUT,
            payload=entry.payload,
            received_at=entry.received_at,
            login=entry.login,
        )
        if await self._append(stand_in):
            return Claim.SHUT_OUT
        waiting = await self._waiting(entry, key)
        if waiting is None:
            return Claim.ENDED
        if waiting.kind != SHUT_OUT:
            return Claim.BEHIND
        # An earlier attempt of this change has done that, or another change before.
        return Claim.SHUT_OUT if waiting.payload == entry.payload else Claim.ENDED

    async def drop_behind(self, portal: PortalKey, remote_id: RemoteMessageID, entry: Entry) -> None:
        """End the message that waits behind its deletion, which is in `entry` at the lane's head, before its turn."""
        waiting = await self._waiting(entry, DedupeKey(message_key(portal, remote_id)))
        if waiting is not None and waiting.kind != SHUT_OUT:
            await self._journal.complete([Completion(lane=waiting.lane, seq=waiting.seq)], epoch=self._lease.epoch)
            # The lane may have it in memory. If not, its turn never comes.
            self._dropped[waiting.dedupe] = None
            if len(self._dropped) > DROPPED:
                del self._dropped[next(iter(self._dropped))]

    def was_dropped(self, entry: Entry) -> bool:
        """Whether this entry, whose turn has come, was ended before."""
        if entry.dedupe not in self._dropped:
            return False
        del self._dropped[entry.dedupe]
        return True

    async def is_behind(self, portal: PortalKey, remote_id: RemoteMessageID, entry: Entry) -> bool:
        """Whether the message waits behind the change in `entry`, which is at the lane's head."""
        waiting = await self._waiting(entry, DedupeKey(message_key(portal, remote_id)))
        return waiting is not None and waiting.kind != SHUT_OUT

    async def once_more(self, entry: Entry, target: RemoteMessageID, lane: Lane) -> bool:
        """Put a change of `target` behind what it has to wait for, once; False if that was done before."""
        key = again_key(entry.dedupe)
        if key is None:
            return False
        await self._put_behind(entry, lane)
        await self._append(
            NewEntry(
                lane=entry.lane,
                dedupe=key,
                direction=Direction.REMOTE,
                kind=entry.kind,
                payload=entry.payload,
                received_at=entry.received_at,
                login=entry.login,
            )
        )
        if lane.put_behind is not None:
            lane.put_behind[key] = target
        return True

    def has_its_turn(self, entry: Entry, lane: Lane) -> None:
        """The entry is at the lane's head: nothing has to be put behind it any more."""
        if lane.put_behind:
            lane.put_behind.pop(entry.dedupe, None)

    async def follows(self, entry: Entry, target: RemoteMessageID, lane: Lane) -> bool:
        """Whether a change of `target`, which is at the lane's head, has to wait: one that came before it was put
        behind the message, and so behind this. Then this was put behind that, now: changes of a message stay in the
        order in which they came. A letter that was retried comes last anyhow."""
        if entry.is_retried or target not in (await self._put_behind(entry, lane)).values():
            return False
        return await self.once_more(entry, target, lane)

    async def _put_behind(self, entry: Entry, lane: Lane) -> dict[DedupeKey, RemoteMessageID]:
        """What waits in the lane because it was put behind something."""
        if lane.put_behind is None:
            found: dict[DedupeKey, RemoteMessageID] = {}
            after = entry.seq
            while page := await self._journal.peek(entry.lane, after=after):
                after = page[-1].seq
                for each in page:
                    if again_key(each.dedupe) is None and isinstance(
                        change := decode(each.payload), RemoteEdit | RemoteReaction
                    ):
                        found[each.dedupe] = change.target
            lane.put_behind = found
        return lane.put_behind

    async def _append(self, new: NewEntry) -> bool:
        appended = await self._journal.append(Append(entries=(new,)), epoch=self._lease.epoch)
        self._lanes.offer(appended.entries)
        if appended.duplicates:
            # An earlier attempt may have written it without learning so.
            self._lanes.wake(new.lane)
        return bool(appended.entries)

    async def _waiting(self, entry: Entry, key: DedupeKey) -> Entry | None:
        waiting = await self._journal.waiting(entry.lane, key)
        return waiting if waiting is not None and waiting.seq > entry.seq else None


def named(message: RemoteMessage, known_as: RemoteMessageID) -> tuple[AliasSaved, ...]:
    """The names of a message that is `known_as` one of them, or has become known so now."""
    names = dict.fromkeys((message.id, *message.aliases))
    return tuple(AliasSaved(message.portal, name, known_as) for name in names if name != known_as)
