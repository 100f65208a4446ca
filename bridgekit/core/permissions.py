"""Who may do what: levels by Matrix user, the most specific line of the configuration wins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from bridgekit.model.ids import UserID


class Level(IntEnum):
    """What a Matrix user may do; each level may do what those below it may.

    ``NONE``: nothing. ``RELAY``: speak through a portal's relay. ``USER``: log in, and speak through the own login.
    ``ADMIN``: see and change what belongs to others.
    """

    NONE = 0
    RELAY = 1
    USER = 2
    ADMIN = 3


LEVELS = {level.name.lower(): level for level in Level}
"""The levels as they are written in the configuration."""

EVERYBODY = "*"

# Spec, Appendices, Server Name: a DNS name, an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
_SERVER = re.compile(r"(?:[0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
# Historical user ids have any printable ASCII before the colon.
_LOCALPART = re.compile(r"[!-9;-~]+", re.ASCII)


class BadPermission(ValueError):
    """A line of the mapping that cannot be meant: its `key`, `what` is wrong, and the one thing to do."""

    def __init__(self, key: str, what: str, fix: str) -> None:
        super().__init__(f"{key}: {what}. {fix}")
        self.key = key
        self.what = what
        self.fix = fix


class Permissions:
    """A level for every user: that of the user id, else of its server, else of everybody (``*``), else ``NONE``.

    Raises `BadPermission` for the first line that cannot be meant.
    """

    def __init__(self, lines: Mapping[str, str]) -> None:
        self._levels = {_checked_key(key): _level(key, value) for key, value in lines.items()}

    def level(self, user: UserID) -> Level:
        """What this user may do. User ids and server names are compared letter by letter, as the specification says."""
        server = user.partition(":")[2]
        for key in (user, server, EVERYBODY):
            if (level := self._levels.get(key)) is not None:
                return level
        return Level.NONE

    def has_admin(self) -> bool:
        """Whether anybody is an admin."""
        return Level.ADMIN in self._levels.values()


def default_permissions(server_name: str) -> dict[str, str]:
    """What holds where the configuration says nothing: the homeserver's own people may log in, and whoever else is in a
    portal may speak through a relay that one of them has set there. Nobody is admin."""
    return {EVERYBODY: "relay", server_name: "user"}


def _checked_key(key: str) -> str:
    if key == EVERYBODY:
        return key
    if key.startswith("@"):
        localpart, colon, server = key[1:].partition(":")
        if not colon or not _LOCALPART.fullmatch(localpart) or not _SERVER.fullmatch(server):
            raise BadPermission(key, "this is not a Matrix user id", 'Write it like "@alice:example.com".')
    elif _SERVER.fullmatch(key) is None:
        raise BadPermission(
            key, "this is neither a server name nor a user id", 'Write "*", "example.com" or "@alice:example.com".'
        )
    return key


def _level(key: str, value: str) -> Level:
    level = LEVELS.get(value)
    if level is None:
        raise BadPermission(key, f"there is no level {value!r}", f"Write one of {', '.join(LEVELS)}.")
    return level


def may_change_state(power_levels: Mapping[str, Any] | None, user: UserID) -> bool:
    """Whether a user has the power to change a room's state in general.

    Spec, m.room.power_levels: "state_default ... Defaults to 50 if unspecified"; "users_default ... Defaults to 0".
    Without the event nobody but the creator has any power, and the creator of a portal is the bot.
    """
    if power_levels is None:
        return False
    users = power_levels.get("users")
    power = users.get(user) if isinstance(users, Mapping) else None
    if power is None:
        power = power_levels.get("users_default", 0)
    return _number(power, 0) >= _number(power_levels.get("state_default", 50), 50)


def _number(value: object, default: int) -> int:
    # Room versions up to 9 let numbers be written as strings.
    try:
        return int(value) if isinstance(value, (int, str)) else default
    except ValueError:
        return default
