"""Calls across the bridge: matrix-js-sdk at one end, the webchat's page without trickle ICE at the other."""

from __future__ import annotations

import asyncio
import re

import pytest

from example_bridge.webchat.client import CallOffer
from tests.calls.conftest import NewDevice, NewPerson, OpenChat
from tests.support.bridged_call import Bridged, seen_by


@pytest.mark.parametrize("by", ["alice", "vera"])
async def test_they_hear_each_other(by: str, bridged: Bridged) -> None:
    await bridged.talk(by=by)
    await asyncio.gather(bridged.media_flows("audio"), bridged.page.hears_something())
    if by == "alice":
        await bridged.device.hang_up()
        await bridged.page.says("Call ended")
    else:
        await bridged.page.press("Hang up")
    await bridged.over("Call ended after")
    view = await bridged.device.about()
    assert view is not None and view.errors == [] and view.ended is not None
    assert (view.ended.by, view.ended.reason) == ("local" if by == "alice" else "remote", "user_hangup")


@pytest.mark.parametrize("by", ["alice", "vera"])
async def test_they_see_each_other(by: str, bridged: Bridged) -> None:
    await bridged.talk(by=by, video=True)
    await asyncio.gather(bridged.media_flows("audio", "video"), bridged.page.sees())
    await bridged.page.press("Hang up")
    await bridged.over("Video call ended after")


async def test_vera_declines(bridged: Bridged) -> None:
    await bridged.alice_calls()
    await bridged.page.press("Decline")
    await bridged.over("Call: declined")
    assert len(await bridged.signals("reject", by=bridged.ghost)) == 1


async def test_alice_declines(bridged: Bridged) -> None:
    await bridged.vera_calls()
    await bridged.page.says("Ringing …")
    await bridged.device.reject()
    await bridged.page.says(re.compile("declined$"))
    await bridged.over("Call: declined")


async def test_alice_gives_up(bridged: Bridged) -> None:
    await bridged.alice_calls()
    await bridged.device.hang_up()
    await bridged.over("Call cancelled")
    await bridged.page.line(re.compile("^Missed call from"))


async def test_vera_gives_up(bridged: Bridged) -> None:
    await bridged.vera_calls()
    await bridged.page.press("Hang up")
    await bridged.over("Missed call")


async def test_nobody_takes_alices_call(bridged: Bridged) -> None:
    await bridged.device.place(bridged.room, bridged.ghost, lifetime=6_000)
    await bridged.page.rings()
    await bridged.page.says(re.compile("did not answer$"))
    await bridged.over("Call: no answer")


async def test_nobody_takes_veras_call(bridged: Bridged) -> None:
    """The network gives up, and says so."""
    sdp = await bridged.page.page.evaluate(
        """async () => {
          const pc = new RTCPeerConnection();
          const heard = await navigator.mediaDevices.getUserMedia({ audio: true });
          pc.addTrack(heard.getAudioTracks()[0], heard);
          await pc.setLocalDescription();
          await new Promise((done) => {
            pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done();
          });
          const { sdp } = pc.localDescription;
          pc.close();
          return sdp;
        }"""
    )
    await bridged.vera.client.tell_of_call(CallOffer(call="patience", chat=bridged.chat, sdp=sdp, ring_ms=5_000))
    await bridged.device.rings()
    await bridged.device.until_state("ended")
    await bridged.left("Missed call")


async def test_who_talks_is_busy(bridged: Bridged, new_person: NewPerson, open_chat: OpenChat) -> None:
    """Vera talks with somebody else of the webchat when Alice calls."""
    bruno = await new_person("Bruno")
    at_bruno = await open_chat(bruno, await bruno.chat_with(bridged.vera))
    await at_bruno.call()
    await bridged.page.rings()
    await bridged.page.press("Accept")
    await bridged.page.is_in("connected")
    await bridged.device.place(bridged.room, bridged.ghost)
    await seen_by(bridged.device, ended="user_busy")
    await bridged.left("Call: busy")
    await bridged.page.is_in("connected")


