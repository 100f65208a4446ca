"""Whatever comes in whatever order, from whomever: nothing raises, and nothing is kept beyond its bounds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgekit.core.call import sdp
from bridgekit.core.call.candidates import OFFER_MS
from bridgekit.core.call.events import TYPES, Seen, read
from bridgekit.core.call.machine import FORGET_MS, LONGEST_MS
from bridgekit.core.call.memory import MAX_POOL
from bridgekit.core.call.states import State
from bridgekit.model.calls import (
    CallEnd,
    Candidate,
    RemoteCallAnswer,
    RemoteCallCandidates,
    RemoteCallHangUp,
    RemoteCallMute,
    RemoteCallOffer,
    RemoteCallReject,
    RemoteCallRinging,
    RemoteCallUpdate,
    Trickle,
)
from bridgekit.model.ids import CallID, LegID, UserID
from tests.core.call.case import Case, candidates, negotiate
from tests.core.call.ends import BOB, GHOST, PORTAL, START, USER, World
from tests.core.call.samples import MDNS, TCP, bare, description, full, host, section

LARGE = "a=x:" + "y" * 63_000 + "\r\n"
UNBUNDLED = description(section("audio", 0), section("video", 1, ufrag="NewU"))
texts = st.sampled_from(
    [
        *(bare(), full(), bare("NewU"), full("NewU", video=True), UNBUNDLED),
        *("v=0\r\n", "x", "v=0\nm=audio 9 x y\r", bare() + LARGE, bare() + "a\n" * 31_000),
    ]
)
ids = st.sampled_from(["m1", "r1", "-r1", "c3"])
lines = st.sampled_from([host(), host(7), host(ufrag="NewU"), TCP, MDNS, "", "candidate:", "ä"])
OURS = [Case().invite(call_id=call).call.setup.party for call in ("m1", "r1", "-r1", "c3")]
optional: dict[Any, st.SearchStrategy[Any]] = {
    "party_id": st.sampled_from(["DEV", "TWO", OURS[0], "ä", 3, None]),
    "version": st.sampled_from([0, "1", 7, None]),
    "invitee": st.sampled_from([GHOST, "@eve:example.org", 1]),
    "lifetime": st.sampled_from([60_000, 1, -1, "x"]),
    "offer": st.builds(lambda sdp: {"type": "offer", "sdp": sdp}, texts),
    "answer": st.builds(lambda sdp: {"type": "answer", "sdp": sdp}, texts),
    "description": st.builds(
        lambda kind, sdp: {"type": kind, "sdp": sdp}, st.sampled_from(["offer", "answer", 1]), texts
    ),
    "candidates": st.lists(st.builds(lambda line: {"candidate": line, "sdpMid": "0"}, lines), max_size=5),
    "selected_party_id": st.sampled_from(["DEV", *OURS, None, 1]),
    "reason": st.sampled_from(["user_busy", "replaced", 1]),
    "sdp_stream_metadata": st.sampled_from([{}, {"s": {"purpose": "m.usermedia", "audio_muted": True}}, 1]),
}
from_matrix = st.tuples(
    st.just("matrix"),
    st.sampled_from(sorted(TYPES)),
    st.sampled_from([USER, GHOST, UserID("@eve:example.org")]),
    st.fixed_dictionaries({"call_id": ids}, optional=optional),
)
common: dict[str, st.SearchStrategy[Any]] = {
    "portal": st.just(PORTAL),
    "call": ids.map(CallID),
    "timestamp": st.just(START),
    "leg": st.sampled_from([LegID(""), LegID("one"), LegID("two")]),
}
found = st.lists(st.builds(Candidate, lines, st.sampled_from(["0", None])), max_size=4).map(tuple)
from_remote = st.tuples(
    st.just("remote"),
    st.one_of(
        st.builds(
            RemoteCallOffer, sender=st.just(BOB), sdp=st.one_of(texts, st.just("")), group=st.booleans(), **common
        ),
        st.builds(RemoteCallRinging, **common),
        st.builds(RemoteCallAnswer, sdp=texts, **common),
        st.builds(RemoteCallCandidates, candidates=found, complete=st.booleans(), **common),
        st.builds(RemoteCallUpdate, sdp_type=st.sampled_from(["offer", "answer"]), sdp=texts, **common),
        st.builds(RemoteCallMute, audio_muted=st.booleans(), video_muted=st.booleans(), **common),
        st.builds(RemoteCallReject, reason=st.sampled_from(CallEnd), **common),
        st.builds(RemoteCallHangUp, reason=st.sampled_from(CallEnd), **common),
    ),
)
others = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 100_000)),
    st.tuples(st.just("left"), st.just(USER)),
    st.tuples(st.just("joined"), st.just(USER)),
    st.tuples(st.just("restart")),
)


@given(
    st.lists(st.one_of(from_matrix, from_remote, others), max_size=25),
    st.sampled_from(["none", "half", "trickle"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["nothing", "gathering", "invite", "answered", "connected", "offer", "called"]),
)
@settings(max_examples=300, deadline=None)
def test_any_order_of_anything(steps: list[Any], trickle: Trickle, rings_first: bool, joined: bool, begun: str) -> None:
    case = Case(trickle=trickle, rings_first=rings_first, joined=joined or begun == "called")
    if begun == "gathering":
        case.invite(bare())
    elif begun != "nothing":
        getattr(case, begun)()
    world = case.world
    for step in steps:
        match step:
            case ("matrix", kind, sender, content):
                _from_matrix(case, kind, sender, content)
            case ("remote", event):
                case._take(case.book.remote(event, world.now, lambda: world.place))
            case ("wait", ms):
                case.wait(ms)
            case ("left", user):
                case._take(case.book.left(PORTAL, user, world.now))
            case ("joined", user):
                case._take(case.book.joined(PORTAL, user, world.now))
            case _:
                world.restart()
        for call in case.book.live():
            assert len(call._m.from_matrix) <= MAX_POOL
    case.wait(60_000 * 11)
    # Only calls that both sides took go on, and nothing waits in them.
    assert {str(call.state) for call in case.book.live()} <= {"connected"}
    assert not any(call._m.gathering or call._m.batch_at for call in case.book.live())
    case.wait(LONGEST_MS + FORGET_MS)
    assert not case.book._calls and not case.book._by_matrix_id and not case.book._live and not case.book._over
    assert not len(case.book._stash)
    assert case.book.next_timer() is None


def _from_matrix(case: Case, kind: str, sender: UserID, content: dict[str, Any]) -> None:
    world = case.world
    raw = msgspec.json.encode({"type": kind, "sender": sender, "content": content})
    seen = read(raw, received_at=world.now)
    if isinstance(seen, Seen):
        case._take(case.book.matrix(seen, PORTAL, world.now, lambda: world.place))


def test_a_stranger_cannot_end_what_others_talk_about() -> None:
    world = World()
    world.matrix.call()
    world.at(START + 4_000, world.remote.answer)
    world.run(START + 10_000)
    eve = UserID("@eve:example.org")
    for kind in TYPES:
        for party in ("DEVICE", "x"):
            content: dict[str, Any] = {
                "call_id": "m1",
                "party_id": party,
                "version": "1",
                "selected_party_id": "x",
                "candidates": [],
                "sdp_stream_metadata": {"s": {"purpose": "m.usermedia", "audio_muted": True}},
                "offer": {"sdp": full()},
                "answer": {"sdp": full()},
                "description": {"type": "offer", "sdp": full()},
            }
            before = len(world.log)
            world.from_matrix(kind, content, eve, sent_at=world.now)
            if party == "x":
                world.from_matrix(kind, content, sent_at=world.now)
            assert len(world.log) == before, (kind, party)
    assert (world.matrix.status, world.remote.status) == ("connected", "connected")


MANY = tuple(host(n + 1, f"10.0.0.{n}") for n in range(60))


@pytest.mark.parametrize("marker", [("",), ()], ids=["marker", "deadline"])
def test_an_offer_that_its_candidates_make_too_large_is_rejected(marker: tuple[str, ...]) -> None:
    case = Case().invite(bare() + LARGE).matrix("candidates", **candidates(*MANY, *marker)).wait(OFFER_MS)
    assert case.new() == (["reject"], [])
    assert case.call.reason is CallEnd.MEDIA_FAILED


@pytest.mark.parametrize("ufrag", ["EsAw", "NewU"])
def test_one_within_a_call_is_dropped_and_the_call_goes_on(ufrag: str) -> None:
    case = Case().invite(bare()).matrix("candidates", **candidates(*MANY, ""))
    case.remote(RemoteCallAnswer, sdp=full("RmTe")).matrix("select_answer", selected_party_id=case.call.setup.party)
    case.new()
    case.matrix("negotiate", **negotiate(bare(ufrag) + LARGE))
    case.matrix("candidates", **candidates(*(line.replace("EsAw", "NewU") for line in MANY), "")).wait(OFFER_MS)
    assert case.new() == ([], [])
    assert case.call.state is State.CONNECTED
    case.matrix("negotiate", **negotiate(bare(ufrag)))
    case.matrix("candidates", **candidates(host(ufrag=ufrag), ""))
    assert case.new() == ([], ["Update"])


def test_line_ends_can_make_a_description_too_large() -> None:
    text = bare("NewU") + "a\n" * 32_000
    assert len(text) < sdp.MAX_BYTES
    case = Case(trickle="trickle").invite(text)
    assert case.new() == (["reject"], [])
    case = Case(trickle="trickle").connected()
    case.new()
    case.matrix("negotiate", **negotiate(text))
    assert case.new() == ([], []) and case.call.state is State.CONNECTED
