"""Two pages of the webchat call each other, without trickle ICE and with it."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from example_bridge.webchat.client import CallHangUp, CallOffer
from tests.browser.people import Person
from tests.calls.conftest import NewPerson, OpenChat
from tests.support.callpage import CallPage
from tests.support.webchat import WebchatServer


@dataclass
class Two:
    vera: CallPage
    alice: CallPage
    vera_is: Person
    alice_is: Person
    chat: str

    async def talk(self, *, video: bool = False) -> None:
        """Vera calls Alice, who takes the call."""
        await self.vera.call(video=video)
        await self.alice.rings()
        await self.alice.press("With video" if video else "Accept")
        await asyncio.gather(self.vera.is_in("connected"), self.alice.is_in("connected"))


async def pages(new_person: NewPerson, open_chat: OpenChat, *, trickle: bool = False) -> Two:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    at_vera, at_alice = await asyncio.gather(
        open_chat(vera, chat, trickle=trickle), open_chat(alice, chat, trickle=trickle)
    )
    return Two(at_vera, at_alice, vera, alice, chat)


@pytest.fixture
async def two(new_person: NewPerson, open_chat: OpenChat) -> Two:
    return await pages(new_person, open_chat)


@pytest.mark.parametrize("trickle", [False, True], ids=["whole", "trickle"])
async def test_they_hear_each_other(trickle: bool, new_person: NewPerson, open_chat: OpenChat) -> None:
    two = await pages(new_person, open_chat, trickle=trickle)
    await two.vera.call()
    await two.alice.rings()
    await two.alice.says("Call from Vera")
    await two.vera.says("Ringing …")
    await two.alice.press("Accept")
    await asyncio.gather(two.vera.media_flows("audio"), two.alice.media_flows("audio"))
    await asyncio.gather(two.vera.hears_something(), two.alice.hears_something())
    await two.alice.press("Hang up")
    for page in (two.vera, two.alice):
        await page.says("Call ended")
        await page.line(re.compile("^Call ended after"))


async def test_they_see_each_other(two: Two) -> None:
    await two.talk(video=True)
    await asyncio.gather(two.vera.media_flows("audio", "video"), two.alice.media_flows("audio", "video"))
    await asyncio.gather(two.vera.sees(), two.alice.sees())


async def test_declined(two: Two) -> None:
    await two.vera.call()
    await two.alice.rings()
    await two.alice.press("Decline")
    await two.vera.says("Alice declined")
    await two.vera.line("Alice declined your call")
    await two.alice.line("You declined a call from Vera")
    await two.alice.press("Close")
    await two.alice.gone()


async def test_given_up_before_an_answer(two: Two) -> None:
    await two.vera.call()
    await two.alice.rings()
    await two.vera.press("Hang up")
    await two.alice.says("Call ended")
    await two.alice.line("Missed call from Vera")
    await two.vera.line("You gave up the call")
    await two.talk()  # and nothing of it is in the way


async def test_who_talks_is_busy(two: Two, new_person: NewPerson, open_chat: OpenChat) -> None:
    await two.talk()
    bruno = await new_person("Bruno")
    at_bruno = await open_chat(bruno, await bruno.chat_with(two.alice_is))
    await at_bruno.call()
    await at_bruno.says("Alice is in another call")
    await two.alice.is_in("connected")
    await asyncio.gather(two.vera.media_flows(), two.alice.media_flows())


async def test_muted_and_heard_again(two: Two) -> None:
    await two.talk()
    await two.alice.hears_something()
    await two.vera.press("Mute")
    await two.vera.says("You are muted")
    await two.alice.says("Vera is muted")
    await two.alice.hears_nothing()
    await two.vera.press("Mute")
    await two.alice.says("Connected")
    await two.alice.hears_something()


async def test_on_hold_from_both_sides(two: Two) -> None:
    await two.talk()
    await two.vera.press("Hold")
    await two.vera.says("You have put Alice on hold")
    await two.alice.says("Vera has put you on hold")
    await two.alice.hears_nothing()
    await two.vera.press("Hold")
    await two.alice.says("Connected")
    await asyncio.gather(two.vera.hears_something(), two.alice.hears_something())
    await two.alice.press("Hold")
    await two.vera.says("Alice has put you on hold")
    await two.alice.press("Hold")
    await two.vera.says("Connected")
    await asyncio.gather(two.vera.hears_something(), two.alice.hears_something())


async def test_video_joins_goes_and_comes_back(two: Two) -> None:
    await two.talk()
    await two.alice.press("Video")
    await two.vera.sees()
    await two.vera.press("Video")
    await two.alice.sees()
    await two.alice.press("Video")
    await expect(two.vera.card.locator(".stage")).to_have_class(re.compile("heard-only"))
    await two.alice.press("Video")
    await two.vera.sees()


async def test_both_change_the_call_at_once(two: Two) -> None:
    """Two offers meet: the caller's counts, and the other one is made again."""
    await two.talk()
    await asyncio.gather(two.vera.press("Video"), two.alice.press("Video"))
    await asyncio.gather(two.vera.sees(), two.alice.sees())
    await asyncio.gather(two.vera.media_flows("audio", "video"), two.alice.media_flows("audio", "video"))


async def test_other_ways_for_the_media_are_found(two: Two) -> None:
    await two.talk()
    before = await two.vera.ufrag(), await two.alice.ufrag()
    await two.alice.page.evaluate('document.querySelector("section.call").call.reconnect()')
    await two.alice.other_ufrag(before[1])
    await two.vera.other_ufrag(before[0])
    await asyncio.gather(two.vera.media_flows(), two.alice.media_flows())


