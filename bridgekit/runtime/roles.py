"""The roles that a chat's members have at the network, as their power in its room."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.power import with_roles
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.remote import Role
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books

log = logging.getLogger(__name__)


class Roles:
    """May be repeated after a crash: what is so already is not written. Raises `HomeserverError`."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        user_id: Callable[[RemoteUserID], UserID],
        is_ghost: Callable[[UserID], bool],
        *,
        bot: UserID,
    ) -> None:
        """`user_id`: a person's ghost."""
        self._books = books
        self._homeserver = homeserver
        self._user_id = user_id
        self._is_ghost = is_ghost
        self._bot = bot

    async def follow(self, key: PortalKey, room: RoomID, roles: Mapping[RemoteUserID, Role]) -> None:
        """These have roles in the chat; who is not among them is a member."""
        people: dict[UserID, Role] = {}
        seen = await self._books.portal_logins(key)
        for remote, role in roles.items():
            if self._books.is_own_account(remote):
                same = self._books.identities.same
                people |= {record.user_id: role for record in seen if same(record.login.user, remote)}
            else:
                people[self._user_id(remote)] = role
        try:
            before = await self._homeserver.get_state(room, "m.room.power_levels")
            wanted = with_roles(before or {}, people, bot=self._bot, is_ghost=self._is_ghost)
            if wanted is not None:
                await self._homeserver.send_state(room, "m.room.power_levels", "", wanted)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            # In a room that a person made the bridge may not be allowed to; that costs no message.
            log.warning("a room's power levels could not be set: %s", error, extra={"room_id": room})
