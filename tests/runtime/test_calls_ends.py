"""What ends a call from outside: a logout, credentials that are no longer good; and the media gateway."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

from bridgekit.errors import AuthFailed
from bridgekit.model.calls import (
    CallEnd,
    MatrixCallAnswer,
    MatrixCallHangUp,
    MatrixCallOffer,
    MatrixCallReject,
    RemoteCallAnswer,
    RemoteCallHangUp,
    SDPType,
)
from bridgekit.model.ids import CallID, ChatID, LegID, LoginID, PortalKey
from bridgekit.model.remote import Batch
from bridgekit.testing.harness import Harness
from bridgekit.testing.network import FakeAdapter, FakeNetwork
from tests.runtime.test_calls import CHAT, COMPLETE, Scene, connected_out


@pytest.fixture
async def scene() -> Any:
    harness = Harness(FakeNetwork())
    await harness.start()
    yield Scene(harness, await harness.portal("chat"))
    await harness.stop()


def only_login(scene: Scene) -> LoginID:
    (record,) = scene.harness.bridge.books.logins()
    return record.login.id


async def test_who_logs_out_hangs_up(scene: Scene) -> None:
    await connected_out(scene)
    await scene.harness.bridge.logins.remove(only_login(scene))
    # While the session was still there.
    assert [one.reason for one in scene.network.told(MatrixCallHangUp)] == [CallEnd.HANGUP]
    hangup = await scene.alice.see("hangup")
    assert hangup["reason"] == "user_hangup"
    await scene.harness.settle()
    assert len(scene.lines()) == 1
    assert scene.harness.bridge.calls.live == 0


async def test_who_logs_out_rings_no_longer(scene: Scene) -> None:
    scene.ring()
    await scene.alice.see("invite")
    await scene.harness.bridge.logins.remove(only_login(scene))
    assert len(scene.network.told(MatrixCallReject)) == 1
    await scene.alice.see("hangup")


async def test_a_logout_does_not_wait_for_a_network_that_hangs(scene: Scene) -> None:
    await connected_out(scene)
    scene.network.next_called("hang_up", *[ConnectionError("away") for _ in range(50)])
    removed = asyncio.create_task(scene.harness.bridge.logins.remove(only_login(scene)))
    await scene.harness.until(removed.done, within_s=60)
    assert scene.harness.bridge.books.logins() == []
    await scene.alice.see("hangup")


async def test_without_credentials_a_call_ends_on_matrix(scene: Scene) -> None:
    await connected_out(scene)
    await scene.harness.bridge.sessions.auth_failed(only_login(scene), "revoked")
    await scene.alice.see("hangup")
    await scene.harness.settle()
    assert scene.harness.bridge.calls.live == 0


async def test_who_has_to_log_in_again_is_told_however_slow_the_homeserver(scene: Scene) -> None:
    """What the refusal ends is over, and overtakes what was refused."""
    await connected_out(scene)
    scene.network.next_called("mute", AuthFailed("revoked"))
    gate = scene.harness.homeserver.gate("create_room")
    mutes(scene)
    await scene.harness.settle(30)
    gate.set()
    await scene.harness.settle(5)
    homeserver = scene.harness.homeserver
    told = [body for room in homeserver.rooms for body in homeserver.bodies(room, notices=True)]
    assert any("no longer valid (revoked)" in body for body in told)
    await scene.alice.see("hangup")


async def test_a_session_that_was_refused_does_not_end_the_next_one(scene: Scene) -> None:
    await connected_out(scene)
    gate = LateRefusal()
    scene.network.next_called("mute", gate)
    mutes(scene)
    await scene.harness.until(lambda: scene.network.called_tries[-1].deed == "mute")
    (record,) = scene.harness.bridge.books.logins()
    await scene.harness.bridge.logins.add(record)
    await scene.harness.settle(1)
    gate.set()
    await scene.harness.settle(10)
    assert scene.harness.bridge.sessions.session(record.login.id) is not None
    assert scene.harness.bridge.calls.live == 1


class LateRefusal(asyncio.Event):
    """What waits for it is refused then."""

    async def wait(self) -> Literal[True]:
        await super().wait()
        raise AuthFailed("old token")


def mutes(scene: Scene) -> None:
    metadata = {"s": {"purpose": "m.usermedia", "audio_muted": True, "video_muted": False}}
    scene.alice.send("sdp_stream_metadata_changed", "c1", sdp_stream_metadata=metadata)


# --- an end that comes with the beginning --------------------------------------------------------------------------
@pytest.mark.parametrize(
    "end, line",
    [
        (RemoteCallHangUp(portal=CHAT, call=CallID("r1"), timestamp=0), "Missed call"),
        (
            RemoteCallHangUp(portal=CHAT, call=CallID("r1"), timestamp=0, reason=CallEnd.ANSWERED_ELSEWHERE),
            "Call: answered on another device",
        ),
    ],
)
async def test_what_the_network_took_back_meanwhile_does_not_ring(
    scene: Scene, end: RemoteCallHangUp, line: str
) -> None:
    offer = scene.offer("r1")
    scene.network.emit(Batch(events=(offer, end)))
    await scene.harness.settle(5)
    assert scene.alice.seen("invite") == [] and scene.alice.seen("hangup") == []
    assert scene.lines() == [line]
    assert scene.network.called == []


async def test_what_another_device_of_the_network_gave_up_meanwhile_rings(scene: Scene) -> None:
    """Neither the end of a leg that does not have the call, nor that of another call, is this call's."""
    others = (
        RemoteCallHangUp(portal=CHAT, call=CallID("r1"), timestamp=0, leg=LegID("two")),
        RemoteCallHangUp(portal=PortalKey(ChatID("else")), call=CallID("r1"), timestamp=0),
    )
    scene.network.emit(Batch(events=(scene.offer("r1"), *others)))
    await scene.alice.see("invite")
    assert scene.harness.bridge.calls.live == 1


