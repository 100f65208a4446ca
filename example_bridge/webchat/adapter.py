"""The adapter for webchat: the one to copy from.

It is read from top to bottom: what an admin configures, how a person logs in, then the session: what comes from the
network, what goes to it, what can be asked of it; last, what its errors mean. `translate` has the words of both sides,
`standing` what the account is in each chat.

The framework is `bk`, the network is `webchat`; nothing here knows what is on the framework's other side.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Annotated

import msgspec

from bridgekit import adapter as bk
from example_bridge.webchat import calling, translate
from example_bridge.webchat import client as webchat
from example_bridge.webchat.pictures import give_picture, open_own, open_picture
from example_bridge.webchat.standing import Standing

MAX_REASON = 1000
"""Code points of a reason that the webchat takes."""


class WebchatConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The webchat."""

    url: Annotated[
        str, msgspec.Meta(pattern=r"^https?://", description="The webchat server, such as http://127.0.0.1:8080.")
    ]
    trickle: Annotated[
        bool, msgspec.Meta(description="Calls: candidates go one by one, for pages that were opened with ?trickle.")
    ] = False


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
            # Whether repeats are dropped is a setting of the server. A capability belongs to a class, so there are two.
            kind = WebchatSession if info.dedupe_seconds else WebchatSessionWithoutDedupe
            yield kind(client, me, info, trickle=self.settings.trickle)


