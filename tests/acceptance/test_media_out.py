"""Files from a real Synapse reach the network: whole, in their places, and after a kill -9 too."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from bridgekit.runtime import points
from example_bridge.webchat.client import MediaEvent, MessageEvent
from tests.acceptance.conftest import SceneFactory
from tests.chaos.bridge import FLIGHTS, KILL_AT, MARK
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


async def test_a_text_does_not_wait_for_a_file_that_is_still_being_uploaded(talk: Talk) -> None:
    data = made_up(3 * MIB, 5)
    uri = await talk.alice.reserve()
    content = {"msgtype": "m.file", "body": "look", "filename": "slow.bin", "url": uri, "info": {"size": len(data)}}
    await talk.alice.send(talk.room, "m.room.message", content)
    await talk.alice.send_text(talk.room, "after")
    messages = await talk.messages_from_alice("after")
    assert [message.text for message in messages] == ["look", "after"]
    (file,) = messages[0].files
    assert (file.name, file.size, file.state) == ("slow.bin", len(data), "arriving")
    reader = asyncio.create_task(arrived(talk, file.id))
    await talk.alice.upload_to(uri, data)
    assert await reader == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"msgtype": "m.image", "info": {"mimetype": "image/png", "w": 320, "h": 200}}, "image"),
        ({"msgtype": "m.video", "info": {"mimetype": "video/mp4", "w": 320, "h": 200, "duration": 1500}}, "video"),
        ({"msgtype": "m.audio", "info": {"mimetype": "audio/ogg", "duration": 1500}}, "audio"),
        (
            {
                "msgtype": "m.audio",
                "info": {"mimetype": "audio/ogg", "duration": 1500},
                "org.matrix.msc3245.voice": {},
                "org.matrix.msc1767.audio": {"duration": 1500, "waveform": [0, 512, 1024]},
            },
            "voice",
        ),
        ({"type": "m.sticker", "info": {"mimetype": "image/png", "w": 64, "h": 64}}, "sticker"),
    ],
    ids=["image", "video", "audio", "voice", "sticker"],
)
async def test_kinds(talk: Talk, content: dict[str, Any], kind: str) -> None:
    data = made_up(5_000, 9)
    uri = await talk.alice.upload(data)
    type = content.get("type", "m.room.message")
    info = {**content["info"], "size": len(data)}
    rest = {key: value for key, value in content.items() if key != "type"}
    await talk.alice.send(talk.room, type, {**rest, "body": "a thing", "url": uri, "info": info})
    await talk.alice.send_text(talk.room, "after")
    message, _ = await talk.messages_from_alice("after")
    (file,) = message.files
    assert (message.text, file.name, file.kind, file.mimetype) == ("", "a thing", kind, info["mimetype"])
    assert (file.width, file.height, file.duration_ms) == (info.get("w"), info.get("h"), info.get("duration"))
    assert file.waveform == ((0, 512, 1024) if kind == "voice" else ())
    assert await arrived(talk, file.id) == hashlib.sha256(data).hexdigest()


async def test_what_is_no_file_of_a_homeserver_is_refused_and_holds_up_nothing(talk: Talk) -> None:
    server = talk.alice.user_id.partition(":")[2]
    hostile = ("mxc://../admin", f"mxc://{server}/%2e%2e", f"mxc://{server}/a?user_id=@bot", f"mxc://{server}/a/b", "")
    for uri in hostile:
        await talk.alice.send(talk.room, "m.room.message", {"msgtype": "m.file", "body": "hostile", "url": uri})
    key = {"url": f"mxc://{server}/abc", "key": {}, "iv": "", "hashes": {}, "v": "v2"}
    await talk.alice.send(talk.room, "m.room.message", {"msgtype": "m.file", "body": "secret.bin", "file": key})
    await talk.alice.send_text(talk.room, "after")
    assert await talk.from_alice("after") == ["after"]
    await talk.from_bot("encrypted")
    refusals = await talk.alice.wait_for_count(
        lambda e: e.sender == talk.bot and "does not say where its file is" in (e.body or ""),
        len(hostile),
        room_id=talk.room,
    )
    assert len(refusals) == len(hostile)


@pytest.mark.parametrize("says", [2 * MIB, 1])
async def test_what_is_too_large_for_the_network(make_scene: SceneFactory, tmp_path: Path, says: int) -> None:
    async with (
        WebchatServer(tmp_path / "webchat", max_upload_size=MIB) as webchat,
        make_scene(with_webchat=webchat) as scene,
    ):
        talk = await scene.talk()
        await send_file(talk, made_up(2 * MIB, 3), "large.bin", info={"size": says})
        await talk.alice.send_text(talk.room, "after")
        await talk.from_bot("the file has 2.0 MiB, and this network takes at most 1.0 MiB")
        messages = await talk.messages_from_alice("after")
        # Whoever lies is found out only when the message is there already.
        assert [message.text for message in messages] == ([] if says > MIB else [""]) + ["after"]


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
        await talk.visitor.set_fault("stall", act="upload", after_bytes=MIB)
        await send_file(talk, data, "large.bin")
        await talk.alice.send_text(talk.room, "after")
        # The message goes ahead of its file; the process dies before all bytes can have followed.
        message = await talk.until(lambda event: isinstance(event, MessageEvent) and bool(event.message.files))
        await scene.bridge.kill()
        await talk.visitor.clear_faults()
        await scene.bridge.start()
        assert isinstance(message, MessageEvent)
        file = message.message.files[0].id
        await talk.until(lambda event: isinstance(event, MediaEvent) and event.file == file)
        assert await arrived(talk, file) == hashlib.sha256(data).hexdigest()
        assert await talk.from_alice("after") == ["", "after"]


async def test_killed_at_every_stage(make_scene: SceneFactory, tmp_path: Path) -> None:
    scene = make_scene(module="tests.chaos.bridge")
    environment = {FLIGHTS: str(tmp_path / "flights"), MARK: str(tmp_path / "killed-at")}
    await scene.bridge.start(environment=environment)
    async with scene:
        talk = await scene.talk()
        sent: list[tuple[str, str]] = []
        for number, point in enumerate(
            (points.NETWORK_SENT, points.MEDIA_SENT, points.MEDIA_HALF, points.MEDIA_UPLOADED)
        ):
            await scene.bridge.stop()
            await scene.bridge.start(environment={**environment, KILL_AT: f"{point}:1"})
            data = made_up(3 * MIB, number)
            await send_file(talk, data, point, filename=f"{number}.bin")
            await talk.alice.send_text(talk.room, f"after {number}")
            async with asyncio.timeout(60):
                assert await scene.bridge.wait() == -9
            assert (tmp_path / "killed-at").read_text() == point
            await scene.bridge.start(environment=environment)
            sent += [(point, hashlib.sha256(data).hexdigest()), (f"after {number}", "")]
            messages = await talk.messages_from_alice(f"after {number}")
            came = [(m.text, await arrived(talk, m.files[0].id) if m.files else "") for m in messages]
            assert came == sent
