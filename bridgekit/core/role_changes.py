"""What somebody's change of ``m.room.power_levels`` makes of the roles in a chat, and how it is undone. Pure.

The content is whatever a client wrote. What is no level says nothing of a role: it gives none, and takes none away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from bridgekit.core.power import JSON, LEVELS, role_of, top_of
from bridgekit.model.ids import UserID
from bridgekit.model.remote import Role

MAX_LEVEL = 2**53 - 1
"""Spec, m.room.power_levels: levels are integers, and "Canonical JSON" ends there."""


class RoleChange(msgspec.Struct, frozen=True):
    """`user` has the level of another `role` than before; `back` is the level that they get if it is undone."""

    user: UserID
    role: Role
    back: int


def role_changes(
    now: JSON,
    before: object,
    *,
    bot: UserID,
    is_ghost: Callable[[UserID], bool],
    known: Callable[[UserID], Role],
) -> tuple[RoleChange, ...]:
    """Whose role is another one, in the order of their user ids. `before`: what the content was, None or anything if
    nobody knows. Then it is compared with the roles that are `known`, but for ghosts only: the network does not give
    people their levels, so that theirs say nothing without the ones before. A ghost goes back to what it had, unless
    the network says something else: what was there may have been another change that it has not heard of."""
    if _users(now) is None:
        return ()
    old = before if isinstance(before, Mapping) and _users(before) is not None else None
    top = top_of(now, bot)
    found = []
    for user in sorted({*(_users(now) or ()), *(_users(old or {}) or ())}):
        level = plain_level(now, user)
        if user == bot or level is None:
            continue
        had = plain_level(old, user) if old is not None else None
        if had is None:
            if not is_ghost(user) or level >= top:  # who is as high as the bot is so without the network
                continue
            had = LEVELS[known(user)]
        if role_of(had) is not role_of(level):
            is_other = is_ghost(user) and role_of(had) is not known(user)
            found.append(RoleChange(user, role_of(level), LEVELS[known(user)] if is_other else had))
    return tuple(found)


def stands(now: Mapping[str, Any] | None, change: RoleChange) -> bool:
    """Whether the room still says so. `now`: what its power levels are at present."""
    level = plain_level(now or {}, change.user)
    return level is not None and role_of(level) is change.role


def undone(now: JSON, changes: Collection[RoleChange], *, bot: UserID) -> JSON | None:
    """The power levels without those of these changes that still stand; None if that is so already. Nobody gets the
    bot's level by it."""
    before = _users(now) or {}
    users = dict(before)
    default = now.get("users_default", 0)
    highest = top_of(now, bot) - 1
    for change in changes:
        if not stands(now, change):
            continue
        level = int(min(change.back, highest))
        if level == default:
            users.pop(change.user, None)
        else:
            users[change.user] = level
    return {**now, "users": users} if users != before else None


def plain_level(power_levels: Mapping[str, Any], user: UserID) -> int | None:
    """A user's level, None if what stands there is none. Not as `core.power.level_of`, which has to take what a
    homeserver takes in old rooms: a role is given by numbers only."""
    users = _users(power_levels)
    if users is None:
        return None
    level = users.get(user, power_levels.get("users_default", 0))
    return level if isinstance(level, int) and not isinstance(level, bool) and abs(level) <= MAX_LEVEL else None


def _users(content: Mapping[str, Any]) -> Mapping[UserID, Any] | None:
    users = content.get("users", {})
    return users if isinstance(users, Mapping) else None