async def test_answered_on_another_page(two: Two, open_chat: OpenChat) -> None:
    other = await open_chat(two.alice_is, two.chat)
    await two.vera.call()
    await asyncio.gather(two.alice.rings(), other.rings())
    await other.press("Accept")
    await two.alice.says("Answered on another page")
    await asyncio.gather(two.vera.media_flows(), other.media_flows())
    await two.vera.press("Hang up")
    await other.says("Call ended")


async def test_two_who_call_each_other_talk(two: Two) -> None:
    await asyncio.gather(two.vera.call(), two.alice.call())
    await asyncio.gather(two.vera.is_in("connected"), two.alice.is_in("connected"))
    await asyncio.gather(two.vera.media_flows(), two.alice.media_flows())
    await two.vera.press("Hang up")
    await two.alice.says("Call ended")
    await two.alice.line(re.compile("^Call ended after"))


async def test_a_page_that_goes_ends_its_call(two: Two) -> None:
    await two.talk()
    await two.vera.page.close(run_before_unload=True)
    await two.alice.says("Call ended")


async def test_a_call_goes_on_while_the_stream_is_cut(two: Two) -> None:
    await two.talk()
    await two.vera_is.client.set_fault("cut", account=two.vera_is.id)
    await asyncio.gather(two.vera.media_flows(), two.alice.media_flows())
    await two.vera.press("Hang up")  # said when the connection is back
    await two.alice.says("Call ended")


async def test_what_is_said_twice_or_late_does_no_harm(two: Two) -> None:
    await two.vera_is.client.set_fault("repeat", account=two.alice_is.id)
    await two.talk()
    await two.vera.press("Hang up")
    await two.alice.says("Call ended")
    await two.vera_is.client.set_fault("late", account=two.alice_is.id, act="call_offer", delay_ms=500, count=1)
    await two.vera.call()
    await two.alice.rings()
    await two.alice.press("Decline")
    await two.vera.says("Alice declined")
    await two.vera_is.client.clear_faults()
    await two.talk()


async def test_an_offer_without_candidates_is_refused(two: Two) -> None:
    sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    await two.vera_is.client.tell_of_call(CallOffer(call="bare", chat=two.chat, sdp=sdp))
    await two.alice.rings()
    await two.alice.press("Accept")
    await two.alice.says("No connection between the two of you could be made")


async def test_an_offer_behind_its_own_end_does_not_ring(two: Two) -> None:
    tell, sdp = two.vera_is.client.tell_of_call, "v=0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
    await two.vera_is.client.set_fault("late", account=two.alice_is.id, act="call_offer", delay_ms=500, count=1)
    await tell(CallOffer(call="late", chat=two.chat, sdp=sdp))
    await tell(CallHangUp(call="late", chat=two.chat))
    await two.alice.line("Missed call from Vera")
    await two.talk()


async def test_a_call_given_up_before_the_network_heard_of_it_rings_nowhere(two: Two) -> None:
    """Its offer waits for the connection, and is not said any more when that is there."""
    said = await two.vera.page.evaluate(
        """async () => {
          const { Calls } = await import("/static/call/calls.js");
          const { NotNow } = await import("/static/kit/outbox.js");
          const turn = () => new Promise((resolve) => setTimeout(resolve)); // all that is settled has been heeded
          let [connected, offered, over] = [false];
          const isOffered = new Promise((resolve) => (offered = resolve));
          const isOver = new Promise((resolve) => (over = resolve));
          const said = [];
          const send = async ({ type }) => {
            if (!connected) {
              if (type === "call_offer") offered();
              throw new NotNow("offline");
            }
            said.push(type);
            if (type === "call_hang_up") over();
          };
          const calls = new Calls({ me: { id: "vera" }, trickle: false, send, bye() {}, changed() {} });
          calls.place("chat", "audio");
          await isOffered;
          await turn();
          calls.current.end();
          await turn();
          connected = true;
          calls.ready();
          await isOver;
          calls.close();
          return said;
        }"""
    )
    assert said == ["call_hang_up"]  # should the network have heard after all


async def test_the_networks_stun_and_turn_servers_are_used(tmp_path: Path, open_chat: OpenChat) -> None:
    listed: list[dict[str, Any]] = [
        {"urls": ["stun:127.0.0.1:9"]},
        {"urls": ["turn:127.0.0.1:9?transport=udp"], "username": "web", "credential": "secret"},
    ]
    file = tmp_path / "ice.json"
    file.write_text(json.dumps(listed))
    async with WebchatServer(tmp_path / "webchat", ice_servers=file) as server:
        vera, alice = Person(server, await server.account("Vera")), Person(server, await server.account("Alice"))
        async with vera.client, alice.client:
            chat = await vera.chat_with(alice)
        at_vera = await open_chat(vera, chat)
        await at_vera.page.evaluate(
            """() => {
              const Real = RTCPeerConnection;
              window.RTCPeerConnection = class extends Real {
                constructor(...given) {
                  super(...given);
                  window.made = this;
                }
              };
            }"""
        )
        await at_vera.call()
        await at_vera.until("() => window.made !== undefined", None)
        used = await at_vera.page.evaluate("() => window.made.getConfiguration().iceServers")
        assert [{key: one[key] for key in each} for each, one in zip(listed, used, strict=True)] == listed
        await at_vera.page.context.close()  # it would complain of the server's end
