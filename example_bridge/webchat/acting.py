"""What an account does in chats. Each call returns once it is on the network's disk.

It goes over the stream if there is one, in the order of the calls; else over HTTP, where only a call that waits for the
one before keeps the order. With a nonce it may be repeated for `Info.dedupe_seconds`, and is done once; without one,
what is so already stays so, but a message would be sent again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from example_bridge.webchat.server.acts import (
    Act,
    AddMember,
    ChangeChat,
    Delete,
    DeleteChat,
    Draft,
    Edit,
    React,
    Read,
    RemoveMember,
    SetRole,
    Typing,
    Unban,
)
from example_bridge.webchat.server.call_frames import CallFrame
from example_bridge.webchat.server.protocol import File, Location, Mention, Persona, Receipt, Role, Span


class Acting(ABC):
    """The calls, as a part of `WebchatClient`. Offsets of spans count UTF-16 code units."""

    @abstractmethod
    async def _perform(self, chat: str, asked: Draft | Act) -> Receipt:
        """Ask for it, and wait for the answer."""

    # -- calls

    async def tell_of_call(self, frame: CallFrame) -> Receipt:
        """Say something of a call of the chat `frame.chat`; returns when the network has passed it on. It may be said
        again: what is so already stays so."""
        return await self._perform(frame.chat, frame)

    # -- messages

    async def send(
        self,
        chat: str,
        text: str,
        *,
        format: tuple[Span, ...] = (),
        mentions: tuple[Mention, ...] = (),
        nonce: str | None = None,
        reply_to: str | None = None,
        shown_as: Persona | None = None,
        files: tuple[File, ...] = (),
        location: Location | None = None,
    ) -> Receipt:
        """`files` are named by what `reserve` gave; their bytes may come later."""
        draft = Draft(text, tuple(format), tuple(mentions), reply_to, nonce, shown_as, tuple(files), location)
        return await self._perform(chat, draft)

    async def edit(
        self,
        chat: str,
        message: str,
        text: str,
        *,
        format: tuple[Span, ...] = (),
        mentions: tuple[Mention, ...] = (),
        nonce: str | None = None,
    ) -> Receipt:
        """One's own message says this now. `Refused("not_found")` if it was deleted."""
        act = Edit(target=message, text=text, format=tuple(format), mentions=tuple(mentions), nonce=nonce)
        return await self._perform(chat, act)

    async def delete(self, chat: str, message: str, *, reason: str = "", nonce: str | None = None) -> Receipt:
        """One's own message, or as a moderator anybody's. Deleted already is success."""
        return await self._perform(chat, Delete(target=message, reason=reason, nonce=nonce))

    async def react(self, chat: str, message: str, emoji: str, *, nonce: str | None = None) -> Receipt:
        return await self._perform(chat, React(target=message, emoji=emoji, nonce=nonce))

    async def unreact(self, chat: str, message: str, emoji: str, *, nonce: str | None = None) -> Receipt:
        return await self._perform(chat, React(target=message, emoji=emoji, added=False, nonce=nonce))

    async def mark_read(self, chat: str, message: str) -> Receipt:
        """Up to this message; never back."""
        return await self._perform(chat, Read(message=message))

    async def set_typing(self, chat: str, typing: bool = True) -> Receipt:
        """Say it again every few seconds while it lasts."""
        return await self._perform(chat, Typing(typing=typing))

    # -- members

    async def add_member(self, chat: str, account: str, *, nonce: str | None = None) -> Receipt:
        return await self._perform(chat, AddMember(member=account, nonce=nonce))

    async def remove_member(
        self, chat: str, account: str, *, ban: bool = False, reason: str = "", nonce: str | None = None
    ) -> Receipt:
        """Oneself, or as a moderator somebody else; `ban`: they may not be brought in again."""
        return await self._perform(chat, RemoveMember(member=account, ban=ban, reason=reason, nonce=nonce))

    async def unban(self, chat: str, account: str, *, nonce: str | None = None) -> Receipt:
        return await self._perform(chat, Unban(member=account, nonce=nonce))

    async def set_role(self, chat: str, account: str, role: Role, *, nonce: str | None = None) -> Receipt:
        return await self._perform(chat, SetRole(member=account, role=role, nonce=nonce))

    # -- the chat

    async def change_chat(
        self,
        chat: str,
        *,
        name: str | None = None,
        topic: str | None = None,
        avatar_url: str | None = None,
        nonce: str | None = None,
    ) -> Receipt:
        """None leaves a field as it is; an empty one is taken away."""
        return await self._perform(chat, ChangeChat(name=name, topic=topic, avatar_url=avatar_url, nonce=nonce))

    async def delete_chat(self, chat: str, *, nonce: str | None = None) -> Receipt:
        """For everybody. What was said can still be read by those who were in it."""
        return await self._perform(chat, DeleteChat(nonce=nonce))
