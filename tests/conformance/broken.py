"""The webchat adapter with a fault each: small ones, of the kind that authors make."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, ClassVar
from uuid import uuid4

import msgspec

from bridgekit import adapter as bk
from example_bridge.webchat import client as webchat
from example_bridge.webchat.adapter import WebchatAdapter, WebchatSession

Events = AsyncIterator[bk.RemoteEvent | bk.Batch]
replace = msgspec.structs.replace


class Broken(WebchatSession):
    """A session in which one thing is wrong. The adapter for it is `adapter_of`."""

    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent | None:
        """What is yielded instead of an event; None: nothing."""
        return event

    async def events(self, after: bk.Cursors) -> Events:
        async with aclosing(super().events(after)) as stream:  # type: ignore[type-var]  # it is a generator
            async for item in stream:
                if isinstance(item, bk.Batch):
                    yield item
                elif (changed := self.changed(item)) is not None:
                    yield changed


def adapter_of(kind: type[WebchatSession]) -> type[WebchatAdapter]:
    """The adapter whose sessions are of a kind."""

    class BrokenAdapter(WebchatAdapter):
        @asynccontextmanager
        async def connect(self, login: bk.Login) -> AsyncIterator[bk.Session]:
            async with super().connect(login) as good:
                assert isinstance(good, WebchatSession)
                yield kind(good._client, good._me, good._info)

    return BrokenAdapter


# --- what comes from the network --------------------------------------------------------------------------------------
class IgnoresTheCursor(Broken):
    async def events(self, after: bk.Cursors) -> Events:
        async with aclosing(super().events({})) as stream:  # type: ignore[type-var]  # it is a generator
            async for item in stream:
                yield item


class ConfirmsTooEarly(Broken):
    """Keeps its place itself, and moves it before the event is on disk."""

    places: ClassVar[dict[str, dict[str, str]]] = {}

    async def events(self, after: bk.Cursors) -> Events:
        mine = self.places.setdefault(self._client.token or "", {})
        async with aclosing(super().events({**after, **mine})) as stream:  # type: ignore[type-var]  # it is a generator
            async for item in stream:
                if isinstance(item, bk.RemoteMessage) and item.cursor is not None:
                    mine[item.cursor.scope] = item.cursor.value
                yield item


class Reorders(Broken):
    """Hands on the newest first, of what has come meanwhile."""

    async def events(self, after: bk.Cursors) -> Events:
        held: list[bk.RemoteEvent | bk.Batch] = []
        come = asyncio.Event()

        async def read() -> None:
            async for item in super(Reorders, self).events(after):
                held.append(item)
                come.set()

        reading = asyncio.create_task(read())
        try:
            while True:
                await come.wait()
                if len(held) <= 1:
                    come.clear()
                yield held.pop()
        finally:
            reading.cancel()
            await asyncio.wait({reading})


class YieldsTwice(Broken):
    async def events(self, after: bk.Cursors) -> Events:
        async with aclosing(super().events(after)) as stream:  # type: ignore[type-var]  # it is a generator
            async for item in stream:
                yield item
                if isinstance(item, bk.RemoteMessage):
                    yield replace(item, id=bk.RemoteMessageID(f"again-{item.id}"))


class HidesTheEnd(Broken):
    async def events(self, after: bk.Cursors) -> Events:
        with suppress(ConnectionError):
            async for item in super().events(after):
                yield item
        await asyncio.Event().wait()


class CountsInSeconds(Broken):
    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent:
        return replace(event, timestamp=event.timestamp // 1000) if isinstance(event, bk.RemoteMessage) else event


class YieldsLists(Broken):
    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent:
        aliases: Any = [event.id] if isinstance(event, bk.RemoteMessage) else []
        return replace(event, aliases=aliases) if isinstance(event, bk.RemoteMessage) else event


class YieldsNumbers(Broken):
    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent:
        number: Any = 7
        return replace(event, id=number) if isinstance(event, bk.RemoteMessage) else event


class LosesItsNonce(Broken):
    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent:
        return replace(event, nonce=None) if isinstance(event, bk.RemoteMessage) else event


class HidesItsOwn(Broken):
    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent | None:
        mine = isinstance(event, bk.RemoteMessage) and event.sender == self._me.id
        return None if mine else event


class EditsAllAlike(Broken):
    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent:
        return replace(event, revision="1") if isinstance(event, bk.RemoteEdit) else event


class ReactsAllAlike(Broken):
    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent:
        same = "that reaction"
        return replace(event, occurrence=same) if isinstance(event, bk.RemoteReaction) else event


class ReadsUnits(Broken):
    """Takes the network's offsets for its own."""

    def changed(self, event: bk.RemoteEvent) -> bk.RemoteEvent:
        if not isinstance(event, bk.RemoteMessage):
            return event
        unit = bk.Utf16Offsets(event.text.body).to_utf16
        mentions = tuple(bk.Mention(unit(each.start), unit(each.end), each.target) for each in event.text.mentions)
        return replace(event, text=replace(event.text, mentions=mentions))


# --- what goes to the network -----------------------------------------------------------------------------------------
class DropsTheNonce(Broken):
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        return await super().send(replace(message, nonce=bk.Nonce(uuid4().hex)))


class ReturnsTooEarly(Broken):
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        sending = asyncio.create_task(super().send(message))
        sending.add_done_callback(lambda task: task.cancelled() or task.exception())
        return bk.Sent(ids=(bk.RemoteMessageID(message.nonce),))


class SwallowsErrors(Broken):
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        try:
            return await super().send(message)
        except Exception:  # noqa: BLE001 - this is the fault
            return bk.Sent(ids=())


