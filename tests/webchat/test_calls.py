"""Calls as the webchat's server carries them: between clients, without media."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
import pytest

from example_bridge.webchat import client as webchat
from example_bridge.webchat.client import (
    CallAnswer,
    CallCandidates,
    CallEvent,
    CallFrame,
    CallHangUp,
    CallMute,
    CallOffer,
    CallReject,
    CallRinging,
    CallUpdate,
    Candidate,
    WebchatClient,
)
from tests.support.webchat import WebchatServer

T = TypeVar("T", bound=CallFrame | CallEvent)
SDP = "v=0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"


class Phone:
    """A client with its stream read, and what it was told of calls."""

    def __init__(self, client: WebchatClient, account: str) -> None:
        self.client = client
        self.account = account
        self.told: asyncio.Queue[CallFrame | CallEvent] = asyncio.Queue()

    async def listen(self) -> None:
        async for item in self.client.stream_and_signals():
            if isinstance(item, CallFrame | CallEvent):
                self.told.put_nowait(item)

    async def next(self, kind: type[T]) -> T:
        """The next thing that it is told, which must be this."""
        async with asyncio.timeout(20):
            item = await self.told.get()
        assert isinstance(item, kind), item
        return item

    async def say(self, frame: CallFrame) -> None:
        await self.client.tell_of_call(frame)


class Two:
    def __init__(self, server: WebchatServer, chat: str, vera: Phone, alice: Phone) -> None:
        self.server, self.chat, self.vera, self.alice = server, chat, vera, alice

    async def calls(self, call: str = "k1", *, ring_ms: int = 60_000) -> CallOffer:
        """Vera calls, and Alice's phone is told so."""
        await self.vera.say(CallOffer(call=call, chat=self.chat, leg="page", sdp=SDP, ring_ms=ring_ms))
        return await self.alice.next(CallOffer)

    async def talk(self, call: str = "k1") -> None:
        await self.calls(call)
        await self.alice.say(CallAnswer(call=call, chat=self.chat, sdp=SDP))
        assert (await self.vera.next(CallAnswer)).account == self.alice.account
        assert (await self.alice.next(CallHangUp)).reason == "elsewhere"

    async def lines(self) -> list[CallEvent]:
        return [event async for event in self.alice.client.history(self.chat) if isinstance(event, CallEvent)]


