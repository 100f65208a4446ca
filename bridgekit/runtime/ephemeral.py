"""Typing and receipts, both ways. Never written down and never repeated, so that no message ever waits for them.

What comes is put into slots in which only the latest counts (`bridgekit.core.slots`), and carried out beside the
lanes. Whatever cannot be carried out is dropped: the next one says it better.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from bridgekit.adapter.capabilities import CanMarkRead, CanType, capability
from bridgekit.core.ephemeral import Read, Writers, parse
from bridgekit.core.lane import matrix_lane, remote_lane
from bridgekit.core.slots import Lasting, Latest
from bridgekit.model.ids import LoginID, PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.matrix import MatrixReceipt, MatrixTyping
from bridgekit.model.records import Ghost, LoginRecord, Membership, MessageRecord, PortalState
from bridgekit.model.remote import RemoteEvent, RemoteMessage, RemoteReceipt, RemoteTyping
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.pump import Pump
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

SLOTS = 5_000
"""So many receipts wait, and so many people write, at most; of each kind and direction."""

RECEIPT_EVERY_MS = 1_000
"""Of one person in one chat, a receipt is told at most so often."""

TYPING_EVERY_MS = 4_000
"""The network is told so often that a person (still, or again) writes."""

TYPING_LASTS_MS = 60_000
"""So long a person on Matrix writes at most, if we do not hear that they have stopped: the homeserver says that once,
and what it says while the bridge is away is lost. Who writes for longer is heard of again with the next change."""

GHOST_TYPING_MS = 20_000
"""A ghost that writes for longer is renewed at the homeserver, so that it soon stops when the bridge does not go on."""

GHOST_TYPING_EVERY_MS = 15_000
GHOST_TYPING_GAP_MS = 1_000
"""How often a ghost may begin to write."""

REMOTE_TYPING_MAX_S = 120.0
"""What a network says lasts longer is cut off."""

CALL_S = 10.0
"""How long a session or the homeserver may take for one of these."""

LOOK_AGAIN_S = (0.2, 0.5, 1.0, 2.0)
"""After these times a receipt looks again for its message, while messages are being sent there."""

SKEW_MS = 60_000
"""So far the network's clock may be ahead of ours before its times are not believed."""

HOMESERVER_CALLS = 8
NETWORK_CALLS = 64
CALLS_PER_PERSON = 4

K = TypeVar("K")


class _Forward(Generic[K]):
    """How far each has read: never back. The most recently used are remembered."""

    def __init__(self, size: int = SLOTS) -> None:
        self._size = size
        self._positions: dict[K, tuple[int, str]] = {}

    def advance(self, key: K, timestamp: int, id: str) -> bool:
        """Whether this is further; then it is the position from now on. What was sent at the same time is told in the
        order in which it comes: the homeserver, too, only lets receipts go forward."""
        before = self._positions.pop(key, None)
        is_further = before is None or (before[0] <= timestamp and before[1] != id)
        self._positions[key] = (timestamp, id) if is_further or before is None else before
        if len(self._positions) > self._size:
            del self._positions[next(iter(self._positions))]
        return is_further


