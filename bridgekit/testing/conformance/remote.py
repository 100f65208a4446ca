"""The driver: what the author of an adapter says about the network, so that the suite can play the people there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from bridgekit.adapter.base import NoConfig
from bridgekit.model.ids import PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.remote import Role


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A message as somebody at the network sees it now: the last edit's text, without what was deleted.

    `id`, `sender` and `text` are as the network has them. The rest may be left out by a driver that cannot tell
    (UNSET); what it would show is not tested then. `mentions` are pairs of the words that the network shows as a
    mention, and whom they name; `reply_to` is what it answers, None: nothing; `reactions` are pairs of who and the
    emoji.
    """

    id: RemoteMessageID
    sender: RemoteUserID
    text: str
    mentions: tuple[tuple[str, RemoteUserID], ...] | msgspec.UnsetType = msgspec.UNSET
    reply_to: RemoteMessageID | msgspec.UnsetType | None = msgspec.UNSET
    reactions: Collection[tuple[RemoteUserID, str]] | msgspec.UnsetType = msgspec.UNSET


class Remote(ABC):
    """A network of the author's, and the people in it. One object for each test, with a directory of its own.

    What is abstract must be there. Whatever else is overridden is tested too; what is not makes its tests skip, with
    its name as the reason. Nothing here goes through the adapter: it is done as the network's other clients do it.
    """

    friend: RemoteUserID
    """The id of the person who does what `say`, `edit`, `react` ... do. Set by `start`, at the latest."""
    stranger: RemoteUserID | None = None
    """The id of somebody who is in no chat yet, and can be brought into one."""
    remembers: ClassVar[bool] = True
    """What is said while nobody is connected can be fetched later. False: it is lost, and no adapter can help that."""
    returns_nonces: ClassVar[bool] = False
    """The network shows the account its own messages together with the nonces that they were sent with."""
    patience_s: ClassVar[float] = 10.0
    """How many seconds anything may take before a test has failed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    # --- what must be there -----------------------------------------------------------------------------------------
    @abstractmethod
    async def start(self) -> None:
        """Start a fresh network, with the account that the bridge is to use and the friend's."""

    @abstractmethod
    async def stop(self) -> None:
        """End it, and whatever was begun for it. Called once, also after a failed `start`."""

    @abstractmethod
    async def answer(self, question: str) -> str:
        """What the account's person answers when `Adapter.login` asks this."""

    @abstractmethod
    async def chat(self) -> PortalKey:
        """A new chat of the account and the friend; the same one again where there is only one. Who is to read of
        several rights (to delete, to rename) has them here."""

    @abstractmethod
    async def say(self, chat: PortalKey, text: str) -> RemoteMessageID:
        """The friend writes. Returns the message's id."""

    @abstractmethod
    async def look(self, chat: PortalKey) -> Sequence[Post]:
        """All messages of the chat as they are now, of everybody, in the order that the network shows."""

    # --- the network ------------------------------------------------------------------------------------------------
    def settings(self) -> Any:
        """What the adapter is made with: an instance of `Adapter.config`. Called after `start`."""
        return NoConfig()

    async def wrong_answer(self, question: str) -> str:
        """What somebody answers who has no account: `Adapter.login` must refuse them."""
        raise NotImplementedError

    # --- what the friend does ---------------------------------------------------------------------------------------
    async def say_mention(self, chat: PortalKey, before: str, name: str, after: str, user: RemoteUserID) -> None:
        """The friend writes all three, one behind the other, and the words `name` mention `user`."""
        raise NotImplementedError

    async def reply(self, chat: PortalKey, text: str, to: RemoteMessageID) -> RemoteMessageID:
        """The friend answers a message."""
        raise NotImplementedError

    async def edit(self, chat: PortalKey, message: RemoteMessageID, text: str) -> None:
        """The friend changes a message of theirs."""
        raise NotImplementedError

    async def delete(self, chat: PortalKey, message: RemoteMessageID) -> None:
        """The friend deletes a message of theirs for everybody."""
        raise NotImplementedError

    async def react(self, chat: PortalKey, message: RemoteMessageID, emoji: str) -> None:
        """The friend reacts."""
        raise NotImplementedError

    async def unreact(self, chat: PortalKey, message: RemoteMessageID, emoji: str) -> None:
        """The friend takes a reaction back."""
        raise NotImplementedError

    async def say_file(self, chat: PortalKey, name: str, data: bytes) -> RemoteMessageID:
        """The friend sends a file, and returns when all of it is there. Without a text."""
        raise NotImplementedError

    async def mark_read(self, chat: PortalKey, message: RemoteMessageID) -> None:
        """The friend has read up to a message."""
        raise NotImplementedError

    async def set_typing(self, chat: PortalKey, typing: bool) -> None:
        """The friend is writing, or has stopped."""
        raise NotImplementedError

    async def add(self, chat: PortalKey, user: RemoteUserID) -> None:
        """The friend brings somebody in."""
        raise NotImplementedError

    async def remove(self, chat: PortalKey, user: RemoteUserID) -> None:
        """The friend removes somebody."""
        raise NotImplementedError

    async def rename(self, chat: PortalKey, name: str) -> None:
        """The friend gives the chat another name."""
        raise NotImplementedError

    async def set_avatar(self, chat: PortalKey, data: bytes) -> None:
        """The friend gives the chat a picture: a PNG file of a few hundred bytes."""
        raise NotImplementedError

    async def set_role(self, chat: PortalKey, user: RemoteUserID, role: Role) -> None:
        """The friend gives somebody who is there a role."""
        raise NotImplementedError

    # --- what the friend sees ---------------------------------------------------------------------------------------
    async def file_of(self, chat: PortalKey, message: RemoteMessageID) -> bytes | None:
        """The file of a message of the account's, as the friend's client gets it; None: it is not there yet."""
        raise NotImplementedError

    async def read_up_to(self, chat: PortalKey) -> RemoteMessageID | None:
        """Up to where the account has read, as the friend sees it."""
        raise NotImplementedError

    async def is_typing(self, chat: PortalKey) -> bool:
        """Whether the friend sees that the account is writing."""
        raise NotImplementedError

    async def members(self, chat: PortalKey) -> Collection[RemoteUserID]:
        """Who is in the chat."""
        raise NotImplementedError

    async def name(self, chat: PortalKey) -> str:
        """What the chat is called."""
        raise NotImplementedError

    async def avatar(self, chat: PortalKey) -> bytes | None:
        """The chat's picture, as the friend's client gets it; None: it has none."""
        raise NotImplementedError

    async def role(self, chat: PortalKey, user: RemoteUserID) -> Role:
        """What somebody may do in the chat."""
        raise NotImplementedError

    async def group(self) -> PortalKey:
        """As `chat`, where people can be brought in, removed and given roles, and which can be renamed and be given a
        picture, by the account and by the friend. By default a `chat`."""
        return await self.chat()

    async def handle(self, user: RemoteUserID) -> str:
        """What a person types to find somebody (`CanResolve.resolve`). By default the id."""
        return user

    # --- what goes wrong --------------------------------------------------------------------------------------------
    async def cut(self) -> None:
        """All connections of the account break, now. It can connect again at once."""
        raise NotImplementedError

    async def refuse(self) -> None:
        """The network will refuse the next thing that the account asks for, for good, and take nothing of it."""
        raise NotImplementedError

    async def be_busy(self) -> None:
        """The network will not take the next thing that the account asks for, and would take it later."""
        raise NotImplementedError

    async def refuse_file(self) -> None:
        """The network will refuse the next file whose bytes the account brings, for good."""
        raise NotImplementedError

    async def break_download(self) -> None:
        """The network will break off the next file that the account fetches, somewhere in its middle."""
        raise NotImplementedError

    async def lose_answer(self) -> None:
        """The network will take the next thing that the account asks for, and break the connection instead of
        answering."""
        raise NotImplementedError

    async def revoke(self) -> None:
        """The account's credentials no longer count; its connections end. `answer` gives new ones, if it can."""
        raise NotImplementedError


def has(remote: type[Remote], name: str) -> bool:
    """Whether the driver has this optional part."""
    if name in ("remembers", "returns_nonces"):
        return bool(getattr(remote, name))
    if name == "stranger":
        return True  # known only after `start`
    return getattr(remote, name) is not getattr(Remote, name)


__all__ = ["Post", "Remote", "has"]
