"""The sessions of a `FakeNetwork`: every capability, and classes that declare fewer."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from bridgekit.adapter.base import Session
from bridgekit.adapter.calls import CanCall
from bridgekit.adapter.capabilities import (
    CAPABILITIES,
    CanConfirm,
    CanDelete,
    CanDescribe,
    CanEdit,
    CanFetchMedia,
    CanInvite,
    CanLeave,
    CanMarkRead,
    CanReact,
    CanRemove,
    CanRename,
    CanResolve,
    CanSend,
    CanSetAvatar,
    CanSetRole,
    CanType,
    CanUploadMedia,
)
from bridgekit.adapter.capability import Capability
from bridgekit.model.ids import Nonce, PortalKey, RemoteUserID
from bridgekit.model.limits import Limits
from bridgekit.model.matrix import (
    MatrixDelete,
    MatrixEdit,
    MatrixMember,
    MatrixMessage,
    MatrixReaction,
    MatrixReceipt,
    MatrixTyping,
)
from bridgekit.model.media import MatrixMedia, MediaRef, MediaStream
from bridgekit.model.remote import (
    Avatar,
    Batch,
    ChatKind,
    Cursors,
    Login,
    RemoteChat,
    RemoteEvent,
    RemoteMessage,
    RemoteProfile,
    Role,
    Sent,
)
from bridgekit.testing.deeds import Pictured, Removal, Renaming, RoleGiven
from bridgekit.testing.fake_calls import FakeCallMethods

if TYPE_CHECKING:
    from bridgekit.testing.network import FakeNetwork


class FakeMethods(FakeCallMethods, Session):
    """What every capability does at a `FakeNetwork`. Which of them a session declares is its class's affair."""

    def __init__(self, far: FakeNetwork, login: Login) -> None:
        self.far = far
        self.login = login

    def events(self, after: Cursors) -> AsyncIterator[RemoteEvent | Batch]:
        return self.far.stream(self.login.id, int(after.get("", "0")))

    def limits(self, portal: PortalKey) -> Limits:
        return self.far.limits

    async def send(self, message: MatrixMessage) -> Sent:
        return await self.far.take(self.login, message)

    async def describe_chat(self, portal: PortalKey) -> RemoteChat:
        if self.far.describe_errors:
            raise self.far.describe_errors.popleft()
        return self.far.chats.get(portal) or RemoteChat(portal=portal, name=f"Chat {portal.chat}", members=())

    async def describe_user(self, user: RemoteUserID) -> RemoteProfile:
        if self.far.describe_errors:
            raise self.far.describe_errors.popleft()
        return RemoteProfile(user=user, name=self.far.names.get(user, f"Name of {user}"))

    def open_avatar(self, avatar: Avatar) -> AsyncIterator[bytes]:
        return self.far.open_picture(avatar)

    async def resolve(self, identifier: str) -> RemoteProfile | None:
        if self.far.resolve_errors:
            raise self.far.resolve_errors.popleft()
        user = self.far.people.get(identifier)
        return None if user is None else await self.describe_user(user)

    async def open_chat(self, user: RemoteUserID) -> RemoteChat:
        if self.far.resolve_errors:
            raise self.far.resolve_errors.popleft()
        self.far.opened.append(user)
        return self.far.chat(f"{self.login.user}+{user}", self.login.user, user, kind=ChatKind.DIRECT)

    async def edit(self, edit: MatrixEdit) -> Sent:
        return await self.far.be_told(self.login, "edit", edit)

    async def delete(self, delete: MatrixDelete) -> None:
        await self.far.be_told(self.login, "delete", delete)

    def open_media(self, message: RemoteMessage, ref: MediaRef) -> AbstractAsyncContextManager[MediaStream]:
        return self.far.open_remote_file(message, ref)

    async def upload(self, portal: PortalKey, media: MatrixMedia) -> str:
        return await self.far.take_file(self.login.id, portal, media)

    async def react(self, reaction: MatrixReaction) -> None:
        await self.far.be_told(self.login, "react", reaction)

    async def unreact(self, reaction: MatrixReaction) -> None:
        await self.far.be_told(self.login, "unreact", reaction)

    async def mark_read(self, receipt: MatrixReceipt) -> None:
        await self.far.be_told(self.login, "mark_read", receipt)

    async def set_typing(self, typing: MatrixTyping) -> None:
        await self.far.be_told(self.login, "set_typing", typing)

    async def invite(self, member: MatrixMember) -> None:
        await self.far.be_told(self.login, "invite", member)

    async def remove(self, member: MatrixMember, *, ban: bool) -> None:
        await self.far.be_told(self.login, "remove", Removal(member, ban))

    async def leave(self, portal: PortalKey) -> None:
        await self.far.be_told(self.login, "leave", portal)

    async def rename(self, portal: PortalKey, *, name: str | None, topic: str | None) -> None:
        await self.far.be_told(self.login, "rename", Renaming(portal, name, topic))

    async def set_avatar(self, portal: PortalKey, avatar: MatrixMedia | None) -> str:
        data = b"" if avatar is None else await read_all(avatar)
        id = f"picture {hashlib.sha256(data).hexdigest()}" if data else ""
        await self.far.be_told(self.login, "set_avatar", Pictured(portal, data, id))
        return id if self.far.names_avatars else ""

    async def set_role(self, portal: PortalKey, user: RemoteUserID, role: Role) -> None:
        await self.far.be_told(self.login, "set_role", RoleGiven(portal, user, role))


async def read_all(media: MatrixMedia) -> bytes:
    """All bytes of a file."""
    async with media.open() as stream:
        return b"".join([chunk async for chunk in stream.chunks])


class FakeSession(
    FakeMethods,
    CanSend,
    CanDescribe,
    CanResolve,
    CanEdit,
    CanDelete,
    CanFetchMedia,
    CanUploadMedia,
    CanReact,
    CanMarkRead,
    CanType,
    CanInvite,
    CanRemove,
    CanLeave,
    CanRename,
    CanSetAvatar,
    CanSetRole,
    CanCall,
):
    """A connection to a `FakeNetwork` that drops repeats for a day, with every capability but `CanConfirm`."""

    dedupes_for: ClassVar[timedelta | None] = timedelta(days=1)


class ForgetfulSession(FakeSession):
    """As `FakeSession`, of a network that takes every repeat for a new message."""

    dedupes_for: ClassVar[timedelta | None] = None


class ConfirmingSession(ForgetfulSession, CanConfirm):
    """As `ForgetfulSession`, of a network that can be asked."""

    async def find(self, portal: PortalKey, nonce: Nonce) -> Sent | None:
        return self.far.find(nonce)


def reserving(kind: type[FakeSession]) -> type[FakeSession]:
    """A class like `kind` whose network may send a message before its file."""

    class Reserving(kind):  # type: ignore[misc, valid-type]
        async def reserve(self, portal: PortalKey, media: MatrixMedia) -> str:
            far: FakeNetwork = self.far
            return far.new_reference()

    return Reserving


def session_lacking(kind: type[FakeSession], lacks: frozenset[type[Capability]]) -> type[FakeMethods]:
    """A class like `kind` that does not declare these capabilities."""
    kept = tuple(each for each in CAPABILITIES if issubclass(kind, each) and each not in lacks)
    own: dict[str, object] = {}
    for each in reversed(kind.mro()[: kind.mro().index(FakeSession) + 1]):
        own |= {name: vars(each)[name] for name in ("dedupes_for", "find", "reserve") if name in vars(each)}
    return type(f"{kind.__name__}WithLess", (FakeMethods, *kept), own)
