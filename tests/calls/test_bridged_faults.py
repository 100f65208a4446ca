"""Calls across a bridge that dies, was away, must bring somebody into the room first, or speaks to a network that
trickles."""

from __future__ import annotations

import asyncio
import re

from tests.calls.conftest import Meet, NewCaller
from tests.support.bridged_call import Bridged, Caller


async def test_a_call_outlives_the_bridge(own_caller: NewCaller, meet: Meet) -> None:
    """It is killed in a call: the media go on meanwhile, and what follows crosses when it is back."""
    alice = await own_caller()
    bridged = await meet(alice)
    await bridged.talk(by="alice")
    await alice.scene.bridge.kill()
    await bridged.media_flows()
    await bridged.device.hold()  # nobody is there to hear it
    await alice.scene.bridge.start()
    await bridged.page.says(re.compile("has put you on hold$"))
    await bridged.device.hold(False)
    await bridged.page.says("Connected")
    await bridged.media_flows()
    await bridged.device.hang_up()
    await bridged.over("Call ended after")


async def test_a_call_of_the_network_outlives_the_bridge(own_caller: NewCaller, meet: Meet) -> None:
    alice = await own_caller()
    bridged = await meet(alice)
    await bridged.talk(by="vera")
    await alice.scene.bridge.kill()
    await alice.scene.bridge.start()
    await bridged.page.press("Hold")
    await bridged.device.until("(call) => call.held_by_them")
    await alice.scene.bridge.kill()
    await bridged.page.press("Hang up")  # the webchat says so, and leaves a line for who was away
    await alice.scene.bridge.start()
    await bridged.over("Call ended after")


async def test_what_rang_while_the_bridge_was_away_does_not_ring_later(own_caller: NewCaller, meet: Meet) -> None:
    alice = await own_caller()
    bridged = await meet(alice)
    await alice.scene.bridge.kill()
    await bridged.page.call()
    await bridged.network_rings()  # given up before, nobody would have missed it
    await bridged.page.press("Hang up")
    # Less than 3 s are no time to take a call, and the bridge needs more than the rest to start.
    stale = await bridged.device.place(bridged.room, bridged.ghost, lifetime=3_300)
    await bridged.device.until_state("invite_sent")
    await alice.scene.bridge.start()
    await bridged.left("Missed call")
    await bridged.device.hang_up()
    # What is rung now is the first thing that Vera hears of.
    call = await bridged.alice_calls()
    assert call != stale
    await bridged.page.press("Decline")
    await bridged.device.until_state("ended")
    await bridged.said("Call: declined")
    assert await bridged.lines() == ["Missed call", "Call: declined"]
    assert len(await bridged.signals("reject", by=bridged.ghost)) == 1


async def test_who_has_not_joined_is_invited_and_then_rung(caller: Caller, meet: Meet) -> None:
    bridged = await meet(caller, joined=False)
    await bridged.page.call()
    await bridged.page.is_in("calling")
    await caller.api.join(bridged.room)
    await bridged.device.rings()
    await bridged.page.says("Ringing …")
    await bridged.device.answer()
    await bridged.media_flows()
    await bridged.page.press("Hang up")
    await bridged.over("Call ended after")


async def test_a_network_that_trickles(own_caller: NewCaller, meet: Meet) -> None:
    bridged = await meet(await own_caller(trickle=True), trickle=True)
    await bridged.talk(by="vera")
    await bridged.media_flows()
    before = await bridged.page.ufrag()
    await bridged.device.restart_ice()
    await bridged.page.other_ufrag(before)
    await bridged.media_flows()
    await bridged.device.hang_up()
    await bridged.over("Call ended after")
    await bridged.page.press("Close")
    await bridged.talk(by="alice", video=True)
    await asyncio.gather(bridged.media_flows("audio", "video"), bridged.page.sees())
    await _added(bridged)


async def _added(bridged: Bridged) -> None:
    """Hold, in a network that trickles."""
    await bridged.page.press("Hold")
    await bridged.device.until("(call) => call.held_by_them")
    await bridged.page.press("Hold")
    await bridged.device.until("(call) => !call.held_by_them")
