"""Accounts, chats, messages, nonces, limits."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from pathlib import Path

import aiohttp
import msgspec
import pytest

from example_bridge.webchat.client import (
    ChatEvent,
    MemberEvent,
    Mention,
    MessageEvent,
    Persona,
    ProfileEvent,
    Refused,
    Span,
    Unauthorized,
    Unavailable,
    WebchatClient,
)
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join, StartServer

ODD_IDS = [
    "a/b",
    "..%2F",
    "%",
    "é😀\u200d",
    "line\nbreak",
    " blank ",
    "{brace}",
    "#?&=+;",
    "A",
    "a",
    "nul\0",
    "x" * 512,
    "😀" * 512,
]


async def test_a_conversation_from_scratch(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann", "agent"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    assert [member.id for member in chat.members] == ["ann", "bob"]
    assert chat.last_seq == 3  # made, ann came, bob came

    span, mention = Span(0, 2, "bold"), Mention(3, 6, user="bob")
    first = await ann.send(chat.id, "hi bob 😀", format=(span,), mentions=(mention,), nonce="n1")
    second = await bob.send(chat.id, "hello", reply_to=first.id)
    assert (first.seq, second.seq) == (4, 5)

    events = [event async for event in bob.history(chat.id)]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert [type(event) for event in events] == [ChatEvent, MemberEvent, MemberEvent, MessageEvent, MessageEvent]
    seen = events[3]
    assert isinstance(seen, MessageEvent)
    assert seen.message.format == (span,) and seen.message.mentions == (mention,)
    assert (seen.message.id, seen.message.timestamp, seen.message.sender) == (first.id, first.timestamp, "ann")
    answer = events[4]
    assert isinstance(answer, MessageEvent) and answer.message.reply_to == first.id
    assert [event.seq for event in await bob.events(chat.id, after=1, limit=2)] == [2, 3]


async def test_a_direct_chat_is_found_again_and_one_with_an_id_is_new(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = await ann.create_chat("direct", ["bob"])
    assert (await bob.create_chat("direct", ["ann"])).id == chat.id
    assert (await bob.create_chat("direct", ["ann"], id="other")).id == "other"
    with pytest.raises(Refused, match="conflict"):
        await bob.create_chat("direct", ["ann"], id="other")
    assert {each.id for each in await ann.chats()} == {chat.id, "other"}


async def test_groups_change_and_who_left_sees_nothing_after(server: Server, join: Join) -> None:
    ann, bob, eve = await join(server, "ann", "agent"), await join(server, "bob"), await join(server, "eve")
    chat = (await ann.create_chat("group", ["bob"], name="Team")).id
    with pytest.raises(Refused, match="forbidden"):
        await eve.chat(chat)
    await bob.add_member(chat, "eve")
    await bob.add_member(chat, "eve")  # is there already: no event
    await eve.change_chat(chat, name="Crew", avatar_url="http://a/b.png")
    assert (await eve.chat(chat)).name == "Crew"
    with pytest.raises(Refused, match="forbidden"):
        await bob.remove_member(chat, "eve")
    await ann.remove_member(chat, "eve")
    await ann.send(chat, "about eve")
    with pytest.raises(Refused, match="forbidden"):
        await eve.send(chat, "still here?")

    seen = [event async for event in eve.history(chat)]
    assert [event.seq for event in seen] == list(range(1, 7))
    assert isinstance(seen[-1], MemberEvent) and seen[-1].membership == "leave" and seen[-1].actor == "ann"
    assert await eve.chats() == ()

    await ann.add_member(chat, "eve")
    assert [event.seq async for event in eve.history(chat)] == list(range(1, 9))


async def test_a_new_name_is_told_to_every_chat(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    one, two = [(await ann.create_chat("group", ["bob"])).id for _ in range(2)]
    assert (await bob.change_me(name="Robert", avatar_url="http://a/r.png")).name == "Robert"
    await bob.change_me(name="Robert")  # nothing new: no event
    for chat in (one, two):
        last = [event async for event in ann.history(chat)][-1]
        assert isinstance(last, ProfileEvent) and last.profile == await ann.account("bob")
        assert last.seq == 4
    assert (await bob.change_me(avatar_url="")).avatar_url is None


async def test_ids_of_any_characters(server: Server, join: Join) -> None:
    people = [await join(server, id) for id in ODD_IDS]
    for me, id in zip(people, ODD_IDS, strict=True):
        assert (await me.me()).id == id
        assert (await people[0].account(id)).id == id
        chat = await me.create_chat("group", id=id)
        await me.add_member(chat.id, ODD_IDS[0])
        receipt = await me.send(id, f"to {id}", mentions=(Mention(0, 2, user=id),))
        (event,) = await people[0].events(id, after=receipt.seq - 1)
        assert isinstance(event, MessageEvent) and event.message.text == f"to {id}" and event.message.sender == id
    assert {chat.id for chat in await people[0].chats()} == set(ODD_IDS)


@pytest.mark.parametrize("id", ["", ".", "..", "x" * 513])
async def test_ids_that_no_url_carries(server: Server, join: Join, id: str) -> None:
    async with WebchatClient(server.url) as anybody:
        with pytest.raises(Refused, match="bad_request"):
            await anybody.create_account("x", id=id)
    with pytest.raises(Refused, match="bad_request"):
        await (await join(server, "ann")).create_chat("group", id=id)


async def test_a_repeated_nonce_makes_nothing_new_until_it_expires(start_server: StartServer, join: Join) -> None:
    now = 1_000_000
    server = await start_server(now=lambda: now, dedupe_seconds=60)
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = (await ann.create_chat("direct", ["bob"])).id
    assert (await ann.info()).dedupe_seconds == 60

    first = await ann.send(chat, "once", nonce="n")
    now += 59_999
    assert await ann.send(chat, "once, again", nonce="n") == first
    assert (await bob.send(chat, "mine", nonce="n")).seq == first.seq + 1  # nonces are per account
    now += 1
    third = await ann.send(chat, "expired", nonce="n")
    assert third.seq == first.seq + 2 and third.id != first.id
    nonces = await server.network.store.read(lambda db: db.execute("SELECT account FROM nonce").fetchall())
    assert sorted(nonces) == [("ann",), ("bob",)]  # the expired one is gone


async def test_the_same_nonce_many_times_at_once(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    chat = (await ann.create_chat("group")).id
    receipts = await asyncio.gather(*(ann.send(chat, "x", nonce="same") for _ in range(20)))
    assert len(set(map(repr, receipts))) == 1
    assert len(await ann.events(chat, after=2)) == 1


async def test_without_dedupe_every_send_counts(start_server: StartServer, join: Join) -> None:
    ann = await join(await start_server(dedupe_seconds=0), "ann")
    chat = (await ann.create_chat("group")).id
    assert (await ann.info()).dedupe_seconds == 0
    assert [(await ann.send(chat, "x", nonce="n")).seq for _ in range(3)] == [3, 4, 5]


async def test_only_the_sender_sees_the_nonce(server: Server, join: Join) -> None:
    ann, bob = await join(server, "ann"), await join(server, "bob")
    chat = (await ann.create_chat("direct", ["bob"])).id
    receipt = await ann.send(chat, "x", nonce="secret")
    for reader, nonce in ((ann, "secret"), (bob, None)):
        (event,) = await reader.events(chat, after=receipt.seq - 1)
        assert isinstance(event, MessageEvent) and event.message.nonce == nonce


async def test_limits_and_refusals(start_server: StartServer, join: Join) -> None:
    server = await start_server(max_text_length=10)
    ann, eve = await join(server, "ann", "agent"), await join(server, "eve")
    chat = (await ann.create_chat("group")).id
    assert (await ann.send(chat, "😀" * 10)).seq == 3
    for code, send in (
        ("too_long", ann.send(chat, "😀" * 11)),
        ("bad_request", ann.send(chat, "")),
        ("bad_request", ann.send(chat, "x", format=(Span(0, 2, "bold"),))),
        ("bad_request", ann.send(chat, "x", format=(Span(0, 1, "loud"),))),
        ("bad_request", ann.send(chat, "x", mentions=(Mention(0, 1, user="ann", room=True),))),
        ("bad_request", ann.send(chat, "\ud800")),
        ("not_found", ann.send("nowhere", "x")),
        ("not_found", ann.send("\ud800", "x")),
        ("not_found", ann.send(chat, "x", reply_to="m-never")),
        ("forbidden", eve.send(chat, "x")),
    ):
        with pytest.raises(Refused) as refused:
            await send
        assert refused.value.code == code
    assert (await ann.chat(chat)).last_seq == 3  # nothing was left behind


async def test_a_relayed_message_carries_whose_it_is(server: Server, join: Join) -> None:
    relay, eve = await join(server, "relay", "agent"), await join(server, "eve")
    chat = (await relay.create_chat("group", ["eve"])).id
    receipt = await relay.send(chat, "hi", shown_as=Persona("Zoë", "http://a/z.png"))
    (event,) = await eve.events(chat, after=receipt.seq - 1)
    assert isinstance(event, MessageEvent) and event.message.shown_as == Persona("Zoë", "http://a/z.png")
    with pytest.raises(Refused, match="forbidden"):
        await eve.send(chat, "hi", shown_as=Persona("ann"))


async def test_unknown_fields_are_ignored_and_wrong_ones_refused(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    chat = (await ann.create_chat("group", id="c")).id
    headers = {"Authorization": f"Bearer {ann.token}"}
    async with aiohttp.ClientSession(server.url, headers=headers) as http:

        async def post(body: bytes) -> tuple[int, dict[str, object]]:
            async with http.post(f"/api/chats/{chat}/messages", data=io.BytesIO(body)) as response:
                return response.status, msgspec.json.decode(await response.read())

        assert (await post(b'{"text":"x","of_the_future":[1]}'))[0] == 200
        for body in (b"{", b"[]", b'{"text":7}', b'{"text":"\xff"}', b'{"text":"\\ud800"}', b"\xff"):
            status, error = await post(body)
            assert (status, error["type"], error["code"]) == (400, "error", "bad_request"), body
        assert (await post(b'{"text":"' + b"x" * (1 << 20) + b'"}'))[0] == 413
        async with http.get("/api/nothing") as response:
            assert (response.status, (await response.json())["code"]) == (404, "not_found")
        async with http.delete("/api/info") as response:
            assert response.status == 405
        async with http.get(f"/api/chats/{chat}/events?after=-1") as response:
            assert response.status == 400


async def test_tokens(server: Server, join: Join) -> None:
    ann = await join(server, "ann")
    async with WebchatClient(server.url, "wrong") as nobody:
        with pytest.raises(Unauthorized):
            await nobody.me()
    with pytest.raises(Refused, match="conflict"):
        await join(server, "ann")
    await ann.revoke_token("ann")
    with pytest.raises(Unauthorized):
        await ann.me()
    fresh = await ann.renew_token("ann")
    async with WebchatClient(server.url, fresh.token) as again:
        assert (await again.me()).id == "ann"


async def test_without_faults_nobody_can_break_anything(start_server: StartServer, join: Join) -> None:
    server = await start_server(faults=False)
    ann, eve = await join(server, "ann"), await join(server, "eve")
    with pytest.raises(Refused, match="not_found"):
        await ann.set_fault("slow", delay_ms=1)
    with pytest.raises(Refused, match="forbidden"):
        await eve.revoke_token("ann")
    with pytest.raises(Refused, match="bad_request"):  # only DELETE is there
        await eve.renew_token("ann")
    await ann.revoke_token("ann")


async def test_what_was_answered_survives_a_restart(start_server: StartServer, join: Join) -> None:
    server = await start_server()
    ann = await join(server, "ann")
    chat = (await ann.create_chat("group")).id
    receipt = await ann.send(chat, "kept", nonce="n")
    await server.stop()
    with pytest.raises(Unavailable):
        await ann.send(chat, "nobody home")

    again = await start_server()
    async with WebchatClient(again.url, ann.token) as ann_again:
        assert await ann_again.send(chat, "kept", nonce="n") == receipt
        assert (await ann_again.send(chat, "next")).seq == receipt.seq + 1


async def test_two_servers_on_one_file(server: Server, tmp_path: Path, start_server: StartServer) -> None:
    with pytest.raises(Exception, match="locked"):
        await start_server()


async def test_a_file_of_an_older_webchat(tmp_path: Path, start_server: StartServer) -> None:
    with sqlite3.connect(tmp_path / "webchat.db") as old:
        old.execute("CREATE TABLE chat (id TEXT PRIMARY KEY)")
    old.close()
    with pytest.raises(sqlite3.DatabaseError, match="another version of webchat wrote the file"):
        await start_server()


async def test_the_page_is_served(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as http:
        async with http.get("/") as response:
            assert (
                response.content_type == "text/html"
                and "default-src 'none'" in response.headers["Content-Security-Policy"]
            )
        for name in ("app.js", "style.css", "kit/outbox.js"):
            async with http.get(f"/static/{name}") as response:
                assert response.status == 200
        async with http.get("/static/..%2Fapp.py") as response:
            assert response.status in (403, 404)
