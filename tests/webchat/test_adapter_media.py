"""The adapter for files and places: both ways, and what each fault of the network becomes for the framework."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from bridgekit.adapter import (
    AuthFailed,
    Batch,
    ChatID,
    Location,
    MatrixMedia,
    MatrixMessage,
    MediaKind,
    MediaRef,
    MediaStream,
    Nonce,
    PortalKey,
    Rejected,
    RemoteEvent,
    RemoteMessage,
    RemoteMessageID,
    RemoteProgress,
    RemoteUserID,
    Speaker,
    Text,
    Transient,
)
from example_bridge.webchat import client as webchat
from example_bridge.webchat.adapter import WebchatSession
from example_bridge.webchat.client import WebchatClient
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join, StartServer
from tests.webchat.helpers import DEADLINE
from tests.webchat.test_adapter import adapter, login_of
from tests.webchat.test_media import fetched, given, only_message, pieces

DATA = os.urandom(700_000)
NOBODY = RemoteMessage(portal=PortalKey(ChatID("c")), id=RemoteMessageID("m"), sender=RemoteUserID("ann"), timestamp=0)


@pytest.fixture
async def ann(server: Server, join: Join) -> WebchatClient:
    return await join(server, "ann")


@pytest.fixture
async def agent(server: Server, join: Join) -> WebchatClient:
    return await join(server, "agent", "agent")


@asynccontextmanager
async def session_of(server: Server, client: WebchatClient) -> AsyncIterator[WebchatSession]:
    async with adapter(server).connect(login_of(client, "agent")) as session:
        assert isinstance(session, WebchatSession)
        yield session


class Source:
    """A file on Matrix: opened, it gives `data`, or less and an error."""

    def __init__(self, data: bytes = DATA, size: int | None = None, failure: Exception | None = None) -> None:
        self.opened = 0
        self.closed = 0
        self._data = data
        self._size = size
        self._failure = failure

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MediaStream]:
        self.opened += 1
        try:
            yield MediaStream(self._chunks(), self._size)
        finally:
            self.closed += 1

    async def _chunks(self) -> AsyncIterator[bytes]:
        async for piece in pieces(self._data):
            yield piece
        if self._failure is not None:
            raise self._failure


def media_of(source: Source, *, remote: str = "", **more: object) -> MatrixMedia:
    said = {"kind": MediaKind.IMAGE, "name": "cat.png", "mimetype": "image/png", **more}
    return MatrixMedia(opener=source.open, remote=remote, **said)  # type: ignore[arg-type]


async def read(session: WebchatSession, ref: MediaRef) -> tuple[MediaStream, bytes]:
    async with asyncio.timeout(DEADLINE), session.open_media(NOBODY, ref) as stream:
        return stream, b"".join([piece async for piece in stream.chunks])


async def remote_messages(session: WebchatSession, count: int) -> list[RemoteEvent]:
    """What the stream brings, up to so many messages with files or places."""
    got: list[RemoteEvent] = []
    async with asyncio.timeout(DEADLINE), aclosing(session.events({})) as stream:  # type: ignore[type-var]
        async for event in stream:
            got += event.events if isinstance(event, Batch) else [event]
            if sum(isinstance(each, RemoteMessage) for each in got) == count:
                return got
    raise AssertionError("the stream ended")


async def test_files_and_places_come_as_references(server: Server, ann: WebchatClient, agent: WebchatClient) -> None:
    chat = await ann.create_chat("direct", ["agent"])
    voice = await ann.reserve("v.ogg", "audio/ogg", 10)
    film = await given(ann, DATA, "film.mp4", "video/mp4")
    await ann.send(
        chat.id,
        "listen",
        files=(
            webchat.File(id=voice, kind="voice", duration_ms=2500, waveform=(0, 1024)),
            webchat.File(id=film, width=640, height=480, blurhash="LKO2"),
        ),
    )
    await ann.send(chat.id, "", location=webchat.Location(1.5, -2.5, 3.0))
    async with session_of(server, agent) as session:
        said, place = [each for each in await remote_messages(session, 2) if isinstance(each, RemoteMessage)]
        assert said.text.body == "listen"
        assert said.media == (
            MediaRef(voice, "v.ogg", "audio/ogg", 10, MediaKind.VOICE, duration_ms=2500, waveform=(0, 1024)),
            MediaRef(film, "film.mp4", "video/mp4", len(DATA), MediaKind.VIDEO, 640, 480, blurhash="LKO2"),
        )
        assert (place.text.body, place.location) == ("", Location(1.5, -2.5, 3.0))
        stream, data = await read(session, said.media[1])
        assert (stream.size, stream.mimetype, stream.name) == (len(DATA), "video/mp4", "film.mp4")
        assert data == DATA


async def test_a_kind_of_the_future_is_a_file_of_no_kind() -> None:
    from example_bridge.webchat import translate

    message = webchat.Message("m", "c", "ann", 0, "", files=(webchat.File(id="f", kind="hologram"),))
    told = translate.event(webchat.MessageEvent(chat="c", seq=1, timestamp=0, actor="ann", message=message), me="agent")
    assert isinstance(told, RemoteMessage)
    assert told.media == (MediaRef("f"),)


async def test_what_comes_later_is_waited_for(server: Server, ann: WebchatClient, agent: WebchatClient) -> None:
    chat = await ann.create_chat("direct", ["agent"])
    file = await ann.reserve("a.bin", size=len(DATA))
    await ann.send(chat.id, "", files=(webchat.File(id=file),))
    async with session_of(server, agent) as session:
        (message,) = [each for each in await remote_messages(session, 1) if isinstance(each, RemoteMessage)]
        waiting = asyncio.create_task(read(session, message.media[0]))
        await ann.upload(file, pieces(DATA))
        assert (await waiting)[1] == DATA
        # That the bytes are there is of no interest, but the cursor goes on.
        await ann.send(chat.id, "next")
        last = await remote_messages(session, 2)
        assert isinstance(last[-2], RemoteProgress)


async def test_what_each_trouble_of_a_download_becomes(
    server: Server, ann: WebchatClient, agent: WebchatClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = await ann.create_chat("direct", ["agent"])
    here, never, foreign, late = (
        await given(ann, DATA),
        await ann.reserve(),
        await given(ann, b"x"),
        await ann.reserve(),
    )
    await ann.send(chat.id, "", files=tuple(webchat.File(id=file) for file in (here, never, late)))
    await ann.withdraw(never)
    async with session_of(server, agent) as session:
        for gone in (never, foreign, "unheard-of"):
            with pytest.raises(Rejected):
                await read(session, MediaRef(gone))
        monkeypatch.setattr("example_bridge.webchat.server.media_http.WAIT_MS", 1)
        with pytest.raises(Transient, match="has not arrived yet"):
            await read(session, MediaRef(late))
        await ann.set_fault("refuse", act="download", code="rate_limited", retry_after_ms=1500, count=1)
        with pytest.raises(Transient) as limited:
            await read(session, MediaRef(here))
        assert limited.value.retry_after == 1.5
        for fault in ({"mode": "break", "after_bytes": 99_000}, {"mode": "lie", "by": 7}, {"mode": "lie", "by": -7}):
            await ann.set_fault(act="download", count=1, **fault)  # type: ignore[arg-type]
            with pytest.raises(ConnectionError):
                await read(session, MediaRef(here))
        assert (await read(session, MediaRef(here)))[1] == DATA
        await agent.revoke_token("agent")
        with pytest.raises(AuthFailed):
            await read(session, MediaRef(here))


@pytest.mark.parametrize("size", [len(DATA), None])
async def test_a_message_goes_before_its_file(
    server: Server, ann: WebchatClient, agent: WebchatClient, size: int | None
) -> None:
    chat = await ann.create_chat("direct", ["agent"])
    portal, source = PortalKey(ChatID(chat.id)), Source(size=size)
    async with session_of(server, agent) as session:
        media = media_of(source, size=size, width=4, height=3)
        remote = await session.reserve(portal, media)
        placed = media_of(source, size=size, width=4, height=3, remote=remote)
        message = MatrixMessage(
            portal=portal,
            text=Text("look"),
            nonce=Nonce("n1"),
            timestamp=0,
            speaker=Speaker("Agent"),
            media=placed,
        )
        sent = await session.send(message)
        assert source.opened == 0
        assert (await only_message(ann, chat.id)).files[0].state == "arriving"
        assert await session.upload(portal, placed) == remote
        assert await session.upload(portal, placed) == remote  # a repeat, after a crash
        assert source.opened == source.closed == 2
        assert await session.send(message) == sent
    said = await only_message(ann, chat.id)
    assert said.text == "look"
    assert said.files == (
        webchat.File(
            id=remote,
            name="cat.png",
            mimetype="image/png",
            size=len(DATA),
            kind="image",
            width=4,
            height=3,
            state="there",
        ),
    )
    assert await fetched(ann, remote) == DATA


async def test_voice_and_places_from_matrix(server: Server, ann: WebchatClient, agent: WebchatClient) -> None:
    chat = await ann.create_chat("direct", ["agent"])
    portal, source = PortalKey(ChatID(chat.id)), Source()
    nonsense: dict[str, Any] = {"mimetype": "audio/ogg; codecs=opus", "size": -5, "width": -1, "name": "n" * 5000}
    async with session_of(server, agent) as session:
        media = media_of(source, kind=MediaKind.VOICE, duration_ms=900, waveform=(7, 5000, -3) * 300, **nonsense)
        remote = await session.upload(portal, media)  # without a reservation of its own
        placed = media_of(
            source, kind=MediaKind.VOICE, duration_ms=900, waveform=(7, 5000, -3) * 300, remote=remote, **nonsense
        )
        common: dict[str, Any] = {"portal": portal, "text": Text(), "timestamp": 0, "speaker": Speaker("Agent")}
        await session.send(MatrixMessage(nonce=Nonce("n1"), media=placed, **common))
        place = Location(60.1, 24.9, 5.0)
        await session.send(MatrixMessage(nonce=Nonce("n2"), location=place, **common))
    voice, where = [event.message for event in await ann.events(chat.id) if isinstance(event, webchat.MessageEvent)]
    (file,) = voice.files
    assert (file.kind, file.state, file.duration_ms, file.width, len(file.name)) == ("voice", "there", 900, None, 1000)
    assert 200 < len(file.waveform) <= 256 and set(file.waveform) <= {7, 1024}
    assert where.location == webchat.Location(60.1, 24.9, 5.0)
    assert await fetched(ann, remote) == DATA


async def test_what_each_trouble_of_an_upload_becomes(server: Server, ann: WebchatClient, agent: WebchatClient) -> None:
    portal = PortalKey(ChatID((await ann.create_chat("direct", ["agent"])).id))
    async with session_of(server, agent) as session:
        remote = await session.reserve(portal, media_of(Source()))
        await ann.set_fault("refuse", act="upload", count=1)
        with pytest.raises(Transient):
            await session.upload(portal, media_of(Source(), remote=remote))
        await ann.set_fault("break", act="upload", after_bytes=99_000, count=1)
        with pytest.raises(ConnectionError):
            await session.upload(portal, media_of(Source(), remote=remote))
        # Stored, but the answer is lost, or says another size: repeated, it is a success.
        for fault in ({"mode": "cut", "after": 1}, {"mode": "lie", "by": 3, "count": 1}):
            remote = await session.reserve(portal, media_of(Source()))
            await ann.set_fault(act="upload", **fault)  # type: ignore[arg-type]
            with pytest.raises(ConnectionError):
                await session.upload(portal, media_of(Source(), remote=remote))
            assert await session.upload(portal, media_of(Source(), remote=remote)) == remote
            assert await fetched(agent, remote) == DATA
        remote = await session.reserve(portal, media_of(Source()))
        # The source's own errors come out as they are.
        for failure in (Transient("the sender has not uploaded it"), Rejected("gone"), ConnectionResetError("broke")):
            with pytest.raises(type(failure), match=str(failure)):
                await session.upload(portal, media_of(Source(failure=failure), remote=remote))
        for lying in (Source(size=len(DATA) + 1), Source(size=len(DATA) - 1)):
            with pytest.raises(ConnectionError):
                await session.upload(portal, media_of(lying, remote=remote))
            assert lying.closed == 1
        assert await session.upload(portal, media_of(Source(), remote=remote)) == remote
        assert await fetched(agent, remote) == DATA
        await agent.revoke_token("agent")
        with pytest.raises(AuthFailed):
            await session.upload(portal, media_of(Source(), remote=remote))


async def test_what_is_too_large_is_rejected_before_a_byte_is_read(start_server: StartServer, join: Join) -> None:
    server = await start_server(max_upload_size=1000)
    agent = await join(server, "agent", "agent")
    await join(server, "ann")
    portal = PortalKey(ChatID((await agent.create_chat("direct", ["ann"])).id))
    async with session_of(server, agent) as session:
        limits = session.limits(portal)
        assert (limits.max_media_size, limits.media, limits.captions, limits.locations) == (1000, None, True, True)
        source = Source(size=len(DATA))
        with pytest.raises(Rejected, match="at most 1000"):
            await session.reserve(portal, media_of(source, size=len(DATA)))
        assert source.opened == 0
        for size in (len(DATA), None):  # known only when it is open, or not even then
            with pytest.raises(Rejected, match="1000"):
                await session.upload(portal, media_of(Source(size=size)))
