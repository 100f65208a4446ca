"""What the network says becomes durable before the session is resumed, whatever the session does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridgekit.errors import AuthFailed
from bridgekit.model.content import Text
from bridgekit.model.ids import ChatID, LoginID, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.records import LoginRecord, LoginState
from bridgekit.model.remote import Batch, Login, RemoteMessage, RemoteProfile
from bridgekit.testing.harness import ALICE, MINE, Harness
from bridgekit.testing.network import FakeNetwork, FakeSession

LOGIN = LoginID(MINE)


async def test_resumed_only_after_the_commit(harness: Harness) -> None:
    room = await harness.portal()
    harness.door.refused = {"append"}
    for number in range(3):
        harness.network.say("chat", "friend", f"told {number}")
    await harness.settle(30)
    assert await harness.store.cursors(LOGIN) == {"": "1"}
    harness.door.refused = set()
    await harness.until(lambda: harness.homeserver.bodies(room) == ["hello", "told 0", "told 1", "told 2"])
    assert await harness.store.cursors(LOGIN) == {"": "4"}


@pytest.mark.parametrize("seed", range(12))
async def test_disconnected_in_the_middle_of_an_append(seed: int) -> None:
    """The write takes effect although nobody waits for it any more: its entries are carried out all the same."""
    harness = Harness(seed=seed)
    await harness.start()
    room = await harness.portal()
    harness.network.say("chat", "friend", "told")
    for _ in range(seed):
        await turn()
    await harness.bridge.sessions.disconnect(LOGIN)
    await harness.settle(5)
    cursor = (await harness.store.cursors(LOGIN))[""]
    assert harness.homeserver.bodies(room) == (["hello", "told"] if cursor == "2" else ["hello"])
    harness.bridge.sessions.connect(LOGIN)
    await harness.until(lambda: harness.homeserver.bodies(room) == ["hello", "told"])
    await harness.kill()


async def turn() -> None:
    await asyncio.sleep(0)  # noqa: TID251 - one turn, no time


@pytest.mark.parametrize(
    "text", ["half a pair \ud83d", "nul \x00", "\ud800" * 3], ids=["surrogate", "nul", "surrogates"]
)
async def test_odd_text_does_not_wedge_the_session(harness: Harness, text: str) -> None:
    room = await harness.portal()
    harness.network.say("chat", "friend", text)
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: "after" in harness.homeserver.bodies(room))
    assert len(harness.homeserver.bodies(room)) == 3


async def test_a_malformed_event_does_not_wedge_the_session(harness: Harness) -> None:
    room = await harness.portal()
    bad = RemoteMessage(
        portal=PortalKey(ChatID("chat")),
        id=RemoteMessageID("bad"),
        sender=RemoteUserID("friend"),
        timestamp=object(),  # type: ignore[arg-type]
        text=Text("bad"),
    )
    harness.network.emit(bad)
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: harness.homeserver.bodies(room) == ["hello", "after"])
    assert [letter.code for letter in await harness.store.dead_letters()] == ["malformed"]


async def test_several_events_at_one_cursor(harness: Harness) -> None:
    await harness.portal()
    events = tuple(RemoteProfile(user=RemoteUserID("friend"), name=name) for name in ("One", "Two"))
    harness.network.emit(Batch(events=events))
    await harness.until(lambda: "Two" in harness.homeserver.names.values())


async def test_a_session_whose_library_cancels_itself_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    await harness.start()
    room = await harness.portal()
    stream, broken = FakeSession.events, 0

    async def events(self: FakeSession, after: dict[str, str]) -> AsyncIterator[object]:
        nonlocal broken
        broken += 1
        if broken == 1:
            raise asyncio.CancelledError
        async for item in stream(self, after):
            yield item

    monkeypatch.setattr(FakeSession, "events", events)
    harness.network.drop_connections()
    await harness.settle(1)
    harness.network.say("chat", "friend", "after")
    await harness.until(lambda: harness.homeserver.bodies(room) == ["hello", "after"])
    await harness.kill()


async def test_auth_failed_while_the_database_is_away() -> None:
    harness = Harness()
    await harness.start()
    await harness.portal()
    harness.network.connect_errors.extend(AuthFailed("expired") for _ in range(50))
    harness.door.refused = {"record"}
    harness.network.drop_connections()
    await harness.settle(60)
    harness.door.refused = set()
    await harness.settle(600)
    record = await harness.store.login(LOGIN)
    assert record is not None and record.state is LoginState.BAD_CREDENTIALS
    told = [notice for each in harness.homeserver.rooms for notice in harness.homeserver.bodies(each, notices=True)]
    assert sum("no longer valid" in notice for notice in told) == 1
    await harness.kill()


async def test_two_logins_see_the_same_chat() -> None:
    harness = Harness(FakeNetwork())
    await harness.start()
    bob = LoginRecord(login=Login(id=LoginID("bob"), user=RemoteUserID("bob")), user_id=ALICE)
    await harness.bridge.logins.add(bob)
    room = await harness.portal()
    for number in range(5):
        harness.network.say("chat", "friend", f"told {number}")
    await harness.settle(60)
    assert harness.homeserver.bodies(room) == ["hello", *(f"told {number}" for number in range(5))]
    await harness.kill()


async def test_a_new_login_outlives_the_refusal_of_the_old_one(harness: Harness) -> None:
    """The person logs in again while they are being told that they have to."""
    await harness.portal()
    (record,) = harness.bridge.books.logins()
    id, sessions = record.login.id, harness.bridge.sessions
    old = sessions.session(id)
    told = harness.homeserver.gate("send_event")
    refusal = asyncio.create_task(sessions.refused(id, old, "expired"))
    await harness.settle(1)
    await harness.bridge.logins.add(record)
    await harness.until(lambda: sessions.session(id) not in (None, old))
    told.set()
    await refusal
    await harness.settle(1)
    assert sessions.session(id) is not None
    await sessions.refused(id, old, "expired")
    assert sessions.session(id) is not None
    assert [each.state for each in harness.bridge.books.logins()] == [LoginState.ACTIVE]
