"""What calls want done, and cannot have done at once: what becomes of the call, and what a restart makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from bridgekit.core.call import book
from bridgekit.core.call.caller import Caller
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError, Transient
from bridgekit.model.calls import (
    CallEnd,
    CallProgress,
    MatrixCallHangUp,
    MatrixCallMute,
    MatrixCallOffer,
    MatrixCallProgress,
    MatrixCallReject,
    RemoteCallAnswer,
    RemoteCallHangUp,
    RemoteCallMute,
)
from bridgekit.model.ids import LegID, RoomID
from bridgekit.model.records import CallSaved
from bridgekit.testing.harness import Harness
from bridgekit.testing.network import FakeNetwork
from tests.runtime.test_calls import COMPLETE, Scene, connected_in, connected_out

BUSY = [Transient("busy") for _ in range(500)]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    harness = Harness(FakeNetwork())
    await harness.start()
    yield Scene(harness, await harness.portal("chat"))
    await harness.stop()


class Away:
    """The homeserver does not take events, for as long as this is so."""

    def __init__(self, scene: Scene) -> None:
        self.so = True
        error = HomeserverUnreachable("away")
        scene.harness.homeserver.fail("send_event", error, times=1_000, when=lambda arguments: self.so)


async def restarted(scene: Scene, *, after_s: float, away: Away | None = None) -> None:
    await scene.harness.kill()
    scene.network.called_outcomes.clear()
    if away is not None:
        away.so = False
    scene.harness.clock.jump(after_s)
    await scene.harness.start()
    await scene.harness.settle(5)


# --- after a restart ------------------------------------------------------------------------------------------------
async def test_an_invite_that_could_not_be_sent_does_not_ring_later(scene: Scene) -> None:
    away = Away(scene)
    scene.ring()
    await scene.harness.until(lambda: scene.harness.bridge.calls.live == 1)
    await restarted(scene, after_s=200, away=away)
    await scene.told(MatrixCallReject)
    assert scene.alice.seen("invite") == []
    assert scene.lines() == ["Missed call"]


@pytest.mark.parametrize("after_s", [1, 3600])
async def test_an_offer_that_the_network_did_not_take_does_not_ring_later(scene: Scene, after_s: int) -> None:
    scene.network.next_called("offer", *BUSY)
    scene.alice.invite("c1")
    await scene.harness.until(lambda: len(scene.network.called_tries) > 1)
    await restarted(scene, after_s=after_s)
    assert len(scene.network.told(MatrixCallOffer)) == (1 if after_s == 1 else 0)
    assert len(scene.alice.seen("reject")) == (0 if after_s == 1 else 1)


async def test_that_a_call_is_over_is_told_after_however_long(scene: Scene) -> None:
    await connected_out(scene)
    scene.network.next_called("hang_up", *BUSY)
    scene.alice.send("hangup", "c1", reason="user_hangup")
    await scene.harness.until(lambda: any(one.deed == "hang_up" for one in scene.network.called_tries))
    await scene.harness.settle(0.1)
    await restarted(scene, after_s=500)
    await scene.told(MatrixCallHangUp)


# --- what a call can do without -------------------------------------------------------------------------------------
async def test_a_call_goes_on_without_what_the_network_could_not_be_told(scene: Scene) -> None:
    await connected_out(scene)
    scene.network.connect_errors.extend(ConnectionError() for _ in range(500))
    scene.network.drop_connections()
    stream = {"s": {"purpose": "m.usermedia", "audio_muted": True, "video_muted": True}}
    scene.alice.send("sdp_stream_metadata_changed", "c1", sdp_stream_metadata=stream)
    await scene.harness.settle(90)
    assert scene.harness.bridge.calls.live == 1
    scene.network.connect_errors.clear()
    await scene.harness.settle(900)
    assert scene.network.told(MatrixCallMute) == []
    scene.alice.send("hangup", "c1", reason="user_hangup")
    assert (await scene.told(MatrixCallHangUp)).reason is CallEnd.HANGUP


async def test_a_call_goes_on_without_what_matrix_could_not_be_told(scene: Scene) -> None:
    await connected_in(scene)
    away = Away(scene)
    scene.remote(RemoteCallMute, "r1", audio_muted=True, video_muted=False)
    await scene.harness.settle(90)
    away.so = False
    assert scene.harness.bridge.calls.live == 1
    scene.remote(RemoteCallHangUp, "r1")
    await scene.alice.see("hangup")


async def test_who_cannot_be_invited_is_not_waited_for() -> None:
    harness = Harness(FakeNetwork())
    await harness.start()
    scene = Scene(harness, RoomID("!none"))
    scene.ring("r0")  # makes the room, to which nobody comes
    await harness.until(lambda: bool(scene.network.told(MatrixCallProgress)))
    await harness.settle(1)
    harness.homeserver.fail("invite", MatrixRequestError(403, "M_FORBIDDEN", "they are banned"), times=500)
    scene.ring("r1")
    reject = await scene.told(MatrixCallReject)
    assert (reject.call, reject.reason) == ("r1", CallEnd.UNREACHABLE)
    await harness.stop()


async def test_that_a_leg_is_out_overtakes_nothing(scene: Scene) -> None:
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    scene.remote(RemoteCallAnswer, "c1", leg=LegID("one"), sdp=COMPLETE)
    answer = await scene.alice.see("answer")
    scene.network.connect_errors.append(ConnectionError())
    scene.network.drop_connections()
    await scene.harness.settle()
    scene.alice.send("select_answer", "c1", selected_party_id=answer["party_id"])
    # It is the first thing that the new connection says, when the network still waits to be told of that.
    scene.remote(RemoteCallAnswer, "c1", leg=LegID("two"), sdp=COMPLETE)
    assert (await scene.told(MatrixCallHangUp)).leg == "two"
    assert [one.progress for one in scene.network.told(MatrixCallProgress)] == [CallProgress.CONNECTED]
    assert scene.harness.bridge.calls.live == 1


# --- what is kept ---------------------------------------------------------------------------------------------------
async def test_a_flood_of_calls_leaves_no_more_on_disk_than_is_remembered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "MAX_OVER", 5)
    for number in range(30):
        scene.alice.invite(f"c{number}")
        scene.alice.send("hangup", f"c{number}")
        await scene.harness.settle(0.5)
    assert scene.harness.bridge.calls.begun == 30
    assert len(await scene.harness.store.ongoing_calls()) == 5


async def test_after_a_restart_the_longest_over_is_forgotten_first(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in ("c1", "c2"):
        scene.alice.invite(call)
    await scene.told(MatrixCallOffer, 2)
    for call in ("c2", "c1"):
        scene.alice.send("hangup", call)
        await scene.harness.settle(5)
    monkeypatch.setattr(book, "MAX_OVER", 1)
    await restarted(scene, after_s=1)
    assert [record.id.split("\x1f")[-1] for record in await scene.harness.store.ongoing_calls()] == ["c1"]


async def test_a_call_whose_record_cannot_be_read_is_gone_as_a_whole(scene: Scene) -> None:
    await connected_out(scene)
    await scene.harness.settle(5)
    (record,) = await scene.harness.store.ongoing_calls()
    kept = {**msgspec.json.decode(record.memory), "errands": [{"kind": "Unheard", "payload": 1, "until": 1}]}
    broken = msgspec.structs.replace(record, memory=msgspec.json.encode(kept))
    await scene.harness.bridge.books.save(CallSaved(broken))
    await restarted(scene, after_s=1)
    assert scene.harness.bridge.calls.live == 0
    assert await scene.harness.store.ongoing_calls() == []


async def test_a_call_with_a_bug_ends_and_holds_up_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    expire = Caller._expire

    def broken(call: Caller, now: int) -> None:
        if call.setup.call == "r1":
            raise RuntimeError("a bug")
        expire(call, now)

    monkeypatch.setattr(Caller, "_expire", broken)
    scene.ring("r1")
    scene.ring("r2")
    await scene.told(MatrixCallReject, 2)
    reasons = {one.call: one.reason for one in scene.network.told(MatrixCallReject)}
    assert reasons == {"r1": CallEnd.ERROR, "r2": CallEnd.NO_ANSWER}
    assert scene.harness.bridge.calls.live == 0
