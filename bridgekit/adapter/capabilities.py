"""What a session can do beyond receiving. A capability is a mixin: inheriting it is declaring it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import ClassVar, TypeVar

from bridgekit.adapter.calls import CanCall
from bridgekit.adapter.capability import Capability
from bridgekit.errors import NotSupported
from bridgekit.model.ids import Nonce, PortalKey, RemoteUserID
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
from bridgekit.model.remote import Avatar, RemoteChat, RemoteMessage, RemoteProfile, Role, Sent


class CanSend(Capability):
    """Messages go from Matrix to the network.

    `dedupes_for`: how long the network drops a message whose nonce it has seen; None if it does not. With it a
    repeat after a crash is harmless; without it such a message is reported as uncertain instead of repeated.
    """

    dedupes_for: ClassVar[timedelta | None] = None

    @abstractmethod
    async def send(self, message: MatrixMessage) -> Sent:
        """Send it, and return when the network has taken it. Called for one message of a portal at a time, in order.

        Raises `Transient` (the network took nothing), `Rejected`, `NotSupported`, `Uncertain` or `AuthFailed`;
        connection errors and timeouts may simply escape. A call that takes longer than `delivery.send_timeout_s` (60 s)
        is cancelled, and taken for a timeout.
        """


class CanConfirm(Capability):
    """The network can be asked whether it took a message.

    It is asked after a crash, where the network does not drop repeats (`CanSend.dedupes_for`).
    """

    @abstractmethod
    async def find(self, portal: PortalKey, nonce: Nonce) -> Sent | None:
        """What became of the message sent with this nonce; None if the network certainly does not have it, and so may
        be given it again.

        Raises `Transient` or a connection error to be asked again; anything else leaves the message `Uncertain`.
        """


class CanDescribe(Capability):
    """The network can be asked what chats and people are called and look like.

    It is asked when a chat or a person is met for the first time; what changes later comes as `RemoteChat` and
    `RemoteProfile` in `Session.events`. No message fails by it: if it raises, or takes longer than 30 s, the chat has
    no name and the person is called by their id.
    """

    @abstractmethod
    async def describe_chat(self, portal: PortalKey) -> RemoteChat:
        """Name, kind, picture and members of a chat. Raises anything: the chat then is not described."""

    @abstractmethod
    async def describe_user(self, user: RemoteUserID) -> RemoteProfile:
        """Name and picture of a person. Raises anything: the person then is not described."""

    def open_avatar(self, avatar: Avatar) -> AsyncIterator[bytes]:
        """The picture's bytes, in pieces; a picture over 8 MiB is left out. Raises `NotSupported` unless overridden."""
        raise NotSupported("this network has no pictures")


class CanResolve(Capability):
    """People can be found at the network, and conversations begun with them."""

    @abstractmethod
    async def resolve(self, identifier: str) -> RemoteProfile | None:
        """Who is meant by what a person typed: a name, a number, an id; None if nobody is.

        Raises `Rejected` with a reason for the person, for instance where several are meant.
        """

    @abstractmethod
    async def open_chat(self, user: RemoteUserID) -> RemoteChat:
        """The direct chat with a person, begun at the network if there is none yet; with `kind` and `members`.

        Called again after a crash, so a repeat must give the same chat. Raises `Rejected`, `NotSupported` where this
        person cannot be written to.
        """


class CanEdit(Capability):
    """Messages can be changed after they were sent."""

    @abstractmethod
    async def edit(self, edit: MatrixEdit) -> Sent:
        """Change it. Repeated after a crash, with the same nonce. `Sent.ids` are new ids under which the network
        speaks of the message from now on, often none. Raises what `CanSend.send` raises."""


class CanDelete(Capability):
    """Messages can be deleted for everybody."""

    @abstractmethod
    async def delete(self, delete: MatrixDelete) -> None:
        """Delete it. Repeated after a crash: a message that is gone already is success. Raises what `CanSend.send`
        raises."""


class CanFetchMedia(Capability):
    """Files of the network's messages can be fetched."""

    @abstractmethod
    def open_media(self, message: RemoteMessage, ref: MediaRef) -> AbstractAsyncContextManager[MediaStream]:
        """The bytes of a file of a message (or of its thumbnail), an async context manager; leaving it lets go of the
        connection. Opened again from the start when an attempt failed or the process died, also days later.

        No message waits for it. Raises `Rejected` if the file is not to be had any more, `Transient` or a connection
        error to be asked again, `AuthFailed`.
        """


