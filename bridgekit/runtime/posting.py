"""Events into rooms in a ghost's name, each once, whatever was lost of earlier attempts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from bridgekit.core.to_matrix import JSON, sent_at
from bridgekit.core.txnid import event_txn_id
from bridgekit.core.versions import KEY
from bridgekit.errors import HomeserverError, MatrixRequestError
from bridgekit.model.entry import Entry
from bridgekit.model.ids import EventID, PortalKey, RoomID, TxnID, UserID
from bridgekit.model.records import Fact, Ghost
from bridgekit.ports import Homeserver, Journal
from bridgekit.runtime import points
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Lane
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.media_note import NO_SLOTS
from bridgekit.runtime.retrying import Retrying

log = logging.getLogger(__name__)

LOOK_BACK_PAGES = 20
"""How far back an event is looked for whose transaction id the homeserver has forgotten: so many pages of 100."""

MESSAGE = "m.room.message"


class _Content(msgspec.Struct):
    content: dict[str, object] = {}


_decode_content = msgspec.json.Decoder(_Content).decode


class Posting:
    """Every method may be repeated after a crash, and raises `HomeserverError`."""

    def __init__(
        self,
        homeserver: Homeserver,
        ghosts: Ghosts,
        journal: Journal,
        lease: LeaseKeeper,
        retrying: Retrying,
        *,
        bot: UserID,
    ) -> None:
        self._homeserver = homeserver
        self._ghosts = ghosts
        self._journal = journal
        self._lease = lease
        self._retrying = retrying
        self._bot = bot

    async def post(
        self,
        room: RoomID,
        ghost: Ghost,
        contents: Sequence[tuple[TxnID, JSON]],
        entry: Entry,
        lane: Lane,
        *,
        timestamp: int,
        type: str = MESSAGE,
        types: Sequence[str] | None = None,
        facts: Callable[[Sequence[EventID]], Collection[Fact]] = lambda sent: (),
    ) -> list[EventID]:
        """Send these in their order, as a ghost that is in the room. `timestamp`: what the network says, in ms.
        `types`: one for each, where they are not all of one `type`. `facts`: what is to be written down of the first
        of them when another fails: the room shows them from then on, and people speak of them."""
        there: dict[str, EventID] = {}
        old = self._retrying.clock.now() - entry.received_at > self._retrying.delivery.txn_memory_ms
        if old and (entry.attempts or lane.may_have_been_tried(entry)):
            there = await self.already_there(room, ghost.user_id, {txn_id for txn_id, _ in contents})
        sent: list[EventID] = []
        for number, (txn_id, content) in enumerate(contents):
            event_id = there.get(txn_id)
            if event_id is None:
                kind = types[number] if types is not None else type
                try:
                    event_id = await self.send(room, ghost, kind, content, txn_id, timestamp)
                except HomeserverError:
                    if known := facts(sent) if sent else ():
                        await self._begun(known, entry, lane)
                    raise
            points.reach(points.MATRIX_SENT)
            sent.append(event_id)
        return sent

    async def _begun(self, known: Collection[Fact], entry: Entry, lane: Lane) -> None:
        progress = entry.progress
        if progress is None and (not lane.buffer or (progress := lane.buffer[0].progress) is None):
            progress = NO_SLOTS  # with progress, what was put into the room is not taken for an echo: see `MessagesIn`
        await self._journal.mark(
            entry.lane, entry.seq, at=entry.marked_at, progress=progress, epoch=self._lease.epoch, facts=known
        )
        lane.noted(msgspec.structs.replace(entry, progress=progress))

    async def send(
        self, room: RoomID, ghost: Ghost, type: str, content: JSON, txn_id: TxnID, timestamp: int
    ) -> EventID:
        """Send one event, as a ghost that was in the room. `timestamp`: see `sent_at`."""
        send = functools.partial(
            self._homeserver.send_event,
            room,
            type,
            content,
            txn_id=txn_id,
            user=ghost.user_id,
            device_id=ghost.device_id,
            timestamp=sent_at(timestamp),
        )
        try:
            return await send()
        except MatrixRequestError as error:
            if error.status != 403:
                raise
        # The ghost was removed without our knowing: bring it back, once.
        await self._ghosts.ensure_joined(room, ghost, again=True)
        return await send()

    async def redact(
        self, portal: PortalKey, room: RoomID, event_id: EventID, *, by: UserID | None, reason: str | None = None
    ) -> None:
        """Redact an event in the name of `by`, who must be a ghost, or where that may not, or for None, as the bot. One
        that is redacted, or not there at all, is success."""
        ghost = await self._ghosts.by_user(by) if by is not None else None
        try:
            if ghost is not None and await self._redact_as(portal, room, event_id, ghost, reason):
                return
            await self._redact(portal, room, event_id, None, reason)
        except MatrixRequestError as error:
            if error.status != 404:
                raise
            log.debug("an event that is to be redacted is not there", extra={"room_id": room, "event_id": event_id})

    async def _redact_as(
        self, portal: PortalKey, room: RoomID, event_id: EventID, ghost: Ghost, reason: str | None
    ) -> bool:
        try:
            await self._redact(portal, room, event_id, ghost, reason)
        except MatrixRequestError as error:
            if error.status != 403:
                raise
            return False  # it has left the room, for instance; the bot may redact everybody's
        return True

    async def _redact(
        self, portal: PortalKey, room: RoomID, event_id: EventID, ghost: Ghost | None, reason: str | None
    ) -> None:
        user = ghost.user_id if ghost is not None else self._bot
        # By the event, not by what caused it: whoever asks for it, it is redacted once.
        txn_id = event_txn_id(portal=portal, sender=user, kind="redact", remote_id=event_id, occurrence=0, part=0)
        await self._homeserver.redact(
            room,
            event_id,
            txn_id=txn_id,
            reason=reason,
            user=user,
            device_id=ghost.device_id if ghost is not None else None,
        )
        points.reach(points.MATRIX_SENT)

    async def annotation(self, room: RoomID, user: UserID, target: EventID, content: JSON) -> EventID | None:
        """The event with which a ghost has reacted so already, whatever its key: a homeserver takes each reaction of a
        person once. None if it is too far back."""
        start: str | None = None
        wanted = _annotation(content)
        for _ in range(LOOK_BACK_PAGES):
            page = await self._homeserver.messages(room, from_=start)
            for event in page.chunk:
                if event.event_id == target:
                    return None  # a reaction comes after what it is about
                if event.sender == user and _annotation(_decode_content(event.raw).content) == wanted:
                    return event.event_id
            if page.end is None:
                break
            start = page.end
        return None

    async def already_there(self, room: RoomID, user: UserID, keys: Collection[TxnID]) -> dict[str, EventID]:
        """Which of our events are in the room already: the homeserver may have forgotten their transaction ids."""
        found: dict[str, EventID] = {}
        start: str | None = None
        for _ in range(LOOK_BACK_PAGES):
            page = await self._homeserver.messages(room, from_=start)
            for event in page.chunk:
                if event.sender != user:
                    continue
                key = _decode_content(event.raw).content.get(KEY)
                if isinstance(key, str) and key in keys:
                    found[key] = event.event_id
            if len(found) == len(keys) or page.end is None:
                break
            start = page.end
        return found


def _annotation(content: Mapping[str, object]) -> tuple[object, object] | None:
    relation = content.get("m.relates_to")
    if not isinstance(relation, dict) or relation.get("rel_type") != "m.annotation":
        return None
    return relation.get("event_id"), relation.get("key")