class TakesRefusalsForDelays(Broken):
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        try:
            return await super().send(message)
        except bk.Rejected as error:
            raise bk.Transient(error.reason) from error


class LetsItsOwnErrorsOut(Broken):
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        try:
            return await super().send(message)
        except bk.Rejected as error:
            raise webchat.WebchatError(error.reason) from error


class TakesSilenceForNo(Broken):
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        try:
            return await super().send(message)
        except ConnectionError as error:
            raise bk.Transient("no answer") from error


class InventsIds(Broken):
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        await super().send(message)
        return bk.Sent(ids=(bk.RemoteMessageID(uuid4().hex),))


class SendsPoints(Broken):
    """Gives its own offsets to the network."""

    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        point = bk.Utf16Offsets(message.text.body).from_utf16
        mentions = tuple(bk.Mention(point(each.start), point(each.end), each.target) for each in message.text.mentions)
        return await super().send(replace(message, text=replace(message.text, mentions=mentions)))


class ForgetsWhatItAnswers(Broken):
    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        return await super().send(replace(message, reply_to=None))


class EditsWithoutTarget(Broken):
    async def edit(self, edit: bk.MatrixEdit) -> bk.Sent:
        with suppress(webchat.WebchatError):
            await self._client.send(edit.portal.chat, edit.text.body, nonce=edit.nonce)
        return bk.Sent(ids=())


class DeletesOnce(Broken):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._deleted: set[str] = set()

    async def delete(self, delete: bk.MatrixDelete) -> None:
        if delete.target in self._deleted:
            raise bk.Rejected("there is no such message")
        self._deleted.add(delete.target)
        await super().delete(delete)


class BlocksSending(Broken):
    """One lock for all that is done on the connection."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lock = asyncio.Lock()

    async def events(self, after: bk.Cursors) -> Events:
        async with aclosing(super().events(after)) as stream:  # type: ignore[type-var]  # it is a generator
            async for item in stream:
                async with self._lock:
                    yield item

    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        async with self._lock:
            return await super().send(message)


class KeepsThePicture(Broken):
    """Hands None on, by which the webchat leaves what there is."""

    async def set_avatar(self, portal: bk.PortalKey, avatar: bk.MatrixMedia | None) -> str:
        if avatar is not None:
            return await super().set_avatar(portal, avatar)
        await self._client.change_chat(portal.chat, avatar_url=None)
        return ""


class OnlyPromotes(Broken):
    """Takes a member for somebody of whom there is nothing to say."""

    async def set_role(self, portal: bk.PortalKey, user: bk.RemoteUserID, role: bk.Role) -> None:
        if role is not bk.Role.MEMBER:
            await super().set_role(portal, user, role)


# --- what it says of itself -------------------------------------------------------------------------------------------
class AsksForItsLimits(Broken):
    def limits(self, portal: bk.PortalKey) -> bk.Limits:
        with urllib.request.urlopen(f"{self._client.url}/api/info") as answer:
            return bk.Limits(max_text_length=len(answer.read()))


class KnowsFewLimits(Broken):
    def limits(self, portal: bk.PortalKey) -> bk.Limits:
        return {"nowhere": bk.Limits()}[portal.chat]


class PromisesTooMuch(Broken):
    def limits(self, portal: bk.PortalKey) -> bk.Limits:
        return bk.Limits(max_text_length=5_000)


class NeverLogsOut(Broken):
    """Takes a revoked token for a network that is away."""

    async def events(self, after: bk.Cursors) -> Events:
        try:
            async for item in super().events(after):
                yield item
        except bk.AuthFailed as error:
            raise bk.Transient(error.reason) from error


class AnotherLoginEachTime(WebchatAdapter):
    async def login(self, prompt: bk.Prompt) -> bk.Login:
        return replace(await super().login(prompt), id=bk.LoginID(uuid4().hex))


class NobodyIsRefused(WebchatAdapter):
    async def login(self, prompt: bk.Prompt) -> bk.Login:
        token = await prompt.ask("Your webchat token, please.", secret=True)
        return bk.Login(id=bk.LoginID(token), user=bk.RemoteUserID(token), secrets={"token": token})


class ConnectsAnyway(WebchatAdapter):
    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncIterator[bk.Session]:
        try:
            async with super().connect(login) as session:
                yield session
        except bk.AuthFailed as error:
            raise bk.Transient(error.reason) from error


class BeginsNow(WebchatAdapter):
    """A new login begins with what happens from now on, and nobody is told where that is."""

    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncIterator[bk.Session]:
        async with super().connect(login) as good:
            assert isinstance(good, WebchatSession)
            session = FromNowOn(good._client, good._me, good._info)
            for chat in await good._client.chats():
                session.places[chat.id] = str([event.seq async for event in good._client.history(chat.id)][-1])
            yield session


class FromNowOn(Broken):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.places: dict[str, str] = {}

    async def events(self, after: bk.Cursors) -> Events:
        async with aclosing(super().events(after or self.places)) as stream:  # type: ignore[type-var]  # a generator
            async for item in stream:
                yield item


class ForgetsACapability(WebchatAdapter):
    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncIterator[bk.Session]:
        async with super().connect(login) as good:
            assert isinstance(good, WebchatSession)
            yield OnlySends(good)


class OnlySends(bk.Session, bk.CanSend):
    def __init__(self, good: WebchatSession) -> None:
        self._good = good

    def events(self, after: bk.Cursors) -> Events:
        return self._good.events(after)

    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        return await self._good.send(message)

    async def edit(self, edit: bk.MatrixEdit) -> bk.Sent:
        return await self._good.edit(edit)
