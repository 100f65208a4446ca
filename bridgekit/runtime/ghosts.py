"""Ghosts: registered once, named and pictured as the network says, and in the rooms where they speak."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

from bridgekit.adapter.capabilities import CanDescribe
from bridgekit.core.mxc import parse_mxc
from bridgekit.core.namespace import GhostNamespace
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.rooms import clean
from bridgekit.errors import HomeserverError, MatrixRequestError
from bridgekit.model.ids import ContentURI, RemoteUserID, RoomID, UserID
from bridgekit.model.records import Ghost, GhostSaved, MemberSaved, Membership, PictureSaved, PictureUsed
from bridgekit.model.remote import Avatar, RemoteProfile
from bridgekit.ports import Clock, Homeserver
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import is_being_cancelled

log = logging.getLogger(__name__)

MAX_AVATAR_BYTES = 8 * 1024 * 1024
MAX_NAME = 250
"""Characters of a display name; Synapse takes 256."""

MAX_REASON = 1_000
"""Characters of why somebody left."""

ASK_S = 30.0
"""How long the network may take to describe somebody."""

USED_MS = 7 * 86_400_000
"""How exactly is written down when a picture was used last."""

DEVICE_ID = "BRIDGEKIT"

K = TypeVar("K")
V = TypeVar("V")


class SingleFlight:
    """One call at a time per key; those that come meanwhile wait their turn and then find the work done."""

    def __init__(self) -> None:
        self._locks: dict[object, tuple[asyncio.Lock, int]] = {}

    async def run(self, key: object, work: Callable[[], Awaitable[V]]) -> V:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                return await work()
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)


async def ask_network(question: Awaitable[V], what: str) -> V | None:
    """The adapter's answer to what is nice to know, None if it has none: no message may wait for it, or fail by it."""
    try:
        async with asyncio.timeout(ASK_S):
            return await question
    except asyncio.CancelledError:
        if is_being_cancelled():
            raise
        log.info("the network does not describe %s (cancelled)", what)
    except Exception as error:  # noqa: BLE001 - the author's code; whatever it is, the message goes on
        log.info("the network does not describe %s (%s: %s)", what, type(error).__name__, error)
    return None


async def read_picture(pieces: AsyncIterator[bytes]) -> bytes | None:
    """A picture's bytes, or None if it is larger than `MAX_AVATAR_BYTES`."""
    data = bytearray()
    async for piece in pieces:
        data += piece
        if len(data) > MAX_AVATAR_BYTES:
            return None
    return bytes(data)


async def _fetch(describer: CanDescribe, avatar: Avatar) -> bytes | None:
    return await read_picture(describer.open_avatar(avatar))


def _by_id(avatar: Avatar) -> str:
    return f"id {avatar.id}"


def _by_bytes(sha256: str) -> str:
    return f"bytes {sha256}"


def picture_type(data: bytes) -> str:
    """The MIME type, by the first bytes: what the network says about a picture is often missing or wrong."""
    if data.startswith(b"\x89PNG"):
        return "image/png"
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if data.startswith(b"GIF8"):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data.lstrip().startswith((b"<svg", b"<?xml")):
        return "image/svg+xml"
    return "application/octet-stream"


