"""Calls through the whole runtime, between a fake homeserver and a fake network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridgekit.errors import NotSupported, Rejected, Transient
from bridgekit.model.calls import (
    CallEnd,
    CallProgress,
    MatrixCallAnswer,
    MatrixCallHangUp,
    MatrixCallMute,
    MatrixCallOffer,
    MatrixCallProgress,
    MatrixCallReject,
    RemoteCallAnswer,
    RemoteCallHangUp,
    RemoteCallMute,
    RemoteCallOffer,
    RemoteCallReject,
)
from bridgekit.model.ids import CallID, ChatID, PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import FakeNetwork

GHOST = UserID("@fake_friend:test")
CHAT = PortalKey(ChatID("chat"))
CANDIDATE = "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host generation 0 ufrag abcd"


def sdp(*, candidate: str = "", ufrag: str = "abcd") -> str:
    lines = [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        f"a=ice-ufrag:{ufrag}",
        "a=ice-pwd:0123456789012345678901",
        "a=fingerprint:sha-256 " + ":".join(["00"] * 32),
        "a=setup:actpass",
        "a=mid:0",
        "a=sendrecv",
        "a=msid:stream track",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
    ]
    if candidate:
        lines += [f"a={candidate}", "a=end-of-candidates"]
    return "".join(f"{line}\r\n" for line in lines)


COMPLETE = sdp(candidate=CANDIDATE)


class Caller:
    """Alice's client in the portal's room."""

    def __init__(self, harness: Harness, room: RoomID, *, party: str = "PHONE") -> None:
        self.harness, self.room, self.party = harness, room, party

    def send(self, type: str, call: str, *, age: int = 0, **content: Any) -> None:
        content = {"call_id": call, "party_id": self.party, "version": "1", **content}
        self.harness.homeserver.emit(self.room, ALICE, f"m.call.{type}", content, unsigned={"age": age})

    def invite(self, call: str, *, age: int = 0, description: str = COMPLETE, **more: Any) -> None:
        offer = {"type": "offer", "sdp": description}
        self.send("invite", call, age=age, invitee=more.pop("invitee", GHOST), lifetime=90_000, offer=offer, **more)

    def answer(self, call: str) -> None:
        self.send("answer", call, answer={"type": "answer", "sdp": COMPLETE})

    def seen(self, type: str) -> list[dict[str, Any]]:
        """The contents of what ghosts have sent of a type."""
        timeline = self.harness.homeserver.rooms[self.room].timeline
        return [
            event["content"] for event in timeline if event["type"] == f"m.call.{type}" and event["sender"] != ALICE
        ]

    async def see(self, type: str, count: int = 1) -> dict[str, Any]:
        await self.harness.until(lambda: len(self.seen(type)) >= count, within_s=300)
        assert len(self.seen(type)) == count
        return self.seen(type)[-1]


class Scene:
    def __init__(self, harness: Harness, room: RoomID) -> None:
        self.harness, self.room = harness, room
        self.network = harness.network
        self.alice = Caller(harness, room)

    def offer(self, call: str, **more: Any) -> RemoteCallOffer:
        return RemoteCallOffer(
            portal=CHAT,
            call=CallID(call),
            sender=RemoteUserID("friend"),
            timestamp=more.pop("timestamp", self.harness.clock.now()),
            sdp=more.pop("sdp", COMPLETE),
            **more,
        )

    def ring(self, call: str = "r1", **more: Any) -> None:
        self.network.emit(self.offer(call, **more))

    def remote(self, kind: type[Any], call: str, **more: Any) -> None:
        self.network.emit(kind(portal=CHAT, call=CallID(call), timestamp=self.harness.clock.now(), **more))

    async def told(self, kind: type[Any], count: int = 1) -> Any:
        await self.harness.until(lambda: len(self.network.told(kind)) >= count, within_s=300)
        assert len(self.network.told(kind)) == count
        return self.network.told(kind)[-1]

    def lines(self) -> list[str]:
        return [body for body in self.harness.homeserver.bodies(self.room, notices=True) if "all" in body]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    harness = Harness(FakeNetwork())
    await harness.start()
    yield Scene(harness, await harness.portal("chat"))
    await harness.stop()


async def connected_out(scene: Scene, call: str = "c1") -> None:
    """Alice has called, and the friend has answered."""
    scene.alice.invite(call)
    await scene.told(MatrixCallOffer)
    scene.remote(RemoteCallAnswer, call, sdp=COMPLETE)
    answer = await scene.alice.see("answer")
    scene.alice.send("select_answer", call, selected_party_id=answer["party_id"])
    await scene.harness.until(
        lambda: any(one.progress is CallProgress.CONNECTED for one in scene.network.told(MatrixCallProgress))
    )


async def connected_in(scene: Scene, call: str = "r1") -> str:
    """The friend has called, and Alice has answered; what the call is called on Matrix."""
    scene.ring(call)
    invite = await scene.alice.see("invite")
    scene.alice.answer(invite["call_id"])
    await scene.told(MatrixCallAnswer)
    return str(invite["call_id"])


# --- from Matrix ----------------------------------------------------------------------------------------------------
async def test_alice_calls_and_hangs_up(scene: Scene) -> None:
    await connected_out(scene)
    (offer,) = scene.network.told(MatrixCallOffer)
    assert (offer.callee, offer.call) == ("friend", "c1")
    assert "a=candidate:1 1 udp" in offer.sdp
    scene.alice.send("hangup", "c1", reason="user_hangup")
    end = await scene.told(MatrixCallHangUp)
    assert end.reason is CallEnd.HANGUP
    await scene.harness.until(lambda: bool(scene.lines()))
    assert len(scene.lines()) == 1 and scene.lines()[0].startswith("Call ended after")
    assert scene.alice.seen("hangup") == []


async def test_the_friend_hangs_up(scene: Scene) -> None:
    await connected_out(scene)
    scene.remote(RemoteCallHangUp, "c1")
    content = await scene.alice.see("hangup")
    assert (content["call_id"], content["reason"]) == ("c1", "user_hangup")
    assert scene.network.told(MatrixCallHangUp) == []


async def test_the_friend_declines(scene: Scene) -> None:
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    scene.remote(RemoteCallReject, "c1")
    content = await scene.alice.see("reject")
    assert content["call_id"] == "c1"


async def test_nobody_answers(scene: Scene) -> None:
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    await scene.harness.clock.advance(95)
    end = await scene.told(MatrixCallHangUp)
    assert end.reason is CallEnd.NO_ANSWER


async def test_the_network_refuses(scene: Scene) -> None:
    scene.network.next_called("offer", Rejected("not on your contacts"))
    scene.alice.invite("c1")
    content = await scene.alice.see("reject")
    assert content["call_id"] == "c1"


async def test_the_network_is_away_for_a_moment(scene: Scene) -> None:
    scene.network.next_called("offer", Transient("busy"), ConnectionError())
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    assert len(scene.network.called_tries) == 3


@pytest.mark.parametrize("cuts", [1, 500])
async def test_a_session_that_is_being_connected_is_waited_for(scene: Scene, cuts: int) -> None:
    scene.network.connect_errors.extend(ConnectionError() for _ in range(cuts))
    scene.network.drop_connections()
    await scene.harness.settle()
    scene.alice.invite("c1")
    if cuts == 1:
        await scene.told(MatrixCallOffer)
        assert scene.alice.seen("reject") == []
    else:
        began = scene.harness.clock.now()
        await scene.alice.see("reject")
        assert 0 < scene.harness.clock.now() - began < 10_000
        assert scene.lines() == ["Call: not reachable"]


async def test_who_gives_up_while_the_session_is_waited_for_has_not_called(scene: Scene) -> None:
    scene.network.connect_errors.extend(ConnectionError() for _ in range(500))
    scene.network.drop_connections()
    await scene.harness.settle()
    scene.alice.invite("c1")
    await scene.harness.settle(1)
    scene.alice.send("hangup", "c1")
    await scene.harness.settle(10)
    assert scene.lines() == ["Call cancelled"]
    assert scene.alice.seen("reject") == []


async def test_a_hangup_does_not_wait_for_what_backs_off(scene: Scene) -> None:
    scene.network.next_called("offer", *(Transient("busy") for _ in range(50)))
    scene.alice.invite("c1")
    await scene.harness.until(lambda: len(scene.network.called_tries) > 2)
    scene.alice.send("hangup", "c1")
    await scene.told(MatrixCallHangUp)
    assert scene.network.told(MatrixCallOffer) == []


async def test_old_invites_do_not_ring(scene: Scene) -> None:
    scene.alice.invite("c1", age=95_000)
    scene.alice.invite("c2")
    await scene.told(MatrixCallOffer)
    assert [offer.call for offer in scene.network.told(MatrixCallOffer)] == ["c2"]


async def test_a_call_to_nobody_of_ours_is_left_alone(scene: Scene) -> None:
    scene.alice.invite("c1", invitee="@bob:test")
    scene.alice.invite("c2")
    await scene.told(MatrixCallOffer)
    assert scene.alice.seen("reject") == []


@pytest.mark.parametrize("why", ["no capability", "group", "one of a group", "somebody who is not there"])
async def test_what_cannot_be_is_declined(why: str) -> None:
    from bridgekit.adapter.calls import CanCall

    harness = Harness(FakeNetwork(lacks=[CanCall] if why == "no capability" else []))
    await harness.start()
    scene = Scene(harness, await harness.portal("chat"))
    if "group" in why:
        harness.network.say("chat", "another", "hello too")
        await harness.until(lambda: "hello too" in harness.homeserver.bodies(scene.room))
    invitee = {"one of a group": GHOST, "somebody who is not there": UserID("@fake_another:test")}.get(why)
    scene.alice.invite("c1", invitee=invitee)
    content = await scene.alice.see("reject")
    assert content["call_id"] == "c1"
    assert scene.network.called == []
    await harness.stop()


# --- from the network -----------------------------------------------------------------------------------------------
async def test_the_friend_calls(scene: Scene) -> None:
    id = await connected_in(scene)
    (invite,) = scene.alice.seen("invite")
    assert (invite["invitee"], invite["version"]) == (ALICE, "1")
    assert invite["lifetime"] > 60_000
    assert scene.alice.seen("select_answer")[0]["selected_party_id"] == "PHONE"
    scene.alice.send("hangup", id, reason="user_hangup")
    await scene.told(MatrixCallHangUp)


async def test_alice_declines(scene: Scene) -> None:
    scene.ring()
    invite = await scene.alice.see("invite")
    scene.alice.send("reject", invite["call_id"])
    reject = await scene.told(MatrixCallReject)
    assert reject.reason is CallEnd.DECLINED


async def test_a_missed_call_leaves_one_line(scene: Scene) -> None:
    scene.ring()
    await scene.alice.see("invite")
    scene.remote(RemoteCallHangUp, "r1")
    await scene.alice.see("hangup")
    await scene.harness.until(lambda: bool(scene.lines()))
    assert scene.lines() == ["Missed call"]


async def test_a_group_call_is_declined(scene: Scene) -> None:
    scene.ring(group=True)
    reject = await scene.told(MatrixCallReject)
    assert reject.reason is CallEnd.NOT_SUPPORTED
    assert scene.alice.seen("invite") == []


async def test_who_is_not_in_the_room_is_invited_first() -> None:
    harness = Harness(FakeNetwork())
    await harness.start()
    scene = Scene(harness, RoomID("!none"))
    scene.ring()
    await harness.until(lambda: bool(scene.network.told(MatrixCallProgress)))
    assert scene.network.told(MatrixCallProgress)[0].progress is CallProgress.INVITED
    room = scene.room = scene.alice.room = next(
        id
        for id, room in harness.homeserver.rooms.items()
        if room.members.get(ALICE) == "invite" and GHOST in room.members
    )
    assert scene.alice.seen("invite") == []
    harness.homeserver.join_person(room, ALICE)
    await scene.alice.see("invite")
    await harness.stop()


async def test_a_person_who_leaves_hangs_up(scene: Scene) -> None:
    await connected_in(scene)
    scene.harness.homeserver.set_membership(scene.room, ALICE, ALICE, "leave")
    await scene.told(MatrixCallHangUp)


async def test_the_adapter_fails_to_answer(scene: Scene) -> None:
    scene.network.next_called("answer", NotSupported("no such codec"))
    scene.ring()
    invite = await scene.alice.see("invite")
    scene.alice.answer(invite["call_id"])
    await scene.alice.see("hangup")


async def test_mute_crosses(scene: Scene) -> None:
    await connected_out(scene)
    scene.remote(RemoteCallMute, "c1", audio_muted=True, video_muted=False)
    changed = await scene.alice.see("sdp_stream_metadata_changed")
    (stream,) = changed["sdp_stream_metadata"].values()
    assert stream["audio_muted"] is True
    metadata = {"s": {"purpose": "m.usermedia", "audio_muted": True, "video_muted": False}}
    scene.alice.send("sdp_stream_metadata_changed", "c1", sdp_stream_metadata=metadata)
    mute = await scene.told(MatrixCallMute)
    assert mute.audio_muted


async def test_the_homeserver_is_away_for_a_moment(scene: Scene) -> None:
    from bridgekit.errors import HomeserverUnreachable

    scene.harness.homeserver.fail("send_event", HomeserverUnreachable("away"), times=2)
    scene.ring()
    await scene.alice.see("invite")


# --- calls and messages ---------------------------------------------------------------------------------------------
async def test_a_call_does_not_wait_for_messages(scene: Scene) -> None:
    gate = asyncio.Event()
    from bridgekit.testing.deeds import Outcome

    scene.network.outcomes.extend([Outcome(gate=gate)])
    scene.harness.homeserver.say(scene.room, ALICE, "slow")
    await scene.harness.until(lambda: bool(scene.network.tries))
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    gate.set()


async def test_a_call_does_not_wait_for_what_is_staged() -> None:
    harness = Harness(FakeNetwork(), direct_events=0)
    await harness.start()
    scene = Scene(harness, await harness.portal("chat"))
    scene.alice.invite("c1")
    await scene.told(MatrixCallOffer)
    await harness.stop()


# --- restarts -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("by", ["alice", "friend"])
async def test_a_call_outlives_the_process(scene: Scene, by: str) -> None:
    await connected_out(scene)
    await scene.harness.settle(1)
    await scene.harness.kill()
    await scene.harness.start()
    if by == "alice":
        scene.alice.send("hangup", "c1", reason="user_hangup")
        await scene.told(MatrixCallHangUp)
    else:
        scene.remote(RemoteCallHangUp, "c1")
        await scene.alice.see("hangup")
    assert len(scene.network.told(MatrixCallOffer)) == 1


async def test_what_was_not_done_is_done_after_a_restart(scene: Scene) -> None:
    await connected_out(scene)
    scene.network.next_called("hang_up", *(Transient("busy") for _ in range(20)))
    scene.alice.send("hangup", "c1", reason="user_hangup")
    await scene.harness.until(lambda: any(one.deed == "hang_up" for one in scene.network.called_tries))
    await scene.harness.settle(0.1)
    await scene.harness.kill()
    scene.network.called_outcomes.clear()
    await scene.harness.start()
    await scene.told(MatrixCallHangUp)


async def test_a_stale_invite_found_at_start_does_not_ring(scene: Scene) -> None:
    await scene.harness.kill()
    scene.alice.invite("c1")
    scene.harness.clock.jump(200)
    scene.harness.homeserver.outbox[-1]["unsigned"]["age"] = 200_000
    await scene.harness.start()
    await scene.harness.settle(5)
    assert scene.network.told(MatrixCallOffer) == []


@pytest.mark.parametrize("killed", [False, True])
async def test_what_was_hung_up_meanwhile_does_not_ring(scene: Scene, killed: bool) -> None:
    """MSC2746: "if the sync response contains subsequent events that indicate the call has been hung up [...] the
    client does not signal it"."""
    if killed:
        await scene.harness.kill()
    scene.alice.invite("c1")
    scene.alice.send("hangup", "c1")
    scene.alice.invite("c2")
    scene.alice.send("hangup", "c2", party_id="OTHER")
    if killed:
        await scene.harness.start()
    assert (await scene.told(MatrixCallOffer)).call == "c2"
    assert scene.lines() == ["Call cancelled"]
    assert scene.network.told(MatrixCallHangUp) == []


