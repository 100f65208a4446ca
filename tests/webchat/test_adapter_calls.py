"""The adapter for calls: what the network tells, what the framework says, and the reasons."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, get_args

import msgspec
import pytest

from bridgekit import adapter as bk
from example_bridge.webchat import calling
from example_bridge.webchat import client as webchat
from example_bridge.webchat.adapter import WebchatSession
from example_bridge.webchat.client import WebchatClient
from example_bridge.webchat.server.app import Server
from tests.webchat.conftest import Join
from tests.webchat.helpers import DEADLINE
from tests.webchat.test_adapter_acts import portal, session_of

SDP = "v=0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"


class Told:
    """A bridged session, read; what it says of calls."""

    def __init__(self, session: WebchatSession) -> None:
        self.session = session
        self.ready = asyncio.Event()
        self._calls: asyncio.Queue[bk.RemoteEvent] = asyncio.Queue()

    async def listen(self) -> None:
        async with aclosing(self.session.events({})) as stream:  # type: ignore[type-var]
            async for item in stream:
                for event in item.events if isinstance(item, bk.Batch) else (item,):
                    if isinstance(event, bk.RemoteCaughtUp):
                        self.ready.set()
                    elif type(event).__name__.startswith("RemoteCall"):
                        self._calls.put_nowait(event)

    async def next(self) -> bk.RemoteEvent:
        async with asyncio.timeout(DEADLINE):
            return await self._calls.get()


@pytest.fixture
async def bob(server: Server, join: Join) -> WebchatClient:
    return await join(server, "bob")


@pytest.fixture
async def told(server: Server, join: Join, bob: WebchatClient) -> AsyncIterator[Told]:
    """Ann's bridge."""
    async with session_of(server, await join(server, "ann"), "ann") as session:
        await bob.create_chat("direct", ["ann"], id="chat")
        listening = Told(session)
        task = asyncio.create_task(listening.listen())
        async with asyncio.timeout(DEADLINE):
            await listening.ready.wait()
        yield listening
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_the_reasons_are_the_frameworks_one_for_one() -> None:
    assert set(calling.REASONS) == set(get_args(webchat.CallReason))
    assert set(calling.REASONS_BACK) == set(bk.CallEnd)


async def test_a_call_from_the_network(told: Told, bob: WebchatClient) -> None:
    await bob.tell_of_call(webchat.CallOffer(call="k", chat="chat", leg="page", sdp=SDP, kind="video", ring_ms=30_000))
    offer = await told.next()
    assert isinstance(offer, bk.RemoteCallOffer)
    assert (offer.call, offer.sender, offer.sdp, offer.kind, offer.leg) == ("k", "bob", SDP, bk.CallKind.VIDEO, "page")
    assert offer.expires_at == offer.timestamp + 30_000
    call, place = offer.call, portal("chat")
    ringing = bk.MatrixCallProgress(portal=place, call=call, progress=bk.CallProgress.RINGING)
    await told.session.progress(ringing)
    await told.session.answer(bk.MatrixCallAnswer(portal=place, call=call, sdp=SDP, timestamp=1))
    await told.session.mute(bk.MatrixCallMute(portal=place, call=call, audio_muted=True, video_muted=False))
    await bob.tell_of_call(webchat.CallMute(call="k", chat="chat", leg="page", audio=False, video=True))
    muted = await told.next()
    assert isinstance(muted, bk.RemoteCallMute)
    assert (muted.audio_muted, muted.video_muted) == (False, True)
    await bob.tell_of_call(webchat.CallUpdate(call="k", chat="chat", leg="page", half="offer", sdp=SDP))
    update = await told.next()
    assert isinstance(update, bk.RemoteCallUpdate) and update.sdp_type == "offer"
    await bob.tell_of_call(webchat.CallHangUp(call="k", chat="chat", leg="page", reason="lost"))
    over, line = await told.next(), await told.next()
    for each in (over, line):
        assert isinstance(each, bk.RemoteCallHangUp) and each.reason is bk.CallEnd.CONNECTION_LOST
    assert isinstance(line, bk.RemoteCallHangUp) and line.cursor is not None


