"""Calls, in both directions: what happens is told to their machines (`bridgekit.core.call`), and what those want is
done (`CallSteps`), beside the lanes of messages.

A step is on disk before the journal's entry that led to it ends: the machine's memory, and what is still to be done. So
a call outlives the bridge's process, and a crash repeats at most what a repeat does not harm.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bridgekit.core.call.book import Book, Place
from bridgekit.core.call.effects import Failed
from bridgekit.core.call.events import Invite, Malformed, Seen, read
from bridgekit.core.call.machine import Call
from bridgekit.core.call.memory import Setup
from bridgekit.core.policy import Retry, judge_homeserver
from bridgekit.errors import HomeserverUnreachable, LeaseLost, MatrixRequestError, StoreError, StoreUnavailable
from bridgekit.model.calls import (
    CallEnd,
    RemoteCall,
    RemoteCallAnswer,
    RemoteCallHangUp,
    RemoteCallOffer,
    RemoteCallReject,
    RemoteCallUpdate,
    SDPType,
)
from bridgekit.model.entry import Direction, Entry
from bridgekit.model.ids import LaneKey, LoginID, PortalKey, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Portal
from bridgekit.ports import Clock, Homeserver, MediaGateway
from bridgekit.runtime.addresses import decode_call
from bridgekit.runtime.books import Books
from bridgekit.runtime.call_clock import CallClock
from bridgekit.runtime.call_deeds import CallDeeds
from bridgekit.runtime.call_places import CallPlaces
from bridgekit.runtime.call_steps import STORE_AGAIN_S, CallSteps, key_of
from bridgekit.runtime.errands import CallKey, GiveUp
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Handled, WaitFor
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.portals import Portals
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

CONNECT_MS = 5_000
LOOK_AGAIN_S = 0.25
"""So long a call from Matrix waits for a session that is being connected (at start, after a cut), and so often that is
looked for."""

LOGOUT_S = 3.0
"""So long a logout waits until the network has heard that its calls are over."""


class Calls:
    """All calls of a bridge."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        ghosts: Ghosts,
        portals: Portals,
        sessions: Sessions,
        retrying: Retrying,
        clock: Clock,
        lease: LeaseKeeper,
        *,
        bot: UserID,
        event: Callable[[Entry], RawEvent],
        connection_errors: tuple[type[BaseException], ...],
        notices: bool = True,
        gateway: MediaGateway | None = None,
    ) -> None:
        """`notices`: whether a call leaves a line in its room."""
        self._books = books
        self._sessions = sessions
        self._retrying = retrying
        self._lease = lease
        self._event = event
        self._book = Book()
        self._clock = clock = CallClock(clock, self._book.set_back)
        self._logins: dict[CallKey, LoginID] = {}
        self._places = CallPlaces(books, homeserver, ghosts, portals, sessions, bot=bot)
        self._deeds = CallDeeds(
            books,
            homeserver,
            ghosts,
            sessions,
            login_of=self._logins.get,
            setup_of=self._setup_of,
            connection_errors=connection_errors,
            gateway=gateway,
        )
        self._steps = CallSteps(self._book, self._logins, books, self._deeds, clock, lease, notices=notices)
        self._heard: dict[tuple[LaneKey, int], list[Call]] = {}
        self.begun = 0

    @property
    def live(self) -> int:
        """How many calls go on."""
        return len(self._book.live())

    # --- starting and stopping ------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Read the calls that went on when the last process ended. Raises `StoreError`."""
        await self._steps.open()

    def start(self) -> None:
        """Go on with them, and watch their times."""
        self._steps.start()
        self._steps.beside(self._leave_replaced(), "calls' rooms")

    async def stop(self) -> None:
        """Leave everything as it is: it goes on at the next start."""
        await self._steps.stop()

    # --- what happens ---------------------------------------------------------------------------------------------
    async def handle(self, entry: Entry, event: RemoteCall | None, *, behind: Sequence[Entry] = ()) -> Handled:
        """Carry out the head of a call's lane: an event of Matrix, or `event` of the network. `behind`: what is
        known to stand behind it. Raises `RetryLater`, `WaitFor`, `StoreError`."""
        head = (entry.lane, entry.seq)
        try:
            # If the disk is away, the entry comes again, and the machine has heard of it.
            calls = self._heard.pop(head, None) or await (
                self._from_matrix(entry, behind) if event is None else self._from_network(entry, event, behind)
            )
        except (HomeserverUnreachable, MatrixRequestError) as error:
            verdict = judge_homeserver(error)
            if isinstance(verdict, Retry):
                # Once its time is over it leaves the line that a missed call leaves.
                raise self._retrying.later(entry, verdict) from error
            log.error("a call could not be bridged: %s", error, extra={"lane": entry.lane})
            calls = self._unshown(entry, event)
        try:
            await self._steps.step(calls)
        except StoreUnavailable:
            self._heard[head] = calls
            raise
        return Handled()

    async def _from_matrix(self, entry: Entry, behind: Sequence[Entry]) -> list[Call]:
        raw = self._event(entry)
        seen = read(entry.payload, received_at=entry.received_at)
        if isinstance(seen, Malformed):
            log.info("an event that is none of a call: %s", seen.reason, extra={"event_id": entry.event_id})
            return []
        portal = await self._books.portal_by_room(raw.room_id)
        if portal is None:
            return []  # calls between people on Matrix in other rooms are theirs
        place: Place | None = None
        login: LoginID | None = None
        if isinstance(seen.event, Invite) and self._book.by_matrix_id(portal.key, seen.event.call_id) is None:
            found = await self._places.of_invite(portal, raw.room_id, seen.sender, seen.event)
            if found is None:
                return []
            if found.connecting and self._clock.now() < entry.received_at + CONNECT_MS:
                raise WaitFor(functools.partial(self._clock.sleep, LOOK_AGAIN_S))
            place, login = found.place, found.login
            # MSC2746: what has been hung up by now is not signalled.
            for later in behind:
                if later.kind == "m.call.hangup" and self._event(later).room_id == raw.room_id:
                    end = read(later.payload, received_at=later.received_at)
                    if isinstance(end, Seen):
                        self._book.matrix(end, portal.key, self._clock.now(), lambda: _known(None))
        calls = self._book.matrix(seen, portal.key, self._clock.now(), lambda: _known(place))
        self._note_login(calls, login)
        return calls

    async def _from_network(self, entry: Entry, event: RemoteCall, behind: Sequence[Entry]) -> list[Call]:
        record = self._books.login(entry.login) if entry.login is not None else None
        if record is None:
            return []
        now, key = self._clock.now(), (event.portal, event.call)
        call = self._book.get(*key)
        if call is not None and self._logins.get(key) not in (None, record.login.id):
            return []  # another login's word about a call that is not its own
        place: Place | None = None
        if call is None:
            if not isinstance(event, RemoteCallOffer) or self._books.identities.same(event.sender, record.login.user):
                return []
            if not self._sessions.may_connect(record):
                return []
            place = await self._places.of_offer(event, record)
        if isinstance(event, RemoteCallOffer | RemoteCallAnswer | RemoteCallUpdate) and event.sdp:
            type = event.sdp_type if isinstance(event, RemoteCallUpdate) else _type(event)
            try:
                sdp = await self._deeds.rewritten(*key, event.leg, type, event.sdp, to_matrix=True)
            except GiveUp as error:
                if call is not None:
                    return self._book.tell(call, Failed(error.reason), now)
                assert isinstance(event, RemoteCallOffer)
                place, sdp = self._places.refused(event, record, error.reason), event.sdp
            event = event if sdp == event.sdp else msgspec.structs.replace(event, sdp=sdp)
        over = _end_behind(event, behind, record.login.id) if call is None else None
        calls = self._book.remote(event, self._clock.now(), lambda: _known(place), over=over)
        self._note_login(calls, record.login.id)
        return calls

    def _unshown(self, entry: Entry, event: RemoteCall | None) -> list[Call]:
        """The homeserver does not let a call be shown: its caller must not wait for nothing."""
        record = self._books.login(entry.login) if entry.login is not None else None
        if not isinstance(event, RemoteCallOffer) or record is None:
            return []
        place = self._places.refused(event, record, CallEnd.ERROR)
        calls = self._book.remote(event, self._clock.now(), lambda: place)
        self._note_login(calls, record.login.id)
        return calls

    def _note_login(self, calls: Iterable[Call], login: LoginID | None) -> None:
        for call in calls:
            if login is not None and key_of(call) not in self._logins:
                self._logins[key_of(call)] = login
                self.begun += 1

    def member(self, event: RawEvent) -> None:
        """Somebody came into a room, or left it. Returns at once; what is lost of it by a crash, the ends notice."""
        user = UserID(event.state_key or "")
        membership = _membership(event.raw)
        if membership in ("join", "leave", "ban"):
            self._places.note(event.room_id, user, there=membership == "join")
            if self._book.live():
                self._steps.beside(self._moved(event, user, there=membership == "join"), "call member")

    async def _moved(self, event: RawEvent, user: UserID, *, there: bool) -> None:
        try:
            portal = await self._books.portal_by_room(event.room_id)
            if portal is not None:
                tell = self._book.joined if there else self._book.left
                await self._steps.step(tell(portal.key, user, self._clock.now()))
        except StoreError as error:
            log.warning("%s; that somebody came or left is not on disk for their call", error)

    async def logging_out(self, login: LoginID) -> None:
        """This login's calls end, and both ends are told while its session is there. Raises `StoreError`."""
        calls = await self._end_all(login, CallEnd.HANGUP)
        await self._steps.done(calls, within_s=LOGOUT_S)

    async def logged_out(self, login: LoginID) -> None:
        """The network does not know this login any more: nobody says there that its calls go on. Raises
        `StoreError`."""
        await self._end_all(login, CallEnd.CONNECTION_LOST)

    async def _end_all(self, login: LoginID, reason: CallEnd) -> list[Call]:
        calls = [call for call in self._book.live() if self._logins.get(key_of(call)) == login]
        for call in calls:
            self._book.tell(call, Failed(reason), self._clock.now())
        await self._steps.step(calls)
        return calls

    # --- rooms that are replaced ----------------------------------------------------------------------------------
    def room_replaced(self, portal: Portal) -> None:
        """The portal has moved to another room. Returns at once."""
        self._steps.beside(self._leave_replaced(portal.key), "calls' rooms")

    async def _leave_replaced(self, portal: PortalKey | None = None) -> None:
        """Calls in rooms that their portals have left are over: clients do not take a call along, and in the old room
        people can say nothing of it any more. `portal`: of this one only."""
        try:
            while not await self._left_replaced(portal):
                await self._clock.sleep(STORE_AGAIN_S)
        except LeaseLost:
            self._lease.declare_lost()

    async def _left_replaced(self, portal: PortalKey | None) -> bool:
        """False if the disk was away: nobody comes again to say this."""
        try:
            gone = []
            for call in self._book.live(portal):
                now = await self._books.portal(call.setup.portal)
                if now is not None and now.room is not None and call.setup.room not in (None, now.room):
                    gone.append(call)
            for call in gone:
                self._book.tell(call, Failed(CallEnd.CONNECTION_LOST), self._clock.now())
            await self._steps.step(gone)
        except StoreUnavailable as error:
            log.warning("%s; that a call's room was replaced is not on disk yet", error)
            return False
        return True

    # --- asked by the deeds ---------------------------------------------------------------------------------------
    def _setup_of(self, key: CallKey) -> Setup | None:
        call = self._book.get(*key)
        return call.setup if call is not None else None


def _known(place: Place | None) -> Place:
    assert place is not None, "asked only where a call begins"
    return place


def _end_behind(event: RemoteCall, behind: Sequence[Entry], login: LoginID) -> CallEnd | None:
    """Why a call that the network begins has been ended by it by now; None if it has not."""
    for later in behind:
        if later.direction is Direction.REMOTE and later.login == login:
            end = decode_call(later.payload)
            mine = (end.portal, end.call) == (event.portal, event.call) and end.leg in ("", event.leg)
            if mine and isinstance(end, RemoteCallHangUp | RemoteCallReject):
                return end.reason
    return None


def _type(event: RemoteCallOffer | RemoteCallAnswer) -> SDPType:
    return "offer" if isinstance(event, RemoteCallOffer) else "answer"


class _Content(msgspec.Struct):
    membership: str = ""


class _Member(msgspec.Struct):
    content: _Content


_decode_member = msgspec.json.Decoder(_Member).decode


def _membership(raw: bytes) -> str:
    try:
        return _decode_member(raw).content.membership
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
