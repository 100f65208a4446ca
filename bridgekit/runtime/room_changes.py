"""What people change about a portal's room: who is in it (`room_memberships`), how it looks (`room_looks`), who may do
what (`room_roles`). The network is told, or it is put back."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.model.entry import Ending
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.lost import Lost
from bridgekit.runtime.portals import Portals
from bridgekit.runtime.room_change import Change
from bridgekit.runtime.room_looks import AvatarChange, NameChange
from bridgekit.runtime.room_memberships import MembershipChange
from bridgekit.runtime.room_roles import RolesChange
from bridgekit.runtime.sending import Attempt
from bridgekit.runtime.upgrades import Upgrades

log = logging.getLogger(__name__)


class RoomChanges:
    """Carries out state events of rooms that are portals. May be repeated after a crash: what the room does not say
    any more is not told, and what the network has already is success there."""

    def __init__(
        self,
        lost: Lost,
        upgrades: Upgrades,
        portals: Portals,
        *,
        leave_with_room: bool,
    ) -> None:
        """`leave_with_room`: who leaves the room of a group leaves the group."""
        self._lost = lost
        self._upgrades = upgrades
        self._portals = portals
        self._leave_with_room = leave_with_room

    async def handle(self, a: Attempt) -> Handled:
        """Carry it out. Raises what `Attempt` raises."""
        if a.event.room_id != a.portal.room:
            return Handled()  # what becomes of a room that was replaced is not the chat's affair
        if a.event.type == "m.room.tombstone":
            await self._upgrades.tombstone(a.portal, a.event.room_id)
            return Handled()
        change = self._change(a)
        return await change.handle() if change is not None else Handled()

    async def refused(self, a: Attempt, ending: Ending) -> Handled:
        """It was decided that the network does not do it: the rest of what follows from that."""
        change = self._change(a)
        return await (change.refused(ending) if change is not None else a.finish(ending))

    def _change(self, a: Attempt) -> Change | None:
        try:
            match a.event.type:
                case "m.room.member":
                    return MembershipChange(
                        a, self._lost, self._upgrades, self._portals, leave_with_room=self._leave_with_room
                    )
                case "m.room.name" | "m.room.topic":
                    return NameChange(a, self._portals)
                case "m.room.avatar":
                    return AvatarChange(a, self._portals)
                case "m.room.power_levels":
                    return RolesChange(a, self._portals.roles)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.info("a change of a room cannot be read", extra={"event_id": a.event.event_id})
        return None
