"""Files from a real Synapse reach the network: whole, in their places, and after a kill -9 too."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from example_bridge.webchat.client import MediaEvent, MessageEvent
from tests.acceptance.conftest import SceneFactory
from tests.support.scene import Talk
from tests.support.webchat import WebchatServer

MIB = 1 << 20


def made_up(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


async def send_file(talk: Talk, data: bytes, body: str, **content: Any) -> str:
    uri = await talk.alice.upload(data, "application/octet-stream", body)
    info = {"size": len(data), "mimetype": "application/octet-stream"}
    return await talk.alice.send(
        talk.room, "m.room.message", {"msgtype": "m.file", "body": body, "url": uri, "info": info, **content}
    )


async def arrived(talk: Talk, file: str) -> str:
    """The sha256 of a file at the network, once it is there."""
    digest = hashlib.sha256()
    async with talk.visitor.open_file(file, wait_ms=20_000) as download:
        async for chunk in download.chunks:
            digest.update(chunk)
    return digest.hexdigest()


async def test_files_and_texts_keep_their_order(talk: Talk) -> None:
    files = [made_up(size, seed) for seed, size in enumerate((12 * MIB, 1, 0, 300_000))]
    await talk.alice.send_text(talk.room, "before")
    for number, data in enumerate(files):
        await send_file(talk, data, f"caption {number}", filename=f"{number}.bin")
        await talk.alice.send_text(talk.room, f"after {number}")
    messages = await talk.messages_from_alice("after 3")
    expected = ["before"]
    for number in range(len(files)):
        expected += [f"caption {number}", f"after {number}"]
    assert [message.text for message in messages] == expected
    with_files = [message for message in messages if message.files]
    assert [message.files[0].name for message in with_files] == [f"{number}.bin" for number in range(len(files))]
    for message, data in zip(with_files, files, strict=True):
        assert await arrived(talk, message.files[0].id) == hashlib.sha256(data).hexdigest()


async def test_a_place(talk: Talk) -> None:
    await talk.alice.send(
        talk.room, "m.room.message", {"msgtype": "m.location", "body": "the pub", "geo_uri": "geo:51.5,-0.25"}
    )
    (message,) = await talk.messages_from_alice("the pub")
    assert message.location is not None
    assert (message.location.latitude, message.location.longitude) == (51.5, -0.25)


async def test_a_file_that_synapse_does_not_have(talk: Talk) -> None:
    await talk.alice.send(
        talk.room, "m.room.message", {"msgtype": "m.file", "body": "lost.bin", "url": "mxc://hs.test/nothing"}
    )
    await talk.from_bot("the file is not on the homeserver any more")


async def test_killed_while_a_file_is_on_its_way(make_scene: SceneFactory, private_webchat: WebchatServer) -> None:
    async with make_scene(with_webchat=private_webchat) as scene:
        talk = await scene.talk()
        data = made_up(12 * MIB, 7)
        await talk.visitor.set_fault("stall", act="upload", after_bytes=MIB, count=1)
        await send_file(talk, data, "large.bin")
        await talk.alice.send_text(talk.room, "after")
        # The message goes ahead of its file; the process dies while the bytes follow.
        message = await talk.until(lambda event: isinstance(event, MessageEvent) and bool(event.message.files))
        await scene.bridge.kill()
        await scene.bridge.start()
        assert isinstance(message, MessageEvent)
        file = message.message.files[0].id
        await talk.until(lambda event: isinstance(event, MediaEvent) and event.file == file)
        assert await arrived(talk, file) == hashlib.sha256(data).hexdigest()
        assert await talk.from_alice("after") == ["", "after"]
