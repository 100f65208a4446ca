"""Files from a network into rooms of a real Synapse, by a bridge that is killed on the way."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridgekit.runtime import points
from bridgekit.testing.api import Json
from bridgekit.testing.bridge import BridgeProcess
from bridgekit.testing.client import ClientEvent, MatrixClient
from tests.support.filechat import KILL_AT, FileChat
from tests.support.homeserver import AppserviceSlot, Homeserver

MIB = 1024 * 1024
SLOTS = 17  # of the shared homeserver: each test here has a bridge of its own


def made(size: int, seed: int = 1) -> bytes:
    """A file of that many bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Files:
    """A bridge between a `FileChat` and a homeserver; Alice is logged in, and in the portal."""

    def __init__(self, slot: AppserviceSlot, bridge: BridgeProcess, chat: FileChat, alice: MatrixClient) -> None:
        self.slot = slot
        self.bridge = bridge
        self.chat = chat
        self.alice = alice
        self.room = ""

    async def enter(self) -> None:
        management = await self.alice.create_room(invite=[self.slot.bot], is_direct=True)
        await self.alice.wait_for(lambda e: e.sender == self.slot.bot and "Hello" in (e.body or ""), room_id=management)
        await self.alice.send_text(management, "login")
        self.chat.say("hello")
        self.room = await self.alice.wait_for_invite()
        await self.alice.join(self.room)
        await self.alice.wait_for_text(self.room, "hello")

    async def text(self, words: str) -> ClientEvent:
        return await self.alice.wait_for_text(self.room, words, timeout_s=60)

    async def said(self) -> list[Json]:
        """What the ghosts' events were when they were sent, in the room's order; edits are left out."""
        events = await self.alice.timeline(self.room, "m.room.message")
        return [dict(e.content) for e in events if "m.new_content" not in e.content and e.sender != self.slot.bot]

    async def edits(self) -> list[Json]:
        """What the events became, in the room's order."""
        events = await self.alice.timeline(self.room, "m.room.message")
        return [e.content["m.new_content"] for e in events if "m.new_content" in e.content]

    async def edited(self, fits: Callable[[Json], bool]) -> Json:
        """Wait for an edit."""
        event = await self.alice.wait_for(
            lambda e: "m.new_content" in e.content and fits(e.content["m.new_content"]), 60, room_id=self.room
        )
        content: Json = event.content["m.new_content"]
        return content

    async def carried(self) -> None:
        """Wait until no file is on its way, as /metrics says. One is not yet when its event is in the room."""
        url = f"http://127.0.0.1:{self.bridge.monitoring_port}/metrics"
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            while True:
                begun = all(file.opened for file in self.chat.files.values())
                async with http.get(url) as answer:
                    if "\nbridgekit_waiting_files 0.0\n" in await answer.text() and begun:
                        return
                await asyncio.sleep(0.05)  # noqa: TID251 - nobody tells when a number changes


@contextlib.asynccontextmanager
async def bridged(
    homeserver: Homeserver, directory: Path, more: Mapping[str, Any] | None = None, database: str = "sqlite:bridge.db"
) -> AsyncIterator[Files]:
    slot = homeserver.take_slot()
    async with FileChat() as chat, contextlib.AsyncExitStack() as stack:
        bridge = BridgeProcess(
            directory,
            homeserver_url=slot.homeserver_url,
            server_name=slot.server_name,
            registration=slot.registration,
            network={"url": chat.url},
            ghost_prefix=slot.prefix,
            module="tests.support.filechat",
            more=more,
            database=database,
        )
        alice = (await homeserver.register_user("alice")).client()
        stack.push_async_callback(alice.aclose)
        stack.push_async_callback(bridge.stop)
        await bridge.start()
        files = Files(slot, bridge, chat, alice)
        await files.enter()
        yield files


async def test_order_with_a_slow_file_and_a_reader_who_waits(
    homeserver: Homeserver, tmp_path: Path, database: str
) -> None:
    async with bridged(homeserver, tmp_path / "bridge", database=database) as files:
        gate = asyncio.Event()
        data = made(8 * MIB)
        files.chat.say("look", files.chat.file(data, name="big.bin", gate=gate))
        files.chat.say("after")
        await files.text("after")
        first, file, last = await files.said()
        assert (first["body"], file["body"], file["filename"], last["body"]) == ("hello", "look", "big.bin", "after")
        assert file["info"] == {"size": len(data)}
        reader = asyncio.ensure_future(files.alice.download(file["url"]))
        gate.set()
        assert sha256(await reader) == sha256(data)
        await files.carried()
        assert await files.edits() == []