async def test_an_ended_call_is_forgotten(scene: Scene) -> None:
    await connected_out(scene)
    scene.alice.send("hangup", "c1")
    await scene.told(MatrixCallHangUp)
    assert len(await scene.harness.store.ongoing_calls()) == 1
    await scene.harness.clock.advance(11 * 60)
    assert await scene.harness.store.ongoing_calls() == []
    assert scene.harness.bridge.calls.live == 0


# --- hostile --------------------------------------------------------------------------------------------------------
async def test_hostile_events_do_no_harm(scene: Scene) -> None:
    alice = scene.alice
    for call in (5, "", "x" * 300, "a b", None, ["c"]):
        alice.harness.homeserver.emit(alice.room, ALICE, "m.call.invite", {"call_id": call, "offer": {"sdp": "v=0"}})
    alice.send("candidates", "unknown", candidates=[{"candidate": "x"}] * 1000)
    alice.send("invite", "big", offer={"type": "offer", "sdp": "v=0" + "x" * 70_000}, lifetime=90_000, invitee=GHOST)
    alice.send("invite", "types", offer=[], lifetime="x", invitee=GHOST)
    alice.send("hangup", "never")
    alice.send("answer", "never", answer={"sdp": 5})
    alice.invite("bad", description="no description")
    await alice.see("reject")
    alice.invite("good")
    offer = await scene.told(MatrixCallOffer)
    assert offer.call == "good"
    assert await scene.harness.store.dead_letters() == []
