"""The message that an edit, a deletion, a reaction or a reply is about: what the network calls it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from bridgekit.core.lane import remote_lane
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.txnid import outgoing_nonce
from bridgekit.core.versions import edited_event
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import MessageRecord, Portal, ReactionRecord
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import Lane, Lanes

log = logging.getLogger(__name__)

LOOK_BACK_PAGES = 5
"""How far back an event is looked for of which the bridge knows nothing: so many pages of 100."""


SHOWS_ITSELF_MS = 10_000
"""For so long after it is not known whether a message was sent, a change of it waits for the message's echo."""

LOOK_AGAIN_S = 0.25


class Found(msgspec.Struct, frozen=True):
    """What the network made of an event, in order of the parts; `event_id` is the original, where an edit was named."""

    event_id: EventID
    records: tuple[MessageRecord, ...]


class Missing(msgspec.Struct, frozen=True):
    """The network has nothing of it. `quiet`: nothing is left to be done, and nobody need be told: it was deleted, or
    the bot itself has said it."""

    code: str
    reason: str
    quiet: bool = False


class _Event(msgspec.Struct):
    content: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Event).decode


class Targets:
    """Looks targets up, and waits for those that are just on their way."""

    def __init__(
        self, books: Books, homeserver: Homeserver, lanes: Lanes, clock: Clock, *, bot: UserID, wait_ms: int
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._lanes = lanes
        self._clock = clock
        self._bot = bot
        self._wait_s = wait_ms / 1000

    async def find(self, event_id: EventID, portal: Portal, room: RoomID, lane: Lane) -> Found | Missing:
        """What an event became on the network. Raises `HomeserverError`, `StoreError`."""
        records = await self.records(event_id, portal, room, lane)
        if not records:
            # Never crossed, or deleted, or itself an edit: the room knows.
            seen = await self.event(room, event_id)
            content = _content(seen) if seen is not None else None
            if content == {}:
                return Missing("gone", "the message was deleted", quiet=True)
            if seen is not None and seen.sender == self._bot:
                return Missing("own", "the bridge itself has said that", quiet=True)
            original = edited_event(seen.raw) if seen is not None else None
            if original is not None:
                event_id, records = original, await self.records(original, portal, room, lane)
        if not records:
            return Missing("unknown_target", "the message that it belongs to is not on the network")
        if any(record.portal != portal.key for record in records):
            return Missing("other_portal", "the message that it belongs to is in another chat")
        return Found(event_id, tuple(records))

    async def records(self, event_id: EventID, portal: Portal, room: RoomID, lane: Lane) -> list[MessageRecord]:
        """What an event became, waiting, bounded, for what is under way in either direction."""
        await lane.settle()
        records = await self._books.messages_by_event(room, event_id)
        if not records:
            await self._other_lane(portal, room, lane)
            records = await self._books.messages_by_event(room, event_id)
        if not records and await self._has_shown_itself(portal, event_id):
            records = await self._books.messages_by_event(room, event_id)
        return records

    async def _has_shown_itself(self, portal: Portal, event_id: EventID) -> bool:
        """Whether a message whose send is uncertain has come back from the network while this waited, bounded."""
        nonce, waited = outgoing_nonce(self._books.secret, portal.key, event_id, 0), False
        while (doubtful := await self._books.directory.uncertain(nonce)) is not None:
            if self._clock.now() - doubtful.at >= SHOWS_ITSELF_MS:
                return False
            waited = True
            await self._clock.sleep(LOOK_AGAIN_S)
        return waited

    async def reaction(self, event_id: EventID, portal: Portal, room: RoomID) -> ReactionRecord | None:
        """The reaction that an event is. Called after `records` has waited."""
        return await self._books.reaction_by_event(room, event_id)

    async def event(self, room: RoomID, event_id: EventID) -> RawEvent | None:
        """An event of the room, if it is not too long ago. Raises `HomeserverError`."""
        start: str | None = None
        for _ in range(LOOK_BACK_PAGES):
            try:
                page = await self._homeserver.messages(room, from_=start)
            except MatrixRequestError as error:
                if not isinstance(judge_homeserver(error), End):
                    raise
                log.warning("the room's history cannot be read: %s", error, extra={"room_id": room})
                return None
            for event in page.chunk:
                if event.event_id == event_id:
                    return event
            if page.end is None:
                break
            start = page.end
        return None

    async def _other_lane(self, portal: Portal, room: RoomID, lane: Lane) -> None:
        """Perhaps it is just being put into the room, or an earlier process did that, and was killed before it knew."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._lanes.resolved(remote_lane(portal.key), asked_by=lane)
        except TimeoutError:
            log.info("the network's messages take long; going on", extra={"room_id": room})


def _content(event: RawEvent) -> dict[str, Any] | None:
    try:
        return _decode(event.raw).content
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
