"""Streams: order, cursors, reconnects, windows."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import aiohttp
import msgspec
import pytest

from example_bridge.webchat import link
from example_bridge.webchat.client import (
    Disconnected,
    MemberEvent,
    MessageEvent,
    Refused,
    Unauthorized,
    UnknownEvent,
    WebchatClient,
)
from example_bridge.webchat.server import connection
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join, StartServer
from tests.webchat.helpers import DEADLINE, watching


async def test_live_events_and_the_echo(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    async with watching(ann) as at_ann, watching(bob) as at_bob:
        chat = (await ann.create_chat("direct", ["bob"])).id
        receipt = await ann.send(chat, "over the socket", nonce="n")
        assert await at_ann.until_messages(1) == await at_bob.until_messages(1) == ["over the socket"]
        assert at_ann.seqs(chat) == at_bob.seqs(chat) == [1, 2, 3, 4]
        for watcher, nonce in ((at_ann, "n"), (at_bob, None)):
            echo = watcher.events[-1]
            assert isinstance(echo, MessageEvent)
            assert (echo.message.id, echo.seq, echo.message.nonce) == (receipt.id, receipt.seq, nonce)


async def test_order_per_chat_with_many_senders_at_once(server: Server, join: Join) -> None:
    senders = [await join(server, f"s{number}") for number in range(4)]
    names = [f"s{number}" for number in range(1, 4)]
    chats = [(await senders[0].create_chat("group", names, id=f"c{number}")).id for number in range(3)]
    reader = await join(server, "reader")
    for chat in chats:
        await senders[0].add_member(chat, "reader")

    async def talk(sender: WebchatClient, name: int) -> None:
        async with watching(sender):  # sends of one socket, not waited for one by one, keep their order
            await asyncio.gather(*(sender.send(chat, f"{name} {n}") for n in range(30) for chat in chats))

    async with watching(reader) as watcher:
        await asyncio.gather(*(talk(sender, name) for name, sender in enumerate(senders)))
        await watcher.until_messages(30 * 4 * 3)
        for chat in chats:
            history = [event async for event in reader.history(chat)]
            assert [event.seq for event in history] == list(range(1, len(history) + 1))
            assert [event for event in watcher.events if event.chat == chat] == history
            for name in range(4):
                own = [text for text in watcher.texts(chat) if text.startswith(f"{name} ")]
                assert own == [f"{name} {n}" for n in range(30)]


async def test_reconnects_while_others_send(server: Server, join: Join) -> None:
    """Nothing missed, nothing doubled, however often the stream is cut."""
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = (await ann.create_chat("direct", ["bob"])).id
    total, got = 300, list[int]()

    async def talk() -> None:
        for number in range(total):
            await ann.send(chat, str(number))
            if number % 25 == 0:
                await ann.set_fault("cut", account="bob")

    talking = asyncio.create_task(talk())
    cursors: dict[str, int] = {}
    cuts = 0
    async with asyncio.timeout(DEADLINE):
        while len(got) < total:
            try:
                async with aclosing(bob.stream(cursors)) as events:
                    async for event in events:
                        assert event.seq == cursors.get(chat, 0) + 1
                        cursors[chat] = event.seq
                        if isinstance(event, MessageEvent):
                            got.append(int(event.message.text))
                            if len(got) == total:
                                break
            except Disconnected:
                cuts += 1
    await talking
    assert got == list(range(total))
    assert cuts > 0


async def test_cursors_of_many_chats(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    chats = [(await ann.create_chat("group", id=f"c{number}")).id for number in range(5)]
    for chat in chats:
        for number in range(5):
            await ann.send(chat, f"{chat} {number}")
    cursors = {"c0": 7, "c1": 5, "c2": 2, "gone": 99}
    async with watching(ann, cursors) as watcher:
        # caught up means: all of it is here already
        assert {chat: watcher.seqs(chat) for chat in chats} == {
            "c0": [],
            "c1": [6, 7],
            "c2": [3, 4, 5, 6, 7],
            "c3": [1, 2, 3, 4, 5, 6, 7],
            "c4": [1, 2, 3, 4, 5, 6, 7],
        }


async def test_a_cursor_from_the_future_is_refused(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    chat = (await ann.create_chat("group")).id
    with pytest.raises(Refused, match="bad_cursor"):
        async for _ in ann.stream({chat: 3}):
            pass


async def test_leaving_is_seen_live_and_after_a_reconnect(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann", "agent"), await join(server, "bob")
    chat = (await ann.create_chat("group", ["bob"])).id
    async with watching(bob) as watcher:
        cursors = watcher.cursors()
    await ann.remove_member(chat, "bob")
    await ann.send(chat, "behind bob's back")
    async with watching(bob, cursors) as watcher:
        (event,) = watcher.events
        assert isinstance(event, MemberEvent) and event.membership == "leave" and event.member.id == "bob"
        await ann.add_member(chat, "bob")  # and what was missed comes, in order
        await watcher.until_messages(1)
        await ann.send(chat, "welcome back")
        await watcher.until_messages(2)
        assert watcher.seqs(chat) == [4, 5, 6, 7]


async def test_a_consumer_that_pauses_holds_up_no_send(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = (await ann.create_chat("direct", ["bob"])).id
    total = 3 * link.WINDOW
    async with aclosing(bob.stream()) as events:
        assert (await anext(events)).seq == 1  # and from here on bob does not pull
        await bob.wait_caught_up()
        async with watching(ann):
            for _ in range(total // 500):
                await asyncio.gather(*(ann.send(chat, "flood") for _ in range(500)))
        receipt = await bob.send(chat, "still able to speak")
        assert receipt.seq == total + 4
        (listener,) = server.network.hub.of("bob")
        assert isinstance(listener, connection.Connection)
        assert len(listener._live) <= connection.MAX_QUEUED
        async with asyncio.timeout(DEADLINE):
            assert [(await anext(events)).seq for _ in range(receipt.seq - 1)] == list(range(2, receipt.seq + 1))


async def test_the_window_is_never_overrun(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    await ann.create_chat("group", id="c")
    for number in range(8):
        await ann.send("c", str(number))
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.url}/api/stream?token={ann.token}") as socket,
    ):
        await socket.send_str('{"type":"hello","window":3}')
        frames = [await socket.receive_json() for _ in range(3)]
        await socket.send_str('{"type":"send","ref":"x","chat":"c","text":"answered all the same"}')
        assert (await socket.receive_json())["type"] == "sent"  # no fourth event came before it
        await socket.send_str('{"type":"more","count":100}')
        frames += [await socket.receive_json() for _ in range(9)]
        seqs = [frame["event"]["seq"] for frame in frames if frame["type"] == "event"]
        assert seqs == list(range(1, 12))
        assert [frame["type"] for frame in frames].count("ready") == 1


async def test_frames_that_the_server_does_not_know(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    async with aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {ann.token}"}
        async with http.ws_connect(f"{server.url}/api/stream", headers=headers) as socket:
            await socket.send_str('{"type":"hello","cursors":{},"news":1}')
            assert await socket.receive_json() == {"type": "ready", "account": "ann"}
            for nonsense in ("{", "[]", "null", '{"type":"typing","chat":"c"}', '{"type":"hello"}', '"\\ud800"'):
                await socket.send_str(nonsense)
            await socket.send_bytes(b"\xff\xfe")
            await socket.send_str('{"type":"react","ref":"r9"}')
            answer = await socket.receive_json()
            assert (answer["type"], answer["ref"], answer["code"]) == ("error", "r9", "bad_request")
        async with http.ws_connect(f"{server.url}/api/stream", headers=headers) as socket:
            await socket.send_str('{"type":"more","count":1}')
            assert (await socket.receive_json())["code"] == "bad_request"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 4400


async def test_a_revoked_token_ends_the_stream(server: Server, join: Join) -> None:
    ann, admin = await join(server, "ann"), await join(server, "admin")
    async with watching(ann) as watcher:
        await admin.revoke_token("ann")
        assert isinstance(await watcher.until_ended(), Unauthorized)
    with pytest.raises(Unauthorized):
        async for _ in ann.stream():
            pass


async def test_a_server_that_stops_says_goodbye(start_server: StartServer, join: Join) -> None:
    server = await start_server()
    ann = await join(server, "ann")
    async with watching(ann) as watcher:
        await server.stop()
        ended = await watcher.until_ended()
        assert isinstance(ended, Disconnected) and "1001" in str(ended)


async def test_a_second_stream_ends_the_first(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    async with watching(ann) as first, watching(ann) as second:
        assert isinstance(await first.until_ended(), Disconnected)
        chat = (await ann.create_chat("group")).id
        await ann.send(chat, "to the second")
        assert await second.until_messages(1) == ["to the second"]


async def test_a_cancelled_send_hurts_nobody(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    chat = (await ann.create_chat("group")).id
    async with watching(ann) as watcher:
        sending = asyncio.create_task(ann.send(chat, "may arrive"))
        await asyncio.sleep(0)  # noqa: TID251 - the frame goes out in the task's first turn
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert sending.cancelled()
        await ann.send(chat, "arrives")
        assert (await watcher.until_messages(1))[-1] == watcher.texts()[-1]


def test_an_event_of_the_future_keeps_its_cursor() -> None:
    event = link.decode_event(b'{"type":"poll","chat":"c","seq":9,"timestamp":5,"actor":"a","key":"+"}')
    assert event == UnknownEvent("poll", "c", 9, 5, "a")
    with pytest.raises(msgspec.ValidationError):
        link.decode_event(b'{"type":"message","chat":"c","seq":9}')
