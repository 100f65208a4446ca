"""The driver of the network in memory, on which the runtime's tests stand: its adapter keeps the contract as well."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from bridgekit.errors import Rejected, Transient
from bridgekit.model.content import Mention, MentionUser, Text
from bridgekit.model.ids import PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.remote import (
    Avatar,
    Batch,
    RemoteChat,
    RemoteDelete,
    RemoteEdit,
    RemoteEvent,
    RemoteMember,
    RemoteMessage,
    RemoteReaction,
    RemoteReceipt,
    RemoteTyping,
    Role,
)
from bridgekit.testing.conformance import Post, Remote
from bridgekit.testing.network import Echo, FakeNetwork, Outcome

ME, FRIEND = RemoteUserID("me"), RemoteUserID("friend")
replace = msgspec.structs.replace


class FakeRemote(Remote):
    """Of a network that drops no repeats, and can be asked."""

    friend = FRIEND
    stranger = RemoteUserID("stranger")
    dedupes: ClassVar[bool] = False
    echo: ClassVar[Echo] = "nonce"
    returns_nonces = True

    async def start(self) -> None:
        self.network = FakeNetwork(dedupes=self.dedupes, confirms=not self.dedupes, echo=self.echo)
        self.network.people["friend"] = FRIEND
        self._chats = 0
        self._changes = 0

    async def stop(self) -> None:
        self.network.drop_connections()

    def settings(self) -> FakeNetwork:
        return self.network

    async def answer(self, question: str) -> str:
        return ME

    async def wrong_answer(self, question: str) -> str:
        return "wrong"

    async def chat(self) -> PortalKey:
        self._chats += 1
        return self.network.chat(f"chat{self._chats}", ME, FRIEND).portal

    # --- what the friend does ---------------------------------------------------------------------------------------
    async def say(self, chat: PortalKey, text: str) -> RemoteMessageID:
        return self._say(chat, text).id

    def _say(self, chat: PortalKey, text: str | Text, **more: Any) -> RemoteMessage:
        # Now: what is old when a session connects is not bridged as what is new.
        return self.network.say(chat.chat, FRIEND, text, at=time.time_ns() // 1_000_000, **more)

    async def say_mention(self, chat: PortalKey, before: str, name: str, after: str, user: RemoteUserID) -> None:
        mention = Mention(len(before), len(before) + len(name), MentionUser(user))
        self._say(chat, Text(before + name + after, mentions=(mention,)))

    async def reply(self, chat: PortalKey, text: str, to: RemoteMessageID) -> RemoteMessageID:
        return self._say(chat, text, reply_to=to).id

    async def say_file(self, chat: PortalKey, name: str, data: bytes) -> RemoteMessageID:
        ref = self.network.add_remote_file(data, name=name, pieces=1 << 16)
        return self._say(chat, "", media=(ref,)).id

    async def edit(self, chat: PortalKey, message: RemoteMessageID, text: str) -> None:
        edit = RemoteEdit(
            portal=chat, target=message, revision=self._change(), sender=FRIEND, timestamp=1, text=Text(text)
        )
        self.network.emit(edit)

    async def delete(self, chat: PortalKey, message: RemoteMessageID) -> None:
        self.network.emit(RemoteDelete(portal=chat, target=message, timestamp=1, sender=FRIEND))

    async def react(self, chat: PortalKey, message: RemoteMessageID, emoji: str) -> None:
        self._reacted(chat, message, emoji, added=True)

    async def unreact(self, chat: PortalKey, message: RemoteMessageID, emoji: str) -> None:
        self._reacted(chat, message, emoji, added=False)

    def _reacted(self, chat: PortalKey, message: RemoteMessageID, emoji: str, *, added: bool) -> None:
        reaction = RemoteReaction(
            portal=chat,
            target=message,
            sender=FRIEND,
            timestamp=1,
            emoji=emoji,
            added=added,
            occurrence=self._change(),
        )
        self.network.emit(reaction)

    def _change(self) -> str:
        self._changes += 1
        return f"change {self._changes}"

    async def mark_read(self, chat: PortalKey, message: RemoteMessageID) -> None:
        self.network.emit(RemoteReceipt(portal=chat, user=FRIEND, up_to=message))

    async def set_typing(self, chat: PortalKey, typing: bool) -> None:
        self.network.emit(RemoteTyping(portal=chat, user=FRIEND, typing=typing))

    async def set_avatar(self, chat: PortalKey, data: bytes) -> None:
        id = self._change()
        self.network.pictures[id] = data
        self.network.emit(RemoteChat(portal=chat, avatar=Avatar(id)))

    async def add(self, chat: PortalKey, user: RemoteUserID) -> None:
        self.network.emit(RemoteMember(portal=chat, user=user, joined=True, by=FRIEND))

    async def set_role(self, chat: PortalKey, user: RemoteUserID, role: Role) -> None:
        self.network.emit(RemoteChat(portal=chat, roles={user: role}))

    # --- what the friend sees ---------------------------------------------------------------------------------------
    async def look(self, chat: PortalKey) -> Sequence[Post]:
        posts: dict[str, Post] = {}
        for item, _ in self.network._stream:
            for event in item.events if isinstance(item, Batch) else (item,):
                if getattr(event, "portal", None) == chat:
                    replay(posts, event)
        return list(posts.values())

    async def file_of(self, chat: PortalKey, message: RemoteMessageID) -> bytes | None:
        number = int(message.removeprefix("s"))
        nonce = self.network.tries[number - 1]
        media = next(said.media for _, said in self.network.spoken if said.nonce == nonce)
        return self.network.file(media.remote) if media is not None else None

    async def read_up_to(self, chat: PortalKey) -> RemoteMessageID | None:
        read = [receipt.up_to for receipt in self.network.receipts if receipt.portal == chat]
        return read[-1] if read else None

    async def is_typing(self, chat: PortalKey) -> bool:
        told = [each.typing for each in self.network.typing if each.portal == chat]
        return bool(told) and told[-1]

    async def avatar(self, chat: PortalKey) -> bytes | None:
        given = [each.data for each in self.network.avatars_set if each.portal == chat]
        return (given[-1] or None) if given else None

    async def role(self, chat: PortalKey, user: RemoteUserID) -> Role:
        return self.network.roles.get(chat, {}).get(user, Role.MEMBER)

    # --- what goes wrong --------------------------------------------------------------------------------------------
    async def cut(self) -> None:
        self.network.drop_connections()

    async def refuse(self) -> None:
        self._next(Outcome(Rejected("not here")))

    async def be_busy(self) -> None:
        self._next(Outcome(Transient("busy")))

    async def refuse_file(self) -> None:
        self.network.upload_errors.append(Rejected("no files here"))

    async def break_download(self) -> None:
        for file in self.network.remote_files.values():
            file.cut_after, file.times = 300_000, file.opened + 1

    async def lose_answer(self) -> None:
        self._next(Outcome(ConnectionError("gone"), taken=True))

    def _next(self, outcome: Outcome) -> None:
        self.network.outcomes.append(outcome)
        self.network.deed_outcomes["edit"].append(outcome)


def replay(posts: dict[str, Post], event: RemoteEvent) -> None:
    """What an event makes of the messages of its chat."""
    match event:
        case RemoteMessage():
            mentions = tuple(
                (event.text.body[each.start : each.end], each.target.id)
                for each in event.text.mentions
                if isinstance(each.target, MentionUser)
            )
            posts[event.id] = Post(
                id=event.id,
                sender=event.sender,
                text=event.text.body,
                mentions=mentions,
                reply_to=event.reply_to if event.sender != ME else msgspec.UNSET,  # its echoes do not say
                reactions=frozenset(),
            )
        case RemoteEdit() if event.target in posts:
            posts[event.target] = replace(posts[event.target], text=event.text.body)
        case RemoteDelete():
            posts.pop(event.target, None)
        case RemoteReaction() if event.target in posts:
            old = posts[event.target].reactions
            assert isinstance(old, frozenset)
            one = frozenset({(event.sender, event.emoji)})
            posts[event.target] = replace(posts[event.target], reactions=old | one if event.added else old - one)
