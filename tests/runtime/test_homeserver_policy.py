"""What the lane does for everything that the homeserver can answer to an event from the network."""

from __future__ import annotations

import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import PortalKey
from bridgekit.model.records import PortalLoginSaved
from bridgekit.runtime.parts import Times
from bridgekit.testing.harness import ALICE, MINE, Harness
from bridgekit.testing.network import FakeNetwork

AWAY = HomeserverUnreachable("refused")
FOR_GOOD = [(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND"), (413, "M_TOO_LARGE"), (400, "M_BAD_JSON"), (400, "M_UNKNOWN")]
FOR_NOW = [
    (429, "M_LIMIT_EXCEEDED"),
    (500, "M_UNKNOWN"),
    (502, "M_UNKNOWN"),
    (503, "M_UNKNOWN"),
    (504, "M_UNKNOWN"),
    (401, "M_UNKNOWN_TOKEN"),
]


@pytest.mark.parametrize("status, errcode", FOR_GOOD)
async def test_refused_for_good(harness: Harness, status: int, errcode: str) -> None:
    room = await harness.portal()
    error = MatrixRequestError(status, errcode, "injected")
    times = 2 if status == 403 else 1  # once more after the ghost was brought back
    harness.homeserver.fail("send_event", error, times=times, when=lambda call: call["user"] != harness.homeserver.bot)
    harness.network.say("chat", "friend", "first")
    harness.network.say("chat", "friend", "second")
    await harness.settle(5)
    assert harness.homeserver.bodies(room) == ["hello", "second"]
    (letter,) = await harness.store.dead_letters()
    assert letter.code == errcode
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert f"could not be shown here ({errcode})" in notice


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("status, errcode", FOR_NOW)
async def test_refused_for_now(harness: Harness, status: int, errcode: str, lost: bool) -> None:
    room = await harness.portal()
    error = MatrixRequestError(status, errcode, "injected", retry_after_ms=120_000 if status == 429 else None)
    harness.homeserver.fail("send_event", error, times=3, lost=lost)
    for body in ("first", "second"):
        harness.network.say("chat", "friend", body)
    await harness.settle(110 if status == 429 else 1)
    assert harness.homeserver.bodies(room) == (["hello", "first"] if lost else ["hello"])
    await harness.settle(3600)
    assert harness.homeserver.bodies(room) == ["hello", "first", "second"]
    assert await harness.store.dead_letters() == []


@pytest.mark.parametrize("lost", [True, False])
async def test_away_for_two_days(harness: Harness, lost: bool) -> None:
    room = await harness.portal()
    harness.homeserver.fail("send_event", AWAY, times=1000, lost=lost)
    harness.network.say("chat", "friend", "first")
    await harness.settle(48 * 3600)
    harness.homeserver.mend()
    await harness.settle(600)
    assert harness.homeserver.bodies(room) == ["hello", "first"]


async def test_stumbling_for_a_day_ends_the_entry(harness: Harness) -> None:
    room = await harness.portal()
    error = MatrixRequestError(500, "M_UNKNOWN", "injected")
    harness.homeserver.fail("send_event", error, times=10_000, when=lambda call: call["content"]["body"] == "first")
    for body in ("first", "second"):
        harness.network.say("chat", "friend", body)
    await harness.settle(25 * 3600)
    assert harness.homeserver.bodies(room) == ["hello", "second"]


async def test_a_transaction_id_that_was_forgotten(harness: Harness) -> None:
    """The event is there, its answer was lost, and the homeserver forgot its id a day ago: it is found by its key."""
    room = await harness.portal()
    harness.homeserver.fail("send_event", AWAY, lost=True)
    harness.homeserver.fail("send_event", AWAY, times=395)
    harness.network.say("chat", "friend", "first")
    await harness.settle(24 * 3600)
    harness.homeserver.forget_transactions()
    await harness.settle(3600)
    assert harness.homeserver.bodies(room) == ["hello", "first"]
    assert await harness.store.dead_letters() == []


async def test_what_the_homeserver_forgot_is_bridged_in_its_place(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.say(room, ALICE, "one")
    await harness.until(lambda: harness.network.texts("chat") == ["one"])
    await harness.kill()
    harness.homeserver.say(room, ALICE, "two")
    harness.homeserver.lose_outbox()
    await harness.start()
    harness.homeserver.say(room, ALICE, "three")
    await harness.until(lambda: len(harness.network.texts("chat")) == 3)
    assert harness.network.texts("chat") == ["one", "two", "three"]


async def test_the_portal_s_logins_are_read_while_they_change(harness: Harness) -> None:
    """A slow read must not put what was true before a write into the cache after it."""
    room = await harness.portal()
    portal = await harness.bridge.books.portal_by_room(room)
    assert portal is not None
    books = harness.bridge.books
    await books.save(PortalLoginSaved(portal.key, books.logins()[0].login.id))  # drops what is cached
    read = books.directory.portal_logins

    async def slow(key: PortalKey) -> list[str]:
        await books.save(PortalLoginSaved(portal.key, books.logins()[0].login.id))
        return []

    books.directory.portal_logins = slow  # type: ignore[method-assign, assignment]
    assert await books.portal_logins(portal.key) == ()
    books.directory.portal_logins = read  # type: ignore[method-assign]
    assert [record.login.user for record in await books.portal_logins(portal.key)] == [MINE]


async def test_stopping_does_not_wait_for_a_database_that_is_away() -> None:
    harness = Harness(FakeNetwork(), times=Times(drain_s=0.01))
    await harness.start()
    room = await harness.portal()
    harness.door.refused = {"complete"}
    harness.homeserver.say(room, ALICE, "once")
    await harness.until(lambda: harness.network.texts("chat") == ["once"])
    await harness.stop()
    harness.clock.jump(20)
    await harness.start()
    await harness.settle(60)
    assert harness.network.texts("chat") == ["once"]
    await harness.kill()


async def test_a_homeserver_that_is_back_is_used_at_once(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.fail("send_event", AWAY, times=1000)
    harness.network.say("chat", "friend", "first")
    await harness.settle(800)  # the backoff has grown to minutes by now; the next look at the room is at 900
    harness.homeserver.mend()
    await harness.homeserver.capabilities()  # any answer shows that it is there
    await harness.settle(1)
    assert harness.homeserver.bodies(room) == ["hello", "first"]


async def test_a_wait_that_the_homeserver_asked_for_is_not_cut_short(harness: Harness) -> None:
    room = await harness.portal()
    limited = MatrixRequestError(429, "M_LIMIT_EXCEEDED", "injected", retry_after_ms=600_000)
    harness.homeserver.fail("send_event", limited)
    harness.network.say("chat", "friend", "first")
    await harness.settle(10)
    harness.homeserver.fail("capabilities", AWAY)
    with pytest.raises(HomeserverUnreachable):
        await harness.homeserver.capabilities()
    await harness.homeserver.capabilities()
    await harness.settle(500)
    assert harness.homeserver.bodies(room) == ["hello"]
    await harness.settle(200)
    assert harness.homeserver.bodies(room) == ["hello", "first"]
