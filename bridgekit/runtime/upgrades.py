"""Room upgrades: a portal follows its room to the replacement, if both rooms name each other."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.power import may_lead
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.txnid import event_txn_id
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import PortalKey, RoomID, UserID
from bridgekit.model.records import Portal, PortalState, ValueSaved
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts, SingleFlight
from bridgekit.runtime.lost import GONE, quietly
from bridgekit.runtime.portals import Portals

log = logging.getLogger(__name__)

NO_ENTRY = (
    "This room was replaced, and I cannot enter the new one. Invite me ({bot}) there, and the chat goes on there."
)
NOT_MUTUAL = (
    "This room names a room as its replacement that does not name this one as its predecessor. I stay here; upgrade "
    "the room once more to move the chat."
)
NO_POWER = (
    "I may not invite people or set the name in the room that replaces this one. Give me ({bot}) the power level 100 "
    "there and invite me again, and the chat goes on there."
)
OTHER = "The room that replaces this one belongs to another chat already. Upgrade this room once more to move the chat."

MAX_MOVES = 100
"""So many upgrades back a room is still heard. Rooms can name each other in a circle; what leads nowhere must end."""


class Upgrades:
    """Every method may be repeated after a crash, and raises `HomeserverError`, `StoreError`.

    On disk before the replacement is entered: which room it replaces. Whatever then comes from it finishes the move, so
    nothing that is said there is taken for a stranger's. The portal moves when the new room is ready.
    """

    def __init__(self, books: Books, homeserver: Homeserver, portals: Portals, ghosts: Ghosts, *, bot: UserID) -> None:
        self._books = books
        self._homeserver = homeserver
        self._portals = portals
        self._ghosts = ghosts
        self._bot = bot
        self._flight = SingleFlight()
        self.on_moved: list[Callable[[Portal], None]] = []

    # --- what the lanes ask -----------------------------------------------------------------------------------------
    async def portal_of(self, room: RoomID) -> Portal | None:
        """The portal of a room that was replaced, or that replaces a portal's."""
        for _ in range(MAX_MOVES):
            if not (moved := await self._books.directory.value(_moved_key(room))):
                break
            # What was said in the old room, before or after, is still for the chat.
            room = RoomID(moved)
            if (portal := await self._books.portal_by_room(room)) is not None:
                return portal
        if old := await self._books.directory.value(_replaces_key(room)):
            portal = await self._books.portal_by_room(RoomID(old))
            if portal is not None and await self._follow(portal, room, tell=False):
                return await self._books.portal_by_room(room)
        return None

    async def tombstone(self, portal: Portal, room: RoomID) -> None:
        """A portal's room was given a tombstone."""
        replacement = await self.replacement(room)
        if replacement is None:
            return
        if portal.room == room:
            await self._follow(portal, replacement, tell=True)

    async def replacement(self, room: RoomID) -> RoomID | None:
        """Where the room says that it goes on."""
        try:
            tombstone = await self._homeserver.get_state(room, "m.room.tombstone")
        except MatrixRequestError as error:
            if error.status not in GONE:
                raise
            return None
        named = (tombstone or {}).get("replacement_room")
        return RoomID(named) if isinstance(named, str) and named.startswith("!") and named != room else None

    async def follow_if_replaced(self, key: PortalKey) -> bool:
        """Whether the portal's room was replaced, and the portal is, or has just been, moved there."""
        portal = await self._books.portal(key)
        if portal is None or portal.room is None or portal.state is not PortalState.READY:
            return False
        replacement = await self.replacement(portal.room)
        return replacement is not None and await self._follow(portal, replacement, tell=False)

    # --- moving -----------------------------------------------------------------------------------------------------
    async def _follow(self, portal: Portal, new: RoomID, *, tell: bool) -> bool:
        # The lanes of both rooms and of the chat may come here at the same time.
        return await self._flight.run(portal.key, lambda: self._move(portal.key, new, tell=tell))

    async def _move(self, key: PortalKey, new: RoomID, *, tell: bool) -> bool:
        portal = await self._books.portal(key)
        if portal is None or portal.room is None or portal.room == new:
            return portal is not None and portal.room == new
        old = portal.room
        await self._books.save(ValueSaved(_replaces_key(new), old))
        why = await self._why_not(portal, old, new)
        if why is not None:
            if tell:
                await self._tell(portal, old, new, why)
            return False
        await self._settle(msgspec.structs.replace(portal, room=new), old)
        # Last: whatever is cut short before is done again.
        facts = (ValueSaved(_moved_key(old), new), ValueSaved(_replaces_key(new), ""))
        moved = await self._portals.change(key, *facts, room=new)
        if moved is None:
            return False
        log.info("a portal has followed its room to %s", new, extra={"room_id": old})
        for listener in self.on_moved:
            listener(moved)
        return True

    async def _why_not(self, portal: Portal, old: RoomID, new: RoomID) -> str | None:
        """Why the portal stays where it is, in words for its people."""
        if await self._books.portal_by_room(new) is not None:
            return OTHER
        # Spec, "Room Upgrades": the tombstone of the old room names the new one ...
        if await self.replacement(old) != new:
            return NOT_MUTUAL
        if not await quietly(self._homeserver.join(new)):
            return NO_ENTRY.format(bot=self._bot)
        # ... and the create event of the new one the old.
        create = await self._homeserver.get_state(new, "m.room.create") or {}
        predecessor = create.get("predecessor")
        if not isinstance(predecessor, dict) or predecessor.get("room_id") != old:
            await self._books.save(ValueSaved(_replaces_key(new), ""))
            await quietly(self._homeserver.leave(new))
            return NOT_MUTUAL
        creators = create.get("additional_creators")
        levels = await self._homeserver.get_state(new, "m.room.power_levels")
        if not may_lead(levels, self._bot, creators if isinstance(creators, list) else ()):
            # Out, so that the next invitation is heard of.
            await quietly(self._homeserver.leave(new))
            return NO_POWER.format(bot=self._bot)
        return None

    async def _settle(self, portal: Portal, old: RoomID) -> None:
        """Everything that a portal's room has, in the new one."""
        new = portal.room
        assert new is not None
        await self._portals.furnish(portal)
        await self._portals.move_alias(portal)
        for user_id in await self._books.directory.members(old):
            ghost = await self._ghosts.by_user(user_id)
            if ghost is not None:
                await quietly(self._ghosts.ensure_joined(new, ghost))
        for record in await self._books.portal_logins(portal.key):
            await self._portals.invitations.invite_again(portal, record)

    async def _tell(self, portal: Portal, old: RoomID, new: RoomID, text: str) -> None:
        key = event_txn_id(
            portal=portal.key, sender=self._bot, kind="upgrade refused", remote_id=new, occurrence=0, part=0
        )
        try:
            await self._homeserver.send_event(
                old, "m.room.message", notice_content(text, key), txn_id=key, user=self._bot
            )
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            log.warning("an upgrade could not be followed (%s), and the room not be told: %s", text, error)


def _moved_key(old: RoomID) -> str:
    return f"moved {old}"


def _replaces_key(new: RoomID) -> str:
    return f"replaces {new}"
