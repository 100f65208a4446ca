"""What both homeservers do, the real one and the fake: each call that the runtime makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import pytest

from bridgekit.core.mentions import Mentions
from bridgekit.core.versions import Version, read_version
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import ContentURI, EventID, RoomAlias, TxnID, UserID
from bridgekit.model.raw import MemberProfile, RawEvent
from bridgekit.ports import Homeserver as Port


class Room:
    """A room on either: the bot made it, `mod` has power 60, `one` and `other` none; all of them are in it."""

    def __init__(self, homeserver: Port, prefix: str, alias_prefix: str) -> None:
        self.homeserver = homeserver
        self.alias_prefix = alias_prefix
        self._prefix = prefix

    async def make(self, bot: UserID) -> None:
        self.bot = bot
        make = self.homeserver.register
        users = [await make(f"{self._prefix}{uuid4().hex}") for _ in range(3)]
        self.mod, self.one, self.other = users
        levels = {"users": {bot: 100, self.mod: 60}}
        self.id = await self.homeserver.create_room(
            preset="private_chat", room_version="11", power_level_content_override=levels
        )
        for user in users:
            await self.homeserver.invite(self.id, user)
            await self.homeserver.join(self.id, user=user)

    async def joined(self) -> set[str]:
        members = await self.homeserver.joined_members(self.id)
        return {name for name in ("mod", "one", "other") if getattr(self, name) in members}


async def refused(call: Awaitable[object], status: int = 403) -> MatrixRequestError:
    with pytest.raises(MatrixRequestError) as caught:
        await call
    assert caught.value.status == status
    return caught.value


def content(event: RawEvent | None) -> dict[str, Any]:
    assert event is not None
    read: dict[str, Any] = json.loads(event.raw)["content"]
    return read


def text(body: str) -> dict[str, str]:
    return {"msgtype": "m.text", "body": body}


def txn() -> TxnID:
    return TxnID(uuid4().hex)


class Events:
    """Sending, reading, redacting."""

    async def test_a_transaction_id_is_one_event(self, room: Room) -> None:
        hs = room.homeserver
        device = await hs.ensure_device(room.one)
        assert await hs.ensure_device(room.one) == device
        id = txn()
        same: dict[str, Any] = {"txn_id": id, "user": room.one, "device_id": device}
        first = await hs.send_event(room.id, "m.room.message", text("once"), **same)
        assert await hs.send_event(room.id, "m.room.message", text("once"), **same) == first
        assert await hs.send_event(room.id, "m.room.message", text("once"), **{**same, "txn_id": txn()}) != first
        assert [body for body in await said(room) if body == "once"] == ["once", "once"]

    async def test_an_event_is_read_as_it_was_sent(self, room: Room) -> None:
        hs = room.homeserver
        event = await hs.send_event(
            room.id,
            "m.room.message",
            {**text("x"), "more": {"of": [1, None]}},
            txn_id=txn(),
            user=room.one,
            timestamp=5,
        )
        read = await hs.get_event(room.id, event)
        assert read is not None
        assert (read.event_id, read.room_id, read.sender, read.type) == (event, room.id, room.one, "m.room.message")
        assert (read.state_key, read.redacts, read.origin_server_ts) == (None, None, 5)
        assert content(read) == {**text("x"), "more": {"of": [1, None]}}
        assert await hs.get_event(room.id, EventID("$nothing-has-this-id")) is None

    async def test_a_time_that_is_none_is_refused(self, room: Room) -> None:
        send = room.homeserver.send_event
        await send(room.id, "m.room.message", text("x"), txn_id=txn(), timestamp=2**53 - 1)
        for timestamp in (2**53, 2**63, 10**30, -1):
            await refused(send(room.id, "m.room.message", text("x"), txn_id=txn(), timestamp=timestamp), 400)

    async def test_who_is_not_there_sends_nothing(self, room: Room) -> None:
        hs = room.homeserver
        stranger = await hs.register(localpart(room.mod) + "x")
        await refused(hs.send_event(room.id, "m.room.message", text("x"), txn_id=txn(), user=stranger))
        await refused(hs.get_state(room.id, "m.room.create", user=stranger))
        await refused(hs.send_state(room.id, "m.room.topic", "", {"topic": "x"}, user=stranger))
        await hs.leave(room.id, user=room.one)
        await refused(hs.send_event(room.id, "m.room.message", text("x"), txn_id=txn(), user=room.one))

    async def test_state(self, room: Room) -> None:
        hs = room.homeserver
        assert await hs.get_state(room.id, "m.room.topic") is None
        await hs.send_state(room.id, "m.room.topic", "", {"topic": "old"})
        event = await hs.send_state(room.id, "m.room.topic", "", {"topic": "new"}, user=room.mod)
        assert (await hs.get_state(room.id, "m.room.topic") or {})["topic"] == "new"
        read = await hs.get_event(room.id, event)
        assert read is not None and (read.sender, read.type, read.state_key) == (room.mod, "m.room.topic", "")
        await hs.send_state(room.id, "org.example.kept", "one", {"a": 1})
        assert await hs.get_state(room.id, "org.example.kept", "one") == {"a": 1}
        assert await hs.get_state(room.id, "org.example.kept", "two") is None
        await refused(hs.send_state(room.id, "m.room.topic", "", {"topic": "mine"}, user=room.one))
        assert (await hs.get_state(room.id, "m.room.topic") or {})["topic"] == "new"

    async def test_a_redacted_event_is_empty(self, room: Room) -> None:
        hs = room.homeserver
        event = await hs.send_event(room.id, "m.room.message", text("secret"), txn_id=txn(), user=room.one)
        await refused(hs.redact(room.id, event, txn_id=txn(), user=room.other))
        id = txn()
        redaction = await hs.redact(room.id, event, txn_id=id, user=room.one, reason="why")
        assert await hs.redact(room.id, event, txn_id=id, user=room.one, reason="why") == redaction != event
        assert content(await hs.get_event(room.id, event)) == {}
        read = await hs.get_event(room.id, redaction)
        assert read is not None and (read.type, read.redacts, read.sender) == ("m.room.redaction", event, room.one)
        assert content(read)["reason"] == "why"
        await hs.redact(room.id, event, txn_id=txn())  # once more does no harm
        other = await hs.send_event(room.id, "m.room.message", text("another"), txn_id=txn(), user=room.one)
        await hs.redact(room.id, other, txn_id=txn(), user=room.mod)
        assert content(await hs.get_event(room.id, other)) == {}
        assert await said(room) == []

    async def test_messages_are_read_backwards_in_pages(self, room: Room) -> None:
        hs = room.homeserver
        bodies = [f"{number}" for number in range(5)]
        for body in bodies:
            await hs.send_event(room.id, "m.room.message", text(body), txn_id=txn(), user=room.one)
        first = await hs.messages(room.id, limit=2)
        assert [content(each)["body"] for each in events(first.chunk)] == ["4", "3"]
        second = await hs.messages(room.id, from_=first.end, limit=2)
        assert [content(each)["body"] for each in events(second.chunk)] == ["2", "1"]
        assert await said(room) == list(reversed(bodies))

    async def test_an_event_comes_with_its_latest_edit_and_the_end_of_its_thread(self, room: Room) -> None:
        hs, day = room.homeserver, 1_700_000_000_000

        async def say(body: str, at: int, user: UserID, **more: object) -> EventID:
            content = {"msgtype": "m.text", "body": body, **more}
            return await hs.send_event(
                room.id, "m.room.message", content, txn_id=TxnID(uuid4().hex), user=user, timestamp=day + at
            )

        async def edit(to: str, at: int, user: UserID) -> EventID:
            relation = {"rel_type": "m.replace", "event_id": original}
            new = {"msgtype": "m.text", "body": to, "m.mentions": {"user_ids": [room.mod]}}
            return await say(f"* {to}", at, user, **{"m.new_content": new, "m.relates_to": relation})

        async def seen() -> Version | None:
            event = await hs.get_event(room.id, original)
            assert event is not None
            return read_version(event.raw)

        original = await say("one", 0, room.one)
        assert await seen() == Version()
        await edit("somebody else's", 90, room.other)
        assert await seen() == Version()
        late = await edit("late", 20, room.one)
        early = await edit("early", 10, room.one)
        before = Mentions((room.mod,))
        assert await seen() == Version(mentions=before, so_far=before, edit=late, edited_at=day + 20)
        await hs.redact(room.id, late, txn_id=TxnID(uuid4().hex), user=room.one)
        assert await seen() == Version(mentions=before, so_far=before, edit=early, edited_at=day + 10)
        # What comes last in the room ends the thread, whatever its time.
        relation = {"rel_type": "m.thread", "event_id": original}
        await say("more", 50, room.other, **{"m.relates_to": relation})
        latest = await say("more", 40, room.other, **{"m.relates_to": relation})
        assert (version := await seen()) is not None and version.thread_latest == latest
        await hs.redact(room.id, original, txn_id=TxnID(uuid4().hex), user=room.one)
        assert await seen() is None


class Rooms:
    """Making them, their names, who is in them and what each is called."""

    async def test_what_a_room_is_made_of(self, room: Room) -> None:
        hs = room.homeserver
        made = await hs.create_room(
            preset="private_chat",
            name="a name",
            topic="a topic",
            initial_state=[{"type": "org.example.kept", "state_key": "k", "content": {"a": 1}}],
            invite=[room.one],
            power_level_content_override={"users": {room.bot: 100, room.one: 7}},
            room_version="11",
        )
        assert made != room.id
        assert await hs.get_state(made, "m.room.name") == {"name": "a name"}
        assert (await hs.get_state(made, "m.room.topic") or {})["topic"] == "a topic"
        assert await hs.get_state(made, "org.example.kept", "k") == {"a": 1}
        assert (await hs.get_state(made, "m.room.power_levels") or {})["users"][room.one] == 7
        assert (await hs.get_state(made, "m.room.member", room.one) or {})["membership"] == "invite"
        assert await hs.get_state(made, "m.room.member", room.other) is None
        assert await hs.joined_members(made) == [room.bot]
        await hs.join(made, user=room.one)
        assert set(await hs.joined_members(made, user=room.one)) == {room.bot, room.one}

    async def test_an_alias_names_one_room(self, room: Room) -> None:
        hs = room.homeserver
        local = f"{room.alias_prefix}{uuid4().hex}"
        alias = RoomAlias(f"#{local}:{room.bot.partition(':')[2]}")
        assert await hs.resolve_alias(alias) is None
        await hs.delete_alias(alias)
        made = await hs.create_room(preset="private_chat", room_alias_name=local)
        assert await hs.resolve_alias(alias) == made
        taken = await refused(hs.create_room(preset="private_chat", room_alias_name=local), 400)
        assert taken.errcode == "M_ROOM_IN_USE"
        await hs.create_alias(alias, made)
        await refused(hs.create_alias(alias, room.id), 409)
        await hs.delete_alias(alias)
        assert await hs.resolve_alias(alias) is None
        await hs.create_alias(alias, room.id)
        assert await hs.resolve_alias(alias) == room.id

    async def test_coming_and_going(self, room: Room) -> None:
        hs = room.homeserver
        stranger = await hs.register(localpart(room.mod) + "x")
        assert await hs.register(localpart(room.mod) + "x") == stranger
        await refused(hs.join(room.id, user=stranger))
        await hs.leave(room.id, user=stranger)  # was never there
        for _ in range(2):
            await hs.invite(room.id, stranger, by=room.mod)
        assert await room.joined() == {"mod", "one", "other"}
        for _ in range(2):
            await hs.join(room.id, user=stranger)
        await hs.invite(room.id, stranger)  # is there already
        assert stranger in await hs.joined_members(room.id)
        for _ in range(2):
            await hs.leave(room.id, user=stranger, reason="why")
        assert stranger not in await hs.joined_members(room.id)
        await refused(hs.join(room.id, user=stranger))
        await hs.invite(room.id, stranger, is_direct=True)
        await hs.leave(room.id, user=stranger)  # refuses the invite
        await refused(hs.join(room.id, user=stranger))
        nobody = await hs.register(localpart(room.mod) + "y")
        await refused(hs.invite(room.id, nobody, by=stranger))

    async def test_what_people_are_called(self, room: Room) -> None:
        hs = room.homeserver
        picture = ContentURI("mxc://test/picture")
        stranger = await hs.register(localpart(room.mod) + "x")
        await hs.set_displayname(stranger, "One")
        await hs.set_avatar_url(stranger, picture)
        await hs.invite(room.id, stranger)
        await hs.join(room.id, user=stranger)
        profiles = await hs.member_profiles(room.id)
        assert set(profiles) == {room.bot, room.mod, room.one, room.other, stranger}
        assert profiles[stranger] == MemberProfile("One", picture)
        await hs.set_displayname(stranger, "Two")
        await hs.set_avatar_url(stranger, "")
        async with asyncio.timeout(30):  # it takes a real homeserver a moment to carry it into the rooms
            while (await hs.member_profiles(room.id))[stranger] != MemberProfile("Two", ""):
                pass
        await hs.leave(room.id, user=room.one)
        assert room.one not in await hs.member_profiles(room.id)

    async def test_the_version_of_new_rooms(self, room: Room) -> None:
        capabilities = (await room.homeserver.capabilities())["capabilities"]
        assert int(capabilities["m.room_versions"]["default"]) >= 10


async def said(room: Room) -> list[str]:
    """What was said, latest first, page by page."""
    bodies: list[str] = []
    page = await room.homeserver.messages(room.id, limit=3)
    while True:
        bodies += [content(each)["body"] for each in events(page.chunk) if "body" in content(each)]
        if page.end is None:
            return bodies
        page = await room.homeserver.messages(room.id, from_=page.end, limit=3)


def events(chunk: Any) -> list[RawEvent]:
    return [each for each in chunk if isinstance(each, RawEvent) and each.type == "m.room.message"]


def localpart(user: UserID) -> str:
    return user[1:].partition(":")[0]


class Members:
    async def test_kicks(self, room: Room) -> None:
        hs = room.homeserver
        for target in (room.mod, room.other):
            await refused(hs.kick(room.id, target, by=room.one))
        assert await room.joined() == {"mod", "one", "other"}
        for _ in range(2):
            await hs.kick(room.id, room.other, by=room.mod, reason="why")
        assert await room.joined() == {"mod", "one"}
        await refused(hs.join(room.id, user=room.other))
        await hs.invite(room.id, room.other)
        await hs.join(room.id, user=room.other)
        await hs.kick(room.id, room.mod)
        assert await room.joined() == {"one", "other"}

    async def test_bans(self, room: Room) -> None:
        hs = room.homeserver
        await refused(hs.ban(room.id, room.other, by=room.one))
        for _ in range(2):
            await hs.ban(room.id, room.other, by=room.mod, reason="why")
        assert await room.joined() == {"mod", "one"}
        await refused(hs.invite(room.id, room.other))
        await refused(hs.join(room.id, user=room.other))
        await hs.kick(room.id, room.other)  # is out already, and stays banned
        await refused(hs.unban(room.id, room.other, by=room.one))
        for _ in range(2):
            await hs.unban(room.id, room.other, by=room.mod)
        await hs.unban(room.id, room.one)  # was not banned, and stays
        assert await room.joined() == {"mod", "one"}
        await hs.invite(room.id, room.other)
        await hs.join(room.id, user=room.other)
        assert await room.joined() == {"mod", "one", "other"}
        await hs.ban(room.id, room.mod)
        await refused(hs.kick(room.id, room.one, by=room.mod))  # is not in the room any more

    async def test_somebody_banned_who_never_was_there(self, room: Room) -> None:
        hs = room.homeserver
        stranger = await hs.register(room.mod[1:].partition(":")[0] + "x")
        await hs.ban(room.id, stranger)
        await refused(hs.invite(room.id, stranger))
        await hs.unban(room.id, stranger)
        await hs.invite(room.id, stranger)

    async def test_typing_and_receipts(self, room: Room) -> None:
        hs = room.homeserver
        event = await hs.send_event(
            room.id, "m.room.message", {"msgtype": "m.text", "body": "x"}, txn_id=TxnID(uuid4().hex)
        )
        for timeout_ms in (5_000, 0, 0):
            await hs.set_typing(room.id, room.one, timeout_ms)
        for _ in range(2):
            await hs.send_receipt(room.id, event, user=room.one)
        await hs.send_receipt(room.id, event)
        await hs.leave(room.id, user=room.one)
        await refused(hs.set_typing(room.id, room.one, 5_000))
        await hs.send_receipt(room.id, event, user=room.one)  # is let pass


class Contract(Members, Events, Rooms):
    """All of it."""