@pytest.mark.parametrize("how", ["unsized", "cut", "unsized and cut"])
async def test_what_a_bad_source_sends_is_whole_in_the_end(homeserver: Homeserver, tmp_path: Path, how: str) -> None:
    async with bridged(homeserver, tmp_path / "bridge") as files:
        sized, cut = "unsized" not in how, MIB if "cut" in how else None
        data = made(3 * MIB)
        files.chat.say("", files.chat.file(data, name="a.bin", known=sized, sized=sized, cut_after=cut))
        files.chat.say("after")
        await files.text("after")
        # The words may be there before the file is known to wait: an edit says what was not known ahead.
        shown = (await files.said())[1] if sized else await files.edited(lambda content: "size" in content["info"])
        assert sha256(await files.alice.download(shown["url"])) == sha256(data)
        assert shown["info"]["size"] == len(data)


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("point", [points.MEDIA_RESERVED, points.MEDIA_SENT, points.MEDIA_HALF, points.MEDIA_UPLOADED])
async def test_killed_on_the_way(homeserver: Homeserver, tmp_path: Path, point: str, sized: bool) -> None:
    async with bridged(homeserver, tmp_path / "bridge") as files:
        await files.bridge.stop()
        await files.bridge.start(environment={KILL_AT: f"{point}:1"})
        data = made(3 * MIB)
        files.chat.say("look", files.chat.file(data, name="a.bin", sized=sized))
        files.chat.say("after")
        async with asyncio.timeout(60):
            assert await files.bridge.wait() == -9
        await files.bridge.start()
        await files.text("after")
        await files.carried()
        said = await files.said()
        assert [each["body"] for each in said] == ["hello", "look", "after"]
        assert await files.edits() == []
        assert sha256(await files.alice.download(said[1]["url"])) == sha256(data)


async def test_a_reservation_is_renewed_before_it_expires(tmp_path: Path) -> None:
    homeserver = Homeserver(tmp_path / "synapse", slots=1, config={"unused_expiration_time": "8s"})
    async with homeserver.synapse:
        more = {"media": {"stall_timeout_s": 1}}
        async with bridged(homeserver, tmp_path / "bridge", more) as files:
            gate = asyncio.Event()
            data = made(2 * MIB)
            files.chat.say("look", files.chat.file(data, name="a.bin", gate=gate))
            files.chat.say("after")
            await files.text("after")
            first = (await files.said())[1]["url"]
            renewed = await files.edited(lambda new: new.get("url") != first)
            assert (renewed["body"], renewed["filename"]) == ("look", "a.bin")
            gate.set()
            await files.carried()
            shown = (await files.edits())[-1]
            assert sha256(await files.alice.download(shown["url"])) == sha256(data)
            assert [each["body"] for each in await files.said()] == ["hello", "look", "after"]


async def test_a_file_that_is_too_large_becomes_words(homeserver: Homeserver, tmp_path: Path) -> None:
    """Synapse hangs up on what is larger than 50 MiB; this one is never fetched."""
    async with bridged(homeserver, tmp_path / "bridge") as files:
        ref = files.chat.file(b"x" * (51 * MIB), name="huge.bin")
        files.chat.say("look", ref)
        files.chat.say("after")
        await files.text("after")
        _, notice, _ = await files.said()
        limit = "it is larger than this homeserver's limit of 50.0 MiB"
        assert notice["body"] == f"look\nhuge.bin (51.0 MiB) could not be transferred: {limit}"
        assert files.chat.files[ref.id].opened == 0


async def test_more_files_than_the_homeserver_reserves(tmp_path: Path) -> None:
    """Those that are one too many wait for their turn, and nothing overtakes them."""
    homeserver = Homeserver(tmp_path / "synapse", slots=1, config={"max_pending_media_uploads": 2})
    async with homeserver.synapse, bridged(homeserver, tmp_path / "bridge") as files:
        gate = asyncio.Event()
        data = [made(MIB, number) for number in range(5)]
        for number, each in enumerate(data):
            files.chat.say(f"file {number}", files.chat.file(each, name=f"{number}.bin", gate=gate))
        files.chat.say("after")
        await files.text("file 1")
        gate.set()
        await files.text("after")
        await files.carried()
        _, *said, last = await files.said()
        assert [each["body"] for each in said] == [f"file {number}" for number in range(5)]
        assert last["body"] == "after"
        assert await files.edits() == []
        there = [sha256(await files.alice.download(each["url"])) for each in said]
        assert there == [sha256(each) for each in data]


async def test_where_events_wait_for_their_files(homeserver: Homeserver, tmp_path: Path) -> None:
    async with bridged(homeserver, tmp_path / "bridge", {"media": {"mode": "wait"}}) as files:
        data = made(3 * MIB)
        # Its length is not known before it is there: here that makes no edit.
        files.chat.say("look", files.chat.file(data, name="a.bin", known=False, sized=False, cut_after=MIB))
        files.chat.say("after")
        await files.text("after")
        _, file, last = await files.said()
        assert (file["body"], file["info"]["size"], last["body"]) == ("look", len(data), "after")
        assert sha256(await files.alice.download(file["url"], timeout_ms=0)) == sha256(data)
        assert await files.edits() == []