@contextlib.asynccontextmanager
async def phone(server: WebchatServer, account: webchat.Credentials) -> AsyncIterator[Phone]:
    async with server.client(account) as client:
        made = Phone(client, account.id)
        listening = asyncio.create_task(made.listen())
        try:
            await client.wait_caught_up()
            yield made
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture
async def two(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    async with WebchatServer(tmp_path_factory.mktemp("webchat")) as server:
        vera, alice = await server.account("Vera"), await server.account("Alice", "agent")
        async with server.client(vera) as client:
            chat = (await client.create_chat("direct", [alice.id])).id
        async with phone(server, vera) as at_vera, phone(server, alice) as at_alice:
            yield Two(server, chat, at_vera, at_alice)


async def test_a_call_from_ring_to_line(two: Two) -> None:
    offer = await two.calls()
    assert (offer.account, offer.sdp, offer.expires_at) == (two.vera.account, SDP, offer.timestamp + 60_000)
    await two.alice.say(CallRinging(call="k1", chat=two.chat))
    await two.vera.next(CallRinging)
    await two.alice.say(CallAnswer(call="k1", chat=two.chat, sdp=SDP))
    assert (await two.vera.next(CallAnswer)).sdp == SDP
    await two.alice.next(CallHangUp)  # for other pages of hers
    await two.vera.say(CallMute(call="k1", chat=two.chat, leg="page", audio=True, video=False))
    assert (await two.alice.next(CallMute)).audio
    await two.alice.say(CallUpdate(call="k1", chat=two.chat, half="offer", sdp=SDP))
    assert (await two.vera.next(CallUpdate)).half == "offer"
    await two.alice.say(CallHangUp(call="k1", chat=two.chat))
    assert (await two.vera.next(CallHangUp)).reason == "ended"
    line = await two.vera.next(CallEvent)
    assert (line.actor, line.by, line.reason, line.call) == (two.vera.account, two.alice.account, "ended", "k1")
    assert line.duration_ms is not None
    assert await two.lines() == [line]


async def test_declined_given_up_and_in_vain(two: Two) -> None:
    await two.calls("k1")
    await two.alice.say(CallReject(call="k1", chat=two.chat))
    assert (await two.vera.next(CallReject)).reason == "declined"
    await two.alice.next(CallReject)
    await two.alice.next(CallEvent)
    await two.vera.next(CallEvent)
    await two.calls("k2")
    await two.vera.say(CallHangUp(call="k2", chat=two.chat, leg="page"))
    assert (await two.alice.next(CallHangUp)).reason == "ended"
    await two.alice.next(CallEvent)
    await two.vera.next(CallHangUp)
    await two.vera.next(CallEvent)
    await two.calls("k3", ring_ms=1000)
    for person in (two.vera, two.alice):
        assert (await person.next(CallHangUp)).reason == "unanswered"
        await person.next(CallEvent)
    assert [(line.reason, line.duration_ms) for line in await two.lines()] == [
        ("declined", None),
        ("ended", None),
        ("unanswered", None),
    ]


async def test_who_is_in_a_call_is_busy_for_others(two: Two) -> None:
    await two.talk()
    bruno = await two.server.account("Bruno")
    async with phone(two.server, bruno) as other:
        chat = (await other.client.create_chat("direct", [two.alice.account])).id
        await other.say(CallOffer(call="k2", chat=chat, sdp=SDP))
        assert (await other.next(CallReject)).reason == "busy"
        assert (await other.next(CallEvent)).reason == "busy"
        assert (await two.alice.next(CallEvent)).reason == "busy"
        with pytest.raises(webchat.Refused, match="in a call already"):
            await two.vera.say(CallOffer(call="k3", chat=two.chat, leg="page", sdp=SDP))


async def test_the_second_of_two_who_call_each_other_gets_the_first_call(two: Two) -> None:
    await two.calls("k1")
    await two.alice.say(CallOffer(call="k2", chat=two.chat, sdp=SDP))
    assert (await two.alice.next(CallReject)).reason == "replaced"
    await two.alice.say(CallAnswer(call="k1", chat=two.chat, sdp=SDP))
    await two.vera.next(CallAnswer)
    assert await two.lines() == []


async def test_one_page_has_the_call(two: Two) -> None:
    await two.calls()
    await two.alice.say(CallAnswer(call="k1", chat=two.chat, leg="one", sdp=SDP))
    assert (await two.alice.next(CallHangUp)).leg == "one"
    with pytest.raises(webchat.Refused, match="another page"):
        await two.alice.say(CallAnswer(call="k1", chat=two.chat, leg="two", sdp=SDP))
    await two.alice.say(CallAnswer(call="k1", chat=two.chat, leg="one", sdp=SDP))  # a repeat
    await two.vera.next(CallAnswer)
    await two.alice.say(CallHangUp(call="k1", chat=two.chat, leg="two"))  # a person may end it anywhere
    await two.vera.next(CallHangUp)


async def test_it_rings_for_who_comes_later_with_the_candidates(two: Two) -> None:
    bruno = await two.server.account("Bruno")
    async with two.server.client(bruno) as client:
        chat = (await client.create_chat("direct", [two.vera.account])).id
    await two.vera.say(CallOffer(call="k1", chat=chat, leg="page", sdp="v=0\r\n", trickle=True))
    found = (Candidate("candidate:1", mid="0"),)
    await two.vera.say(CallCandidates(call="k1", chat=chat, leg="page", candidates=found, complete=True))
    async with phone(two.server, bruno) as late:
        assert (await late.next(CallOffer)).trickle
        assert (await late.next(CallCandidates)).candidates == found


async def test_repeats_and_late_words_do_no_harm(two: Two) -> None:
    offer = await two.calls()
    await two.vera.say(CallOffer(call="k1", chat=two.chat, leg="page", sdp=SDP))
    assert two.alice.told.empty()
    await two.vera.say(CallHangUp(call="k1", chat=two.chat, leg="page"))
    await two.vera.say(CallHangUp(call="k1", chat=two.chat, leg="page"))
    await two.alice.next(CallHangUp)
    for late in (
        CallAnswer(call="k1", chat=two.chat, sdp=SDP),
        CallMute(call="k1", chat=two.chat, audio=True, video=True),
    ):
        with pytest.raises(webchat.Refused, match="over"):
            await two.alice.say(late)
    with pytest.raises(webchat.Refused, match="over"):
        await two.vera.say(msgspec.structs.replace(offer, account="", expires_at=0))
    assert len(await two.lines()) == 1


async def test_an_offer_behind_its_own_end_rings_nowhere(two: Two) -> None:
    """A page that goes says that it is over by HTTP, which may overtake the offer on the stream."""
    await two.vera.say(CallHangUp(call="k1", chat=two.chat, leg="page"))
    with pytest.raises(webchat.Refused, match="over"):
        await two.vera.say(CallOffer(call="k1", chat=two.chat, leg="page", sdp=SDP))
    assert await two.lines() == []
    await two.calls("k2")  # the next thing that Alice is told


@pytest.mark.parametrize(
    "frame",
    [
        CallOffer(call="", sdp=SDP),
        CallOffer(call="k" * 256, sdp=SDP),
        CallOffer(call="k", sdp=""),
        CallOffer(call="k", sdp="x" * 65_537),
        CallOffer(call="k", sdp=SDP, ring_ms=1),
        CallCandidates(call="k", candidates=(Candidate("x"),) * 101),
        CallCandidates(call="k", candidates=(Candidate("x" * 1001),)),
        CallAnswer(call="nobody's", sdp=SDP),
    ],
)
async def test_nonsense_is_refused_and_rings_nowhere(two: Two, frame: CallFrame) -> None:
    with pytest.raises(webchat.Refused):
        await two.vera.say(msgspec.structs.replace(frame, chat=two.chat))
    await two.calls("k9")  # the next thing that Alice is told


async def test_no_calls_in_groups_nor_by_strangers(two: Two) -> None:
    group = await two.vera.client.create_chat("group", [two.alice.account])
    stranger = await two.server.account("Bruno")
    with pytest.raises(webchat.Refused, match="between two"):
        await two.vera.say(CallOffer(call="k1", chat=group.id, sdp=SDP))
    async with two.server.client(stranger) as client:
        with pytest.raises(webchat.Refused, match="not a member"):
            await client.tell_of_call(CallOffer(call="k1", chat=two.chat, sdp=SDP))
        await two.calls("k2")
        await client.tell_of_call(CallHangUp(call="k2", chat=two.chat))
        with pytest.raises(webchat.Refused, match="no such call"):
            await client.tell_of_call(CallAnswer(call="k2", chat=two.chat, sdp=SDP))
    assert two.alice.told.empty()


async def test_what_is_said_of_calls_can_be_lost_late_and_doubled(two: Two) -> None:
    await two.vera.client.set_fault("lose", account=two.alice.account, act="call_offer", count=1)
    await two.vera.say(CallOffer(call="k1", chat=two.chat, leg="page", sdp=SDP))
    await two.vera.say(CallHangUp(call="k1", chat=two.chat, leg="page"))
    await two.alice.next(CallHangUp)
    await two.alice.next(CallEvent)
    await two.vera.client.set_fault("late", account=two.alice.account, act="call_offer", delay_ms=300, count=1)
    await two.vera.say(CallOffer(call="k2", chat=two.chat, leg="page", sdp=SDP))
    await two.vera.say(CallHangUp(call="k2", chat=two.chat, leg="page"))
    await two.alice.next(CallHangUp)
    await two.alice.next(CallEvent)
    await two.alice.next(CallOffer)  # behind its own end
    await two.vera.client.set_fault("repeat", account=two.alice.account)
    await two.calls("k3")
    await two.alice.next(CallOffer)
