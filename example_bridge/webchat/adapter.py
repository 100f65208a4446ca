"""The adapter for webchat: the one to copy from.

It is read from top to bottom: what an admin configures, how a person logs in, then the session: what comes from the
network, what goes to it, what can be asked of it; last, what its errors mean. `translate` has the words of both sides.

The framework is `bk`, the network is `webchat`; nothing here knows what is on the framework's other side.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Annotated

import aiohttp
import msgspec

from bridgekit import adapter as bk
from example_bridge.webchat import client as webchat
from example_bridge.webchat import translate


class WebchatConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The webchat."""

    url: Annotated[
        str, msgspec.Meta(pattern=r"^https?://", description="The webchat server, such as http://127.0.0.1:8080.")
    ]


class WebchatAdapter(bk.Adapter):
    """The network as a whole: logs people in, and opens a session for each account."""

    network = bk.Network(id="webchat", name="Webchat")
    config = WebchatConfig
    settings: WebchatConfig

    async def login(self, prompt: bk.Prompt) -> bk.Login:
        """A webchat account is its token: ask for it, and see whose it is."""
        token = await prompt.ask("Your webchat token, please.", secret=True)
        async with webchat.WebchatClient(self.settings.url, token) as client:
            try:
                me = await client.me()
            except webchat.Unauthorized:
                raise bk.Rejected("the webchat does not know this token") from None
            except webchat.WebchatError as error:
                raise bk.Rejected(f"the webchat cannot be reached ({error})") from None
        return bk.Login(id=bk.LoginID(me.id), user=bk.RemoteUserID(me.id), name=me.name, secrets={"token": token})

    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncIterator[bk.Session]:
        """The account's client, open for as long as its session lives."""
        async with webchat.WebchatClient(self.settings.url, login.secrets["token"]) as client:
            with translated_errors():
                info, me = await client.info(), await client.me()
            # Agents may speak for others under the others' names; for visitors the framework writes the name down.
            limits = bk.Limits(max_text_length=info.max_text_length, shows_speaker=me.kind == "agent")
            # Whether repeats are dropped is a setting of the server. A capability belongs to a class, so there are two.
            kind = WebchatSession if info.dedupe_seconds else WebchatSessionWithoutDedupe
            yield kind(client, limits)


class WebchatSessionWithoutDedupe(bk.Session, bk.CanSend, bk.CanDescribe, bk.CanResolve):
    """One account's connection to a webchat that takes every repeat for a new message."""

    def __init__(self, client: webchat.WebchatClient, limits: bk.Limits) -> None:
        self._client = client
        self._limits = limits

    def limits(self, portal: bk.PortalKey) -> bk.Limits:
        """The same in every chat."""
        return self._limits

    # --- what comes from the network ------------------------------------------------------------------------------
    async def events(self, after: bk.Cursors) -> AsyncIterator[bk.RemoteEvent | bk.Batch]:
        """All chats, then everything after the cursors, then what happens from now on. When one of these lines goes on
        after its ``yield``, what it yielded is on disk; a network that wants to be told so is told there."""
        # The webchat counts each chat's events by themselves, so there is a cursor for each chat.
        cursors = {chat: int(seq) for chat, seq in after.items()}
        with translated_errors():
            # All chats as they are now, before the stream: what changes from now on comes there, and is the later word.
            yield bk.Batch(events=tuple(translate.chat(each) for each in await self._client.chats()))
            async with aclosing(self._client.stream_and_ready(cursors)) as stream:
                async for event in stream:
                    if isinstance(event, webchat.Ready):
                        yield bk.RemoteCaughtUp()
                    elif event.seq > cursors.get(event.chat, 0):  # a network may repeat itself
                        cursors[event.chat] = event.seq
                        yield translate.event(event)

    # --- what goes to the network ---------------------------------------------------------------------------------
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        """Returns once the webchat has the message on its disk. It is never repeated here: only the framework knows
        whether that would do harm."""
        speaker, shown_as = message.speaker, None
        if speaker.relayed and self._limits.shows_speaker:
            shown_as = webchat.Persona(speaker.name, speaker.avatar_url or None)
        with translated_errors():
            receipt = await self._client.send(
                message.portal.chat,
                message.text.body,
                format=translate.spans(message.text),
                mentions=translate.mentions(message.text),
                nonce=message.nonce,
                reply_to=message.reply_to,
                shown_as=shown_as,
            )
        return bk.Sent(ids=(bk.RemoteMessageID(receipt.id),), timestamp=receipt.timestamp)

    # --- what chats and people look like --------------------------------------------------------------------------
    async def describe_chat(self, portal: bk.PortalKey) -> bk.RemoteChat:
        """What a chat is called, and who is in it."""
        with translated_errors():
            return translate.chat(await self._client.chat(portal.chat))

    async def describe_user(self, user: bk.RemoteUserID) -> bk.RemoteProfile:
        """What somebody is called and looks like."""
        with translated_errors():
            return translate.profile(await self._client.account(user))

    async def open_avatar(self, avatar: bk.Avatar) -> AsyncIterator[bytes]:
        """The picture, piece by piece: here its id is its address."""
        # A connection of its own: the picture may be anybody's, who must not be shown our token.
        async with aiohttp.ClientSession() as http, http.get(avatar.id) as response:
            if response.status != 200:
                raise bk.Rejected(f"the picture's server answered {response.status}")
            async for piece in response.content.iter_chunked(65_536):
                yield piece

    # --- chats that begin on the other side -----------------------------------------------------------------------
    async def resolve(self, identifier: str) -> bk.RemoteProfile | None:
        """By id, or by the whole name, whatever its capitals."""
        with translated_errors():
            accounts = await self._client.accounts()
        wanted = identifier.casefold()
        found = [account for account in accounts if account.id == identifier] or [
            account for account in accounts if account.name.casefold() == wanted
        ]
        if len(found) > 1:
            ids = ", ".join(sorted(account.id for account in found)[:10])
            raise bk.Rejected(f"several people are called that; say the id of one: {ids}")
        return translate.profile(found[0]) if found else None

    async def open_chat(self, user: bk.RemoteUserID) -> bk.RemoteChat:
        """The chat that these two have, or a new one. May be repeated: without an id of our own, the webchat gives what
        there is."""
        with translated_errors():
            return translate.chat(await self._client.create_chat("direct", [user]))


class WebchatSession(WebchatSessionWithoutDedupe):
    """One account's connection to a webchat that drops repeated nonces, for at least an hour."""

    dedupes_for = timedelta(hours=1)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Says what a webchat error means: the type that is raised decides what becomes of a message."""
    try:
        yield
    except webchat.Unauthorized as error:
        raise bk.AuthFailed("the webchat does not accept the token any more") from error
    except webchat.Unavailable as error:  # the network took nothing
        seconds = None if error.retry_after_ms is None else error.retry_after_ms / 1000
        raise bk.Transient(f"the webchat is not available ({error})", retry_after=seconds) from error
    except webchat.Refused as error:
        raise bk.Rejected(f"the webchat refused it ({error.message})") from error
    except webchat.Disconnected as error:
        # Whether it was taken, nobody knows: the framework decides by what the network drops.
        raise ConnectionError(str(error)) from error
