"""Portals that have lost their room, or everybody who saw them: forgotten, so that what comes next makes a new one."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import PortalKey, RoomAlias, RoomID, UserID
from bridgekit.model.records import (
    Fact,
    LoginRecord,
    Portal,
    PortalLoginRemoved,
    PortalRemoved,
    PortalState,
    RelayRemoved,
)
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts

log = logging.getLogger(__name__)

GONE = frozenset({403, 404})
"""What the homeserver answers about a room that the bot is not in, or that is not there."""


class Lost:
    """Every method may be repeated after a crash: what the rest needs is forgotten last. Raises `HomeserverError`,
    `StoreError`."""

    def __init__(self, books: Books, homeserver: Homeserver, ghosts: Ghosts, *, bot: UserID, server_name: str) -> None:
        self._books = books
        self._homeserver = homeserver
        self._ghosts = ghosts
        self._bot = bot
        self._server_name = server_name

    async def look(self, key: PortalKey) -> bool:
        """The homeserver refuses what the bridge does in this portal's room. Whether that is because the room is lost;
        then the portal is forgotten."""
        portal = await self._books.portal(key)
        if portal is None or portal.room is None or portal.state is not PortalState.READY:
            return False
        if await self.is_in(portal.room):
            return False
        log.warning("a portal has lost its room; its next message makes a new one", extra={"room_id": portal.room})
        await self.forget(portal)
        return True

    async def is_in(self, room: RoomID) -> bool:
        """Whether the bot is in the room, or can get there again."""
        if await self.is_member(room):
            return True
        try:
            await self._homeserver.join(room)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            return False
        return True

    async def is_member(self, room: RoomID) -> bool:
        """Whether the bot is in the room."""
        try:
            member = await self._homeserver.get_state(room, "m.room.member", self._bot)
        except MatrixRequestError as error:
            if error.status not in GONE:
                raise
            return False
        # One who was removed may read the state as it was then.
        return member is not None and member.get("membership") == "join"

    async def left(self, portal: Portal, record: LoginRecord) -> None:
        """A login has left the chat. With the last the portal is forgotten."""
        facts: list[Fact] = [PortalLoginRemoved(portal.key, record.login.id)]
        relay = self._books.relay(portal.key)
        if relay is not None and relay.login.id == record.login.id:
            facts.append(RelayRemoved(portal.key))
        await self._books.save(*facts)
        if not await self._books.portal_logins(portal.key):
            await self.forget(portal)

    async def forget(self, portal: Portal) -> None:
        """The room is no portal any more: ours leave it, and its alias is free."""
        # Or the chat's next room would be taken for this one.
        await self._homeserver.delete_alias(RoomAlias(f"#{portal.alias_localpart}:{self._server_name}"))
        if portal.room is not None:
            for user_id in await self._books.directory.members(portal.room):
                ghost = await self._ghosts.by_user(user_id)
                if ghost is not None:
                    await quietly(self._ghosts.leave(portal.room, ghost.remote_id))
            await quietly(self._homeserver.leave(portal.room))
        now = await self._books.portal(portal.key)
        if now is not None and now.room == portal.room:
            await self._books.save(PortalRemoved(portal.key))


async def quietly(request: Awaitable[object]) -> bool:
    """Whether the homeserver did not refuse it for good. Raises `HomeserverError` for what may be tried again."""
    try:
        await request
    except MatrixRequestError as error:
        if not isinstance(judge_homeserver(error), End):
            raise
        log.info("the homeserver refuses: %s", error)
        return False
    return True
