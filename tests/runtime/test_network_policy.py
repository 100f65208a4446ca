"""What the lane does, and what the person reads, for everything that a send can end in."""

from __future__ import annotations

import asyncio
import re

import pytest

from bridgekit.errors import AuthFailed, NotSupported, Rejected, Transient, Uncertain
from bridgekit.model.ids import LoginID, RemoteUserID, UserID
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login
from bridgekit.runtime.parts import Times
from bridgekit.runtime.retrying import Delivery
from bridgekit.testing.harness import ALICE, MINE, Harness
from bridgekit.testing.network import FakeNetwork, FakeSession, Outcome, able

ENDS = {
    "rejected": (Rejected("too rude"), "was not sent: too rude"),
    "not supported": (NotSupported(), "was not sent: the network cannot do this"),
    "uncertain": (Uncertain("no receipt"), "may not have been sent: no receipt"),
    "bug": (KeyError("oops"), "was not sent: internal error"),
}
LOST = {
    "reset": ConnectionResetError(),
    "time-out": TimeoutError(),
    "end of file": EOFError(),
    "cancelled from inside": asyncio.CancelledError(),
}


async def started(network: FakeNetwork, times: Times | None = None) -> Harness:
    harness = Harness(network, times=times)
    await harness.start()
    return harness


@pytest.mark.parametrize("dedupes", [True, False])
@pytest.mark.parametrize("error, words", ENDS.values(), ids=ENDS)
async def test_the_head_ends_and_the_lane_goes_on(error: Exception, words: str, dedupes: bool) -> None:
    harness = await started(FakeNetwork(dedupes=dedupes))
    room = await harness.portal()
    harness.network.next_sends(error)
    harness.homeserver.say(room, ALICE, "first")
    harness.homeserver.say(room, ALICE, "second")
    await harness.settle()
    assert harness.network.texts("chat") == ["second"]
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert words in notice
    assert [letter.event_id is not None for letter in await harness.store.dead_letters()] == [True]
    await harness.settle(90_000)
    assert len(harness.network.tries) == 2
    await harness.kill()


@pytest.mark.parametrize("dedupes", [True, False])
async def test_transient_waits_as_asked_and_nothing_overtakes(dedupes: bool) -> None:
    harness = await started(FakeNetwork(dedupes=dedupes))
    room = await harness.portal()
    harness.network.next_sends(Transient("busy", retry_after=100), Transient("busy"))
    for body in ("first", "second"):
        harness.homeserver.say(room, ALICE, body)
    await harness.settle(99)
    assert len(harness.network.tries) == 1
    await harness.settle(20)
    assert harness.network.texts("chat") == ["first", "second"]
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert "has not been sent yet: busy" in notice
    await harness.kill()


@pytest.mark.parametrize("dedupes", [True, False])
async def test_transient_for_a_day_is_a_dead_letter_and_certain(dedupes: bool) -> None:
    harness = await started(FakeNetwork(dedupes=dedupes))
    room = await harness.portal()
    harness.network.next_sends(*(Transient("busy") for _ in range(1000)))
    harness.homeserver.say(room, ALICE, "first")
    await harness.settle(25 * 3600)
    waiting, failed = harness.homeserver.bodies(room, notices=True)
    assert "has not been sent yet: busy" in waiting
    assert "was not sent: busy" in failed  # the network took nothing, and that is sure
    (letter,) = await harness.store.dead_letters()
    assert letter.code == "transient"
    await harness.kill()


async def test_transient_for_longer_than_the_network_dedupes() -> None:
    """The network remembers nonces for a day and is away for two. It took nothing all the time, and said so: the
    message is sent at the end, and not called uncertain."""
    harness = await started(FakeNetwork(), Times(delivery=Delivery(retry_for_ms=72 * 3_600_000)))
    room = await harness.portal()
    harness.network.next_sends(*(Transient("busy") for _ in range(400)))
    harness.homeserver.say(room, ALICE, "late")
    await harness.settle(60 * 3600)
    assert harness.network.texts("chat") == ["late"]
    assert not any("may not" in notice for notice in harness.homeserver.bodies(room, notices=True))
    await harness.kill()


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("error", LOST.values(), ids=LOST)
async def test_no_answer_with_deduplication_is_tried_again(error: BaseException, taken: bool) -> None:
    harness = await started(FakeNetwork())
    room = await harness.portal()
    harness.network.next_sends(Outcome(error, taken=taken))
    for body in ("first", "second"):
        harness.homeserver.say(room, ALICE, body)
    await harness.settle(5)
    assert harness.network.texts("chat") == ["first", "second"]
    assert harness.homeserver.bodies(room) == ["hello"]
    assert harness.homeserver.bodies(room, notices=True) == []
    await harness.kill()


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("error", LOST.values(), ids=LOST)
async def test_no_answer_without_deduplication_is_uncertain(error: BaseException, taken: bool) -> None:
    harness = await started(FakeNetwork(dedupes=False, echo="none"))
    room = await harness.portal()
    harness.network.next_sends(Outcome(error, taken=taken))
    for body in ("first", "second"):
        harness.homeserver.say(room, ALICE, body)
    await harness.settle(600)
    assert harness.network.texts("chat") == ["first", "second"] if taken else ["second"]
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert "may not have been sent" in notice
    await harness.kill()


