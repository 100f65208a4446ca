"""What people without a login are called on the network."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.speaker import avatar_link, shown_name
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import RoomID, UserID
from bridgekit.model.matrix import Speaker
from bridgekit.model.raw import MemberProfile
from bridgekit.ports import Clock, Homeserver

log = logging.getLogger(__name__)

KEPT_S = 30.0
"""How long a room's names are kept: as late is a new name seen on the network."""

MAX_ROOMS = 200


class _Members(msgspec.Struct, frozen=True):
    read_at: float
    profiles: dict[UserID, MemberProfile]


class Speakers:
    """Names and pictures from a room's member events. `avatar_template`: see `core.speaker.avatar_link`."""

    def __init__(self, homeserver: Homeserver, clock: Clock, *, avatar_template: str) -> None:
        self._homeserver = homeserver
        self._clock = clock
        self._avatar_template = avatar_template
        self._rooms: dict[RoomID, _Members] = {}

    async def speaker(self, room: RoomID, user: UserID) -> Speaker:
        """How somebody is shown. Raises `HomeserverError` where asking again later may help."""
        members = await self._members(room)
        profile = members.get(user) or MemberProfile()
        return Speaker(
            name=shown_name(user, members),
            relayed=True,
            avatar_url=avatar_link(self._avatar_template, profile.avatar_url),
        )

    async def _members(self, room: RoomID) -> dict[UserID, MemberProfile]:
        known = self._rooms.pop(room, None)
        if known is None or self._clock.monotonic() - known.read_at >= KEPT_S:
            known = _Members(self._clock.monotonic(), await self._read(room))
        self._rooms[room] = known
        if len(self._rooms) > MAX_ROOMS:
            del self._rooms[next(iter(self._rooms))]
        return known.profiles

    async def _read(self, room: RoomID) -> dict[UserID, MemberProfile]:
        try:
            return await self._homeserver.member_profiles(room)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            # The bot is not there (any more); the message is. Its sender is shown by the user id.
            log.warning("nobody's name could be read: %s", error, extra={"room_id": room})
            return {}
