"""Who may notify a whole room (spec: m.room.power_levels, ``notifications``)."""

from __future__ import annotations

from typing import Any

from bridgekit.model.ids import UserID

DEFAULT_ROOM_LEVEL = 50


def may_mention_room(power_levels: dict[str, Any] | None, user: UserID) -> bool:
    """Whether this user's ``@room`` notifies everybody. `power_levels`: the state event's content, None where there is
    none. A room's creator, who stands above the levels from room version 12 on, is our bot."""
    content = power_levels or {}
    notifications = content.get("notifications")
    needed = _level(notifications.get("room") if isinstance(notifications, dict) else None, DEFAULT_ROOM_LEVEL)
    users = content.get("users")
    has = _level(users.get(user) if isinstance(users, dict) else None, _level(content.get("users_default"), 0))
    return has >= needed


def _level(value: object, default: int) -> int:
    # Rooms before version 10 may have them as strings.
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