class CanUploadMedia(Capability):
    """Files can be sent to the network. Each goes ahead of its message, which then has `MatrixMedia.remote`."""

    async def reserve(self, portal: PortalKey, media: MatrixMedia) -> str:
        """A reference under which the message may be sent before the bytes are there; they follow with `upload`.

        Optional. ``""``, what it returns unless overridden: the network cannot, and the message waits for its file, in
        its place. Raises what `CanSend.send` raises; repeated after a crash, when what it gave before may stay unused.
        A message whose file then never comes is deleted, with `CanDelete`.
        """
        return ""

    @abstractmethod
    async def upload(self, portal: PortalKey, media: MatrixMedia) -> str:
        """Give the network the file, from `MatrixMedia.open`, to be shown in that chat. Returns the reference by which
        `CanSend.send` sends it; `media.remote` is the one that was reserved, ``""`` if none was.

        Repeated from the start after a crash or a connection error. Files of one login go side by side, a few at a
        time. No time limit but `media.stall_timeout_s` without progress (1 KiB/s). Raises what `CanSend.send` raises.
        """


class CanReact(Capability):
    """Messages can be reacted to."""

    @abstractmethod
    async def react(self, reaction: MatrixReaction) -> None:
        """Leave a reaction. Repeated after a crash: one that is there already is success. Raises what `CanSend.send`
        raises."""

    @abstractmethod
    async def unreact(self, reaction: MatrixReaction) -> None:
        """Take a reaction back; one that is not there is success. Raises what `CanSend.send` raises."""


class CanMarkRead(Capability):
    """The network can be told what was read."""

    @abstractmethod
    async def mark_read(self, receipt: MatrixReceipt) -> None:
        """Tell it. Only the latest of each chat is told. What it raises is logged, and it is not told again."""


class CanType(Capability):
    """The network can be told that somebody is writing."""

    @abstractmethod
    async def set_typing(self, typing: MatrixTyping) -> None:
        """Tell it; told again every few seconds while it lasts. What it raises is logged, and nothing else follows."""


class CanInvite(Capability):
    """People can be added to chats."""

    @abstractmethod
    async def invite(self, member: MatrixMember) -> None:
        """Add somebody; one who is there already is success. Raises what `CanSend.send` raises."""


class CanRemove(Capability):
    """People can be removed from chats."""

    @abstractmethod
    async def remove(self, member: MatrixMember, *, ban: bool) -> None:
        """Remove somebody, and keep them out if `ban`; one who is not there is success. Raises what `CanSend.send`
        raises."""


class CanLeave(Capability):
    """The login's own person can leave a chat."""

    @abstractmethod
    async def leave(self, portal: PortalKey) -> None:
        """Leave it; already left is success. Raises what `CanSend.send` raises."""


class CanRename(Capability):
    """Chats can be given another name and topic."""

    @abstractmethod
    async def rename(self, portal: PortalKey, *, name: str | None, topic: str | None) -> None:
        """Change what is not None. Raises what `CanSend.send` raises."""


class CanSetAvatar(Capability):
    """Chats can be given another picture."""

    @abstractmethod
    async def set_avatar(self, portal: PortalKey, avatar: MatrixMedia | None) -> str:
        """Give the chat this picture (a PNG, JPEG, GIF or WebP file of at most 8 MiB and `Limits.max_media_size`), from
        `MatrixMedia.open`; None: take away the one that it has. Repeated after a crash: one that is there already is
        success.

        Returns the picture's id, as `RemoteChat.avatar` will have it (`Avatar.id`), so that it is known when it comes
        back; ``""`` if the network does not say. Raises what `CanSend.send` raises, and takes as long as that at most.
        """


class CanSetRole(Capability):
    """People can be given other roles in chats."""

    @abstractmethod
    async def set_role(self, portal: PortalKey, user: RemoteUserID, role: Role) -> None:
        """Give somebody a role, `Role.MEMBER` to take away the one that they have. Repeated after a crash: who has it
        already is success. Several people are told one by one. Raises what `CanSend.send` raises."""


CAPABILITIES: tuple[type[Capability], ...] = (
    CanSend,
    CanConfirm,
    CanEdit,
    CanDelete,
    CanFetchMedia,
    CanUploadMedia,
    CanReact,
    CanMarkRead,
    CanType,
    CanDescribe,
    CanResolve,
    CanInvite,
    CanRemove,
    CanLeave,
    CanRename,
    CanSetAvatar,
    CanSetRole,
    CanCall,
)
"""All of them, in the order in which people read about them."""

C = TypeVar("C", bound=Capability)


def capability(session: object, kind: type[C]) -> C | None:
    """The session as one that has this capability, None if it has not (or there is no session)."""
    return session if isinstance(session, kind) else None
