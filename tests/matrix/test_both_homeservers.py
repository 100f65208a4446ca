"""The fake homeserver, on which the runtime's tests stand, does what a real one does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest

from bridgekit.core.mentions import Mentions
from bridgekit.core.versions import Version, read_version
from bridgekit.errors import MatrixRequestError
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.model.ids import EventID, TxnID, UserID
from bridgekit.ports import Homeserver as Port
from bridgekit.testing.homeserver import FakeHomeserver
from tests.conftest import NewUser
from tests.matrix.test_homeserver import connect
from tests.support.homeserver import AppserviceSlot
from tests.support.homeserver import Homeserver as Shared


class Room:
    """A room on either: the bot made it, `mod` has power 60, `one` and `other` none; all of them are in it."""

    def __init__(self, homeserver: Port, prefix: str) -> None:
        self.homeserver = homeserver
        self._prefix = prefix

    async def make(self, bot: UserID) -> None:
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


async def refused(call: Awaitable[object]) -> None:
    with pytest.raises(MatrixRequestError) as caught:
        await call
    assert caught.value.status == 403


class Contract:
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


class TestFake(Contract):
    @pytest.fixture
    async def room(self) -> Room:
        fake = FakeHomeserver(UserID("@bot:test"))
        room = Room(fake, "g_")
        await room.make(fake.bot)
        return room

    async def test_what_the_test_sees(self, room: Room) -> None:
        fake = room.homeserver
        assert isinstance(fake, FakeHomeserver)
        await fake.set_typing(room.id, room.one, 5_000)
        await fake.send_receipt(room.id, EventID("$e"), user=room.one)
        await fake.ban(room.id, room.other, by=room.mod, reason="why")
        assert fake.typing == {(room.id, room.one): 5_000}
        assert fake.receipts == {(room.id, room.one): "$e"}
        last = fake.rooms[room.id].timeline[-1]
        assert (last["sender"], last["state_key"]) == (room.mod, room.other)
        assert last["content"] == {"membership": "ban", "reason": "why"}
        await fake.set_typing(room.id, room.one, 0)
        assert fake.typing == {}


@pytest.fixture(scope="module")
async def slot(homeserver: Shared) -> AppserviceSlot:
    return homeserver.take_slot()


@pytest.fixture(scope="module")
async def hs(slot: AppserviceSlot) -> AsyncIterator[Homeserver]:
    made = connect(slot)
    yield made
    await made.close()


class TestReal(Contract):
    @pytest.fixture
    async def room(self, hs: Homeserver, slot: AppserviceSlot) -> Room:
        room = Room(hs, slot.prefix)
        await room.make(hs.bot)
        return room

    async def test_what_people_see(self, hs: Homeserver, room: Room, new_user: NewUser) -> None:
        person = await new_user("person")
        await hs.invite(room.id, UserID(person.user_id))
        await person.join(room.id)
        event = await hs.send_event(
            room.id, "m.room.message", {"msgtype": "m.text", "body": "x"}, txn_id=TxnID(uuid4().hex)
        )
        await hs.set_typing(room.id, room.one, 60_000)
        await hs.send_receipt(room.id, event, user=room.one)

        def seen(type: str) -> Callable[[], bool | None]:
            def check() -> bool | None:
                contents = [each.content for each in person.ephemeral if (each.room_id, each.type) == (room.id, type)]
                return any(room.one in str(content) for content in contents) or None

            return check

        await person.wait_until(seen("m.typing"))
        await person.wait_until(seen("m.receipt"))
        await hs.ban(room.id, room.other, by=room.mod, reason="why")
        ban = await person.wait_for(lambda each: each.content.get("membership") == "ban", room_id=room.id)
        assert (ban.sender, ban.state_key, ban.content["reason"]) == (room.mod, room.other, "why")
