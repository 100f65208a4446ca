"""Calls, in both directions: what happens is told to their machines (`bridgekit.core.call`), and what those want is
done, beside the lanes of messages.

A step is on disk before the journal's entry that led to it ends: the machine's memory, and what is still to be done. So
a call outlives the bridge's process, and a crash repeats at most what a repeat does not harm.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bridgekit.core.call.book import Book, Place
from bridgekit.core.call.effects import CallRemote, Effect, Ended, Failed, Note
from bridgekit.core.call.events import Invite, Malformed, Seen, read
from bridgekit.core.call.machine import Call
from bridgekit.core.policy import Retry, judge_homeserver
from bridgekit.errors import HomeserverUnreachable, LeaseLost, MatrixRequestError, StoreError, StoreUnavailable
from bridgekit.model.calls import (
    CallEnd,
    MatrixCallAnswer,
    MatrixCallOffer,
    RemoteCall,
    RemoteCallAnswer,
    RemoteCallOffer,
    RemoteCallUpdate,
    SDPType,
)
from bridgekit.model.entry import Entry
from bridgekit.model.ids import LoginID, PortalKey, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import CallForgotten, CallRecord, CallSaved
from bridgekit.ports import Clock, Homeserver, MediaGateway
from bridgekit.runtime import call_kept
from bridgekit.runtime.books import Books
from bridgekit.runtime.call_deeds import CallDeeds
from bridgekit.runtime.call_places import CallPlaces
from bridgekit.runtime.errands import CallKey, Errand, Errands, GiveUp, either
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lane import WaitFor
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.portals import Portals
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

MATRIX_MS = 60_000
"""So long an event of a call is tried to be sent, and that a call is over is told."""

CONNECT_MS = 5_000
LOOK_AGAIN_S = 0.25
"""So long a call from Matrix waits for a session that is being connected (at start, after a cut), and so often that is
looked for."""

STORE_AGAIN_S = 1.0

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
        self._clock = clock
        self._lease = lease
        self._event = event
        self._notices = notices
        self._book = Book()
        self._places = CallPlaces(books, homeserver, ghosts, portals, sessions, bot=bot)
        self._deeds = CallDeeds(
            books,
            homeserver,
            ghosts,
            sessions,
            login_of=self._logins_get,
            ghost_of=self._ghost_of,
            connection_errors=connection_errors,
            gateway=gateway,
        )
        self._logins: dict[CallKey, LoginID] = {}
        self._queues: dict[tuple[str, PortalKey], Errands] = {}
        self._open: dict[CallKey, list[Errand]] = {}
        """What is not done yet, of each call, in order."""
        self._saved: set[CallKey] = set()
        self._saving: dict[CallKey, asyncio.Lock] = {}
        self._timer: asyncio.Task[None] | None = None
        self._timer_changed = asyncio.Event()
        self._errand_done = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.begun = 0

    @property
    def live(self) -> int:
        """How many calls go on."""
        return len(self._book.live())

    # --- starting and stopping ------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Read the calls that went on when the last process ended. Raises `StoreError`."""
        for record in await self._books.directory.ongoing_calls():
            try:
                snapshot = call_kept.snapshot_of(record.memory)
                (call,) = self._book.restore([snapshot])
                key = _key(call)
                errands = call_kept.errands_of(record.memory, key, again_until=self._clock.now() + MATRIX_MS)
            except msgspec.DecodeError:
                log.exception("what is kept of a call cannot be read; the call is forgotten")
                await self._books.save(CallForgotten(record.id))
                continue
            self._saved.add(key)
            self._logins[key] = record.login
            self._open[key] = errands

    def start(self) -> None:
        """Go on with them, and watch their times."""
        for errands in list(self._open.values()):
            for errand in list(errands):
                self._queue(errand).put(errand)
        self._timer = asyncio.create_task(self._watch(), name="calls' timers")

    async def stop(self) -> None:
        """Leave everything as it is: it goes on at the next start."""
        tasks = [*self._tasks, *([self._timer] if self._timer is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(queue.stop() for queue in list(self._queues.values())))

    # --- what happens ---------------------------------------------------------------------------------------------
    async def handle(self, entry: Entry, event: RemoteCall | None, *, behind: Sequence[Entry] = ()) -> Handled:
        """Carry out the head of a call's lane: an event of Matrix, or `event` of the network. `behind`: what is
        known to stand behind it. Raises `RetryLater`, `WaitFor`, `StoreError`."""
        try:
            calls = await (self._from_matrix(entry, behind) if event is None else self._from_network(entry, event))
        except (HomeserverUnreachable, MatrixRequestError) as error:
            verdict = judge_homeserver(error)
            if isinstance(verdict, Retry):
                # Once its time is over it leaves the line that a missed call leaves.
                raise self._retrying.later(entry, verdict) from error
            log.error("a call could not be bridged: %s", error, extra={"lane": entry.lane})
            calls = self._unshown(entry, event)
        await self._step(calls)
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

    async def _from_network(self, entry: Entry, event: RemoteCall) -> list[Call]:
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
        calls = self._book.remote(event, self._clock.now(), lambda: _known(place))
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
            if login is not None and _key(call) not in self._logins:
                self._logins[_key(call)] = login
                self.begun += 1

    def member(self, event: RawEvent) -> None:
        """Somebody came into a room, or left it. Returns at once; what is lost of it by a crash, the ends notice."""
        user = UserID(event.state_key or "")
        membership = _membership(event.raw)
        if membership in ("join", "leave", "ban"):
            self._places.note(event.room_id, user, there=membership == "join")
            if self._book.live():
                task = asyncio.create_task(self._moved(event, user, there=membership == "join"), name="call member")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _moved(self, event: RawEvent, user: UserID, *, there: bool) -> None:
        try:
            portal = await self._books.portal_by_room(event.room_id)
            if portal is not None:
                tell = self._book.joined if there else self._book.left
                await self._step(tell(portal.key, user, self._clock.now()))
        except StoreError as error:
            log.warning("%s; that somebody came or left is not on disk for their call", error)

    async def logging_out(self, login: LoginID) -> None:
        """This login's calls end, and both ends are told while its session is there. Raises `StoreError`."""
        calls = await self._end_all(login, CallEnd.HANGUP)
        until = self._clock.now() + LOGOUT_S * 1000
        while any(self._open.get(_key(call)) for call in calls) and (left := until - self._clock.now()) > 0:
            self._errand_done.clear()
            await either(self._clock.sleep(left / 1000), self._errand_done.wait())

    async def logged_out(self, login: LoginID) -> None:
        """The network does not know this login any more: nobody says there that its calls go on. Raises
        `StoreError`."""
        await self._end_all(login, CallEnd.CONNECTION_LOST)

    async def _end_all(self, login: LoginID, reason: CallEnd) -> list[Call]:
        calls = [call for call in self._book.live() if self._logins.get(_key(call)) == login]
        for call in calls:
            await self._step(self._book.tell(call, Failed(reason), self._clock.now()))
        return calls

    # --- what is wanted -------------------------------------------------------------------------------------------
    async def _step(self, calls: Iterable[Call]) -> None:
        """What these calls want is begun, and is on disk afterwards. Raises `StoreError`."""
        calls = list(dict.fromkeys(calls))
        for call in calls:
            for effect in call.effects():
                self._begin(call, effect)
        self._timer_changed.set()
        for call in calls:
            await self._save(_key(call))

    def _begin(self, call: Call, effect: Effect) -> None:
        key = _key(call)
        if isinstance(effect, Ended):
            task = asyncio.create_task(self._deeds.ended(key), name="call ended")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        if isinstance(effect, Note) and not self._notices:
            return
        errand = Errand(key, effect, self._until(call, effect))
        self._open.setdefault(key, []).append(errand)
        self._queue(errand).put(errand)

    def _until(self, call: Call, effect: Effect) -> int:
        value = effect.value if isinstance(effect, CallRemote) else None
        if isinstance(value, MatrixCallOffer | MatrixCallAnswer):
            return max(call.setup.expires_at, self._clock.now() + 1000)
        return self._clock.now() + MATRIX_MS

    def _queue(self, errand: Errand) -> Errands:
        side = "network" if isinstance(errand.task, CallRemote) else "matrix"
        name = (side, errand.key[0])
        queue = self._queues.get(name)
        if queue is None:
            do = self._deeds.on_network if side == "network" else self._deeds.on_matrix
            queue = self._queues[name] = Errands(
                do,
                self._done,
                self._clock,
                name=f"calls to {side}",
                empty=lambda: self._forget_queue(name),
            )
        return queue

    def _forget_queue(self, name: tuple[str, PortalKey]) -> None:
        self._queues.pop(name, None)

    def _done(self, errand: Errand, ended: GiveUp | None) -> None:
        task = asyncio.create_task(self._after(errand, ended), name="after a call's errand")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _after(self, errand: Errand, ended: GiveUp | None) -> None:
        left = self._open.get(errand.key, [])
        if errand in left:
            left.remove(errand)
        self._errand_done.set()
        try:
            call = self._book.get(*errand.key)
            if ended is not None:
                log.warning("a call: %s", ended)
                if call is not None and errand.vital:
                    await self._step(self._book.tell(call, Failed(ended.reason), self._clock.now()))
                    return
            if not left:
                await self._save(errand.key)
        except StoreUnavailable as error:
            # It is done again after a restart, which does no harm.
            log.warning("%s; what a call has done is not written down", error)
        except LeaseLost:
            self._lease.declare_lost()

    # --- what is kept ---------------------------------------------------------------------------------------------
    async def _save(self, key: CallKey) -> None:
        """Write down how a call stands now. Raises `StoreError`."""
        async with self._saving.setdefault(key, asyncio.Lock()):
            call, left = self._book.get(*key), self._open.get(key, [])
            id = call_kept.record_id(key)
            if call is None:
                if left:
                    return
                self._saving.pop(key, None)
                self._open.pop(key, None)
                self._logins.pop(key, None)
                if key in self._saved:
                    self._saved.discard(key)
                    await self._books.save(CallForgotten(id))
                return
            login = self._logins.get(key, LoginID(""))
            memory = call_kept.dump(call.snapshot(), left)
            self._saved.add(key)
            record = CallRecord(id=id, portal=key[0], login=login, memory=memory, at=call.setup.began_at)
            await self._books.save(CallSaved(record))

    # --- time -----------------------------------------------------------------------------------------------------
    async def _watch(self) -> None:
        while True:
            self._timer_changed.clear()
            due = self._book.next_timer()
            if due is None:
                await self._timer_changed.wait()
            elif (wait := (due - self._clock.now()) / 1000) > 0:
                await either(self._clock.sleep(wait), self._timer_changed.wait())
            else:
                await self._fire()

    async def _fire(self) -> None:
        calls = self._book.fire(self._clock.now(), on_bug=lambda error: log.error("a call failed", exc_info=error))
        try:
            await self._step(calls)
            for key in [key for key in self._saved if self._book.get(*key) is None]:
                await self._save(key)
        except LeaseLost:
            self._lease.declare_lost()
            raise
        except StoreUnavailable as error:
            log.warning("%s; how calls stand is not written down", error)
            await self._clock.sleep(STORE_AGAIN_S)
        except Exception:
            # A bug of ours must not leave the others ringing.
            log.exception("what was due in calls could not be done")
            await self._clock.sleep(STORE_AGAIN_S)

    # --- asked by the deeds ---------------------------------------------------------------------------------------
    def _logins_get(self, key: CallKey) -> LoginID | None:
        return self._logins.get(key)

    def _ghost_of(self, key: CallKey) -> UserID | None:
        call = self._book.get(*key)
        return call.setup.ghost if call is not None else None


def _key(call: Call) -> CallKey:
    return call.setup.portal, call.setup.call


def _known(place: Place | None) -> Place:
    assert place is not None, "asked only where a call begins"
    return place


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
