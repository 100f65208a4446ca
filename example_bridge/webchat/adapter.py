"""The bridge's side of webchat: all that the framework needs to know about the network, and nothing of Matrix."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Annotated

import aiohttp
import msgspec

from bridgekit.adapter import (
    Adapter,
    AuthFailed,
    Avatar,
    Batch,
    CanDelete,
    CanDescribe,
    CanEdit,
    CanInvite,
    CanLeave,
    CanMarkRead,
    CanReact,
    CanRemove,
    CanRename,
    CanResolve,
    CanSend,
    CanType,
    Cursors,
    Limits,
    Login,
    LoginID,
    MatrixDelete,
    MatrixEdit,
    MatrixMember,
    MatrixMessage,
    MatrixReaction,
    MatrixReceipt,
    MatrixTyping,
    Network,
    NotSupported,
    PortalKey,
    Prompt,
    Rejected,
    RemoteCaughtUp,
    RemoteChat,
    RemoteEvent,
    RemoteMessageID,
    RemoteProfile,
    RemoteUserID,
    Sent,
    Session,
    Transient,
)
from example_bridge.webchat import client as webchat
from example_bridge.webchat.standing import Standing
from example_bridge.webchat.translate import (
    remote_chat,
    remote_event,
    remote_profile,
    remote_signal,
    webchat_format,
    webchat_mentions,
)

MAX_REASON = 1000
"""Code points of a reason that the webchat takes."""


class WebchatConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The webchat."""

    url: Annotated[
        str, msgspec.Meta(pattern=r"^https?://", description="The webchat server, such as http://127.0.0.1:8080.")
    ]


class WebchatAdapter(Adapter):
    """Logs in to the webchat and connects accounts."""

    network = Network(id="webchat", name="Webchat")
    config = WebchatConfig
    settings: WebchatConfig

    async def login(self, prompt: Prompt) -> Login:
        token = await prompt.ask("Your webchat token, please.", secret=True)
        async with webchat.WebchatClient(self.settings.url, token) as client:
            try:
                me = await client.me()
            except webchat.Unauthorized:
                raise Rejected("the webchat does not know this token") from None
            except webchat.WebchatError as error:
                raise Rejected(f"the webchat cannot be reached ({error})") from None
        return Login(id=LoginID(me.id), user=RemoteUserID(me.id), name=me.name, secrets={"token": token})

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Session]:
        async with webchat.WebchatClient(self.settings.url, login.secrets["token"]) as client:
            with _as_adapter_errors():
                info, me = await client.info(), await client.me()
            # How long the webchat drops repeats is the server's setting; a session that must not rely on it is another
            # class, because a capability is declared by the class.
            kind = WebchatSession if info.dedupe_seconds else WebchatSessionWithoutDedupe
            yield kind(client, me, info)


