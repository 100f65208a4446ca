"""The driver of the webchat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack

from bridgekit.model.ids import ChatID, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.remote import Role
from bridgekit.testing.conformance import Post, Remote
from example_bridge.webchat.adapter import WebchatConfig
from example_bridge.webchat.client import (
    DeleteEvent,
    EditEvent,
    Event,
    File,
    MessageEvent,
    NotYet,
    ReactionEvent,
    ReadSignal,
    TypingSignal,
    WebchatClient,
)
from example_bridge.webchat.client import Mention as WebchatMention
from example_bridge.webchat.server.app import Config, Server, start
from example_bridge.webchat.server.protocol import FILES


class WebchatRemote(Remote):
    """A server in this process; the account is a visitor, the friend an agent."""

    friend = RemoteUserID("friend")
    stranger = RemoteUserID("stranger")
    returns_nonces = True
    dedupe_seconds = 86_400

    async def start(self) -> None:
        self._stack = AsyncExitStack()
        self._server: Server = await start(
            Config(db=self.directory / "webchat.db", faults=True, dedupe_seconds=self.dedupe_seconds)
        )
        self._stack.push_async_callback(self._server.stop)
        self._tokens: dict[str, str] = {}
        for id in ("me", "friend", "stranger"):
            async with WebchatClient(self._server.url) as anybody:
                made = await anybody.create_account(id.title(), "agent" if id == "friend" else "visitor", id=id)
            self._tokens[id] = made.token
        self._friend = await self._stack.enter_async_context(self._client("friend"))
        self._me = await self._stack.enter_async_context(self._client("me"))
        self._read: dict[str, str | None] = {}
        self._typing: set[str] = set()
        watching = asyncio.create_task(self._watch())
        self._stack.push_async_callback(asyncio.wait, {watching})
        self._stack.callback(watching.cancel)
        await self._friend.wait_caught_up()

    async def _watch(self) -> None:
        async for seen in self._friend.stream_and_signals({}):
            if isinstance(seen, ReadSignal) and seen.account == "me":
                self._read[seen.chat] = seen.message
            elif isinstance(seen, TypingSignal) and seen.account == "me":
                (self._typing.add if seen.typing else self._typing.discard)(seen.chat)

    async def stop(self) -> None:
        await self._stack.aclose()

    def settings(self) -> WebchatConfig:
        return WebchatConfig(url=self._server.url)

    async def answer(self, question: str) -> str:
        return self._tokens["me"]

    async def wrong_answer(self, question: str) -> str:
        return "no-token-of-anybody"

    def _client(self, account: str) -> WebchatClient:
        return WebchatClient(self._server.url, self._tokens[account])

    # --- what the friend does ---------------------------------------------------------------------------------------
    async def chat(self) -> PortalKey:
        # The account makes it, so that it may name everybody, rename it, and remove people.
        return PortalKey(ChatID((await self._me.create_chat("group", ["friend"], name="A group")).id))

    async def say(self, chat: PortalKey, text: str) -> RemoteMessageID:
        return RemoteMessageID((await self._friend.send(chat.chat, text)).id)

    async def say_mention(self, chat: PortalKey, before: str, name: str, after: str, user: RemoteUserID) -> None:
        start = len(before.encode("utf-16-le")) // 2  # as JavaScript counts
        mention = WebchatMention(start, start + len(name.encode("utf-16-le")) // 2, user=user)
        await self._friend.send(chat.chat, before + name + after, mentions=(mention,))

    async def reply(self, chat: PortalKey, text: str, to: RemoteMessageID) -> RemoteMessageID:
        return RemoteMessageID((await self._friend.send(chat.chat, text, reply_to=to)).id)

    async def say_file(self, chat: PortalKey, name: str, data: bytes) -> RemoteMessageID:
        file = await self._friend.reserve(name, size=len(data))
        await self._friend.upload(file, pieces(data), len(data))
        return RemoteMessageID((await self._friend.send(chat.chat, "", files=(File(id=file),))).id)

    async def edit(self, chat: PortalKey, message: RemoteMessageID, text: str) -> None:
        await self._friend.edit(chat.chat, message, text)

    async def delete(self, chat: PortalKey, message: RemoteMessageID) -> None:
        await self._friend.delete(chat.chat, message)

    async def react(self, chat: PortalKey, message: RemoteMessageID, emoji: str) -> None:
        await self._friend.react(chat.chat, message, emoji)

    async def unreact(self, chat: PortalKey, message: RemoteMessageID, emoji: str) -> None:
        await self._friend.unreact(chat.chat, message, emoji)

    async def mark_read(self, chat: PortalKey, message: RemoteMessageID) -> None:
        await self._friend.mark_read(chat.chat, message)

    async def set_typing(self, chat: PortalKey, typing: bool) -> None:
        await self._friend.set_typing(chat.chat, typing)

    async def add(self, chat: PortalKey, user: RemoteUserID) -> None:
        await self._friend.add_member(chat.chat, user)

    async def remove(self, chat: PortalKey, user: RemoteUserID) -> None:
        await self._friend.remove_member(chat.chat, user)

    async def rename(self, chat: PortalKey, name: str) -> None:
        await self._friend.change_chat(chat.chat, name=name)

    async def set_avatar(self, chat: PortalKey, data: bytes) -> None:
        file = await self._friend.reserve("picture.png", "image/png", len(data))
        await self._friend.upload(file, pieces(data), len(data))
        await self._friend.change_chat(chat.chat, avatar_url=FILES + file)

    async def set_role(self, chat: PortalKey, user: RemoteUserID, role: Role) -> None:
        await self._friend.set_role(chat.chat, user, role.value)

    # --- what the friend sees ---------------------------------------------------------------------------------------
    async def look(self, chat: PortalKey) -> Sequence[Post]:
        posts: dict[str, Post] = {}
        async for event in self._friend.history(chat.chat):
            replay(posts, event)
        return list(posts.values())

    async def file_of(self, chat: PortalKey, message: RemoteMessageID) -> bytes | None:
        async for event in self._friend.history(chat.chat):
            if isinstance(event, MessageEvent) and event.message.id == message:
                (file,) = event.message.files
                try:
                    async with self._friend.open_file(file.id, wait_ms=0) as download:
                        return b"".join([piece async for piece in download.chunks])
                except NotYet:
                    return None
        return None

    async def read_up_to(self, chat: PortalKey) -> RemoteMessageID | None:
        read = self._read.get(chat.chat)
        return RemoteMessageID(read) if read is not None else None

    async def is_typing(self, chat: PortalKey) -> bool:
        return chat.chat in self._typing

    async def members(self, chat: PortalKey) -> Collection[RemoteUserID]:
        return [RemoteUserID(member.id) for member in (await self._friend.chat(chat.chat)).members]

    async def name(self, chat: PortalKey) -> str:
        return (await self._friend.chat(chat.chat)).name

    async def avatar(self, chat: PortalKey) -> bytes | None:
        address = (await self._friend.chat(chat.chat)).avatar_url
        if address is None:
            return None
        async with self._friend.open_file(address.removeprefix(FILES), wait_ms=0) as download:
            return b"".join([piece async for piece in download.chunks])

    async def role(self, chat: PortalKey, user: RemoteUserID) -> Role:
        return Role((await self._friend.chat(chat.chat)).roles.get(user, "member"))

    # --- what goes wrong --------------------------------------------------------------------------------------------
    async def cut(self) -> None:
        await self._friend.set_fault("cut", account="me")

    async def refuse(self) -> None:
        await self._friend.set_fault("refuse", account="me", count=1, code="forbidden")

    async def be_busy(self) -> None:
        await self._friend.set_fault("refuse", account="me", count=1, code="unavailable", retry_after_ms=100)

    async def refuse_file(self) -> None:
        await self._friend.set_fault("refuse", account="me", act="upload", count=1, code="forbidden")

    async def break_download(self) -> None:
        await self._friend.set_fault("break", account="me", act="download", count=1, after_bytes=300_000)

    async def lose_answer(self) -> None:
        await self._friend.set_fault("cut", account="me", after=1)

    async def revoke(self) -> None:
        await self._friend.revoke_token("me")


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1 << 16):
        yield data[at : at + (1 << 16)]


def replay(posts: dict[str, Post], event: Event) -> None:
    """What an event makes of the messages of its chat."""
    match event:
        case MessageEvent(message=message) if not message.deleted:
            posts[message.id] = Post(
                id=RemoteMessageID(message.id),
                sender=RemoteUserID(message.sender),
                text=message.text,
                mentions=shown(message.text, message.mentions),
                reply_to=RemoteMessageID(message.reply_to) if message.reply_to else None,
                reactions=frozenset(),
            )
        case EditEvent() if event.target in posts:
            old = posts[event.target]
            posts[event.target] = Post(
                id=old.id,
                sender=old.sender,
                text=event.text,
                mentions=shown(event.text, event.mentions),
                reply_to=old.reply_to,
                reactions=old.reactions,
            )
        case DeleteEvent():
            posts.pop(event.target, None)
        case ReactionEvent() if event.target in posts:
            old = posts[event.target]
            assert isinstance(old.reactions, frozenset)
            one = frozenset({(RemoteUserID(event.actor), event.emoji)})
            posts[event.target] = Post(
                id=old.id,
                sender=old.sender,
                text=old.text,
                mentions=old.mentions,
                reply_to=old.reply_to,
                reactions=old.reactions | one if event.added else old.reactions - one,
            )


def shown(text: str, mentions: tuple[WebchatMention, ...]) -> tuple[tuple[str, RemoteUserID], ...]:
    """What the page shows as mentions: it counts as JavaScript does."""
    units = text.encode("utf-16-le")
    return tuple(
        (units[each.start * 2 : each.end * 2].decode("utf-16-le", "replace"), RemoteUserID(each.user))
        for each in mentions
        if each.user is not None
    )