class Ephemeral:
    """Takes in what the homeserver pushed (`pushed`) and what sessions yielded (`yielded`); both return at once."""

    def __init__(self, books: Books, homeserver: Homeserver, sessions: Sessions, lanes: Lanes, clock: Clock) -> None:
        self._books = books
        self._homeserver = homeserver
        self._sessions = sessions
        self._lanes = lanes
        self._clock = clock
        self._writers = Writers()
        self._told: _Forward[tuple[RoomID, UserID]] = _Forward()
        self._shown: _Forward[tuple[PortalKey, RemoteUserID]] = _Forward()
        self._calls = asyncio.Semaphore(HOMESERVER_CALLS)

        def person(key: tuple[RoomID, UserID]) -> UserID:
            return key[1]

        self._reads: Latest[tuple[RoomID, UserID], Read] = Latest(
            every_ms=RECEIPT_EVERY_MS, size=SLOTS, group=person, per_group=CALLS_PER_PERSON
        )
        self._writing: Lasting[tuple[RoomID, UserID]] = Lasting(
            repeat_ms=TYPING_EVERY_MS, gap_ms=TYPING_EVERY_MS, size=SLOTS, group=person, per_group=CALLS_PER_PERSON
        )
        self._receipts: Latest[tuple[PortalKey, RemoteUserID], RemoteReceipt] = Latest(
            every_ms=RECEIPT_EVERY_MS, size=SLOTS
        )
        self._typing: Lasting[tuple[PortalKey, RemoteUserID, LoginID]] = Lasting(
            repeat_ms=GHOST_TYPING_EVERY_MS, gap_ms=GHOST_TYPING_GAP_MS, size=SLOTS
        )
        self._read_pump = Pump("receipts to the network", self._reads, self._mark_read, clock, at_most=NETWORK_CALLS)
        self._writing_pump = Pump("typing to the network", self._writing, self._type, clock, at_most=NETWORK_CALLS)
        # More than there may be calls: some wait for their message, and must not keep the others from going on.
        self._receipt_pump = Pump("receipts to Matrix", self._receipts, self._receipt, clock, at_most=NETWORK_CALLS)
        self._typing_pump = Pump("typing to Matrix", self._typing, self._ghost_types, clock, at_most=HOMESERVER_CALLS)

    def start(self) -> None:
        """Begin to carry things out."""
        for pump in (self._read_pump, self._writing_pump, self._receipt_pump, self._typing_pump):
            pump.start()

    async def stop(self) -> None:
        """Drop everything. Who was writing stops by themselves: the homeserver and the network see to that."""
        pumps = (self._read_pump, self._writing_pump, self._receipt_pump, self._typing_pump)
        await asyncio.gather(*(pump.stop() for pump in pumps))

    # --- taking in ------------------------------------------------------------------------------------------------
    def pushed(self, raws: Sequence[bytes]) -> None:
        """The homeserver pushed ephemeral data. Taken in after the caller has gone on: its answer must not wait."""
        asyncio.get_running_loop().call_soon(self._take, raws)

    def _take(self, raws: Sequence[bytes]) -> None:
        found = parse(raws, frozenset(record.user_id for record in self._books.logins()))
        if found.dropped:
            log.debug("%d ephemeral events of the homeserver could not be read", found.dropped)
        now = self._writing_pump.now()
        for read in found.reads:
            self._reads.offer((read.room, read.user), read)
        for writing in found.writing:
            for user in self._writers.stopped(writing):
                self._writing.offer((writing.room, user), 0, now)
            for user in writing.users:
                self._writing.offer((writing.room, user), TYPING_LASTS_MS, now)
        self._read_pump.wake()
        self._writing_pump.wake()

    def yielded(self, events: Iterable[RemoteEvent], record: LoginRecord) -> None:
        """A session yielded this, and what of it is to be on disk is."""
        for event in events:
            try:
                self._take_in(event, record.login.id)
            except (TypeError, ValueError):
                log.warning("an adapter yielded something malformed; it is dropped", exc_info=True)

    def _take_in(self, event: RemoteEvent, login: LoginID) -> None:
        now = self._typing_pump.now()
        match event:
            case RemoteReceipt() if not self._books.is_own_account(event.user):
                self._receipts.offer((event.portal, event.user), event)
                self._receipt_pump.wake()
            case RemoteTyping() if not self._books.is_own_account(event.user):
                lasts_ms = _ms(event.expires_s) if event.typing else 0
                if self._typing.offer((event.portal, event.user, login), lasts_ms, now):
                    self._typing_pump.wake()
            case RemoteMessage():
                # Who has written does not write any more.
                if self._typing.offer((event.portal, event.sender, login), 0, now):
                    self._typing_pump.wake()
            case _:
                # What an account does that has logged in here is ignored, too: mostly it comes from Matrix and is seen
                # there already. What comes from the person's own phone is not, but only a double puppet could show it.
                pass

    # --- to the network -------------------------------------------------------------------------------------------
    async def _mark_read(self, key: tuple[RoomID, UserID], read: Read) -> bool:
        portal = await self._books.portal_by_room(read.room)
        if portal is None:
            return False
        sessions = [
            session
            for record in await self._own_logins(portal.key, read.user)
            if (session := capability(self._sessions.session(record.login.id), CanMarkRead)) is not None
        ]
        if not sessions:
            return False
        message = await self._message(portal.key, read)
        if message is None or not self._told.advance(key, self._sane(message.timestamp), message.remote_id):
            return False
        receipt = MatrixReceipt(portal=portal.key, up_to=message.remote_id, timestamp=read.ts or self._clock.now())
        for session in sessions:
            async with asyncio.timeout(CALL_S):
                await session.mark_read(receipt)
        return True

    async def _message(self, portal: PortalKey, read: Read) -> MessageRecord | None:
        """The remote message that a receipt's event is; the one reacted to, where it is a reaction."""

        async def look() -> list[MessageRecord]:
            records = await self._books.messages_by_event(read.room, read.event_id)
            if not records and (reaction := await self._books.reaction_by_event(read.room, read.event_id)) is not None:
                records = await self._books.message_by_remote(portal, reaction.target)
            return records

        # People read faster than the disk takes in what they have read.
        records = await self._found(look, portal, read.room)
        return records[-1] if records and records[-1].portal == portal else None

    async def _type(self, key: tuple[RoomID, UserID], rest_ms: int) -> bool:
        room, user = key
        portal = await self._books.portal_by_room(room)
        if portal is None:
            return False
        for record in await self._own_logins(portal.key, user):
            session = capability(self._sessions.session(record.login.id), CanType)
            if session is not None:
                # With several accounts in one chat a person writes through the first that is connected, as messages do.
                async with asyncio.timeout(CALL_S):
                    await session.set_typing(MatrixTyping(portal=portal.key, typing=rest_ms > 0))
                return True
        return False

    async def _own_logins(self, portal: PortalKey, user: UserID) -> list[LoginRecord]:
        return [record for record in await self._books.portal_logins(portal) if record.user_id == user]

    # --- to Matrix ------------------------------------------------------------------------------------------------
    async def _receipt(self, key: tuple[PortalKey, RemoteUserID], receipt: RemoteReceipt) -> bool:
        there = await self._there(receipt.portal, receipt.user)
        if there is None:
            return False
        room, ghost = there
        # Others may have seen it before the answer to its sending was here; or it is on its way to Matrix.
        look = functools.partial(self._books.message_by_remote, receipt.portal, receipt.up_to)
        records = await self._found(look, receipt.portal, room)
        if not records or records[-1].room != room:
            return False
        last = records[-1]
        if not self._shown.advance(key, self._sane(last.timestamp), last.remote_id):
            return False
        async with self._calls, asyncio.timeout(CALL_S):
            await self._homeserver.send_receipt(room, last.event_id, user=ghost.user_id)
        return True

    async def _ghost_types(self, key: tuple[PortalKey, RemoteUserID, LoginID], rest_ms: int) -> bool:
        portal, user, login = key
        if rest_ms and await self._sessions.addresses.source(portal, login) != login:
            # What several logins see, one of them says: a late "writes" of another would follow upon a "has stopped".
            return False
        there = await self._there(portal, user)
        if there is None:
            return False
        room, ghost = there
        async with self._calls, asyncio.timeout(CALL_S):
            await self._homeserver.set_typing(room, ghost.user_id, min(rest_ms, GHOST_TYPING_MS))
        return True

    async def _there(self, key: PortalKey, user: RemoteUserID) -> tuple[RoomID, Ghost] | None:
        """The portal's room and the person's ghost in it. Nothing is made for what passes."""
        portal, ghost = await self._books.portal(key), await self._books.ghost(user)
        if portal is None or portal.room is None or portal.state is not PortalState.READY or ghost is None:
            return None
        if await self._books.membership(portal.room, ghost.user_id) is not Membership.JOINED:
            return None
        return portal.room, ghost

    # --- both -----------------------------------------------------------------------------------------------------
    async def _found(
        self, look: Callable[[], Awaitable[list[MessageRecord]]], portal: PortalKey, room: RoomID
    ) -> list[MessageRecord]:
        """The parts of a message, looked for again while the portal's lanes, of both directions, are at work."""
        for patience in LOOK_AGAIN_S:
            # Asked before looking: what is written down meanwhile would be missed.
            is_busy = self._is_busy(portal, room)
            if (records := await look()) or not is_busy:
                return records
            settled = asyncio.ensure_future(self._settled(portal, room))
            giving_up = asyncio.ensure_future(self._clock.sleep(patience))
            try:
                await asyncio.wait([settled, giving_up], return_when=asyncio.FIRST_COMPLETED)
                if self._is_busy(portal, room):
                    await giving_up  # what settled was another one
            finally:
                settled.cancel()
                giving_up.cancel()
        return await look()

    async def _settled(self, portal: PortalKey, room: RoomID) -> None:
        await self._lanes.settled(remote_lane(portal))
        await self._lanes.settled(matrix_lane(room))

    def _is_busy(self, portal: PortalKey, room: RoomID) -> bool:
        return self._lanes.is_busy(remote_lane(portal)) or self._lanes.is_busy(matrix_lane(room))

    def _sane(self, timestamp: int) -> int:
        """A message from the future must not hold up the receipts of all that follow."""
        now = self._clock.now()
        return timestamp if timestamp <= now + SKEW_MS else now


def _ms(seconds: float) -> int:
    """At least one, at most `REMOTE_TYPING_MAX_S`; an adapter may have said anything."""
    if not math.isfinite(seconds):
        seconds = REMOTE_TYPING_MAX_S
    return max(1, round(min(seconds, REMOTE_TYPING_MAX_S) * 1000))
