"""Who may notify a whole room (spec: m.room.power_levels, ``notifications``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bridgekit.core.power import ROOM_LEVEL, level_of, room_level
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.raw import RawEvent


class _Create(msgspec.Struct):
    content: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Create).decode


def may_mention_room(power_levels: Mapping[str, Any] | None, user: UserID) -> bool:
    """Whether this user's ``@room`` notifies everybody. `power_levels`: the state event's content, None where there is
    none. A room's creators, who stand above the levels from room version 12 on, are not in it: see `is_creator`."""
    return level_of(power_levels, user) >= room_level(power_levels)


def create_event(room: RoomID) -> EventID | None:
    """The event that made a room; None before room version 12 (MSC4291: a room's id is the hash of that event)."""
    return None if ":" in room else EventID("$" + room.removeprefix("!"))


def is_creator(create: RawEvent | None, user: UserID) -> bool:
    """Whether this user stands above the power levels of the room that this event made, of room version 12 or later
    (MSC4289: its sender, and `additional_creators`). None: the event cannot be seen. Never raises."""
    if create is None:
        return False
    try:
        content = _decode(create.raw).content
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        content = {}
    more = content.get("additional_creators")
    return user == create.sender or (isinstance(more, list) and user in more)


def raised(power_levels: Mapping[str, Any], user: UserID) -> dict[str, Any]:
    """The power levels by which this user may notify the room, and nothing else that takes more: where that takes a
    moderator's level, it takes `ROOM_LEVEL` from now on."""
    level = min(room_level(power_levels), ROOM_LEVEL)
    found: dict[str, Any] = {**power_levels}
    for key, changed in (("notifications", {"room": level}), ("users", {user: level})):
        before = power_levels.get(key)
        found[key] = {**(before if isinstance(before, Mapping) else {}), **changed}
    return found
