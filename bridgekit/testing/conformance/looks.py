"""What chats look like, and what people may do in them: pictures and roles, both ways."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridgekit.adapter.capabilities import CanDescribe, CanSetAvatar, CanSetRole
from bridgekit.errors import Transient
from bridgekit.model.ids import PortalKey
from bridgekit.model.media import MatrixMedia, MediaKind, MediaStream
from bridgekit.model.remote import Avatar, RemoteChat, Role
from bridgekit.testing.conformance.checks import Fault, check, done, eventually, raised
from bridgekit.testing.conformance.line import Line
from bridgekit.testing.conformance.people import somebody
from bridgekit.testing.conformance.scene import Scene
from bridgekit.testing.conformance.topic import Topic

PNG = "image/png"


class Looks(Topic):
    # --- a chat's picture -------------------------------------------------------------------------------------------
    @check(CanDescribe, "set_avatar")
    async def test_a_new_picture_comes(self, scene: Scene) -> None:
        chat = await scene.remote.group()
        async with scene.line() as line:
            data = drawn(scene)
            await scene.remote.set_avatar(chat, data)
            seen = await line.first(
                RemoteChat,
                "the friend gave a chat a picture, and `events` yielded no RemoteChat with an Avatar that has an id",
                lambda seen: seen.portal == chat and seen.avatar is not None and bool(seen.avatar.id),
            )
            assert seen.avatar is not None
            if await opened(scene, line, seen.avatar) != data:
                raise Fault("the friend gave a chat a picture, and open_avatar() of its id gave other bytes")

    @check(CanSetAvatar, "avatar")
    async def test_a_chat_gets_a_picture(self, scene: Scene) -> None:
        chat = await scene.remote.group()
        async with scene.line() as line:
            able, data = line.can(CanSetAvatar), drawn(scene)
            id: object = ""
            for what in ("set_avatar()", "set_avatar() of the picture that it has, as after a crash,"):
                id = await done(what, able.set_avatar(chat, picture(data)), scene.patience_s)
                if not isinstance(id, str):
                    raise Fault(
                        f"{what} returned {id!r}; it must return what the network calls the picture, or '' if it does"
                        " not say"
                    )
                await looks_like(scene, chat, data, what)
            if id and isinstance(line.session, CanDescribe):
                described = await done("describe_chat()", line.session.describe_chat(chat), scene.patience_s)
                if described.avatar is not None and described.avatar.id != id:
                    raise Fault(
                        f"set_avatar() returned {id!r}, and describe_chat() then says {described.avatar.id!r}: what"
                        " comes back must be known by the id, or it is fetched and uploaded again"
                    )

    @check(CanSetAvatar, "avatar")
    async def test_a_chats_picture_is_taken_away(self, scene: Scene) -> None:
        chat = await scene.remote.group()
        async with scene.line() as line:
            able, data = line.can(CanSetAvatar), drawn(scene)
            await done("set_avatar()", able.set_avatar(chat, picture(data)), scene.patience_s)
            await looks_like(scene, chat, data, "set_avatar()")
            for what in ("set_avatar(None)", "set_avatar(None) of a chat without a picture, as after a crash,"):
                await done(what, able.set_avatar(chat, None), scene.patience_s)
                await looks_like(scene, chat, None, what)

    @check(CanSetAvatar, "avatar")
    async def test_a_picture_that_breaks_off_is_none(self, scene: Scene) -> None:
        chat = await scene.remote.group()
        async with scene.line() as line:
            able, before = line.can(CanSetAvatar), drawn(scene)
            await done("set_avatar()", able.set_avatar(chat, picture(before)), scene.patience_s)
            await looks_like(scene, chat, before, "set_avatar()")
            broken = picture(drawn(scene), breaks=True)
            error, _ = await raised("set_avatar()", able.set_avatar(chat, broken), scene.patience_s)
            if error is None:
                raise Fault(
                    "the picture's source raised Transient in its middle, and set_avatar() returned: let the error out"
                )
            await looks_like(scene, chat, before, "set_avatar() of a picture that broke off failed,")

    # --- roles ------------------------------------------------------------------------------------------------------
    @check("set_role", "add", "stranger")
    async def test_a_new_role_comes(self, scene: Scene) -> None:
        chat, user = await scene.remote.group(), somebody(scene)
        await scene.remote.add(chat, user)
        async with scene.line() as line:
            for role in (Role.MODERATOR, Role.MEMBER):
                await scene.remote.set_role(chat, user, role)
                await line.first(
                    RemoteChat,
                    f"the friend made somebody a {role}, and `events` yielded no RemoteChat whose `roles` say so"
                    " (those of everybody: who is not in them is a member)",
                    lambda seen, role=role: (  # type: ignore[misc]  # the default binds it
                        seen.portal == chat and seen.roles is not None and seen.roles.get(user, Role.MEMBER) is role
                    ),
                )

    @check(CanSetRole, "role", "add", "stranger")
    async def test_somebody_gets_a_role(self, scene: Scene) -> None:
        chat, user = await scene.remote.group(), somebody(scene)
        await scene.remote.add(chat, user)
        async with scene.line() as line:
            for role in (Role.MODERATOR, Role.ADMIN, Role.MEMBER):
                for what in (f"set_role() of a {role}", f"set_role() of who is a {role} already, as after a crash,"):
                    await done(what, line.can(CanSetRole).set_role(chat, user, role), scene.patience_s)

                    async def has(wanted: Role = role) -> bool:
                        return await scene.remote.role(chat, user) is wanted

                    await eventually(scene.patience_s, has, f"{what} returned, and {user!r} is not a {role} there")


def drawn(scene: Scene) -> bytes:
    """A picture that nobody has seen yet: a PNG of 8 by 8 points."""
    points = random.Random(scene.words()).randbytes(8 * 8)
    rows = b"".join(b"\0" + points[at : at + 8] for at in range(0, 64, 8))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def picture(data: bytes, *, breaks: bool = False) -> MatrixMedia:
    """As bridgekit gives it; `breaks`: in its middle."""

    async def pieces() -> AsyncIterator[bytes]:
        half = len(data) // 2
        yield data[:half]
        if breaks:
            raise Transient("the homeserver is gone")
        yield data[half:]

    @asynccontextmanager
    async def open() -> AsyncIterator[MediaStream]:
        yield MediaStream(pieces(), size=len(data), mimetype=PNG)

    return MatrixMedia(kind=MediaKind.IMAGE, name="image.png", opener=open, mimetype=PNG, size=len(data))


async def opened(scene: Scene, line: Line, avatar: Avatar) -> bytes:
    async def read() -> bytes:
        return b"".join([piece async for piece in line.can(CanDescribe).open_avatar(avatar)])

    return await done("open_avatar()", read(), scene.patience_s)


async def looks_like(scene: Scene, chat: PortalKey, data: bytes | None, what: str) -> None:
    """Wait until the friend sees this picture, None for none."""
    seen: bytes | None = None

    async def look() -> bool:
        nonlocal seen
        seen = await scene.remote.avatar(chat)
        return seen == data

    def otherwise() -> str:
        if data is None:
            return f"{what} returned, and the chat still has a picture: None takes it away"
        return f"{what} and the friend sees {'no picture' if seen is None else 'another picture'}"

    await eventually(scene.patience_s, look, otherwise)
