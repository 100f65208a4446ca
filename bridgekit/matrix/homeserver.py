"""The client-server API as the bridge uses it: every call typed, every failure a `HomeserverError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from mautrix.api import Method

from bridgekit.errors import HomeserverError, MatrixRequestError
from bridgekit.matrix.client import is_absent
from bridgekit.matrix.events import EventCalls
from bridgekit.matrix.http import Repeat
from bridgekit.matrix.media import MediaCalls
from bridgekit.matrix.wire import JSON, path
from bridgekit.model.ids import ContentURI, RoomAlias, RoomID, UserID
from bridgekit.model.raw import MemberProfile

__all__ = ["Homeserver", "Profile"]

PING_TIMEOUT_S = 90.0
"""Synapse gives the bridge 60 s before it answers M_CONNECTION_TIMEOUT: wait longer, or that is never seen."""


class Profile(msgspec.Struct, frozen=True):
    """What a user is called and looks like; None or ``""`` where it is not set."""

    displayname: str | None = None
    avatar_url: ContentURI | None = None


class _Room(msgspec.Struct):
    room_id: RoomID


class _Rooms(msgspec.Struct):
    joined_rooms: list[RoomID]


class _User(msgspec.Struct):
    user_id: UserID


class _Joined(msgspec.Struct):
    joined: dict[UserID, msgspec.Raw]


class _Profile(msgspec.Struct):
    display_name: str | None = None
    avatar_url: str | None = None


class _Profiles(msgspec.Struct):
    joined: dict[UserID, _Profile]


class _Ping(msgspec.Struct):
    duration_ms: int = 0


class _Upload(msgspec.Struct):
    content_uri: ContentURI


class _Member(msgspec.Struct):
    membership: str = ""


class Homeserver(EventCalls, MediaCalls):
    """The homeserver, with the application service's token.

    `user` is whom a call acts as: one of our ghosts, or None for the bot. Every method raises `HomeserverUnreachable`
    (no answer, or no homeserver's answer) or `MatrixRequestError`, and nothing else of the network's.

    Inside a call a 429 is waited for, up to 30 s at a time and four tries, and what a repeat cannot harm is repeated
    after connection errors, timeouts, 502, 503 and 504. What fails then is for the caller's own schedule.

    `failures` counts the tries without an answer or with a 5xx; `on_failure` listeners are called at each one,
    `on_recovered` listeners at the first answer after one. They must neither block nor raise.

    `device_id` is the device that every user of ours has: with it the homeserver remembers transaction ids over a
    restart (MSC3970). It is made where the homeserver does not know it.

    `stall_timeout_s`: how long a file may make no progress. `reachable`, `private_hosts` and `resolver`: as in
    `Downloads`.
    """

    # --- the server and ourselves -------------------------------------------------------------------------------

    async def versions(self) -> JSON:
        """``/versions``: `versions` and `unstable_features`."""
        return await self._call(Method.GET, path("versions"), JSON)

    async def capabilities(self) -> JSON:
        """``/capabilities``, whole: `capabilities` holds such as ``m.room_versions``."""
        return await self._call(Method.GET, path("v3", "capabilities"), JSON)

    async def whoami(self, user: UserID | None = None) -> UserID:
        """Whom the homeserver takes us for. 401 M_UNKNOWN_TOKEN: it does not know our as_token."""
        return (await self._call(Method.GET, path("v3", "account", "whoami"), _User, user=user)).user_id

    async def ping(self, transaction_id: str) -> int:
        """Have the homeserver ping us (MSC2659); how long that took, in ms. Tried once; `Pinger` explains failures."""
        answer = await self._call(
            Method.POST,
            path("v1", "appservice", self.appservice_id, "ping"),
            _Ping,
            body={"transaction_id": transaction_id},
            repeat=Repeat.NEVER,
            counts=False,  # a 502 speaks of the bridge, not of the homeserver
            timeout_s=PING_TIMEOUT_S,
        )
        return answer.duration_ms

    async def register(self, localpart: str) -> UserID:
        """Make a user in our namespace; one that exists is success. M_EXCLUSIVE: it is not in our namespace."""
        # Without `inhibit_login` the homeserver would make a device and a token too, and with MSC4190 it answers 400.
        body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
        try:
            await self._call(Method.POST, path("v3", "register"), JSON, body=body, query={"kind": "user"})
        except MatrixRequestError as error:
            if error.errcode != "M_USER_IN_USE":
                raise
        return UserID(f"@{localpart}:{self.server_name}")

    # --- rooms --------------------------------------------------------------------------------------------------

    async def create_room(self, **body: Any) -> RoomID:
        """Make a room as the bot; `body` as in the specification. Never repeated by itself: without an answer the room
        may exist. M_ROOM_IN_USE: the alias is taken."""
        answer = await self._call(Method.POST, path("v3", "createRoom"), _Room, body=body, repeat=Repeat.NEVER)
        return answer.room_id

    async def resolve_alias(self, alias: RoomAlias) -> RoomID | None:
        """The room that an alias names, None if none."""
        try:
            return (await self._call(Method.GET, path("v3", "directory", "room", alias), _Room)).room_id
        except MatrixRequestError as error:
            if is_absent(error):
                return None
            raise

    async def create_alias(self, alias: RoomAlias, room: RoomID) -> None:
        """Let an alias name a room; one that names it already is success. 409: it names another."""
        try:
            await self._call(Method.PUT, path("v3", "directory", "room", alias), JSON, body={"room_id": room})
        except MatrixRequestError as error:
            if error.status != 409 or await self.resolve_alias(alias) != room:
                raise

    async def delete_alias(self, alias: RoomAlias) -> None:
        """Free an alias; one that names nothing is success."""
        try:
            await self._call(Method.DELETE, path("v3", "directory", "room", alias), JSON)
        except MatrixRequestError as error:
            if not is_absent(error):
                raise

    # --- membership ---------------------------------------------------------------------------------------------

    async def join(self, room: RoomID, *, user: UserID | None = None, via: Sequence[str] = ()) -> None:
        """Join; being there already is success. 403: not invited. `via`: servers to join over, for a room elsewhere."""
        # `via` is the name since v1.12 of the specification, `server_name` the one before.
        query = {"via": via, "server_name": via} if via else {}
        await self._call(Method.POST, path("v3", "join", room), JSON, user=user, query=query, body={})

    async def invite(
        self,
        room: RoomID,
        target: UserID,
        *,
        by: UserID | None = None,
        reason: str | None = None,
        is_direct: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Invite; somebody who is invited or joined already is success. `extra` is more of the invite's content."""
        content = dict(extra or {})
        if is_direct:
            content["is_direct"] = True
        if reason is not None:
            content["reason"] = reason
        try:
            if content.keys() <= {"reason"}:
                body = {"user_id": target, **content}
                await self._call(Method.POST, path("v3", "rooms", room, "invite"), JSON, user=by, body=body)
            else:
                # /invite knows no more than a reason; set as state, the content is kept as it is.
                await self.send_state(room, "m.room.member", target, {**content, "membership": "invite"}, user=by)
        except MatrixRequestError as error:
            if error.status != 403 or await self._membership(room, target, by) not in ("invite", "join"):
                raise

    async def leave(self, room: RoomID, *, user: UserID | None = None, reason: str | None = None) -> None:
        """Leave, or refuse an invite; not being there is success."""
        body = {} if reason is None else {"reason": reason}
        try:
            await self._call(Method.POST, path("v3", "rooms", room, "leave"), JSON, user=user, body=body)
        except MatrixRequestError as error:
            # The bot is asked, for one who is out may not read the state.
            membership = await self._membership(room, user or self.bot, None) if error.status in (403, 404) else None
            if membership not in ("leave", "ban"):
                raise

    async def kick(self, room: RoomID, target: UserID, *, by: UserID | None = None, reason: str | None = None) -> None:
        """Remove somebody, or take an invite back; not being there is success. 403: not allowed."""
        body = {"user_id": target} if reason is None else {"user_id": target, "reason": reason}
        try:
            await self._call(Method.POST, path("v3", "rooms", room, "kick"), JSON, user=by, body=body)
        except MatrixRequestError as error:
            if error.status not in (403, 404) or await self._membership(room, target, by) not in ("leave", "ban"):
                raise

    async def ban(self, room: RoomID, target: UserID, *, by: UserID | None = None, reason: str | None = None) -> None:
        """Remove somebody for good; one who is banned already is success. 403: not allowed."""
        body = {"user_id": target} if reason is None else {"user_id": target, "reason": reason}
        try:
            await self._call(Method.POST, path("v3", "rooms", room, "ban"), JSON, user=by, body=body)
        except MatrixRequestError as error:
            if error.status != 403 or await self._membership(room, target, by) != "ban":
                raise

    async def unban(self, room: RoomID, target: UserID, *, by: UserID | None = None) -> None:
        """Let somebody who is banned be invited again; one who is not banned is success. 403: not allowed."""
        body = {"user_id": target}
        try:
            await self._call(Method.POST, path("v3", "rooms", room, "unban"), JSON, user=by, body=body)
        except MatrixRequestError as error:
            if error.status != 403 or await self._membership(room, target, by) in (None, "ban"):
                raise

    async def _membership(self, room: RoomID, target: UserID, asker: UserID | None) -> str | None:
        """ "leave" where the room knows nothing of them; None where it cannot be found out."""
        try:
            content = await self.get_state(room, "m.room.member", target, user=asker)
        except HomeserverError:
            return None
        membership = "leave" if content is None else content.get("membership")
        return membership if isinstance(membership, str) else None

    async def joined_members(self, room: RoomID, *, user: UserID | None = None) -> list[UserID]:
        """Who is in the room. 403: the asker is not."""
        answer = await self._call(Method.GET, path("v3", "rooms", room, "joined_members"), _Joined, user=user)
        return list(answer.joined)

    async def member_profiles(self, room: RoomID) -> dict[UserID, MemberProfile]:
        """Who is in the room, and what each is called there. 403: the bot is not."""
        answer = await self._call(Method.GET, path("v3", "rooms", room, "joined_members"), _Profiles)
        return {
            user: MemberProfile(profile.display_name or "", profile.avatar_url or "")
            for user, profile in answer.joined.items()
        }

    async def joined_rooms(self, *, user: UserID | None = None) -> list[RoomID]:
        """Which rooms a user of ours is in."""
        return (await self._call(Method.GET, path("v3", "joined_rooms"), _Rooms, user=user)).joined_rooms

    # --- profile and media --------------------------------------------------------------------------------------

    async def set_displayname(self, user: UserID | None, name: str) -> None:
        """Set it everywhere; this also overwrites what a room's own member event says."""
        where = path("v3", "profile", user or self.bot, "displayname")
        await self._call(Method.PUT, where, JSON, user=user, body={"displayname": name})

    async def set_avatar_url(self, user: UserID | None, mxc: ContentURI | Literal[""]) -> None:
        """Set it everywhere, ``""`` for none; as with the name."""
        where = path("v3", "profile", user or self.bot, "avatar_url")
        await self._call(Method.PUT, where, JSON, user=user, body={"avatar_url": mxc})

    async def get_profile(self, user: UserID) -> Profile:
        """Empty where there is no such user."""
        try:
            return await self._call(Method.GET, path("v3", "profile", user), Profile)
        except MatrixRequestError as error:
            # Synapse says M_UNKNOWN for a user it never heard of.
            if error.status == 404 and error.errcode in ("M_NOT_FOUND", "M_UNKNOWN"):
                return Profile()
            raise

    async def upload(
        self, data: bytes, *, mimetype: str, filename: str | None = None, user: UserID | None = None
    ) -> ContentURI:
        """Upload a small file (an avatar). Sent once only: a repeat would leave a second copy. M_TOO_LARGE, or
        `HomeserverUnreachable` where the server hangs up instead: larger than ``m.upload.size``."""
        query = {} if filename is None else {"filename": filename.encode(errors="replace").decode()}
        answer = await self._call(
            Method.POST,
            path("v3", "upload", api="_matrix/media"),
            _Upload,
            user=user,
            body=data,
            mimetype=mimetype,
            query=query,
            repeat=Repeat.REFUSED,
        )
        return answer.content_uri
