"""What a call has said stays in its order, and is said once: where the adapter hangs, where the disk is away, and where
the room is replaced under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridgekit.errors import MatrixRequestError, StoreUnavailable
from bridgekit.model.calls import (
    CallEnd,
    Candidate,
    MatrixCallHangUp,
    MatrixCallOffer,
    MatrixCallReject,
    RemoteCallAnswer,
    RemoteCallCandidates,
    RemoteCallHangUp,
)
from bridgekit.model.ids import RoomID, UserID
from bridgekit.model.limits import Limits
from bridgekit.model.records import Portal
from bridgekit.runtime.calls import Calls
from bridgekit.runtime.errands import OVERTAKEN_S
from bridgekit.testing.harness import Harness
from bridgekit.testing.network import FakeNetwork
from tests.runtime.test_calls import COMPLETE, Scene, connected_in, connected_out
from tests.runtime.test_upgrades import FRIEND, replaced


async def started(network: FakeNetwork) -> Scene:
    harness = Harness(network)
    await harness.start()
    return Scene(harness, await harness.portal("chat"))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = await started(FakeNetwork())
    yield scene
    await scene.harness.stop()


@pytest.fixture
async def trickling() -> AsyncIterator[Scene]:
    """At a network that trickles."""
    scene = await started(FakeNetwork(limits=Limits(trickle="trickle")))
    yield scene
    await scene.harness.stop()


# --- an adapter that hangs ------------------------------------------------------------------------------------------
async def hangs(scene: Scene, call: str = "c1") -> asyncio.Event:
    """Alice calls, and the adapter hangs with the offer until this is set."""
    gate = asyncio.Event()
    scene.network.next_called("offer", gate)
    scene.alice.invite(call)
    await scene.harness.until(lambda: [one.deed for one in scene.network.called_tries][-1:] == ["offer"])
    return gate


async def test_a_hangup_does_not_wait_for_an_adapter_that_hangs(scene: Scene) -> None:
    await hangs(scene)
    scene.alice.send("hangup", "c1", reason="user_hangup")
    begun = scene.harness.clock.monotonic()
    hang_up = await scene.told(MatrixCallHangUp)
    assert scene.harness.clock.monotonic() - begun <= OVERTAKEN_S
    assert (hang_up.call, scene.network.told(MatrixCallOffer)) == ("c1", [])
    await scene.harness.settle(1)
    assert len(scene.lines()) == 1
    await connected_out(scene, "c2")  # and nothing of it is in the way


async def test_what_is_only_slow_keeps_its_place_before_the_hangup(scene: Scene) -> None:
    gate = await hangs(scene)
    scene.alice.send("hangup", "c1", reason="user_hangup")
    await scene.harness.until(lambda: scene.harness.bridge.calls.live == 0)
    gate.set()
    await scene.told(MatrixCallHangUp)
    assert [one.deed for one in scene.network.called] == ["offer", "hang_up"]


async def test_the_end_of_another_call_cancels_nothing(scene: Scene) -> None:
    gate = await hangs(scene)
    scene.alice.invite("c2")
    await scene.harness.settle(1)
    scene.alice.send("hangup", "c2", reason="user_hangup")
    await scene.harness.settle(5)
    assert scene.network.called == []
    gate.set()
    await scene.told(MatrixCallHangUp)
    assert [one.deed for one in scene.network.called if one.value.call == "c1"] == ["offer"]


async def test_all_that_hangs_costs_the_hangup_no_more_than_the_first(scene: Scene) -> None:
    await connected_out(scene)
    scene.network.next_called("mute", asyncio.Event(), asyncio.Event())
    for muted in (True, False):
        metadata = {"s": {"purpose": "m.usermedia", "audio_muted": muted, "video_muted": False}}
        scene.alice.send("sdp_stream_metadata_changed", "c1", sdp_stream_metadata=metadata)
    await scene.harness.until(lambda: scene.network.called_tries[-1].deed == "mute")
    scene.alice.send("hangup", "c1", reason="user_hangup")
    begun = scene.harness.clock.monotonic()
    await scene.told(MatrixCallHangUp)
    assert scene.harness.clock.monotonic() - begun <= OVERTAKEN_S


async def test_after_a_crash_the_hangup_does_not_wait_either(scene: Scene) -> None:
    await hangs(scene)
    scene.alice.send("hangup", "c1", reason="user_hangup")
    await scene.harness.until(lambda: scene.harness.bridge.calls.live == 0)
    await scene.harness.kill()
    await scene.harness.start()
    await scene.told(MatrixCallHangUp)
    assert scene.network.told(MatrixCallOffer) == []


async def test_an_adapter_that_cancels_itself_is_tried_again(scene: Scene) -> None:
    scene.network.next_called("offer", asyncio.CancelledError())
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)


# --- a disk that is away --------------------------------------------------------------------------------------------
def candidates(scene: Scene) -> list[str]:
    """What Alice was given of the friend's, in order."""
    return [one["candidate"] for each in scene.alice.seen("candidates") for one in each["candidates"]]


