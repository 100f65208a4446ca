"""Invitations of people with logins to the rooms of their chats: once, unless they or the network want it again."""

from __future__ import annotations

import logging

from bridgekit.core.rooms import known_room
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import RoomID, UserID
from bridgekit.model.records import LoginRecord, Portal, PortalLoginSaved, ValueSaved
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import CACHE_SIZE, Books

log = logging.getLogger(__name__)


class Invitations:
    """Every method may be repeated after a crash, and raises `HomeserverError`, `StoreError`."""

    def __init__(self, books: Books, homeserver: Homeserver) -> None:
        self._books = books
        self._homeserver = homeserver
        self._invited: set[tuple[RoomID, UserID]] = set()

    async def let_in(self, portal: Portal, record: LoginRecord) -> None:
        """The login belongs to the portal, and its person has been invited."""
        is_known = any(seen.login.id == record.login.id for seen in await self._books.portal_logins(portal.key))
        room = known_room(portal.room)
        if not is_known:
            # Stored before its person is invited, who may speak at once.
            await self._books.save(PortalLoginSaved(portal.key, record.login.id))
        elif (room, record.user_id) in self._invited:
            return
        # One that is known may be so from a process that was killed before it invited: looked up once per process.
        has_left = bool(await self._books.directory.value(_left_key(room, record.user_id)))
        await self.invite(room, record, dm=portal.dm, again=has_left or not is_known)
        if has_left:
            await self._books.save(ValueSaved(_left_key(room, record.user_id), ""))

    async def invite_again(self, portal: Portal, record: LoginRecord) -> None:
        """The login's person wants to be in the room, also if they had left it."""
        await self.invite(known_room(portal.room), record, dm=portal.dm)

    async def has_left(self, room: RoomID, user: UserID) -> None:
        """A login's person is out of the room, and in the chat still: the next message invites again."""
        await self._books.save(ValueSaved(_left_key(room, user), "1"))
        self._invited.discard((room, user))

    async def invite(self, room: RoomID, record: LoginRecord, *, dm: bool, again: bool = True) -> None:
        """The bot invites the login's person. `again`: also one who was in the room and has left it."""
        member = await self._homeserver.get_state(room, "m.room.member", record.user_id)
        if member is None or (again and member.get("membership") not in ("invite", "join", "ban")):
            try:
                await self._homeserver.invite(room, record.user_id, is_direct=dm)
            except MatrixRequestError as error:
                if error.status != 403:
                    raise
                log.warning("a person could not be invited: %s", error, extra={"room_id": room})
        if len(self._invited) >= CACHE_SIZE:
            self._invited.clear()
        self._invited.add((room, record.user_id))


def _left_key(room: RoomID, user: UserID) -> str:
    return f"left {room} {user}"
