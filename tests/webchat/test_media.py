"""Files: their bytes, who may have them, messages that come before them."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from example_bridge.webchat.client import (
    Disconnected,
    File,
    Location,
    MediaEvent,
    Message,
    MessageEvent,
    NotYet,
    Refused,
    Unavailable,
    WebchatClient,
)
from example_bridge.webchat.server.app import Server
from example_bridge.webchat.server.media import overdue
from example_bridge.webchat.server.protocol import FILES, Persona
from tests.webchat.conftest import Join, StartServer
from tests.webchat.helpers import DEADLINE, watching
from tests.webchat.state import State

DATA = os.urandom(1_500_000)


async def pieces(data: bytes, size: int = 60_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def given(client: WebchatClient, data: bytes = DATA, name: str = "a.bin", mimetype: str = "") -> str:
    """A file that is there."""
    file = await client.reserve(name, mimetype)
    await client.upload(file, pieces(data), len(data))
    return file


async def fetched(client: WebchatClient, file: str, wait_ms: int = 0) -> bytes:
    async with asyncio.timeout(DEADLINE), client.open_file(file, wait_ms=wait_ms) as download:
        return b"".join([piece async for piece in download.chunks])


async def only_message(client: WebchatClient, chat: str) -> Message:
    (message,) = [event.message for event in await client.events(chat) if isinstance(event, MessageEvent)]
    return message


def on_disk(server: Server, tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "webchat.db-files").iterdir()}


@pytest.mark.parametrize("known", [True, False])
async def test_bytes_come_back_as_they_went(server: Server, join: Join, known: bool) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    file = await ann.reserve("año \N{CAT FACE}.png", "image/png", len(DATA) if known else None)
    done = await ann.upload(file, pieces(DATA), len(DATA) if known else None)
    assert (done.size, done.sha256) == (len(DATA), sha256(DATA).hexdigest())
    await ann.send(chat.id, "", files=(File(id=file, width=3, height=4),))
    assert (await only_message(bob, chat.id)).files == (
        File(
            id=file,
            name="año \N{CAT FACE}.png",
            mimetype="image/png",
            size=len(DATA),
            kind="image",
            width=3,
            height=4,
            state="there",
        ),
    )
    async with bob.open_file(file) as download:
        assert (download.size, download.mimetype, download.name) == (
            len(DATA),
            "image/png",
            "año \N{CAT FACE}.png",
        )
        assert b"".join([piece async for piece in download.chunks]) == DATA


async def test_a_message_comes_before_its_file_and_whoever_waits_gets_it(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    async with watching(bob) as watcher:
        file = await ann.reserve("film.mp4", "video/mp4", 7)
        sent = await ann.send(chat.id, "look", files=(File(id=file, duration_ms=1200),))
        await ann.send(chat.id, "and more")
        assert await watcher.until_messages(2) == ["look", "and more"]
        with pytest.raises(NotYet):
            await fetched(bob, file)
        waiting = asyncio.create_task(fetched(bob, file, 20_000))
        await ann.upload(file, pieces(DATA))
        assert await waiting == DATA
        await watcher.until_seq(chat.id, sent.seq + 2)
        (event,) = [event for event in watcher.events if isinstance(event, MediaEvent)]
    assert (event.target, event.file, event.state, event.size) == (sent.id, file, "there", len(DATA))
    # Who saw it live and who reads it later know the same.
    live, later = State().take_all(watcher.events), State().take_all(await bob.events(chat.id))
    assert live.messages == later.messages
    assert live.messages[sent.id].files[0].state == "there"
    assert live.messages[sent.id].files[0].size == len(DATA)


async def test_what_was_given_up_is_told(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    file = await ann.reserve("a.bin")
    await ann.send(chat.id, "", files=(File(id=file),))
    waiting = asyncio.create_task(fetched(bob, file, 20_000))
    await ann.withdraw(file)
    with pytest.raises(Refused, match="not_found: this file never arrived"):
        await waiting
    await ann.withdraw(file)  # again
    assert (await only_message(bob, chat.id)).files[0].state == "failed"
    with pytest.raises(Refused, match="given up"):
        await ann.upload(file, pieces(DATA))
    with pytest.raises(Refused, match="given up"):
        await ann.send(chat.id, "", files=(File(id=file),))
    there = await given(ann)
    with pytest.raises(Refused, match="conflict"):
        await ann.withdraw(there)


async def test_what_does_not_come_in_time_is_not_waited_for(start_server: StartServer, join: Join) -> None:
    now = 1_800_000_000_000
    server = await start_server(now=lambda: now, upload_seconds=60)
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    late, there = await ann.reserve("late.bin"), await given(ann)
    await ann.send(chat.id, "", files=(File(id=late),))
    waiting = asyncio.create_task(fetched(bob, late, 20_000))
    now += 60_000
    await server.network.expire_files()
    young = await ann.reserve("young.bin")
    assert (await only_message(bob, chat.id)).files[0].state == "arriving"
    now += 1
    await server.network.expire_files()
    with pytest.raises(Refused, match="never arrived"):
        await waiting
    assert (await only_message(bob, chat.id)).files[0].state == "failed"
    (told,) = [event for event in await bob.events(chat.id) if isinstance(event, MediaEvent)]
    assert (told.actor, told.file, told.state) == ("ann", late, "failed")
    with pytest.raises(Refused, match="given up"):
        await ann.upload(late, pieces(DATA))
    await ann.upload(young, pieces(DATA))
    assert await fetched(ann, there) == DATA
    await ann.reserve("unused.bin")
    await server.stop()
    now += 3_600_000
    again = await start_server(now=lambda: now, upload_seconds=60)
    assert await again.network.store.read(lambda db: overdue(db, now)) == []  # it looks when it starts


async def test_only_those_in_the_chat_may_have_it(server: Server, join: Join) -> None:
    ann, bob, eve = [await join(server, id) for id in ("ann", "bob", "eve")]
    chat = await ann.create_chat("group", ["bob"])
    file = await given(ann)
    assert await fetched(ann, file) == DATA
    with pytest.raises(Refused, match="forbidden"):
        await fetched(bob, file)  # in no message yet
    await ann.send(chat.id, "one", files=(File(id=file),))
    assert await fetched(bob, file) == DATA
    with pytest.raises(Refused, match="forbidden"):
        await fetched(eve, file)
    await ann.remove_member(chat.id, "bob")
    assert await fetched(bob, file) == DATA  # he has seen it
    after = await given(ann, b"later")
    await ann.send(chat.id, "two", files=(File(id=after),))
    with pytest.raises(Refused, match="forbidden"):
        await fetched(bob, after)
    for nobody in ("", "f00", "../webchat.db", "..%2Fwebchat.db"):
        with pytest.raises(Refused):
            await fetched(ann, nobody)
    async with WebchatClient(server.url, "stranger") as stranger:
        with pytest.raises(Exception, match="no such token"):
            await fetched(stranger, file)


async def test_a_chats_picture_is_for_those_who_are_in_it(server: Server, join: Join) -> None:
    ann, bob, eve = [await join(server, id) for id in ("ann", "bob", "eve")]
    chat = (await ann.create_chat("group", ["bob"])).id
    file, secret = await given(ann, b"a picture"), await given(ann, b"a secret")
    await ann.change_chat(chat, avatar_url=FILES + file)
    assert await fetched(bob, file) == b"a picture"
    await bob.change_chat(chat, avatar_url=FILES + file, name="Two")  # it stays, and may be said again
    with pytest.raises(Refused, match="forbidden"):
        await fetched(eve, file)
    # Nobody reads a file by calling it a picture.
    for address in (FILES + secret, FILES + await eve.reserve("not there"), FILES, FILES + "../me"):
        with pytest.raises(Refused, match="not_found"):
            await eve.create_chat("group", [], avatar_url=address)
        with pytest.raises(Refused, match="not_found"):
            await bob.change_chat(chat, avatar_url=address)
    await ann.remove_member(chat, "bob")
    with pytest.raises(Refused, match="forbidden"):
        await fetched(bob, file)
    await ann.change_chat(chat, avatar_url="")
    await ann.add_member(chat, "bob")
    with pytest.raises(Refused, match="forbidden"):
        await fetched(bob, file)


async def test_a_persons_picture_is_no_file_of_the_networks(server: Server, join: Join) -> None:
    """Whoever sees that person, and may have the file, as a bridge may, would show it to others."""
    ann, bot = await join(server, "ann"), await join(server, "bot", "agent")
    chat = await ann.create_chat("direct", ["bot"])
    address = FILES + await given(ann, b"a secret")
    with pytest.raises(Refused, match="can be a chat's picture only"):
        await ann.change_me(avatar_url=address)
    with pytest.raises(Refused, match="can be a chat's picture only"):
        await ann.create_account("Eve", avatar_url=address)
    with pytest.raises(Refused, match="can be a chat's picture only"):
        await bot.send(chat.id, "hello", shown_as=Persona("Eve", address))
    assert (await ann.me()).avatar_url is None


async def test_a_chats_picture_stays_when_its_message_is_deleted(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = (await ann.create_chat("group", ["bob"])).id
    file = await given(ann, b"a picture")
    message = await ann.send(chat, "", files=(File(id=file),))
    await ann.change_chat(chat, avatar_url=FILES + file)
    await ann.delete(chat, message.id)
    await asyncio.gather(*server.network.unfinished)
    assert await fetched(bob, file) == b"a picture"


async def test_a_reservation_is_its_owners(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    file = await ann.reserve()
    with pytest.raises(Refused, match="no such file of yours"):
        await bob.upload(file, pieces(b"mine"))
    with pytest.raises(Refused, match="no such file of yours"):
        await bob.withdraw(file)
    with pytest.raises(Refused, match="no such file of yours"):
        await bob.send(chat.id, "", files=(File(id=file),))
    assert (await ann.chat(chat.id)).last_seq == 3  # nothing was said
    await ann.upload(file, pieces(DATA))
    with pytest.raises(Refused, match="conflict"):
        await ann.upload(file, pieces(b"another"))
    assert await fetched(ann, file) == DATA


async def test_of_two_uploads_at_once_one_wins_whole(server: Server, join: Join, tmp_path: Path) -> None:
    ann = await join(server, "ann")
    file = await ann.reserve()
    one, two = os.urandom(800_000), os.urandom(800_000)
    results = await asyncio.gather(ann.upload(file, pieces(one)), ann.upload(file, pieces(two)), return_exceptions=True)
    assert sum(isinstance(result, Refused) and result.code == "conflict" for result in results) == 1
    assert await fetched(ann, file) in (one, two)
    assert on_disk(server, tmp_path) == {file}


async def test_limits(start_server: StartServer, join: Join, tmp_path: Path) -> None:
    server = await start_server(max_upload_size=1000)
    ann = await join(server, "ann")
    assert (await ann.info()).max_upload_size == 1000
    with pytest.raises(Refused, match="too_long: size: 1001 bytes, at most 1000"):
        await ann.reserve("a", "", 1001)
    file = await ann.reserve()
    for size in (1001, None):
        with pytest.raises(Refused, match="too_long"):
            await ann.upload(file, pieces(bytes(1001), 500), size)
    assert on_disk(server, tmp_path) == set()
    assert (await ann.upload(file, pieces(bytes(1000)), 1000)).size == 1000
    nothing = await ann.reserve()
    assert (await ann.upload(nothing, pieces(b""), 0)).size == 0
    assert await fetched(ann, nothing) == b""
    for mimetype in ("html", "text/html; charset=utf-8", "a/b\r\nX: y", "é/x"):
        with pytest.raises(Refused, match="mimetype"):
            await ann.reserve("a", mimetype)


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": [{"id": "ID", "kind": "hologram"}]},
        {"files": [{"id": "ID"}, {"id": "ID"}]},
        {"files": [{"id": "ID", "width": -1}]},
        {"files": [{"id": "ID", "waveform": [2000]}]},
        {"files": [{"id": f"{number}"} for number in range(21)]},
        {"files": [{"id": "nobody's"}]},
        {"location": {"latitude": 91, "longitude": 0}},
        {"location": {"latitude": 1, "longitude": 0, "uncertainty_m": -1}},
        {},
    ],
)
async def test_nonsense_is_refused_whole(server: Server, join: Join, wrong: dict[str, object]) -> None:
    ann, _ = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    file = await ann.reserve()
    body = json.dumps({"text": "", **wrong}).replace('"ID"', f'"{file}"')
    headers = {"Authorization": f"Bearer {ann.token}"}
    address = f"{server.url}/api/chats/{chat.id}/messages"
    async with aiohttp.ClientSession() as http, http.post(address, data=body, headers=headers) as answer:
        assert answer.status in (400, 404), await answer.text()
    assert (await ann.chat(chat.id)).last_seq == 3
    assert (await ann.send(chat.id, "", files=(File(id=file),))).seq == 4  # nothing is attached of what was refused


async def test_captions_and_places(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    one, two = await given(ann, b"1", "1.png", "image/png"), await given(ann, b"2", "2")
    place = Location(60.1699, -24.5, 12.0)
    sent = await ann.send(chat.id, "both", files=(File(id=one), File(id=two, kind="audio")), location=place)
    await ann.edit(chat.id, sent.id, "")
    message = await only_message(bob, chat.id)
    assert (message.text, message.location) == ("", place)
    assert [(file.name, file.kind, file.state) for file in message.files] == [
        ("1.png", "image", "there"),
        ("2", "audio", "there"),
    ]
    words = await ann.send(chat.id, "words")
    with pytest.raises(Refused, match="text: empty"):
        await ann.edit(chat.id, words.id, "")


async def test_what_is_deleted_is_gone_from_the_disk(server: Server, join: Join, tmp_path: Path) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    file, twice, coming = await given(ann), await given(ann, b"twice"), await ann.reserve()
    first = await ann.send(chat.id, "", files=(File(id=file), File(id=twice), File(id=coming)))
    second = await ann.send(chat.id, "", files=(File(id=twice),))
    await ann.delete(chat.id, first.id)
    for account in (ann, bob):
        with pytest.raises(Refused, match="no such file"):
            await fetched(account, file)
        assert await fetched(account, twice) == b"twice"
    with pytest.raises(Refused, match="not_found"):
        await ann.upload(coming, pieces(DATA))
    assert not [
        event for event in await bob.events(chat.id) if isinstance(event, MessageEvent) and event.message.files
    ][:-1]
    await ann.delete(chat.id, second.id)
    await asyncio.gather(*server.network.unfinished)
    assert on_disk(server, tmp_path) == set()


async def test_a_restart_keeps_what_was_answered_and_clears_the_rest(
    start_server: StartServer, join: Join, tmp_path: Path
) -> None:
    server = await start_server()
    ann = await join(server, "ann")
    file = await given(ann)
    coming = await ann.reserve()
    await server.stop()
    folder = tmp_path / "webchat.db-files"
    (folder / f"{coming}.abcd.part").write_bytes(b"half")
    with closing(sqlite3.connect(tmp_path / "webchat.db")) as db, db:
        db.execute("INSERT INTO media SELECT 'fgone', owner, '', '', 1, NULL, 'gone', 0 FROM media LIMIT 1")
    (folder / "fgone").write_bytes(b"deleted, and then it crashed")
    again = await start_server()
    assert on_disk(again, tmp_path) == {file}
    async with WebchatClient(again.url, ann.token) as later:
        assert await fetched(later, file) == DATA
        await later.upload(coming, pieces(b"at last"))
        assert await fetched(later, coming) == b"at last"


async def test_headers_never_let_a_file_run(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    page = b"<script>fetch('/api/me')</script>"
    headers = {"Authorization": f"Bearer {ann.token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for mimetype, how in {
            "text/html": "attachment",
            "image/svg+xml": "attachment",
            "application/pdf": "attachment",
            "image/png": "inline",
            "": "attachment",
        }.items():
            file = await given(ann, page, 'x";\r\nhtml', mimetype)
            async with http.get(f"{server.url}/api/media/{file}") as answer:
                assert answer.headers["Content-Type"] == (mimetype or "application/octet-stream")
                assert answer.headers["Content-Disposition"] == f"{how}; filename*=UTF-8''x%22%3B%0D%0Ahtml"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
                assert await answer.read() == page


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=1000-", 206, 1000, None),
        ("bytes=-7", 206, -7, None),
        ("bytes=0-", 200, 0, None),
        ("bytes=5-999999999", 206, 5, None),
        ("bytes=9-3", 200, 0, None),
        ("bytes=0-1,5-6", 200, 0, None),
        ("pages=1", 200, 0, None),
        ("bytes=1500000-", 416, 0, 0),
    ],
)
async def test_ranges(server: Server, join: Join, asked: str, status: int, start: int, end: int | None) -> None:
    ann = await join(server, "ann")
    file = await given(ann)
    headers = {"Authorization": f"Bearer {ann.token}", "Range": asked}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.get(f"{server.url}/api/media/{file}") as answer:
            assert answer.status == status
            if status == 206:
                first = start if start >= 0 else len(DATA) + start
                last = (len(DATA) if end is None else end) - 1
                assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(DATA)}"
            if status == 416:
                assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"
            else:
                assert await answer.read() == DATA[start:end]
            etag = answer.headers.get("ETag", "")
        if etag:
            async with http.get(f"{server.url}/api/media/{file}", headers={"If-None-Match": etag}) as answer:
                assert answer.status == 304
            async with http.get(f"{server.url}/api/media/{file}", headers={"If-Range": '"old"'}) as answer:
                assert (answer.status, await answer.read()) == (200, DATA)


# -- faults


async def test_downloads_that_go_wrong(server: Server, join: Join) -> None:
    ann = await join(server, "ann", timeout=0.5)
    file = await given(ann)
    await ann.set_fault("break", act="download", after_bytes=100_000, count=1)
    with pytest.raises(Disconnected, match="broke off"):
        await fetched(ann, file)
    for by in (1000, -1000):
        await ann.set_fault("lie", act="download", by=by, count=1)
        async with ann.open_file(file) as download:
            assert download.size == len(DATA) + by
            with pytest.raises(Disconnected, match=r"broke off|not those that were stored"):
                assert [piece async for piece in download.chunks]
    await ann.set_fault("stall", act="download", after_bytes=100_000, count=1)
    with pytest.raises(Disconnected, match="broke off"):
        await fetched(ann, file)
    await ann.set_fault("refuse", act="download", count=1)
    with pytest.raises(Unavailable):
        await fetched(ann, file)
    await ann.clear_faults()
    assert await fetched(ann, file) == DATA


async def test_a_stalled_download_goes_on_when_the_fault_is_cleared(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    file = await given(ann)
    await ann.set_fault("stall", act="download", after_bytes=100_000)
    async with asyncio.timeout(DEADLINE), ann.open_file(file) as download:
        got = b""
        async for piece in download.chunks:
            got += piece
            if len(got) == 100_000:
                await ann.clear_faults()
    assert got == DATA


async def test_slow_transfers_arrive_whole_however_long_they_take(server: Server, join: Join) -> None:
    ann = await join(server, "ann", timeout=0.3)
    data = os.urandom(8000)
    await ann.set_fault("trickle", bytes_per_s=20_000)
    file = await ann.reserve()
    async with asyncio.timeout(DEADLINE):
        await ann.upload(file, pieces(data), len(data))
        assert await fetched(ann, file) == data


async def test_uploads_that_go_wrong_leave_nothing(server: Server, join: Join, tmp_path: Path) -> None:
    ann = await join(server, "ann", timeout=0.5)
    file = await ann.reserve()
    await ann.set_fault("break", act="upload", after_bytes=100_000, count=1)
    with pytest.raises(Disconnected):
        await ann.upload(file, pieces(DATA), len(DATA))
    await ann.set_fault("refuse", act="upload", count=1)
    with pytest.raises(Unavailable):
        await ann.upload(file, pieces(DATA), len(DATA))
    await ann.set_fault("stall", act="upload", after_bytes=100_000, count=1)
    with pytest.raises(Disconnected):
        await ann.upload(file, pieces(DATA[:200_000]), 200_000)
    await ann.clear_faults()
    for wrong in (len(DATA) + 1, len(DATA) - 1):
        with pytest.raises(Disconnected, match=r"were announced|ended after"):
            await ann.upload(file, pieces(DATA), wrong)

    class Burst(Exception):
        pass

    async def bursts() -> AsyncIterator[bytes]:
        yield DATA
        raise Burst

    for size in (None, 2 * len(DATA)):
        with pytest.raises(Burst):
            await ann.upload(file, bursts(), size)
    await ann.upload(file, pieces(DATA), len(DATA))
    assert await fetched(ann, file) == DATA
    await server.stop()
    assert on_disk(server, tmp_path) == {file}


@pytest.mark.parametrize("fault", [{"mode": "cut", "after": 1}, {"mode": "silent", "count": 1}, {"mode": "lie"}])
async def test_an_upload_whose_answer_is_lost_is_there(server: Server, join: Join, fault: dict[str, object]) -> None:
    ann = await join(server, "ann", timeout=0.5)
    file = await ann.reserve()
    await ann.set_fault(act="upload", **fault)  # type: ignore[arg-type]
    with pytest.raises(Disconnected):
        await ann.upload(file, pieces(DATA), len(DATA))
    with pytest.raises(Refused, match="conflict"):
        await ann.upload(file, pieces(DATA), len(DATA))
    assert await fetched(ann, file) == DATA


async def test_an_upload_that_is_cancelled_leaves_nothing(server: Server, join: Join, tmp_path: Path) -> None:
    ann = await join(server, "ann")
    file, begun = await ann.reserve(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield DATA
        begun.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(ann.upload(file, endless()))
    await begun.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await ann.upload(file, pieces(DATA))
    assert await fetched(ann, file) == DATA
    await server.stop()
    assert on_disk(server, tmp_path) == {file}
