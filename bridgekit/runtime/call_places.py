"""Who is called, and through which login: what a call needs to know before it begins."""

from __future__ import annotations

import logging
from typing import NamedTuple

from bridgekit.adapter.base import Session
from bridgekit.adapter.calls import CanCall
from bridgekit.adapter.capabilities import capability
from bridgekit.core.call.book import Place
from bridgekit.core.call.events import Invite
from bridgekit.errors import MatrixRequestError
from bridgekit.model.calls import CallEnd, RemoteCallOffer
from bridgekit.model.ids import LoginID, PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.limits import Limits
from bridgekit.model.records import LoginRecord, LoginState, Portal, PortalState
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.portals import Portals, describer_of
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

PEOPLE_AT_HAND = 1_000
"""Of so many people it is remembered whether they are in a room."""


class Found(NamedTuple):
    """The place, and the login whose call it is; None where there is none, and the call is refused. `connecting`: it is
    refused for now, because its session is not there and may come."""

    place: Place
    login: LoginID | None
    connecting: bool = False


class CallPlaces:
    """Looks places up."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        ghosts: Ghosts,
        portals: Portals,
        sessions: Sessions,
        *,
        bot: UserID,
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._ghosts = ghosts
        self._portals = portals
        self._sessions = sessions
        self._bot = bot
        self._there: dict[tuple[RoomID, UserID], bool] = {}

    # --- a call that Matrix begins --------------------------------------------------------------------------------
    async def of_invite(self, portal: Portal, room: RoomID, sender: UserID, invite: Invite) -> Found | None:
        """None if it is nobody of the network who is called. Raises `HomeserverError`, `StoreError`."""
        ghost, remote = self._bot, RemoteUserID("")
        if invite.invitee is not None:
            person = await self._ghosts.person(invite.invitee)
            if person is None:
                return None
            ghost = invite.invitee
            # Others in the chat: it is a group, or somebody else's, and networks ring by chat.
            if all(other == (ghost, person) for other in await self._others(room)):
                remote = person
        elif len(others := await self._others(room)) == 1:
            ghost, remote = others[0]
        record = await self._caller(portal.key, sender)
        session = self._sessions.session(record.login.id) if record is not None else None
        refuse = self._refusal(record, session, remote)
        limits = session.limits(portal.key) if session is not None else Limits()
        place = _place(portal.key, sender, ghost, remote, limits, room, refuse=refuse)
        connecting = record is not None and record.state is LoginState.ACTIVE and session is None and bool(remote)
        return Found(place, record.login.id if record is not None else None, connecting)

    async def _others(self, room: RoomID) -> list[tuple[UserID, RemoteUserID]]:
        """The network's people in a chat, without those who are logins here; of many, two."""
        found: list[tuple[UserID, RemoteUserID]] = []
        for user in await self._books.directory.members(room):
            person = await self._ghosts.person(user)
            if person is not None and not self._books.is_own_account(person):
                found.append((user, person))
                if len(found) == 2:
                    break
        return found

    async def _caller(self, portal: PortalKey, sender: UserID) -> LoginRecord | None:
        """The sender's login: a connected one that can call, if they have several."""
        records = [record for record in await self._books.portal_logins(portal) if record.user_id == sender]
        records.sort(key=lambda record: self._can_call(record.login.id), reverse=True)
        return records[0] if records else None

    def _can_call(self, login: LoginID) -> bool:
        return capability(self._sessions.session(login), CanCall) is not None

    def _refusal(self, record: LoginRecord | None, session: Session | None, remote: RemoteUserID) -> CallEnd | None:
        if record is None or not remote:
            return CallEnd.NOT_SUPPORTED  # a relay has one account for everybody; and groups do not cross
        if record.state is not LoginState.ACTIVE or session is None:
            return CallEnd.UNREACHABLE
        return None if capability(session, CanCall) is not None else CallEnd.NOT_SUPPORTED

    # --- a call that the network begins ---------------------------------------------------------------------------
    async def of_offer(self, offer: RemoteCallOffer, record: LoginRecord) -> Place:
        """Makes the portal's room and the ghost, if they are not there. Raises `HomeserverError`, `WaitFor`."""
        session = self._sessions.session(record.login.id)
        limits = session.limits(offer.portal) if session is not None else Limits()
        if offer.group:
            # Refused; nothing is made for it.
            ghost_id = self._ghosts.namespace.user_id(offer.sender)
            return _place(offer.portal, record.user_id, ghost_id, offer.sender, limits)
        portal = await self._portal(offer.portal, record, session)
        ghost = await self._ghosts.ensure(offer.sender, describer_of(session))
        joined = False
        if portal.room is not None:
            await self._ghosts.ensure_joined(portal.room, ghost)
            joined = await self.is_there(portal.room, record.user_id)
        return _place(offer.portal, record.user_id, ghost.user_id, offer.sender, limits, portal.room, joined=joined)

    async def _portal(self, key: PortalKey, record: LoginRecord, session: Session | None) -> Portal:
        """Nothing that a call can do without is waited for: what the room says of the network, for one."""
        portal = await self._books.portal(key)
        known = [seen.login.id for seen in await self._books.portal_logins(key)]
        if portal is not None and portal.state is PortalState.READY and record.login.id in known:
            return portal
        return await self._portals.ensure(key, record, session)

    def refused(self, offer: RemoteCallOffer, record: LoginRecord, reason: CallEnd) -> Place:
        """The place of a call that cannot be shown on Matrix."""
        ghost = self._ghosts.namespace.user_id(offer.sender)
        return _place(offer.portal, record.user_id, ghost, offer.sender, Limits(), refuse=reason)

    # --- who is in a room -----------------------------------------------------------------------------------------
    async def is_there(self, room: RoomID, user: UserID) -> bool:
        """Whether a person is in a portal's room. Raises `HomeserverError`."""
        known = self._there.get((room, user))
        if known is not None:
            return known
        try:
            member = await self._homeserver.get_state(room, "m.room.member", user)
        except MatrixRequestError as error:
            if error.status not in (403, 404):
                raise
            return False
        there = member is not None and member.get("membership") == "join"
        self.note(room, user, there=there)
        return there

    def note(self, room: RoomID, user: UserID, *, there: bool) -> None:
        """Somebody came, or left."""
        self._there.pop((room, user), None)
        self._there[room, user] = there
        if len(self._there) > PEOPLE_AT_HAND:
            del self._there[next(iter(self._there))]


def _place(
    portal: PortalKey,
    user: UserID,
    ghost: UserID,
    remote: RemoteUserID,
    limits: Limits,
    room: RoomID | None = None,
    *,
    joined: bool = True,
    refuse: CallEnd | None = None,
) -> Place:
    return Place(
        portal=portal,
        user=user,
        ghost=ghost,
        remote=remote,
        joined=joined,
        calls=limits.calls,
        trickle=limits.trickle,
        rings_first=limits.rings_first,
        ring_for=None if limits.ring_for is None else int(limits.ring_for.total_seconds() * 1000),
        refuse=refuse,
        room=room,
    )
