"""Who may notify a whole room (spec: m.room.power_levels, ``notifications``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridgekit.core.power import ROOM_LEVEL, level_of, room_level
from bridgekit.model.ids import UserID


def may_mention_room(power_levels: Mapping[str, Any] | None, user: UserID) -> bool:
    """Whether this user's ``@room`` notifies everybody. `power_levels`: the state event's content, None where there is
    none. A room's creator, who stands above the levels from room version 12 on, is our bot."""
    return level_of(power_levels, user) >= room_level(power_levels)


def raised(power_levels: Mapping[str, Any], user: UserID) -> dict[str, Any]:
    """The power levels by which this user may notify the room, and nothing else that takes more: where that takes a
    moderator's level, it takes `ROOM_LEVEL` from now on."""
    level = min(room_level(power_levels), ROOM_LEVEL)
    found: dict[str, Any] = {**power_levels}
    for key, changed in (("notifications", {"room": level}), ("users", {user: level})):
        before = power_levels.get(key)
        found[key] = {**(before if isinstance(before, Mapping) else {}), **changed}
    return found
