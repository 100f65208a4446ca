"""Files, both ways: whole and right, again from the start, and no end that looks like one."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from bridgekit.adapter.capabilities import CanFetchMedia, CanSend, CanUploadMedia
from bridgekit.errors import Rejected, Transient, Uncertain
from bridgekit.matrix.broken import CONNECTION_ERRORS
from bridgekit.model.content import Text
from bridgekit.model.ids import PortalKey, RemoteMessageID
from bridgekit.model.media import MatrixMedia, MediaKind, MediaStream
from bridgekit.model.remote import RemoteMessage
from bridgekit.testing.conformance.checks import Fault, NotHere, check, done, eventually, raised, wrong_error
from bridgekit.testing.conformance.line import Line
from bridgekit.testing.conformance.scene import Scene, one_id
from bridgekit.testing.conformance.texts import names_of
from bridgekit.testing.conformance.topic import Topic
from bridgekit.testing.conformance.whole import begun
from bridgekit.testing.harness import ALICE

Opener = Callable[[], AbstractAsyncContextManager[MediaStream]]

PIECE = 1 << 16
LARGE = 700_001
"""More than a piece of anybody's, and no multiple of one."""


class Files(Topic):
    # --- from the network -------------------------------------------------------------------------------------------
    @check(CanFetchMedia, "say_file")
    async def test_a_file_comes_whole(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            for size in (1, LARGE):
                data = made(scene, size)
                message = await shown(scene, line, chat, "cat.bin", data)
                (ref,) = message.media
                if ref.size is not None and ref.size != size:
                    raise Fault(
                        f"MediaRef.size is {ref.size}, and the file has {size} bytes: a size is promised to Matrix"
                        " before the file is there. Leave it None where it is not known"
                    )
                what = f"open_media() of a file of {size} bytes"
                compare(what, await done(what, read(line, message), scene.patience_s), data)

    @check(CanFetchMedia, "say_file")
    async def test_a_file_is_opened_again_from_its_start(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        data = made(scene, LARGE)
        async with scene.line() as line:
            message = await shown(scene, line, chat, "cat.bin", data)
            able = line.can(CanFetchMedia)

            async def begin() -> None:
                async with able.open_media(message, message.media[0]) as stream:
                    async for _ in stream.chunks:
                        break

            await done("leaving open_media() after the first piece", begin(), scene.patience_s)
            what = "open_media() of a file that was half read"
            compare(what, await done(what, read(line, message), scene.patience_s), data)
            both = asyncio.gather(read(line, message), read(line, message))
            for each in await done("open_media() of a file twice at once", both, scene.patience_s):
                compare("open_media() of a file twice at once", each, data)
        # A new process: all that it has is the message, as it was written down.
        message = msgspec.json.decode(msgspec.json.encode(message), type=RemoteMessage)
        async with scene.line() as line:
            what = "open_media() in a new connection, with the message as it was on disk,"
            compare(what, await done(what, read(line, message), scene.patience_s), data)

    @check(CanFetchMedia, "say_file", "break_download")
    async def test_a_download_that_breaks_is_an_error(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        data = made(scene, LARGE)
        async with scene.line() as line:
            message = await shown(scene, line, chat, "cat.bin", data)
            await scene.remote.break_download()
            situation = "the network broke off a file in its middle"
            error, result = await raised("open_media()", read(line, message), scene.patience_s)
            if error is None:
                assert isinstance(result, bytes)
                if result == data:
                    raise NotHere("the download did not break off, or was gone on with")
                raise Fault(
                    f"{situation}, and `chunks` ended after {len(result)} of {len(data)} bytes as if that were all:"
                    " half a file would be shown. Let the connection's error out, or raise one if less came than was"
                    " announced"
                )
            if not isinstance(error, (Transient, *CONNECTION_ERRORS)):
                raise wrong_error("open_media()", error, situation, "a connection error (let it escape) or Transient")
            what = "open_media() after a download that broke off"
            compare(what, await done(what, read(line, message), scene.patience_s), data)

    @check(CanFetchMedia, "say_file", "delete")
    async def test_a_file_that_is_gone_is_rejected(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            message = await shown(scene, line, chat, "cat.bin", made(scene, 1000))
            await scene.remote.delete(chat, message.id)
            error, _ = await raised("open_media()", read(line, message), scene.patience_s)
            if error is not None and not isinstance(error, Rejected):
                raise wrong_error("open_media()", error, "a file's message was deleted", "Rejected")

    # --- to the network ---------------------------------------------------------------------------------------------
    @check(CanSend, CanUploadMedia, "file_of")
    async def test_a_file_is_sent_whole(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            for size in (1, LARGE):
                data = made(scene, size)
                await sent(scene, line, chat, fitting(line, chat, data, size=size), data)
                # What a client says may be missing, or wrong.
                await sent(scene, line, chat, fitting(line, chat, data, size=None), data)

    @check(CanSend, CanUploadMedia, "file_of")
    async def test_an_upload_is_repeated_after_a_crash(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        data = made(scene, LARGE)
        async with scene.line() as line:
            media = fitting(line, chat, data, size=len(data))
            media = await reserved(scene, line, chat, media)
            first = await done("upload()", line.can(CanUploadMedia).upload(chat, media), scene.patience_s)
        async with scene.line() as line:
            what = "upload() of the same file again, as after a crash,"
            second = await done(what, line.can(CanUploadMedia).upload(chat, media), scene.patience_s)
            if media.remote and {first, second} != {media.remote}:
                raise Fault(f"reserve() returned {media.remote!r}, and upload() then {first!r}, and again {second!r}")
            media = msgspec.structs.replace(media, remote=second)
            message = scene.message(chat, Text(), media=media)
            id = one_id(await done("send()", line.can(CanSend).send(message), scene.patience_s))
            await arrives(scene, chat, id, data, "a file was uploaded twice, as after a crash, and sent")

    @check(CanSend, CanUploadMedia, "file_of")
    async def test_a_source_that_breaks_off_is_no_file(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        data = made(scene, LARGE)
        async with scene.line() as line:
            able = line.can(CanUploadMedia)
            for error in (Transient("the homeserver is away"), ConnectionResetError("the homeserver hung up")):
                for size in (len(data), None):
                    whole = await reserved(scene, line, chat, fitting(line, chat, data, size=size))
                    broken = msgspec.structs.replace(whole, opener=opener(data, size=size, breaks=error))
                    situation = f"the file's source raised {type(error).__name__} in its middle"
                    raises, returned = await raised("upload()", able.upload(chat, broken), scene.patience_s)
                    if raises is None:
                        raise Fault(
                            f"{situation}, and upload() returned {returned!r}: half a file would be sent. Let out what"
                            " `chunks` raises"
                        )
                    if not isinstance(raises, (Transient, Uncertain, *CONNECTION_ERRORS)):
                        raise wrong_error("upload()", raises, situation, "what `chunks` raised (let it escape)")
                    await sent(scene, line, chat, whole, data)

    @check(CanUploadMedia, "refuse_file")
    async def test_a_file_that_is_refused_is_rejected(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        async with scene.line() as line:
            media = await reserved(scene, line, chat, fitting(line, chat, made(scene, 1000), size=1000))
            await scene.remote.refuse_file()
            error, returned = await raised("upload()", line.can(CanUploadMedia).upload(chat, media), scene.patience_s)
            if error is None:
                raise Fault(f"the network refused a file, and upload() returned {returned!r}: raise Rejected")
            if not isinstance(error, Rejected):
                raise wrong_error("upload()", error, "the network refused a file for good", "Rejected")

    # --- in a whole bridge ------------------------------------------------------------------------------------------
    @check(CanFetchMedia, "say_file")
    async def test_a_file_crosses_from_the_network(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        data = made(scene, LARGE)
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            await scene.remote.say_file(chat, "cat.bin", data)
            text = scene.words("theirs")
            await scene.remote.say(chat, text)
            await bench.sees(room, text, "behind a file, what the friend said is not seen on Matrix")
            shown = [e["content"] for e in bench.homeserver.rooms[room].timeline if "url" in e["content"]]
            if len(shown) != 1:
                raise Fault(f"the friend sent a file, and Matrix shows {len(shown)}")

            async def filled() -> bool:
                return any(file.data == data for file in bench.homeserver.files.values())

            await eventually(
                scene.patience_s, filled, lambda: f"the friend's file never came whole to Matrix; {bench.why()}"
            )

    @check(CanSend, CanUploadMedia, "file_of")
    async def test_a_file_crosses_to_the_network(self, scene: Scene) -> None:
        chat = await scene.remote.chat()
        data = made(scene, LARGE)
        async with scene.bridge() as bench:
            room = await begun(scene, bench, chat)
            before = [post.id for post in await scene.remote.look(chat)]
            uri = bench.homeserver.add_file(data)
            info = {"size": len(data)}
            content = {"msgtype": "m.file", "body": "cat.bin", "url": uri, "info": info}
            bench.homeserver.emit(room, ALICE, "m.room.message", content)
            text = scene.words("ours")
            bench.homeserver.say(room, ALICE, text)
            await scene.post(chat, text, f"behind a file, Alice's message never got to the network; {bench.why()}")
            new = [post for post in await scene.remote.look(chat) if post.id not in before]
            if len(new) != 2 or new[1].text != text:
                raise Fault(f"Alice sent a file and then {text!r}, and the network shows {new}")
            await arrives(scene, chat, new[0].id, data, "Alice sent a file")


def made(scene: Scene, size: int) -> bytes:
    """A file that nobody has sent yet."""
    return random.Random(scene.words()).randbytes(size)


async def shown(scene: Scene, line: Line, chat: PortalKey, name: str, data: bytes) -> RemoteMessage:
    """The friend sends a file: what `events` says of it."""
    id = await scene.remote.say_file(chat, name, data)
    message = await line.first(
        RemoteMessage,
        "the friend sent a file, and `events` yielded no RemoteMessage of it",
        lambda message: id in names_of(message),
    )
    if len(message.media) != 1:
        raise Fault(f"the friend sent one file, and RemoteMessage.media is {message.media!r}")
    return message


async def read(line: Line, message: RemoteMessage) -> bytes:
    """All bytes of a message's file."""
    async with line.can(CanFetchMedia).open_media(message, message.media[0]) as stream:
        if not isinstance(stream, MediaStream):
            raise Fault(f"open_media() gave {stream!r}; it must give a MediaStream")
        data = b"".join([piece async for piece in stream.chunks])
    if stream.size is not None and stream.size != len(data):
        raise Fault(
            f"MediaStream.size is {stream.size}, and {len(data)} bytes came: the homeserver is promised that many."
            " Leave it None where it is not known, and raise an error where less comes than the network announced"
        )
    return data


def compare(what: str, came: bytes, wanted: bytes) -> None:
    if came != wanted:
        raise Fault(f"{what} gave {_hash(came)}; the file is {_hash(wanted)}")


def _hash(data: bytes) -> str:
    return f"{len(data)} bytes (sha256 {hashlib.sha256(data).hexdigest()[:12]})"


def opener(data: bytes, *, size: int | None, breaks: Exception | None = None) -> Opener:
    """What opens a file of Alice's; `breaks`: in its middle."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), PIECE):
            if breaks is not None and start >= len(data) // 2:
                raise breaks
            yield data[start : start + PIECE]

    @asynccontextmanager
    async def open() -> AsyncIterator[MediaStream]:
        yield MediaStream(pieces(), size=size)

    return open


def fitting(line: Line, chat: PortalKey, data: bytes, *, size: int | None) -> MatrixMedia:
    """A file of Alice's, of which her client said that it has `size` bytes."""
    limits = line.session.limits(chat)
    if limits.media is not None and MediaKind.FILE not in limits.media:
        raise NotHere("Limits.media has no MediaKind.FILE")
    if limits.max_media_size is not None and limits.max_media_size < len(data):
        raise NotHere(f"Limits.max_media_size is less than {len(data)}")
    return MatrixMedia(kind=MediaKind.FILE, name="cat.bin", opener=opener(data, size=size), size=size)


async def reserved(scene: Scene, line: Line, chat: PortalKey, media: MatrixMedia) -> MatrixMedia:
    """With its place at the network, if that gives one."""
    able = line.can(CanUploadMedia)
    place: object = await done("reserve()", able.reserve(chat, media), scene.patience_s)
    if not isinstance(place, str):
        raise Fault(f"reserve() returned {place!r}; it must return a reference, or '' if the network has none")
    again = await done("reserve() of the same file, as after a crash,", able.reserve(chat, media), scene.patience_s)
    if bool(again) != bool(place):
        raise Fault(f"reserve() returned {place!r}, and for the same file again {again!r}")
    return msgspec.structs.replace(media, remote=again)


async def sent(scene: Scene, line: Line, chat: PortalKey, media: MatrixMedia, data: bytes) -> None:
    """Send a file as bridgekit does: behind its message where the network can, ahead of it elsewhere."""
    able = line.can(CanUploadMedia)
    media = media if media.remote else await reserved(scene, line, chat, media)
    place = media.remote
    if not place:
        remote: object = await done("upload()", able.upload(chat, media), scene.patience_s)
        if not isinstance(remote, str) or not remote:
            raise Fault(f"upload() returned {remote!r}; it must return what send() is to call the file")
        media = msgspec.structs.replace(media, remote=remote)
    message = scene.message(chat, Text(), media=media)
    id = one_id(await done("send() of a file", line.can(CanSend).send(message), scene.patience_s))
    if place:
        if await scene.remote.file_of(chat, id) is not None:
            raise Fault("a message with a reserved file was sent, and its friend has the file before its upload")
        await done("upload() to what was reserved", able.upload(chat, media), scene.patience_s)
    await arrives(scene, chat, id, data, "a file was sent")


async def arrives(scene: Scene, chat: PortalKey, message: RemoteMessageID, data: bytes, what: str) -> None:
    """Wait until the friend has the file."""

    async def look() -> bytes | None:
        return await scene.remote.file_of(chat, message)

    came = await eventually(scene.patience_s, look, f"{what}, and the friend never got it")
    compare(f"{what}, and the friend's client", came, data)