async def test_answered_at_alices_other_device(bridged: Bridged, new_device: NewDevice) -> None:
    user = bridged.alice.user
    other = await new_device(await bridged.alice.scene.homeserver.synapse.login(user.user_id, user.password))
    await bridged.vera_calls()
    await other.rings()
    await other.answer()
    await seen_by(bridged.device, ended="answered_elsewhere")
    await bridged.page.is_in("connected")
    await asyncio.gather(other.media_flows(), bridged.page.media_flows())
    await other.hang_up()
    await bridged.page.says("Call ended")
    await bridged.left("Call ended after")


async def test_answered_at_veras_other_page(bridged: Bridged, open_chat: OpenChat) -> None:
    other = await open_chat(bridged.vera, bridged.chat)
    await bridged.alice_calls()
    await other.rings()
    await other.press("Accept")
    await bridged.page.says("Answered on another page")
    await asyncio.gather(bridged.device.media_flows(), other.media_flows())
    await other.press("Hang up")
    await bridged.device.until_state("ended")
    await bridged.left("Call ended after")


async def test_on_hold_from_both_sides(bridged: Bridged) -> None:
    await bridged.talk()
    await bridged.device.hold()
    await bridged.page.says(re.compile("has put you on hold$"))
    await bridged.page.hears_nothing()
    await bridged.device.hold(False)
    await bridged.page.says("Connected")
    await asyncio.gather(bridged.media_flows(), bridged.page.hears_something())
    await bridged.page.press("Hold")
    await bridged.device.until("(call) => call.held_by_them")
    await bridged.page.press("Hold")
    await bridged.device.until("(call) => !call.held_by_them")
    await asyncio.gather(bridged.media_flows(), bridged.page.hears_something())


async def test_muted_from_both_sides(bridged: Bridged) -> None:
    await bridged.talk()
    await bridged.device.mute()
    await bridged.page.says(re.compile("is muted$"))
    await bridged.page.hears_nothing()
    await bridged.device.mute(False)
    await bridged.page.says("Connected")
    await bridged.page.hears_something()
    await bridged.page.press("Mute")
    await bridged.device.until("(call) => call.feeds[0].audio_muted")
    await bridged.page.press("Mute")
    await bridged.device.until("(call) => !call.feeds[0].audio_muted")


@pytest.mark.parametrize("first", ["alice", "vera"])
async def test_video_joins(first: str, bridged: Bridged) -> None:
    await bridged.talk()
    for who in ("alice", "vera") if first == "alice" else ("vera", "alice"):
        if who == "alice":
            await bridged.device.video()
            await bridged.page.sees()
        else:
            await bridged.page.press("Video")
            await bridged.device.until("(call) => call.feeds.some((feed) => feed.tracks.includes('video'))")
    await bridged.media_flows("audio", "video")


@pytest.mark.parametrize("by", ["alice", "vera"])
async def test_other_ways_for_the_media_are_found(by: str, bridged: Bridged) -> None:
    await bridged.talk()
    mine, theirs = await bridged.device.ufrag(), await bridged.page.ufrag()
    if by == "alice":
        await bridged.device.restart_ice()
    else:
        await bridged.page.page.evaluate('document.querySelector("section.call").call.reconnect()')
    await bridged.page.other_ufrag(theirs)
    await bridged.device.other_ufrag(mine)
    await bridged.media_flows()


async def test_two_who_call_each_other_talk(bridged: Bridged) -> None:
    await asyncio.gather(bridged.page.call(), bridged.device.place(bridged.room, bridged.ghost))
    await bridged.page.is_in("connected")
    await bridged.media_flows()
    await bridged.page.press("Hang up")
    await bridged.page.is_in("over")
    await bridged.left("Call ended after")
    views = [await bridged.device.about(call) for call in await bridged.device.calls()]
    assert all(view is not None and view.state == "ended" for view in views)