async def test_the_send_takes_too_long() -> None:
    harness = await started(FakeNetwork(dedupes=False, echo="none"), Times(delivery=Delivery(send_timeout_ms=1)))
    room = await harness.portal()
    never = asyncio.Event()
    harness.network.next_sends(Outcome(gate=never))
    event = harness.homeserver.say(room, ALICE, "first")
    while not harness.homeserver.bodies(room, notices=True):
        await harness.settle()
    harness.homeserver.say(room, ALICE, "second")
    await harness.until(lambda: harness.network.texts("chat") == ["first", "second"])
    (letter,) = await harness.store.dead_letters()
    assert (letter.event_id, letter.code) == (event, "uncertain")
    await harness.kill()


async def test_an_echo_turns_uncertain_into_done() -> None:
    harness = await started(FakeNetwork(dedupes=False, echo="nonce"))
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.next_sends(Outcome(Uncertain("no receipt"), taken=True))
    harness.network.connect_errors.extend(ConnectionError() for _ in range(3))
    harness.network.drop_connections()  # the echo comes later
    await harness.settle()
    harness.homeserver.say(room, ALICE, "first")
    gate.set()
    await harness.settle(60)
    assert harness.network.texts("chat") == ["first"]
    assert harness.homeserver.bodies(room) == ["hello"]
    await harness.kill()


async def test_a_bug_before_the_send_is_reported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def limits(self: FakeSession, portal: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(FakeSession, "limits", limits)
    harness = await started(FakeNetwork())
    room = await harness.portal()
    harness.homeserver.say(room, ALICE, "first")
    await harness.settle()
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert "was not sent: internal error" in notice
    await harness.kill()


# --- the login is no longer valid -------------------------------------------------------------------------------------
async def test_auth_failed_waits_for_a_new_login() -> None:
    harness = await started(FakeNetwork())
    room = await harness.portal()
    harness.network.next_sends(AuthFailed("the token has expired"))
    for body in ("first", "second"):
        harness.homeserver.say(room, ALICE, body)
    await harness.settle(7200)
    assert len(harness.network.tries) == 1
    told = [notice for each in harness.homeserver.rooms for notice in harness.homeserver.bodies(each, notices=True)]
    assert any("no longer valid (the token has expired)" in notice for notice in told)
    assert any("you have to log in again" in notice for notice in harness.homeserver.bodies(room, notices=True))
    await harness.bridge.logins.add(LoginRecord(login=Login(id=LoginID(MINE), user=MINE), user_id=ALICE))
    await harness.settle(5)
    assert harness.network.texts("chat") == ["first", "second"]
    await harness.kill()


@pytest.mark.parametrize("dedupes", [True, False])
async def test_auth_failed_between_the_parts_of_a_message_repeats_none(dedupes: bool) -> None:
    harness = await started(FakeNetwork(dedupes=dedupes, limits=able(max_text_length=12)))
    room = await harness.portal()
    harness.network.next_sends(Outcome(), AuthFailed("the token has expired"))
    harness.homeserver.say(room, ALICE, "one two three four five six")
    await harness.settle(60)
    assert harness.network.texts("chat") == ["one two"]
    await harness.bridge.logins.add(LoginRecord(login=Login(id=LoginID(MINE), user=MINE), user_id=ALICE))
    await harness.settle(60)
    assert harness.network.texts("chat") == ["one two", "three four", "five six"]
    assert len(harness.network.tries) == 4
    await harness.kill()


async def test_an_old_session_cannot_end_a_new_login() -> None:
    """A send over the old connection fails only after the person has logged in again."""
    harness = await started(FakeNetwork())
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.next_sends(Outcome(AuthFailed("old token"), taken=True, gate=gate))
    harness.homeserver.say(room, ALICE, "first")
    await harness.settle()
    await harness.bridge.logins.add(LoginRecord(login=Login(id=LoginID(MINE), user=MINE), user_id=ALICE))
    await harness.settle(1)
    gate.set()
    await harness.settle(10)
    assert harness.bridge.sessions.session(LoginID(MINE)) is not None
    assert harness.network.texts("chat") == ["first"]
    await harness.kill()


async def test_logging_out_frees_what_waits() -> None:
    harness = await started(FakeNetwork())
    room = await harness.portal()
    harness.network.connect_errors.extend(ConnectionError() for _ in range(1000))
    harness.network.drop_connections()
    await harness.settle(1)
    harness.homeserver.say(room, ALICE, "first")
    await harness.settle(120)
    await harness.bridge.logins.remove(LoginID(MINE))
    await harness.settle(1)
    last = harness.homeserver.bodies(room, notices=True)[-1]
    assert re.search("was not sent: you are not logged in", last)
    await harness.kill()


async def test_one_without_a_login_does_not_hold_up_a_shared_room() -> None:
    """The login of one person is no longer valid: after a minute the others' messages go on."""
    bob = UserID("@bob:test")
    harness = await started(FakeNetwork())
    login = Login(id=LoginID("bob"), user=RemoteUserID("bob"))
    await harness.bridge.logins.add(LoginRecord(login=login, user_id=bob))
    room = await harness.portal()
    harness.network.say("chat", "friend", "again")
    await harness.settle(30)
    harness.homeserver.join_person(room, bob)
    harness.network.next_sends(AuthFailed("expired"))
    harness.homeserver.say(room, ALICE, "from alice")
    harness.homeserver.say(room, bob, "from bob")
    await harness.settle(30)
    assert harness.network.texts("chat") == []
    await harness.settle(60)
    assert harness.network.texts("chat") == ["from bob"]
    assert "was not sent: you have to log in again" in harness.homeserver.bodies(room, notices=True)[-1]
    await harness.kill()
