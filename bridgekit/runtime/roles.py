"""The roles that a chat's members have at the network, as their power in its room.

What the network said last is kept for each room: its next word is about those whose role is another one since. So its
answer to one change does not undo the next, which somebody has just made on Matrix.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.power import JSON, with_roles
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.records import ValueSaved
from bridgekit.model.remote import Role
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import SingleFlight

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
        self._flight = SingleFlight()
        self._told: dict[tuple[RoomID, UserID], Role] = {}

    def tells(self, room: RoomID, user: UserID, role: Role) -> None:
        """The network is being told so, as the room says. Its echo may be quicker than its answer, and the room may say
        something else by then, which is told next: that is not written over. In memory; said again before a repeat."""
        self._told[room, user] = role

    def has_told(self, room: RoomID, user: UserID) -> None:
        """It has answered."""
        self._told.pop((room, user), None)

    async def follow(
        self, key: PortalKey, room: RoomID, roles: Mapping[RemoteUserID, Role], *, anew: bool = False
    ) -> None:
        """These have roles in the chat; who is not among them is a member. `anew`: whatever the room says so far."""
        people: dict[UserID, Role] = {}
        seen = await self._books.portal_logins(key)
        for remote, role in roles.items():
            if self._books.is_own_account(remote):
                same = self._books.identities.same
                people |= {record.user_id: role for record in seen if same(record.login.user, remote)}
            else:
                people[self._user_id(remote)] = role
        people = {user: role for user, role in people.items() if role is not Role.MEMBER}
        await self._flight.run(room, lambda: self._follow(room, people, anew=anew))

    async def _follow(self, room: RoomID, people: dict[UserID, Role], *, anew: bool) -> None:
        changed = None if anew else {user for user, _ in (await self.of(room)).items() ^ people.items()}
        if changed is not None and not changed:
            return
        only = changed
        if changed is not None:
            only = {user for user in changed if self._told.get((room, user)) is not people.get(user, Role.MEMBER)}
        try:
            await self._change(
                room, lambda now: with_roles(now, people, bot=self._bot, is_ghost=self._is_ghost, only=only)
            )
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            # In a room that a person made the bridge may not be allowed to; that costs no message.
            log.warning("a room's power levels could not be set: %s", error, extra={"room_id": room})
            return
        await self._save(room, people)

    async def change(self, room: RoomID, wanted: Callable[[JSON], JSON | None]) -> None:
        """Make the room's power levels what `wanted` makes of them, None: they stay. Nothing else that the bridge
        writes there comes in between."""
        await self._flight.run(room, lambda: self._change(room, wanted))

    async def _change(self, room: RoomID, wanted: Callable[[JSON], JSON | None]) -> None:
        levels = wanted(await self._homeserver.get_state(room, "m.room.power_levels") or {})
        if levels is not None:
            await self._homeserver.send_state(room, "m.room.power_levels", "", levels)

    async def of(self, room: RoomID) -> dict[UserID, Role]:
        """Who has a role, as far as the network has said; everybody else is a member. Raises `StoreError`."""
        stored = await self._books.directory.value(_key(room))
        return {UserID(user): Role(role) for user, role in json.loads(stored).items()} if stored else {}

    async def given(self, room: RoomID, user: UserID, role: Role) -> None:
        """The network was told that somebody has this role now, as the room says. Raises `StoreError`."""
        await self._flight.run(room, lambda: self._given(room, user, role))

    async def _given(self, room: RoomID, user: UserID, role: Role) -> None:
        people = {**await self.of(room), user: role}
        await self._save(room, {each: said for each, said in people.items() if said is not Role.MEMBER})

    async def _save(self, room: RoomID, people: Mapping[UserID, Role]) -> None:
        await self._books.save(ValueSaved(_key(room), json.dumps(people)))


def _key(room: RoomID) -> str:
    return f"roles {room}"
