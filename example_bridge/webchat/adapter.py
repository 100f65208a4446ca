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
    CanDescribe,
    CanResolve,
    CanSend,
    ChatID,
    ChatKind,
    Cursor,
    Cursors,
    Limits,
    Login,
    LoginID,
    MatrixMessage,
    Mention,
    MentionRole,
    MentionRoom,
    MentionTarget,
    MentionUser,
    Network,
    Nonce,
    PortalKey,
    Prompt,
    Rejected,
    RemoteCaughtUp,
    RemoteChat,
    RemoteEvent,
    RemoteMember,
    RemoteMessage,
    RemoteMessageID,
    RemoteProfile,
    RemoteProgress,
    RemoteUserID,
    Run,
    Sent,
    Session,
    Style,
    Text,
    Transient,
)
from example_bridge.webchat import client as webchat


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
            # Agents may speak for others under the others' names; for visitors the framework writes the name down.
            yield kind(client, Limits(max_text_length=info.max_text_length, shows_speaker=me.kind == "agent"))


class WebchatSessionWithoutDedupe(Session, CanSend, CanDescribe, CanResolve):
    """One account's connection to a webchat that keeps no nonces."""

    def __init__(self, client: webchat.WebchatClient, limits: Limits) -> None:
        self._client = client
        self._limits = limits

    def limits(self, portal: PortalKey) -> Limits:
        return self._limits

    # --- from the network -----------------------------------------------------------------------------------------
    async def events(self, after: Cursors) -> AsyncIterator[RemoteEvent | Batch]:
        cursors = {chat: int(seq) for chat, seq in after.items()}
        with _as_adapter_errors():
            # Before the stream: what changes from now on comes there, and is the later word.
            yield Batch(events=tuple(_remote_chat(chat) for chat in await self._client.chats()))
            async with aclosing(self._client.stream_and_ready(cursors)) as stream:
                async for event in stream:
                    if isinstance(event, webchat.Ready):
                        yield RemoteCaughtUp()
                    elif event.seq > cursors.get(event.chat, 0):
                        cursors[event.chat] = event.seq
                        yield _remote_event(event)

    async def describe_chat(self, portal: PortalKey) -> RemoteChat:
        with _as_adapter_errors():
            return _remote_chat(await self._client.chat(portal.chat))

    async def describe_user(self, user: RemoteUserID) -> RemoteProfile:
        with _as_adapter_errors():
            return _remote_profile(await self._client.account(user))

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
        return _remote_profile(found[0]) if found else None

    async def open_chat(self, user: RemoteUserID) -> RemoteChat:
        with _as_adapter_errors():
            # Without an id of our own the webchat gives the chat that these two have, if they have one.
            return _remote_chat(await self._client.create_chat("direct", [user]))

    # --- to the network -------------------------------------------------------------------------------------------
    async def send(self, message: MatrixMessage) -> Sent:
        who = message.speaker
        shown_as = None
        if who.relayed and self._limits.shows_speaker:
            shown_as = webchat.Persona(who.name, who.avatar_url or None)
        with _as_adapter_errors():
            receipt = await self._client.send(
                message.portal.chat,
                message.text.body,
                format=tuple(
                    webchat.Span(run.start, run.end, run.style.value, run.value, run.level, run.ordinal)
                    for run in message.text.runs
                ),
                mentions=tuple(_webchat_mention(mention) for mention in message.text.mentions),
                nonce=message.nonce,
                reply_to=message.reply_to,
                shown_as=shown_as,
            )
        return Sent(ids=(RemoteMessageID(receipt.id),), timestamp=receipt.timestamp)


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


def _remote_chat(chat: webchat.Chat) -> RemoteChat:
    return RemoteChat(
        portal=PortalKey(ChatID(chat.id)),
        kind=ChatKind.DIRECT if chat.kind == "direct" else ChatKind.GROUP,
        name=chat.name,
        avatar=Avatar(chat.avatar_url or ""),
        members=tuple(RemoteUserID(member.id) for member in chat.members),
    )


def _remote_profile(account: webchat.Account) -> RemoteProfile:
    return RemoteProfile(user=RemoteUserID(account.id), name=account.name, avatar=Avatar(account.avatar_url or ""))


def _remote_event(event: webchat.Event) -> RemoteEvent:
    portal = PortalKey(ChatID(event.chat))
    cursor = Cursor(event.chat, str(event.seq))
    match event:
        case webchat.MessageEvent(message=message):
            return RemoteMessage(
                portal=portal,
                id=RemoteMessageID(message.id),
                sender=RemoteUserID(message.sender),
                timestamp=message.timestamp,
                text=_text(message),
                reply_to=RemoteMessageID(message.reply_to) if message.reply_to else None,
                nonce=Nonce(message.nonce) if message.nonce else None,
                cursor=cursor,
            )
        case webchat.MemberEvent():
            return RemoteMember(
                portal=portal, user=RemoteUserID(event.member.id), joined=event.membership == "join", cursor=cursor
            )
        case webchat.ProfileEvent(profile=profile):
            return RemoteProfile(
                user=RemoteUserID(event.actor),
                name=profile.name,
                avatar=Avatar(profile.avatar_url or ""),
                cursor=cursor,
            )
        case webchat.ChatEvent(info=info):
            return RemoteChat(
                portal=portal,
                kind=ChatKind.DIRECT if info.kind == "direct" else ChatKind.GROUP,
                name=info.name,
                avatar=Avatar(info.avatar_url or ""),
                cursor=cursor,
            )
    return RemoteProgress(cursor=cursor)


def _text(message: webchat.Message) -> Text:
    return Text(
        message.text,
        runs=tuple(
            Run(span.start, span.end, Style(span.style), span.value, span.level, span.ordinal)
            for span in message.format
            if span.style in _STYLES
        ),
        mentions=tuple(Mention(m.start, m.end, _target(m)) for m in message.mentions),
    )


_STYLES = frozenset(style.value for style in Style)


def _target(mention: webchat.Mention) -> MentionTarget:
    if mention.user is not None:
        return MentionUser(RemoteUserID(mention.user))
    return MentionRole(mention.role) if mention.role is not None else MentionRoom()


def _webchat_mention(mention: Mention) -> webchat.Mention:
    match mention.target:
        case MentionUser(id=user):
            return webchat.Mention(mention.start, mention.end, user=user)
        case MentionRole(id=role):
            return webchat.Mention(mention.start, mention.end, role=role)
    return webchat.Mention(mention.start, mention.end, room=True)