async def test_a_call_to_the_network(told: Told, bob: WebchatClient) -> None:
    async with aclosing(bob.stream_and_signals({"chat": 3})) as stream:
        heard = (item async for item in stream if isinstance(item, webchat.CallFrame))
        offer = bk.MatrixCallOffer(
            portal=portal("chat"),
            call=bk.CallID("k"),
            callee=bk.RemoteUserID("bob"),
            kind=bk.CallKind.AUDIO,
            sdp=SDP,
            timestamp=1_000,
            expires_at=61_000,
        )
        first = asyncio.ensure_future(anext(heard))
        await bob.wait_caught_up()
        await told.session.offer(offer)
        await told.session.offer(offer)  # a repeat
        async with asyncio.timeout(DEADLINE):
            seen = await first
        assert isinstance(seen, webchat.CallOffer)
        assert (seen.account, seen.sdp, seen.ring_ms, seen.trickle) == ("ann", SDP, 60_000, False)
        await bob.tell_of_call(webchat.CallRinging(call="k", chat="chat", leg="page"))
        await bob.tell_of_call(webchat.CallAnswer(call="k", chat="chat", leg="page", sdp=SDP))
        assert isinstance(await told.next(), bk.RemoteCallRinging)
        answer = await told.next()
        assert isinstance(answer, bk.RemoteCallAnswer) and (answer.sdp, answer.leg) == (SDP, "page")
        half = bk.MatrixCallUpdate(
            portal=portal("chat"), call=bk.CallID("k"), sdp_type="answer", sdp=SDP, kind=bk.CallKind.AUDIO
        )
        await told.session.update(half)
        # Another leg that rang is hung up, as the network has done already: the call goes on.
        elsewhere = bk.CallEnd.ANSWERED_ELSEWHERE
        await told.session.hang_up(
            bk.MatrixCallHangUp(portal=portal("chat"), call=bk.CallID("k"), reason=elsewhere, leg=bk.LegID("other"))
        )
        await told.session.update(half)
        hang_up = bk.MatrixCallHangUp(portal=portal("chat"), call=bk.CallID("k"), reason=bk.CallEnd.HANGUP)
        await told.session.hang_up(hang_up)
        await told.session.hang_up(hang_up)
        line = await told.next()
        assert isinstance(line, bk.RemoteCallHangUp) and line.cursor is not None


async def test_declined_twice_is_declined_once(told: Told, bob: WebchatClient) -> None:
    await bob.tell_of_call(webchat.CallOffer(call="k1", chat="chat", sdp=SDP))
    await told.next()
    reject = bk.MatrixCallReject(portal=portal("chat"), call=bk.CallID("k1"), reason=bk.CallEnd.BUSY)
    await told.session.reject(reject)
    await told.session.reject(reject)
    over = await told.next()
    assert isinstance(over, bk.RemoteCallHangUp) and over.reason is bk.CallEnd.BUSY


async def test_an_offer_that_the_network_does_not_take(told: Told, bob: WebchatClient) -> None:
    offer = bk.MatrixCallOffer(
        portal=portal("nowhere"),
        call=bk.CallID("k"),
        callee=bk.RemoteUserID("bob"),
        kind=bk.CallKind.AUDIO,
        sdp=SDP,
        timestamp=1_000,
        expires_at=61_000,
    )
    with pytest.raises(bk.Rejected):
        await told.session.offer(offer)


def test_what_one_says_oneself_comes_back_only_from_another_page() -> None:
    own = webchat.CallHangUp(call="k", chat="c", account="ann", reason="elsewhere")
    assert calling.frame(own, "ann") is None
    elsewhere = webchat.CallHangUp(call="k", chat="c", account="ann", leg="page", reason="elsewhere")
    told = calling.frame(elsewhere, "ann")
    assert isinstance(told, bk.RemoteCallHangUp) and told.reason is bk.CallEnd.ANSWERED_ELSEWHERE


def test_only_a_call_that_nobody_took_is_missed() -> None:
    def line(**more: Any) -> webchat.CallEvent:
        fields = {
            "chat": "c",
            "seq": 7,
            "timestamp": 5_000,
            "actor": "bob",
            "call": "k",
            "reason": "ended",
            "by": "bob",
        }
        return msgspec.convert({"kind": "audio", **fields, **more, "type": "call"}, webchat.CallEvent)

    (offer,) = calling.missed(line(), "ann")
    assert (offer.call, offer.sender, offer.expires_at, offer.sdp) == ("k", "bob", 5_000, "")
    assert len(calling.missed(line(reason="unanswered"), "ann")) == 1
    for other in ({"actor": "ann"}, {"duration_ms": 10}, {"reason": "declined"}, {"reason": "busy"}):
        assert calling.missed(line(**other), "ann") == ()