def finds(scene: Scene, port: int) -> str:
    """The friend has found another candidate."""
    candidate = f"candidate:{port} 1 udp 2122260223 192.0.2.7 {port} typ host generation 0 ufrag abcd"
    scene.remote(RemoteCallCandidates, "r1", candidates=(Candidate(candidate, "0", 0, "abcd"),))
    return candidate


@pytest.mark.parametrize("killed", [True, False])
async def test_no_event_takes_the_transaction_id_of_another(trickling: Scene, killed: bool) -> None:
    """Candidates are sent a moment after they came. Sent before that is on disk, they would use the id up under which
    after a crash they go together with the next ones, of which the homeserver would then say that it has them."""
    scene = trickling
    await connected_in(scene)
    await scene.harness.settle(1)
    before = candidates(scene)
    scene.harness.door.refused = {"record"}
    first = finds(scene, 1001)
    await scene.harness.settle(5)
    if killed:
        await scene.harness.kill()
    second = finds(scene, 1002)
    scene.harness.door.refused = set()
    if killed:
        await scene.harness.start()
    await scene.harness.settle(5)
    assert candidates(scene)[len(before) :] == [first, second]


async def test_what_is_due_while_the_disk_is_away_is_said_when_it_is_back(scene: Scene) -> None:
    scene.ring()
    await scene.alice.see("invite")
    scene.harness.door.refused = {"record"}
    await scene.harness.settle(120)
    assert scene.harness.bridge.calls.live == 0 and scene.alice.seen("hangup") == []
    scene.harness.door.refused = set()
    hangup = await scene.alice.see("hangup")
    assert hangup["reason"] == "invite_timeout"
    await scene.harness.settle(5)
    assert len(scene.lines()) == 1


async def test_of_two_calls_that_meet_the_new_one_is_seen_first_though_the_disk_was_away(scene: Scene) -> None:
    """A client takes it in place of its own call, which it must not see end before."""
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    await scene.harness.settle(1)
    scene.harness.door.refused = {"record"}
    scene.ring("r1")
    await scene.harness.settle(20)
    scene.harness.door.refused = set()
    await scene.harness.settle(5)
    timeline = scene.harness.homeserver.rooms[scene.room].timeline
    said = [each["type"] for each in timeline if each["type"] in ("m.call.invite", "m.call.reject")]
    assert said == ["m.call.invite"] * 2 + ["m.call.reject"]


async def test_nothing_is_left_of_a_call_that_was_to_be_forgotten_while_the_disk_was_away(scene: Scene) -> None:
    scene.alice.invite("c1")
    scene.alice.send("hangup", "c1")
    await scene.harness.until(lambda: scene.harness.bridge.calls.begun == 1)
    await scene.harness.settle(60)
    assert len(await scene.harness.store.ongoing_calls()) == 1
    scene.harness.door.refused = {"record"}
    await scene.harness.settle(15 * 60)
    scene.harness.door.refused = set()
    await scene.harness.settle(60)
    assert await scene.harness.store.ongoing_calls() == []


@pytest.mark.parametrize("asked", [True, False], ids=["logging out", "logged out"])
async def test_all_calls_of_a_login_end_though_the_disk_was_away(scene: Scene, asked: bool) -> None:
    for call in ("r1", "r2"):
        scene.ring(call)
    await scene.alice.see("invite", 2)
    await scene.harness.settle(5)
    calls, (record,) = scene.harness.bridge.calls, scene.harness.bridge.books.logins()
    scene.harness.door.refused = {"record"}
    with pytest.raises(StoreUnavailable):
        await (calls.logging_out if asked else calls.logged_out)(record.login.id)
    assert calls.live == 0
    scene.harness.door.refused = set()
    await scene.harness.settle(5)
    assert len(scene.alice.seen("hangup")) == 2


