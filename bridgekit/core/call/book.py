"""All calls of a bridge: which one an event is about, which one begins, and which one counts where two met."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

import msgspec

from bridgekit.core.call import memory, sdp
from bridgekit.core.call.callee import Callee
from bridgekit.core.call.caller import Caller
from bridgekit.core.call.candidates import Stash
from bridgekit.core.call.effects import Failed, Joined, Left, Replaced
from bridgekit.core.call.events import MAX_LIFETIME_MS, Candidates, Hangup, Invite, Seen
from bridgekit.core.call.machine import MIN_RING_MS, Call, Input
from bridgekit.core.call.memory import Memory, Setup
from bridgekit.core.call.route import matrix_id_for
from bridgekit.core.call.states import Role, State
from bridgekit.model.calls import CallEnd, CallKind, RemoteCall, RemoteCallOffer, Trickle
from bridgekit.model.ids import CallID, PortalKey, RemoteUserID, RoomID, UserID

RING_MS: Final = 90_000
"""MSC2746: "The minimal recommended lifetime is 90 seconds"."""

MAX_OVER: Final = 1_000
"""So many ended calls are remembered."""

MAX_LIVE: Final = 4
"""So many calls of one portal go on at once; one more is told that the line is busy."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver knows of a portal when a call begins there.

    `user`: the person on Matrix who is called, or who may call; `joined`: whether they are in the portal's room, which
    is `room`. `ghost`: the Matrix user that stands for `remote`, the other one. The limits are the session's,
    `ring_for` in ms. `refuse`: why no call can be (a group, nobody's login, an adapter without `CanCall`).
    """

    portal: PortalKey
    user: UserID
    ghost: UserID
    remote: RemoteUserID
    joined: bool = True
    calls: frozenset[CallKind] = frozenset(CallKind)
    trickle: Trickle = "none"
    rings_first: bool = False
    ring_for: int | None = None
    refuse: CallEnd | None = None
    room: RoomID | None = None


class Book:
    """The calls. Each method returns those that have `effects()` now: carry them out in this order, one call's in
    theirs.

    A call is restored from its snapshot at start. `fire` drops ended ones whose `Call.forget_at` has passed, or of
    which there are too many; then what is on disk of them can go.
    """

    def __init__(self) -> None:
        self._calls: dict[tuple[PortalKey, CallID], Call] = {}
        self._by_matrix_id: dict[tuple[PortalKey, str], Call] = {}
        self._live: dict[tuple[PortalKey, CallID], Call] = {}
        self._over: dict[tuple[PortalKey, CallID], Call] = {}  # the longest over first
        self._stash = Stash()

    def __len__(self) -> int:
        return len(self._calls)

    def restore(self, snapshots: Iterable[bytes]) -> list[Call]:
        """What was written down. Raises `msgspec.ValidationError` for what is none."""
        calls: list[Call] = []
        loaded = [memory.load(data) for data in snapshots]
        for remembered in sorted(loaded, key=lambda one: one.ended_at or 0):
            call = (Callee if remembered.setup.role is Role.CALLEE else Caller)(remembered)
            self._add(call)
            calls.append(call)
        return calls

    def get(self, portal: PortalKey, call: CallID) -> Call | None:
        return self._calls.get((portal, call))

    def by_matrix_id(self, portal: PortalKey, matrix_id: str) -> Call | None:
        return self._by_matrix_id.get((portal, matrix_id))

    def live(self, portal: PortalKey | None = None) -> list[Call]:
        """The calls that go on."""
        return [call for (where, _), call in self._live.items() if portal is None or where == portal]

    # --- what happens -------------------------------------------------------------------------------------------
    def matrix(self, seen: Seen, where: PortalKey, now: int, place: Callable[[], Place]) -> list[Call]:
        """A call event in a portal's room. `place` is asked where a call may begin."""
        event = seen.event
        call = self.by_matrix_id(where, event.call_id)
        if call is not None:
            return self.tell(call, seen, now)
        key = (where.chat, where.receiver or "", seen.sender, event.party_id or "", event.call_id)
        if isinstance(event, Invite):
            early = [one for one in self._stash.take(key, now) if isinstance(one, Seen)]
            return self._invited(seen, event, place(), now, early)
        if isinstance(event, Candidates | Hangup):
            found = event.candidates if isinstance(event, Candidates) else ()
            self._stash.put(key, seen, now, size=sum(len(one.candidate) for one in found))
        return []

    def remote(
        self, event: RemoteCall, now: int, place: Callable[[], Place], *, over: CallEnd | None = None
    ) -> list[Call]:
        """What the network tells. `place` is asked where a call may begin: `Place.remote` is who calls. `over`: why one
        that begins has been ended there by now."""
        call = self.get(event.portal, event.call)
        if call is not None:
            return self.tell(call, event, now)
        return self._offered(event, place(), now, over) if isinstance(event, RemoteCallOffer) else []

    def joined(self, portal: PortalKey, user: UserID, now: int) -> list[Call]:
        """Somebody came into a portal's room."""
        return [call for one in self.live(portal) for call in self.tell(one, Joined(user), now)]

    def left(self, portal: PortalKey, user: UserID, now: int) -> list[Call]:
        """Somebody is no longer in a portal's room."""
        return [call for one in self.live(portal) for call in self.tell(one, Left(user), now)]

    def tell(self, call: Call, event: Input, now: int) -> list[Call]:
        """Something about this call."""
        call.receive(event, now)
        self._sort(call)
        return [call]

    def next_timer(self) -> int | None:
        """When `fire` has something to do, in the past: now; None: never."""
        if len(self._over) > MAX_OVER:
            return 0
        timers = [call.next_timer() for call in self._live.values()]
        timers += [call.forget_at for call in islice(self._over.values(), 1)]
        timers.append(self._stash.next_timer())
        return min((timer for timer in timers if timer is not None), default=None)

    def fire(self, now: int, *, on_bug: Callable[[Exception], None] | None = None) -> list[Call]:
        """Do what is due, and forget what is long over. `on_bug` is told of what a call raised, which none should: that
        call ends, and the others go on. None: it is raised."""
        self._stash.expire(now)
        too_many = len(self._over) - MAX_OVER
        for number, (key, call) in enumerate(list(self._over.items())):
            if number >= too_many and (call.forget_at is None or call.forget_at > now):
                break
            self._drop(key)
        due = [call for call in self._live.values() if (timer := call.next_timer()) is not None and timer <= now]
        for call in due:
            try:
                call.fire(now)
            except Exception as error:
                if on_bug is None:
                    raise
                on_bug(error)
                call.receive(Failed(CallEnd.ERROR), now)
            self._sort(call)
        return due

    def set_back(self, by: int) -> None:
        """The clock was set back by so many ms: what rings and what waits does so for no longer. Call it before
        anything that has such a time."""
        for call in self._calls.values():
            call.set_back(by)

    # --- how a call begins --------------------------------------------------------------------------------------
    def _invited(self, seen: Seen, invite: Invite, place: Place, now: int, early: list[Seen]) -> list[Call]:
        if seen.sender == place.ghost or invite.invitee not in (None, place.ghost):
            return []
        ends = seen.sent_at + invite.lifetime
        if ends - now < MIN_RING_MS:
            return []  # MSC2746: to ring, it must "remain valid for long enough for the user to accept the call"
        try:
            kind = sdp.facts(invite.sdp).kind
        except sdp.BadSDP:
            kind = CallKind.AUDIO  # refused below
        expires_at = ends if place.ring_for is None else min(ends, now + place.ring_for)
        call_id = self._free_call(place.portal, CallID(invite.call_id))
        setup = _setup(place, Role.CALLEE, invite.call_id, call_id, seen.sender, kind, now, expires_at)
        lost: list[Call] = []
        if any(isinstance(one.event, Hangup) for one in early):
            remembered = Memory(setup=setup, peer=invite.party_id, version=invite.version)
            return [self._add(Callee.refused(remembered, CallEnd.HANGUP, now, by_matrix=True))]
        refuse = self._refuse(place, kind)
        other = None if refuse else self._met(place.portal, Role.CALLER, seen.sender, place.remote)
        if other is not None:
            # The smaller id counts (`matrix_id_for`). A call that Matrix has not seen yet does not.
            if other.state is State.WAITING or invite.call_id < other.setup.matrix_id:
                lost = self.tell(other, Replaced(), now)
                setup = msgspec.structs.replace(setup, replaces=other.setup.call)
            else:
                refuse = CallEnd.REPLACED
        if refuse is not None:
            remembered = Memory(setup=setup, peer=invite.party_id, version=invite.version)
            return [self._add(Callee.refused(remembered, refuse, now))]
        call = self._add(Callee.begin(setup, invite, now))
        for one in early:
            self.tell(call, one, now)
        return [*lost, call]

    def _offered(self, event: RemoteCallOffer, place: Place, now: int, over: CallEnd | None) -> list[Call]:
        expires_at = event.expires_at if event.expires_at is not None else event.timestamp + RING_MS
        expires_at = min(expires_at, now + MAX_LIFETIME_MS)
        matrix_id = self._free_matrix_id(event.portal, matrix_id_for(event.call))
        setup = _setup(place, Role.CALLER, matrix_id, event.call, place.user, event.kind, now, expires_at)
        if over is not None:
            return [self._add(Caller.refused(Memory(setup=setup, leg=event.leg), over, now, by_remote=True))]
        refuse = self._refuse(place, event.kind)
        other = None if refuse else self._met(place.portal, Role.CALLEE, place.user, place.remote)
        if other is not None and matrix_id > other.setup.matrix_id:
            refuse = CallEnd.REPLACED
        if refuse is not None and not event.group and expires_at - MIN_RING_MS > now:
            return [self._add(Caller.refused(Memory(setup=setup, leg=event.leg), refuse, now))]
        call = self._add(Caller.begin(setup, event, now, joined=place.joined))
        if other is None or call.over:
            return [call]  # one that is over as it begins (stale, of a group) is none that could count
        # The new invite first: a client that sees it takes it in place of its own call.
        return [call, *self.tell(other, Replaced(), now)]

    def _refuse(self, place: Place, kind: CallKind) -> CallEnd | None:
        if place.refuse is not None:
            return place.refuse
        if kind not in place.calls:
            return CallEnd.NOT_SUPPORTED
        return CallEnd.BUSY if len(self.live(place.portal)) >= MAX_LIVE else None

    def _met(self, portal: PortalKey, role: Role, user: UserID, remote: RemoteUserID) -> Call | None:
        """A call of the same two people, the other way round, that nobody has taken yet."""
        early = (State.GATHERING, State.RINGING, State.WAITING, State.INVITED)
        for call in self.live(portal):
            one = call.setup
            if (one.role, one.user, one.remote) == (role, user, remote) and call.state in early:
                return call
        return None

    # --- what is kept -------------------------------------------------------------------------------------------
    def _add(self, call: Call) -> Call:
        setup = call.setup
        self._calls[setup.portal, setup.call] = call
        self._by_matrix_id[setup.portal, setup.matrix_id] = call
        self._live[setup.portal, setup.call] = call
        self._sort(call)
        return call

    def _free_call(self, portal: PortalKey, call: CallID) -> CallID:
        """An id that no call of the network's has here: anybody on Matrix may give theirs that one."""
        while self.get(portal, call) is not None:
            call = CallID(_digest(portal, call, "call")[:32])
        return call

    def _free_matrix_id(self, portal: PortalKey, matrix_id: str) -> str:
        """An id that no call has on Matrix here, still before all that clients give."""
        while self.by_matrix_id(portal, matrix_id) is not None:
            matrix_id = f"-{_digest(portal, matrix_id, 'call')[:32]}"
        return matrix_id

    def _sort(self, call: Call) -> None:
        key = (call.setup.portal, call.setup.call)
        if call.over and self._live.pop(key, None) is not None:
            self._over[key] = call

    def _drop(self, key: tuple[PortalKey, CallID]) -> None:
        call = self._calls.pop(key)
        self._by_matrix_id.pop((call.setup.portal, call.setup.matrix_id), None)
        self._over.pop(key, None)


def _digest(portal: PortalKey, call: str, what: str) -> str:
    parts = "\0".join((what, portal.chat, portal.receiver or "", call))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def _setup(
    place: Place, role: Role, matrix_id: str, call: CallID, user: UserID, kind: CallKind, now: int, expires_at: int
) -> Setup:
    return Setup(
        portal=place.portal,
        call=call,
        role=role,
        matrix_id=matrix_id,
        party=f"bridge-{_digest(place.portal, call, 'party')[:16]}",
        user=user,
        ghost=place.ghost,
        remote=place.remote,
        stream=f"bridge-{_digest(place.portal, call, 'stream')[:16]}",
        kind=kind,
        began_at=now,
        expires_at=expires_at,
        trickle=place.trickle,
        rings_first=place.rings_first,
        room=place.room,
    )