class WebchatSessionWithoutDedupe(
    Session,
    CanSend,
    CanEdit,
    CanDelete,
    CanReact,
    CanMarkRead,
    CanType,
    CanDescribe,
    CanResolve,
    CanInvite,
    CanRemove,
    CanLeave,
    CanRename,
):
    """One account's connection to a webchat that keeps no nonces."""

    def __init__(self, client: webchat.WebchatClient, me: webchat.Account, info: webchat.Info) -> None:
        self._client = client
        self._me = me
        self._info = info
        self._standing = Standing(me)  # what the account is in each chat

    def limits(self, portal: PortalKey) -> Limits:
        return Limits(
            max_text_length=self._info.max_text_length,
            # Agents may speak for others under the others' names; for visitors the framework writes the name down.
            shows_speaker=self._me.kind == "agent",
            threads=False,
            hidden_mentions=False,
            room_mentions=self._standing.may_name_everybody(portal.chat),
        )

    # --- from the network -----------------------------------------------------------------------------------------
    async def events(self, after: Cursors) -> AsyncIterator[RemoteEvent | Batch]:
        cursors = {chat: int(seq) for chat, seq in after.items()}
        with _as_adapter_errors():
            # Before the stream: what changes from now on comes there, and is the later word.
            chats = await self._client.chats()
            yield Batch(events=tuple(self._known(chat) for chat in chats))
            async with aclosing(self._client.stream_and_signals(cursors)) as stream:
                async for event in stream:
                    if isinstance(event, webchat.Ready):
                        yield RemoteCaughtUp()
                    elif isinstance(event, webchat.Signal):
                        signal = remote_signal(event)
                        if signal is not None:
                            yield signal
                    elif event.seq > cursors.get(event.chat, 0):
                        cursors[event.chat] = event.seq
                        self._standing.learn_from(event)
                        yield remote_event(event, self._me.id)

    def _known(self, chat: webchat.Chat) -> RemoteChat:
        self._standing.learn(chat)
        return remote_chat(chat)

    async def describe_chat(self, portal: PortalKey) -> RemoteChat:
        with _as_adapter_errors():
            return self._known(await self._client.chat(portal.chat))

    async def describe_user(self, user: RemoteUserID) -> RemoteProfile:
        with _as_adapter_errors():
            return remote_profile(await self._client.account(user))

    async def open_avatar(self, avatar: Avatar) -> AsyncIterator[bytes]:
        async with aiohttp.ClientSession() as http, http.get(avatar.id) as response:
            if response.status != 200:
                raise Rejected(f"the picture's server answered {response.status}")
            async for piece in response.content.iter_chunked(65_536):
                yield piece

    # --- conversations that begin on the other side ---------------------------------------------------------------
    async def resolve(self, identifier: str) -> RemoteProfile | None:
        with _as_adapter_errors():
            accounts = await self._client.accounts()
        wanted = identifier.casefold()
        found = [account for account in accounts if account.id == identifier] or [
            account for account in accounts if account.name.casefold() == wanted
        ]
        if len(found) > 1:
            ids = ", ".join(sorted(account.id for account in found)[:10])
            raise Rejected(f"several people are called that; say the id of one: {ids}")
        return remote_profile(found[0]) if found else None

    async def open_chat(self, user: RemoteUserID) -> RemoteChat:
        with _as_adapter_errors():
            # Without an id of our own the webchat gives the chat that these two have, if they have one.
            return self._known(await self._client.create_chat("direct", [user]))

    # --- to the network -------------------------------------------------------------------------------------------
    async def send(self, message: MatrixMessage) -> Sent:
        who = message.speaker
        shown_as = None
        if who.relayed and self._me.kind == "agent":
            shown_as = webchat.Persona(who.name, who.avatar_url or None)
        with _as_adapter_errors():
            receipt = await self._client.send(
                message.portal.chat,
                message.text.body,
                format=webchat_format(message.text),
                mentions=webchat_mentions(message.text),
                nonce=message.nonce,
                reply_to=message.reply_to,
                shown_as=shown_as,
            )
        return Sent(ids=(RemoteMessageID(receipt.id),), timestamp=receipt.timestamp)

    async def edit(self, edit: MatrixEdit) -> Sent:
        with _as_adapter_errors():
            receipt = await self._client.edit(
                edit.portal.chat,
                edit.target,
                edit.text.body,
                format=webchat_format(edit.text),
                mentions=webchat_mentions(edit.text),
                nonce=edit.nonce,
            )
        return Sent(ids=(), timestamp=receipt.timestamp)  # the message keeps its id

    async def delete(self, delete: MatrixDelete) -> None:
        with _as_adapter_errors():
            await self._client.delete(delete.portal.chat, delete.target, reason=delete.reason[:MAX_REASON])

    async def react(self, reaction: MatrixReaction) -> None:
        if reaction.emoji_id:
            raise NotSupported("the webchat has no emoji but those that are text")
        with _as_adapter_errors():
            await self._client.react(reaction.portal.chat, reaction.target, reaction.emoji, nonce=f"{reaction.nonce}+")

    async def unreact(self, reaction: MatrixReaction) -> None:
        # A nonce of its own: this is another act than the reaction, should both come with the same one.
        with _as_adapter_errors():
            await self._client.unreact(
                reaction.portal.chat, reaction.target, reaction.emoji, nonce=f"{reaction.nonce}-"
            )

    async def mark_read(self, receipt: MatrixReceipt) -> None:
        with _as_adapter_errors():
            await self._client.mark_read(receipt.portal.chat, receipt.up_to)

    async def set_typing(self, typing: MatrixTyping) -> None:
        with _as_adapter_errors():
            await self._client.set_typing(typing.portal.chat, typing.typing)

    # --- who is there, and what it is called ----------------------------------------------------------------------
    async def invite(self, member: MatrixMember) -> None:
        with _as_adapter_errors():
            await self._client.add_member(member.portal.chat, member.user)

    async def remove(self, member: MatrixMember, *, ban: bool) -> None:
        with _as_adapter_errors():
            await self._client.remove_member(
                member.portal.chat, member.user, ban=ban, reason=member.reason[:MAX_REASON]
            )

    async def leave(self, portal: PortalKey) -> None:
        with _as_adapter_errors():
            await self._client.remove_member(portal.chat, self._me.id)

    async def rename(self, portal: PortalKey, *, name: str | None, topic: str | None) -> None:
        with _as_adapter_errors():
            await self._client.change_chat(portal.chat, name=name, topic=topic)


class WebchatSession(WebchatSessionWithoutDedupe):
    """One account's connection to a webchat that drops repeated nonces, for at least an hour."""

    dedupes_for = timedelta(hours=1)


class _as_adapter_errors:
    """Says in the framework's words what a webchat error means."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        match error:
            case webchat.Unauthorized():
                raise AuthFailed("the webchat does not accept the token any more") from error
            case webchat.Unavailable():
                seconds = None if error.retry_after_ms is None else error.retry_after_ms / 1000
                raise Transient(f"the webchat is not available ({error})", retry_after=seconds) from error
            case webchat.Refused():
                raise Rejected(f"the webchat refused it ({error.message})") from error
            case webchat.Disconnected():
                # Whether it was taken, nobody knows: the framework decides by what the network drops.
                raise ConnectionError(str(error)) from error