class Ghosts:
    """Makes and keeps ghosts. Every method may be repeated after a crash."""

    def __init__(self, books: Books, homeserver: Homeserver, namespace: GhostNamespace, clock: Clock) -> None:
        self._books = books
        self._homeserver = homeserver
        self._clock = clock
        self.namespace = namespace
        self._flight = SingleFlight()

    async def is_registered(self, user_id: UserID) -> bool:
        """Whether this is a ghost that exists."""
        remote = self.namespace.remote(user_id)
        ghost = await (self._books.ghost(remote) if remote else self._books.directory.ghost_by_user(user_id))
        return ghost is not None and ghost.registered

    async def person(self, user_id: UserID) -> RemoteUserID | None:
        """Whose ghost this is or would be; None if nobody's."""
        remote = self.namespace.remote(user_id)
        if remote is not None or not self.namespace.is_ghost(user_id):
            return remote
        ghost = await self._books.directory.ghost_by_user(user_id)  # an id too long to be read back
        return self.namespace.identities.latest(ghost.remote_id) if ghost is not None else None

    async def by_user(self, user_id: UserID) -> Ghost | None:
        """The ghost with this user id, if it is one and exists."""
        if not self.namespace.is_ghost(user_id):
            return None
        remote = self.namespace.remote(user_id)
        ghost = await self._books.ghost(remote) if remote is not None else None
        if ghost is not None and ghost.user_id == user_id:
            return ghost
        # An id too long to be read back, or of one who was somebody else's before a person was renamed to that.
        return await self._books.directory.ghost_by_user(user_id)

    async def ensure(self, remote_id: RemoteUserID, describer: CanDescribe | None) -> Ghost:
        """The ghost, registered, and named if this is the first time. Raises `HomeserverError`."""
        ghost = await self._books.ghost(remote_id)
        if ghost is not None and ghost.registered:
            return ghost
        remote_id = self.namespace.identities.root(remote_id)
        return await self._flight.run(remote_id, lambda: self._make(remote_id, describer))

    async def _make(self, remote_id: RemoteUserID, describer: CanDescribe | None) -> Ghost:
        ghost = await self._books.ghost(remote_id)
        if ghost is not None and ghost.registered:
            return ghost
        user_id = self.namespace.user_id(remote_id)
        await self._homeserver.register(self.namespace.localpart(remote_id))
        device_id = await self._homeserver.ensure_device(user_id, DEVICE_ID)
        ghost = Ghost(remote_id=remote_id, user_id=user_id, device_id=device_id)
        profile: RemoteProfile | None = None
        if describer is not None:
            latest = self.namespace.identities.latest(remote_id)
            profile = await ask_network(describer.describe_user(latest), "a user")
        name = profile.name if profile is not None and profile.name else str(remote_id)
        await self._set_name(user_id, name)
        ghost = msgspec.structs.replace(ghost, name=name, registered=True)
        await self._books.save(GhostSaved(ghost))
        if profile is not None and profile.avatar is not None:
            ghost = await self._set_avatar(ghost, profile.avatar, describer)
        return ghost

    async def update(self, profile: RemoteProfile, describer: CanDescribe | None) -> None:
        """The person is called or looks different now. Only for ghosts that exist: the others are made in time."""
        if await self._books.ghost(profile.user) is None:
            return
        await self._flight.run(profile.user, lambda: self._update(profile, describer))

    async def _update(self, profile: RemoteProfile, describer: CanDescribe | None) -> None:
        ghost = await self._books.ghost(profile.user)
        if ghost is None:
            return
        if profile.name and profile.name != ghost.name:
            await self._set_name(ghost.user_id, profile.name)
            ghost = msgspec.structs.replace(ghost, name=profile.name)
            await self._books.save(GhostSaved(ghost))
        if profile.avatar is not None:
            await self._set_avatar(ghost, profile.avatar, describer)

    async def _set_name(self, user_id: UserID, name: str) -> None:
        try:
            await self._homeserver.set_displayname(user_id, clean(name)[:MAX_NAME])
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            # What a ghost is called must not cost what it says.
            log.warning("the homeserver refuses a ghost's name: %s", error)

    async def _set_avatar(self, ghost: Ghost, avatar: Avatar, describer: CanDescribe | None) -> Ghost:
        if avatar.id == ghost.avatar:
            return ghost
        mxc = await self.picture(avatar, describer)
        if mxc is None:
            return ghost
        try:
            await self._homeserver.set_avatar_url(ghost.user_id, mxc)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            log.warning("the homeserver refuses a ghost's picture: %s", error)
            return ghost
        ghost = msgspec.structs.replace(ghost, avatar=avatar.id, avatar_mxc=mxc or None)
        await self._books.save(GhostSaved(ghost))
        return ghost

    async def picture(self, avatar: Avatar, describer: CanDescribe | None) -> ContentURI | None:
        """Upload a picture, once for everybody who has it. ``""`` means "no picture"; None that it cannot be had, which
        must hold nothing up."""
        if not avatar.id:
            return ContentURI("")
        known = await self._known(_by_id(avatar))
        if known is not None or describer is None:
            return known
        # One at a time of one id: the others then find it there.
        return await self._flight.run(("picture", avatar.id), lambda: self._picture(avatar, describer))

    async def _picture(self, avatar: Avatar, describer: CanDescribe) -> ContentURI | None:
        if (known := await self._known(_by_id(avatar))) is not None:
            return known
        data = await ask_network(_fetch(describer, avatar), "a picture")
        if not data:
            return None
        by_bytes = _by_bytes(hashlib.sha256(data).hexdigest())
        uri = await self._known(by_bytes)
        if uri is None:
            try:
                uri = await self._homeserver.upload(data, mimetype=picture_type(data), filename="avatar")
            except HomeserverError as error:
                # Too large a file is a connection reset there: trying again would hold the messages up for ever.
                log.warning("a picture could not be uploaded: %s", error)
                return None
        now = self._clock.now()
        await self._books.save(PictureSaved(by_bytes, uri, now), PictureSaved(_by_id(avatar), uri, now))
        return uri

    async def has_picture(self, sha256: str, uri: ContentURI) -> None:
        """A picture with this digest (hex) is at the homeserver already, as somebody's file there. One of another
        homeserver's is not remembered: it shows what that server likes, and might be shown for other people's
        pictures. Raises `StoreError`."""
        key, mxc = _by_bytes(sha256), parse_mxc(uri)
        ours = mxc is not None and mxc.server_name == self.namespace.server_name
        if ours and await self._known(key) is None:
            await self._books.save(PictureSaved(key, uri, self._clock.now()))

    async def is_picture(self, avatar: Avatar, uri: ContentURI) -> None:
        """The network calls a picture so that is at the homeserver already. As `has_picture`."""
        mxc = parse_mxc(uri)
        if mxc is not None and mxc.server_name == self.namespace.server_name:
            await self._books.save(PictureSaved(_by_id(avatar), uri, self._clock.now()))

    async def _known(self, key: str) -> ContentURI | None:
        """Where a picture is already; what is used is kept (`Retention.pictures_ms`)."""
        picture = await self._books.directory.picture(key)
        if picture is None:
            return None
        now = self._clock.now()
        if now - picture.used_at >= USED_MS:
            await self._books.save(PictureUsed(picture.uri, now))
        return picture.uri

    async def ensure_joined(self, room: RoomID, ghost: Ghost, *, again: bool = False, by: UserID | None = None) -> None:
        """The ghost is in the room: invited by the bot (or `by`, where that may), then joined. `again`: do it although
        we believe it is there.

        Raises `HomeserverError`.
        """
        if not again and await self._books.membership(room, ghost.user_id) is Membership.JOINED:
            return
        await self._flight.run((room, ghost.user_id), lambda: self._join(room, ghost, again=again, by=by))

    async def _join(self, room: RoomID, ghost: Ghost, *, again: bool, by: UserID | None) -> None:
        if not again and await self._books.membership(room, ghost.user_id) is Membership.JOINED:
            return
        # "already in the room" is success in the client; any other refusal may still let it join.
        if by is None or not await self._invited(room, ghost, by):
            await self._invited(room, ghost, None)
        try:
            await self._homeserver.join(room, user=ghost.user_id)
        except MatrixRequestError as error:
            if error.status != 403 or not await self._unbanned(room, ghost):
                raise
            await self._invited(room, ghost, None)
            await self._homeserver.join(room, user=ghost.user_id)
        await self._books.save(MemberSaved(room, ghost.user_id, Membership.JOINED))

    async def _invited(self, room: RoomID, ghost: Ghost, by: UserID | None) -> bool:
        try:
            await self._homeserver.invite(room, ghost.user_id, by=by)
        except MatrixRequestError as error:
            if error.status != 403:
                raise
            return False
        return True

    async def _unbanned(self, room: RoomID, ghost: Ghost) -> bool:
        """Whether the ghost was banned, and is not any more: the network says that its person is in the chat."""
        member = await self._homeserver.get_state(room, "m.room.member", ghost.user_id)
        if member is None or member.get("membership") != "ban":
            return False
        await self._homeserver.unban(room, ghost.user_id)
        return True

    async def remove(
        self, room: RoomID, remote_id: RemoteUserID, *, by: UserID | None, ban: bool, reason: str = ""
    ) -> None:
        """The ghost is thrown out, and kept out if `ban`: by the ghost `by` where that has the power, else by the bot.
        Raises `HomeserverError`."""
        ghost = await self._books.ghost(remote_id)
        if ghost is None:
            return  # was never here; the network keeps them out
        if not ban and await self._books.membership(room, ghost.user_id) is not Membership.JOINED:
            return
        remove = self._homeserver.ban if ban else self._homeserver.kick
        words = clean(reason)[:MAX_REASON] or None
        try:
            await remove(room, ghost.user_id, by=by, reason=words)
        except MatrixRequestError as error:
            if by is None or error.status != 403:
                raise
            await remove(room, ghost.user_id, reason=words)
        await self._books.save(MemberSaved(room, ghost.user_id, Membership.LEFT))

    async def leave(self, room: RoomID, remote_id: RemoteUserID, *, reason: str = "") -> None:
        """The ghost is not in the room any more. Raises `HomeserverError`."""
        ghost = await self._books.ghost(remote_id)
        if ghost is None or await self._books.membership(room, ghost.user_id) is not Membership.JOINED:
            return
        try:
            await self._homeserver.leave(room, user=ghost.user_id, reason=clean(reason)[:MAX_REASON] or None)
        except MatrixRequestError as error:
            if error.status not in (403, 404):
                raise
        await self._books.save(MemberSaved(room, ghost.user_id, Membership.LEFT))