# --- the media gateway ----------------------------------------------------------------------------------------------
class Gateway:
    """Stands between the ends: what it gives out names itself."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.let_go: list[str] = []
        self.fails = False

    async def to_remote(self, portal: PortalKey, call: CallID, leg: LegID, type: SDPType, sdp: str) -> str:
        return self._rewritten("to_remote", type, sdp)

    async def to_matrix(self, portal: PortalKey, call: CallID, leg: LegID, type: SDPType, sdp: str) -> str:
        return self._rewritten("to_matrix", type, sdp)

    async def ended(self, portal: PortalKey, call: CallID) -> None:
        self.let_go.append(call)

    def _rewritten(self, way: str, type: str, sdp: str) -> str:
        if self.fails:
            raise OSError("the gateway is away")
        self.asked.append((way, type))
        return sdp.replace("192.0.2.7", "198.51.100.1")


def through(gateway: Gateway) -> Harness:
    class Adapter(FakeAdapter):
        media_gateway = gateway

    return Harness(FakeNetwork(), adapter=Adapter)


async def test_a_gateway_rewrites_every_description() -> None:
    gateway = Gateway()
    harness = through(gateway)
    await harness.start()
    scene = Scene(harness, await harness.portal("chat"))
    scene.alice.invite("c1")
    offer = await scene.told(MatrixCallOffer)
    assert "198.51.100.1" in offer.sdp and "192.0.2.7" not in offer.sdp
    scene.remote(RemoteCallAnswer, "c1", sdp=COMPLETE)
    answer = await scene.alice.see("answer")
    assert "198.51.100.1" in answer["answer"]["sdp"]
    scene.alice.send("hangup", "c1")
    await scene.told(MatrixCallHangUp)
    scene.ring()
    invite = await scene.alice.see("invite")
    assert "198.51.100.1" in invite["offer"]["sdp"]
    scene.alice.answer(invite["call_id"])
    assert "198.51.100.1" in (await scene.told(MatrixCallAnswer)).sdp
    assert gateway.asked == [
        ("to_remote", "offer"),
        ("to_matrix", "answer"),
        ("to_matrix", "offer"),
        ("to_remote", "answer"),
    ]
    assert gateway.let_go == ["c1"]
    await harness.stop()


async def test_a_gateway_that_fails_ends_the_call_at_both_ends() -> None:
    gateway = Gateway()
    harness = through(gateway)
    await harness.start()
    scene = Scene(harness, await harness.portal("chat"))
    gateway.fails = True
    scene.alice.invite("c1")
    await scene.alice.see("reject")
    assert scene.network.told(MatrixCallOffer) == []
    scene.ring()
    reject = await scene.told(MatrixCallReject)
    assert reject.reason is CallEnd.MEDIA_FAILED
    assert scene.alice.seen("invite") == []
    await harness.stop()
