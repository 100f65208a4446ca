"""What must never be relayed, so that two bridges in one room cannot talk to each other for ever.

Certain, whatever the other side does: what our own users send (it never gets here), notices (the specification: no
automated client may respond to one), and what carries a bridge's mark in its content: every event of a bridgekit
bridge does. By name: users whose ids look like another bridge's. What is left, a bridge that marks nothing and whose
users are named like people, is caught by `Repeats` when what we have relayed comes back.
"""

from __future__ import annotations

import fnmatch
import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from bridgekit.core.versions import KEY
from bridgekit.model.ids import EventID, RoomID, UserID

BRIDGE_MARKS = (KEY, "fi.mau.double_puppet_source")
"""Content keys with which bridges mark what comes from their network: bridgekit's own, and mautrix bridges' for people
whose Matrix account they use."""

DEFAULT_IGNORE = (
    # The Application Service API's specification recommends namespaces that begin with an underscore.
    "@_*:*",
    # Bridges that do without it, by their usual names.
    *(
        f"@{network}_*:*"
        for network in (
            "bluesky",
            "discord",
            "facebook",
            "gmessages",
            "googlechat",
            "gvoice",
            "imessage",
            "instagram",
            "irc",
            "line",
            "linkedin",
            "messenger",
            "meta",
            "mattermost",
            "signal",
            "skype",
            "slack",
            "sms",
            "steam",
            "telegram",
            "twitter",
            "wechat",
            "whatsapp",
            "xmpp",
            "zulip",
        )
    ),
)
"""User ids of other bridges' users, as shell patterns, where the configuration names none."""

REMEMBER = 200
WITHIN_MS = 60_000
MAX_SAME = 4


class Ignore:
    """User ids that match one of some shell patterns (``*``, ``?``, ``[...]``)."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._pattern = re.compile("|".join(fnmatch.translate(each) for each in patterns) or r"(?!)")

    def __contains__(self, user: str) -> bool:
        return self._pattern.match(user) is not None


def never_relayed(content: Mapping[str, Any], sender: UserID, ignore: Ignore) -> str | None:
    """Why what this sender said must not be relayed, as a short code for the log; None if it may be."""
    if content.get("msgtype") == "m.notice":
        return "notice"
    if any(mark in content for mark in BRIDGE_MARKS):
        return "bridged"
    if sender in ignore:
        return "other_bridge"
    return None


class _Relayed(msgspec.Struct, frozen=True):
    at: int
    event_id: EventID
    sender: UserID
    body: str
    shown: str


class Repeats:
    """Notices that what was relayed comes back to be relayed again. In memory, the last `REMEMBER` of each room.

    A text comes back when somebody says, within `WITHIN_MS`, exactly what we wrote to the network *with another's name
    in front*: no person does. Where the network shows names itself there is no such mark; then `MAX_SAME` times the
    same text from the same sender within that time is one too often.
    """

    def __init__(self) -> None:
        self._rooms: dict[RoomID, deque[_Relayed]] = {}

    def comes_back(self, room: RoomID, event_id: EventID, sender: UserID, body: str, *, now: int) -> bool:
        """Whether relaying this (times in ms) would be a turn of a loop. The same event may be asked about again."""
        body = body.strip()
        if not body:  # a file without a caption: people send many at once, and none of them says what it repeats
            return False
        recent = [
            each for each in self._rooms.get(room, ()) if now - each.at <= WITHIN_MS and each.event_id != event_id
        ]
        if any(each.shown == body and each.shown != each.body for each in recent):
            return True
        return sum(each.sender == sender and each.body == body for each in recent) >= MAX_SAME

    def relayed(self, room: RoomID, event_id: EventID, sender: UserID, body: str, shown: str, *, now: int) -> None:
        """This goes to the network, as `shown`."""
        said = self._rooms.pop(room, None) or deque(maxlen=REMEMBER)
        if all(each.event_id != event_id for each in said):
            said.append(_Relayed(now, event_id, sender, body.strip(), shown.strip()))
        self._rooms[room] = said
        if len(self._rooms) > REMEMBER:
            del self._rooms[next(iter(self._rooms))]
