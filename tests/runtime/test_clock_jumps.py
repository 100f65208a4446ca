"""Somebody sets the machine's clock while people talk: what waits may wait longer, and nothing else."""

from __future__ import annotations

import pytest

from bridgekit.errors import Transient
from bridgekit.model.calls import CallEnd, MatrixCallHangUp, MatrixCallOffer, MatrixCallReject, RemoteCallAnswer
from bridgekit.testing.harness import Harness
from bridgekit.testing.network import FakeNetwork
from tests.runtime.ends import Talk
from tests.runtime.test_calls import COMPLETE, Scene


def set_clock(harness: Harness, by_s: float) -> None:
    """The wall clock; the monotonic one goes on as ever."""
    harness.clock._start += int(by_s * 1000)


@pytest.mark.parametrize("dedupes", [True, False])
@pytest.mark.parametrize("by_s", [48 * 3600, -3600])
async def test_nothing_is_lost_doubled_or_reordered(by_s: float, dedupes: bool) -> None:
    harness = Harness(FakeNetwork(dedupes=dedupes), seed=1)
    await harness.start()
    talk = Talk(harness, {chat: await harness.portal(chat) for chat in ("one", "two")})
    harness.network.next_sends(Transient("busy"))
    talk.speak(3)
    await harness.settle()
    set_clock(harness, by_s)
    talk.speak(3)
    await talk.compare(uncertain=0)
    await harness.kill()


async def test_set_back_the_head_waits_so_much_longer() -> None:
    harness = Harness(FakeNetwork())
    await harness.start()
    room = await harness.portal()
    harness.network.next_sends(Transient("busy"))
    harness.homeserver.say(room, harness.bridge.books.logins()[0].user_id, "first")
    await harness.settle()
    set_clock(harness, -3600)
    await harness.settle(3500)
    assert harness.network.texts("chat") == []
    await harness.settle(200)
    assert harness.network.texts("chat") == ["first"]
    await harness.kill()


async def test_set_forward_by_a_day_what_fails_again_is_given_up_and_told() -> None:
    harness = Harness(FakeNetwork())
    await harness.start()
    room = await harness.portal()
    harness.network.next_sends(Transient("busy"), Transient("busy"))
    harness.homeserver.say(room, harness.bridge.books.logins()[0].user_id, "first")
    await harness.settle()
    set_clock(harness, 25 * 3600)
    await harness.settle(60)
    assert harness.network.texts("chat") == []
    assert "was not sent: busy" in harness.homeserver.bodies(room, notices=True)[-1]
    (letter,) = await harness.store.dead_letters()
    assert letter.code == "transient"
    await harness.kill()


async def test_set_back_a_call_rings_no_longer() -> None:
    harness = Harness(FakeNetwork())
    await harness.start()
    scene = Scene(harness, await harness.portal("chat"))
    scene.ring()
    await scene.alice.see("invite")
    begun = harness.clock.monotonic()
    await harness.settle(10)
    set_clock(harness, -3600)
    await harness.settle(1)
    scene.alice.send("hangup", "-r1", reason="user_busy")  # of a device that is not asked: nothing of the call changes
    reject = await scene.told(MatrixCallReject)
    assert reject.reason is CallEnd.NO_ANSWER
    assert 85 < harness.clock.monotonic() - begun < 95
    await harness.kill()


async def test_set_back_a_call_that_is_answered_goes_on() -> None:
    """What happened since has the new time, and is not put back as well."""
    harness = Harness(FakeNetwork())
    await harness.start()
    scene = Scene(harness, await harness.portal("chat"))
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    set_clock(harness, -3600)
    scene.remote(RemoteCallAnswer, "c1", sdp=COMPLETE)
    answer = await scene.alice.see("answer")
    await harness.settle(5)
    scene.alice.send("select_answer", "c1", selected_party_id=answer["party_id"])
    await harness.settle(600)
    assert harness.bridge.calls.live == 1
    scene.alice.send("hangup", "c1", reason="user_hangup")
    await scene.told(MatrixCallHangUp)
    await harness.settle(1)
    assert scene.lines()[0].startswith("Call ended after 10:0")
    await harness.kill()