async def test_after_a_crash_the_answer_waits_for_the_invite(scene: Scene) -> None:
    """The network has the offer, and answered it, before the invite has ended on disk."""
    scene.harness.door.refused = {"record"}
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    scene.remote(RemoteCallAnswer, "c1", sdp=COMPLETE)
    await scene.harness.settle(0.1)
    await scene.harness.kill()
    scene.harness.door.refused = set()
    await scene.harness.start()
    await scene.alice.see("answer")


# --- a room that is replaced ----------------------------------------------------------------------------------------
def hangups(scene: Scene, room: RoomID) -> list[tuple[UserID, str]]:
    """(by whom, the reason) of those in a room."""
    timeline = scene.harness.homeserver.rooms[room].timeline
    return [(each["sender"], each["content"]["reason"]) for each in timeline if each["type"] == "m.call.hangup"]


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("killed", [False, True])
async def test_a_call_in_a_room_that_is_replaced_ends_at_both_ends(killed: bool, refused: bool) -> None:
    """In the old room, where it is; by the bot, where people may say nothing there any more."""
    with pytest.MonkeyPatch.context() as patch:
        if killed:  # as the portal has moved, before its calls hear of it
            patch.setattr(Calls, "room_replaced", lambda calls, portal: None)
        scene = await started(FakeNetwork())
        await connected_out(scene)
        harness, old = scene.harness, scene.room
        new = replaced(harness, old)
        bot = harness.homeserver.bot
        if refused:
            no = MatrixRequestError(403, "M_FORBIDDEN", "the room was replaced")
            harness.homeserver.fail(
                "send_event", no, times=100, when=lambda call: call["room"] == old and call["user"] != bot
            )
        await harness.settle(5)
        if killed:
            assert harness.bridge.calls.live == 1
            await harness.kill()
    if killed:
        await harness.start()
    hang_up = await scene.told(MatrixCallHangUp)
    assert hang_up.reason is CallEnd.CONNECTION_LOST
    await harness.settle(5)
    assert hangups(scene, old) == [(bot if refused else FRIEND, "ice_timeout")]
    assert hangups(scene, new) == []
    assert len(harness.homeserver.bodies(new, notices=True)) == 1
    assert harness.bridge.calls.live == 0
    await harness.stop()


async def test_all_calls_in_a_room_that_is_replaced_end_though_the_disk_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace = Calls.room_replaced

    def away(calls: Calls, portal: Portal) -> None:
        here.harness.door.refused = {"record"}
        replace(calls, portal)

    monkeypatch.setattr(Calls, "room_replaced", away)
    here = await started(FakeNetwork())
    for call in ("r1", "r2"):
        here.ring(call)
    await here.alice.see("invite", 2)
    replaced(here.harness, here.room)
    await here.harness.until(lambda: bool(here.harness.door.refused))
    await here.harness.settle(3)
    here.harness.door.refused = set()
    await here.told(MatrixCallReject, 2)
    await here.harness.settle(3)
    assert [reason for _, reason in hangups(here, here.room)] == ["ice_timeout"] * 2
    await here.harness.stop()


async def test_what_rings_in_a_room_that_is_replaced_stops(scene: Scene) -> None:
    scene.ring()
    await scene.alice.see("invite")
    replaced(scene.harness, scene.room)
    reject = await scene.told(MatrixCallReject)
    assert reject.reason is CallEnd.CONNECTION_LOST
    assert len(hangups(scene, scene.room)) == 1
    scene.remote(RemoteCallHangUp, "r1")
    await scene.harness.settle(5)
    assert len(hangups(scene, scene.room)) == 1


async def test_a_call_in_the_new_room_is_not_ended(scene: Scene) -> None:
    new = replaced(scene.harness, scene.room)
    await scene.harness.settle(5)
    later = Scene(scene.harness, new)
    await connected_out(later)
    await scene.harness.kill()
    await scene.harness.start()
    await scene.harness.settle(5)
    assert scene.harness.bridge.calls.live == 1 and scene.network.told(MatrixCallHangUp) == []
