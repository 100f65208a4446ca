"""What a chat's roles are as power levels (spec: m.room.power_levels), and who may do what by them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bridgekit.model.ids import UserID
from bridgekit.model.remote import Role

JSON = dict[str, Any]

ADMIN_LEVEL = 90
"""Enough to rename a portal, and below the bot: nobody can take away a level that is as high as their own."""

LEVELS = {Role.MEMBER: 0, Role.MODERATOR: 50, Role.ADMIN: ADMIN_LEVEL}
"""50 is what kicking, banning, redacting and inviting take unless a room says otherwise."""

ROOM_LEVEL = 40
"""What ``@room`` takes in a portal, and what a ghost is given that says it without being a moderator: a level of no
role, so that no role takes it away again."""

DEFAULT_ROOM_LEVEL = 50

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)

DEFAULTS = {"ban": 50, "kick": 50, "redact": 50, "invite": 0, "state_default": 50, "events_default": 0}
"""Spec, m.room.power_levels: what holds where the content has no such key."""


def level_of(power_levels: Mapping[str, Any] | None, user: UserID) -> int:
    """A user's level. A room's creator, who stands above all from room version 12 on, is not known here."""
    content = power_levels or {}
    users = content.get("users")
    default = _number(content.get("users_default"), 0)
    return _number(users.get(user), default) if isinstance(users, Mapping) else default


def needed(power_levels: Mapping[str, Any] | None, what: str) -> int:
    """The level that something takes: a key of `DEFAULTS`, or the type of a state event."""
    content = power_levels or {}
    if what in DEFAULTS:
        return _number(content.get(what), DEFAULTS[what])
    events = content.get("events")
    default = _number(content.get("state_default"), DEFAULTS["state_default"])
    return _number(events.get(what), default) if isinstance(events, Mapping) else default


def may_lead(power_levels: Mapping[str, Any] | None, bot: UserID, additional_creators: Collection[object] = ()) -> bool:
    """Whether the bot can do in this room what a portal needs: bring people in and out, and name it.
    `additional_creators`: as the room's create event has them (room version 12)."""
    if bot in additional_creators:
        return True
    has = level_of(power_levels, bot)
    return all(has >= needed(power_levels, what) for what in ("invite", "kick", "m.room.name", "m.room.topic"))


def role_of(level: int) -> Role:
    """The highest role whose level this is, or is above."""
    if level >= LEVELS[Role.ADMIN]:
        return Role.ADMIN
    return Role.MODERATOR if level >= LEVELS[Role.MODERATOR] else Role.MEMBER


def with_roles(
    power_levels: JSON,
    roles: Mapping[UserID, Role],
    *,
    bot: UserID,
    is_ghost: Callable[[UserID], bool],
    only: Collection[UserID] | None = None,
) -> JSON | None:
    """The power levels that say these roles; None if they do already. `only`: for these users, None for all.

    Ghosts are as high as their role; one without is a member, and keeps what it needs to notify the room if it was
    given that (`core.room_power.raised`). People are raised by theirs, and never lowered: what a
    room gave them is not the network's. Nobody gets the bot's level, and who has it keeps it, since the bot could not
    take it away.
    """
    before = power_levels.get("users")
    users: dict[UserID, Any] = dict(before) if isinstance(before, Mapping) else {}
    default = _number(power_levels.get("users_default"), 0)
    top = top_of(power_levels, bot)
    notifies = room_level(power_levels)
    changed = dict(users)
    for user in {*users, *roles} if only is None else only:
        level = level_of(power_levels, user)
        if user == bot or level >= top:
            continue
        wanted = LEVELS[roles.get(user, Role.MEMBER)]
        if wanted >= top:
            wanted = int(top) - 1
        if not is_ghost(user) or (level == notifies and level not in LEVELS.values()):
            wanted = max(wanted, level)
        if wanted == level:
            continue
        if wanted == default:
            changed.pop(user, None)
        else:
            changed[user] = wanted
    return {**power_levels, "users": changed} if changed != users else None


def top_of(power_levels: Mapping[str, Any], bot: UserID) -> float:
    """The bot's level, which is nobody else's to have. The creator of a room since version 12 is not named, and stands
    above all."""
    users = power_levels.get("users")
    return level_of(power_levels, bot) if isinstance(users, Mapping) and bot in users else math.inf


def room_level(power_levels: Mapping[str, Any] | None) -> int:
    """The level that notifying everybody takes (``notifications``: 50 unless the room says otherwise)."""
    notifications = (power_levels or {}).get("notifications")
    return _number(notifications.get("room") if isinstance(notifications, Mapping) else None, DEFAULT_ROOM_LEVEL)


def _number(value: object, default: int) -> int:
    # Rooms before version 10 may have them as strings, in which people can write anything.
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
