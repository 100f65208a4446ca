"""The fake homeserver, on which the runtime's tests stand, does what a real one does."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

from bridgekit.matrix.homeserver import Homeserver
from bridgekit.model.ids import EventID, TxnID, UserID
from bridgekit.testing.homeserver import FakeHomeserver
from tests.conftest import NewUser
from tests.matrix.homeserver_contract import Contract, Room, content
from tests.matrix.test_homeserver import connect
from tests.support.homeserver import AppserviceSlot
from tests.support.homeserver import Homeserver as Shared


class TestFake(Contract):
    @pytest.fixture
    async def room(self) -> Room:
        fake = FakeHomeserver(UserID("@bot:test"))
        room = Room(fake, "g_", "a_")
        await room.make(fake.bot)
        return room

    async def test_a_relation_may_be_anything(self, room: Room) -> None:
        send = functools.partial(room.homeserver.send_event, room.id, "m.room.message")
        event = await send({"body": "x"}, txn_id=TxnID("1"))
        anything: tuple[object, ...] = ([], {}, None, 5)
        for number, rel_type in enumerate(anything):
            await send({"m.relates_to": {"event_id": event, "rel_type": rel_type}}, txn_id=TxnID(f"r{number}"))
        assert content(await room.homeserver.get_event(room.id, event)) == {"body": "x"}

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
        room = Room(hs, slot.prefix, slot.prefix)
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