class WebchatSessionWithoutDedupe(
    bk.Session,
    bk.CanSend,
    bk.CanEdit,
    bk.CanDelete,
    bk.CanFetchMedia,
    bk.CanUploadMedia,
    bk.CanReact,
    bk.CanMarkRead,
    bk.CanType,
    bk.CanDescribe,
    bk.CanResolve,
    bk.CanInvite,
    bk.CanRemove,
    bk.CanLeave,
    bk.CanRename,
    bk.CanSetAvatar,
    bk.CanSetRole,
    bk.CanCall,
):
    """One account's connection to a webchat that takes every repeat for a new message."""

    def __init__(
        self, client: webchat.WebchatClient, me: webchat.Account, info: webchat.Info, *, trickle: bool = False
    ) -> None:
        self._client = client
        self._trickle = trickle
        self._me = me
        self._info = info
        self._standing = Standing(me)

    def limits(self, portal: bk.PortalKey) -> bk.Limits:
        """Who may name everybody at once differs from chat to chat; the rest is the same in all."""
        return bk.Limits(
            max_text_length=self._info.max_text_length,
            # Agents may speak for others under the others' names; for visitors the framework writes the name down.
            shows_speaker=self._me.kind == "agent",
            formatting=frozenset(bk.Style),
            replies=True,
            captions=True,
            room_mentions=self._standing.may_name_everybody(portal.chat),
            max_media_size=self._info.max_upload_size,
            locations=True,
            trickle="trickle" if self._trickle else "none",
            ring_for=timedelta(milliseconds=calling.MAX_RING_MS),
        )

    # --- what comes from the network ------------------------------------------------------------------------------
    async def events(self, after: bk.Cursors) -> AsyncIterator[bk.RemoteEvent | bk.Batch]:
        """All chats, then everything after the cursors, then what happens from now on. When one of these lines goes on
        after its ``yield``, what it yielded is on disk; a network that wants to be told so is told there."""
        # The webchat counts each chat's events by themselves, so there is a cursor for each chat.
        cursors = {chat: int(seq) for chat, seq in after.items()}
        with translated_errors():
            # All chats as they are now, before the stream: what changes from now on comes there, and is the later word.
            chats = await self._client.chats()
            yield bk.Batch(events=tuple(self._known(each) for each in chats))
            async with aclosing(self._client.stream_and_signals(cursors)) as stream:
                async for event in stream:
                    if isinstance(event, webchat.Ready):
                        yield bk.RemoteCaughtUp()
                    elif isinstance(event, webchat.CallFrame):
                        if (told := calling.frame(event, self._me.id)) is not None:
                            yield told
                    elif isinstance(event, webchat.Signal):
                        if (signal := translate.signal(event)) is not None:
                            yield signal
                    elif event.seq > cursors.get(event.chat, 0):  # a network may repeat itself
                        cursors[event.chat] = event.seq
                        self._standing.learn_from(event)
                        # Of a chat that is new here, what has been is history.
                        if isinstance(event, webchat.CallEvent) and event.chat in after:
                            for missed in calling.missed(event, self._me.id):
                                yield missed
                        yield translate.event(event, self._me.id)

    # --- what goes to the network ---------------------------------------------------------------------------------
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        """Returns once the webchat has the message on its disk. It is never repeated here: only the framework knows
        whether that would do harm."""
        speaker, shown_as = message.speaker, None
        if speaker.relayed and self._me.kind == "agent":
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
                files=translate.files(message),
                location=translate.location(message.location),
            )
        return bk.Sent(ids=(bk.RemoteMessageID(receipt.id),), timestamp=receipt.timestamp)

    async def edit(self, edit: bk.MatrixEdit) -> bk.Sent:
        """The message keeps its id."""
        with translated_errors():
            receipt = await self._client.edit(
                edit.portal.chat,
                edit.target,
                edit.text.body,
                format=translate.spans(edit.text),
                mentions=translate.mentions(edit.text),
                nonce=edit.nonce,
            )
        return bk.Sent(ids=(), timestamp=receipt.timestamp)

    async def delete(self, delete: bk.MatrixDelete) -> None:
        """One's own, or as a moderator anybody's. What is deleted already, the webchat takes for done."""
        with translated_errors():
            await self._client.delete(delete.portal.chat, delete.target, reason=delete.reason[:MAX_REASON])

    async def react(self, reaction: bk.MatrixReaction) -> None:
        """Any emoji that is text; there are no pictures."""
        if reaction.emoji_id:
            raise bk.NotSupported("the webchat has no emoji but those that are text")
        with translated_errors():
            await self._client.react(reaction.portal.chat, reaction.target, reaction.emoji, nonce=f"{reaction.nonce}+")

    async def unreact(self, reaction: bk.MatrixReaction) -> None:
        """With another nonce than `react`: it is another act, though it may be about the same reaction."""
        with translated_errors():
            await self._client.unreact(
                reaction.portal.chat, reaction.target, reaction.emoji, nonce=f"{reaction.nonce}-"
            )

    async def mark_read(self, receipt: bk.MatrixReceipt) -> None:
        """An older place than the webchat knows already changes nothing there."""
        with translated_errors():
            await self._client.mark_read(receipt.portal.chat, receipt.up_to)

    async def set_typing(self, typing: bk.MatrixTyping) -> None:
        """It ends by itself after ten seconds, if it is not told again."""
        with translated_errors():
            await self._client.set_typing(typing.portal.chat, typing.typing)

    # --- files ----------------------------------------------------------------------------------------------------
    @asynccontextmanager
    async def open_media(self, message: bk.RemoteMessage, ref: bk.MediaRef) -> AsyncIterator[bk.MediaStream]:
        """A file that the webchat has only announced is `Transient` until its sender has uploaded it."""
        with translated_errors():
            async with self._client.open_file(ref.id) as file:
                yield bk.MediaStream(_translated(file.chunks), file.size, file.mimetype, file.name)

    async def reserve(self, portal: bk.PortalKey, media: bk.MatrixMedia) -> str:
        """The webchat takes messages whose files are still on their way."""
        with translated_errors():
            return await self._client.reserve(*translate.announcement(media))

    async def upload(self, portal: bk.PortalKey, media: bk.MatrixMedia) -> str:
        """Straight through, piece by piece."""
        file = media.remote or await self.reserve(portal, media)
        with translated_errors():
            async with media.open() as stream:
                try:
                    await self._client.upload(file, stream.chunks, stream.size)
                except webchat.Refused as error:
                    # An attempt whose answer was lost has brought it: nobody but us uploads to what we reserved.
                    if error.code != "conflict":
                        raise
        return file

    # --- calls ----------------------------------------------------------------------------------------------------
    async def offer(self, offer: bk.MatrixCallOffer) -> None:
        """Somebody who is in another call says so by an event, as everybody else does."""
        await self._tell(calling.offer(offer, trickle=self._trickle))

    async def answer(self, answer: bk.MatrixCallAnswer) -> None:
        """From now on the call is this session's."""
        await self._tell(calling.answer(answer))

    async def candidates(self, candidates: bk.MatrixCallCandidates) -> None:
        """Only where the webchat trickles."""
        await self._tell(calling.candidates(candidates))

    async def update(self, update: bk.MatrixCallUpdate) -> None:
        """Hold, video and other ways for the media: the page reads them from the description."""
        await self._tell(calling.update(update))

    async def mute(self, mute: bk.MatrixCallMute) -> None:
        """The page shows who is muted."""
        await self._tell(calling.mute(mute))

    async def progress(self, progress: bk.MatrixCallProgress) -> None:
        """The page shows that it rings."""
        if (frame := calling.progress(progress)) is not None:
            await self._tell(frame)

    async def reject(self, reject: bk.MatrixCallReject) -> None:
        """With the reason."""
        await self._tell(calling.reject(reject))

    async def hang_up(self, hang_up: bk.MatrixCallHangUp) -> None:
        """One that is over already is over."""
        await self._tell(calling.hang_up(hang_up))

    async def _tell(self, frame: webchat.CallFrame) -> None:
        with translated_errors():
            await self._client.tell_of_call(frame)

    # --- who is in a chat, and what it is called ------------------------------------------------------------------
    async def invite(self, member: bk.MatrixMember) -> None:
        """Bring somebody into a group: at once, without being asked."""
        with translated_errors():
            await self._client.add_member(member.portal.chat, member.user)

    async def remove(self, member: bk.MatrixMember, *, ban: bool) -> None:
        """The webchat says no to who may not."""
        with translated_errors():
            await self._client.remove_member(
                member.portal.chat, member.user, ban=ban, reason=member.reason[:MAX_REASON]
            )

    async def leave(self, portal: bk.PortalKey) -> None:
        """Out of a group; a chat of two stays."""
        with translated_errors():
            await self._client.remove_member(portal.chat, self._me.id)

    async def rename(self, portal: bk.PortalKey, *, name: str | None, topic: str | None) -> None:
        """What is None stays as it is."""
        with translated_errors():
            await self._client.change_chat(portal.chat, name=name, topic=topic)

    async def set_avatar(self, portal: bk.PortalKey, avatar: bk.MatrixMedia | None) -> str:
        """The picture's address is its id, as in `open_avatar`."""
        with translated_errors():
            return await give_picture(self._client, portal.chat, avatar)

    async def set_role(self, portal: bk.PortalKey, user: bk.RemoteUserID, role: bk.Role) -> None:
        """The webchat has the same three, and says no to who may not give them."""
        with translated_errors():
            await self._client.set_role(portal.chat, user, role.value)

    # --- what chats and people look like --------------------------------------------------------------------------
    async def describe_chat(self, portal: bk.PortalKey) -> bk.RemoteChat:
        """What a chat is called, and who is in it."""
        with translated_errors():
            return self._known(await self._client.chat(portal.chat))

    async def describe_user(self, user: bk.RemoteUserID) -> bk.RemoteProfile:
        """What somebody is called and looks like."""
        with translated_errors():
            return translate.profile(await self._client.account(user))

    async def open_avatar(self, avatar: bk.Avatar) -> AsyncIterator[bytes]:
        """The picture, piece by piece: here its id is its address."""
        own = open_own(self._client, avatar.id)
        async for piece in _translated(own or open_picture(avatar.id, home=self._client.url)):
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
            return self._known(await self._client.create_chat("direct", [user]))

    def _known(self, chat: webchat.Chat) -> bk.RemoteChat:
        self._standing.learn(chat)
        return translate.chat(chat)


class WebchatSession(WebchatSessionWithoutDedupe):
    """One account's connection to a webchat that drops repeated nonces, for at least an hour."""

    dedupes_for = timedelta(hours=1)


async def _translated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    with translated_errors():
        async for piece in chunks:
            yield piece


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
