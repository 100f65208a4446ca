"""Calls that Matrix begins."""

from __future__ import annotations

import pytest

from bridgekit.core.call.effects import Ended, Note
from bridgekit.core.call.machine import GRACE_MS, SELECT_MS
from bridgekit.core.call.states import TABLE, Cause, State, leads_to
from bridgekit.core.call.words import line
from bridgekit.model.calls import (
    CallEnd,
    CallKind,
    CallProgress,
    MatrixCallHangUp,
    MatrixCallOffer,
    RemoteCallAnswer,
    RemoteCallHangUp,
    RemoteCallReject,
    RemoteCallRinging,
)
from bridgekit.model.ids import CallID, LegID, UserID
from tests.core.call.case import Case
from tests.core.call.ends import BOB, GHOST, PORTAL, START, USER
from tests.core.call.samples import full


def test_every_state_can_be_reached_and_left() -> None:
    for role, table in TABLE.items():
        reached = {State.NEW}
        for _ in table:
            reached |= {to for state in reached for to in table.get(state, {}).values()}
        assert reached == set(table)
        for state in reached - {State.NEW, State.ENDED}:
            assert leads_to(role, state, Cause.FAILED) is State.ENDED
        assert not table[State.ENDED]


def test_an_invite_rings_the_network_and_the_answer_goes_back() -> None:
    case = Case().invite()
    (offer,) = case.told
    assert isinstance(offer, MatrixCallOffer)
    assert (offer.call, offer.callee, offer.kind, offer.expires_at) == ("m1", BOB, CallKind.AUDIO, START + 60_000)
    case.remote(RemoteCallAnswer, sdp=full("RmTe", msid="-"))
    (_, answer), (_, marker) = case.sent
    assert answer["version"] == "1" and answer["party_id"] == case.call.setup.party
    (stream,) = answer["sdp_stream_metadata"]
    assert f"a=msid:{stream} " in answer["answer"]["sdp"]
    assert marker["candidates"] == [{"candidate": ""}]
    assert case.told[1:] == [], "not connected before Matrix has taken the answer"
    case.matrix("select_answer", selected_party_id=case.call.setup.party)
    assert case.told[-1].progress is CallProgress.CONNECTED
    assert case.call.state is State.CONNECTED


@pytest.mark.parametrize(
    "party, sender, counts",
    [("DEV", USER, True), ("OTHER", USER, False), (None, USER, False), ("DEV", UserID("@eve:example.org"), False)],
)
def test_who_counts_is_user_and_party(party: str | None, sender: UserID, counts: bool) -> None:
    case = Case().connected()
    case.new()
    case.matrix("hangup", sender, party_id=party)
    assert (case.new() == ([], ["HangUp"])) is counts
    assert case.call.over is counts


def test_an_answer_that_another_party_gave_ends_ours_without_an_event() -> None:
    case = Case().answered()
    case.new()
    case.matrix("select_answer", selected_party_id="OTHER")
    assert case.new() == ([], ["HangUp"])
    assert case.call.reason is CallEnd.ANSWERED_ELSEWHERE


@pytest.mark.parametrize(
    "reason, said", [(CallEnd.DECLINED, None), (CallEnd.BUSY, "user_busy"), (CallEnd.UNREACHABLE, "unknown_error")]
)
def test_what_is_not_taken_is_rejected_never_hung_up(reason: CallEnd, said: str | None) -> None:
    case = Case().invite().remote(RemoteCallHangUp, reason=reason)
    ((kind, content),) = case.sent
    assert (kind, content.get("reason")) == ("reject", said)
    assert [type(one) for one in case.others] == [Note, Ended]


def test_after_an_answer_it_is_hung_up() -> None:
    case = Case().answered()
    case.new()
    case.remote(RemoteCallHangUp)
    assert case.new() == (["hangup"], [])


def test_who_hangs_up_as_soon_as_the_media_flow_has_talked() -> None:
    case = Case().answered().wait(2_000).remote(RemoteCallHangUp)
    (note, _) = case.others
    assert line(note) == "Call ended after 0:02"


def test_version_0_is_spoken_with_who_speaks_it() -> None:
    case = Case().invite(version=0, party_id=None).remote(RemoteCallReject)
    ((kind, content),) = case.sent
    assert (kind, content["version"]) == ("hangup", 0)
    case = Case().invite(version=0, party_id=None).remote(RemoteCallAnswer, sdp=full())
    assert case.call.state is State.CONNECTED, "version 0 selects nothing"
    case.matrix("hangup", version="1", party_id="DEV")
    assert case.call.over, "version 1 inside a call of version 0"


def test_it_rings_no_longer_than_its_lifetime_and_less_where_the_network_wants() -> None:
    case = Case().invite(age=20_000).wait(40_000)
    assert not case.call.over
    case.wait(GRACE_MS)
    assert case.told[-1] == MatrixCallHangUp(portal=PORTAL, call=CallID("m1"), reason=CallEnd.NO_ANSWER)
    case = Case(ring_for=10_000).invite().wait(10_000 + GRACE_MS)
    assert case.sent[-1][1]["reason"] == "invite_timeout"


@pytest.mark.parametrize("age, rings", [(0, True), (56_000, True), (57_001, False), (10**9, False)])
def test_a_stale_invite_never_rings(age: int, rings: bool) -> None:
    case = Case().invite(age=age)
    assert bool(case.told) is rings
    assert bool(case.book._calls) is rings


def test_an_invite_for_somebody_else_or_our_own_does_not_ring() -> None:
    assert not Case().invite(invitee="@carol:example.org").told
    assert not Case().invite(sender=GHOST).told
    assert Case().invite(invitee=None).told


def test_repeats_do_nothing() -> None:
    case = Case().connected()
    case.new()
    case.invite().matrix("select_answer", selected_party_id=case.call.setup.party)
    case.remote(RemoteCallAnswer, sdp=full("RmTe")).remote(RemoteCallRinging)
    assert case.new() == ([], [])
    case.matrix("hangup").matrix("hangup").invite().remote(RemoteCallHangUp)
    assert case.new() == ([], ["HangUp"])


def test_an_answer_that_nobody_takes_ends() -> None:
    case = Case().answered().wait(SELECT_MS)
    assert case.call.over and case.sent[-1][0] == "hangup" and case.told[-1].reason is CallEnd.ERROR


def test_who_asserts_another_identity_is_told() -> None:
    case = Case().invite().remote(RemoteCallAnswer, sdp=full("RmTe"), answered_by="The desk")
    assert case.sent[-1] == (
        "asserted_identity",
        {**case.call._us.content(), "asserted_identity": {"display_name": "The desk"}},
    )


def test_leaving_the_room_is_hanging_up() -> None:
    case = Case().connected()
    case._take(case.book.left(PORTAL, UserID("@carol:example.org"), START))
    assert not case.call.over
    case.new()
    case._take(case.book.left(PORTAL, USER, START))
    assert case.new() == ([], ["HangUp"])


def test_the_first_leg_that_answers_has_the_call() -> None:
    one, two = LegID("one"), LegID("two")
    case = Case().invite().remote(RemoteCallRinging, leg=one).remote(RemoteCallRinging, leg=two)
    case.new()
    case.remote(RemoteCallAnswer, leg=two, sdp=full("RmTe"))
    assert case.told == [MatrixCallHangUp(portal=PORTAL, call=CallID("m1"), reason=CallEnd.ANSWERED_ELSEWHERE, leg=one)]
    case.remote(RemoteCallAnswer, leg=one, sdp=full("RmTe")).remote(RemoteCallHangUp, leg=one)
    assert not case.call.over
    case.remote(RemoteCallHangUp, leg=two)
    assert case.call.over


def test_a_leg_that_declines_leaves_the_others_ringing() -> None:
    one, two = LegID("one"), LegID("two")
    case = Case().invite().remote(RemoteCallRinging, leg=one).remote(RemoteCallRinging, leg=two)
    case.remote(RemoteCallReject, leg=one)
    assert not case.call.over
    case.remote(RemoteCallReject, leg=two, reason=CallEnd.BUSY)
    assert case.call.over and case.sent[-1][1]["reason"] == "user_busy"
    assert Case().invite().remote(RemoteCallRinging, leg=one).remote(RemoteCallReject).call.over


def test_an_answer_that_is_too_large_for_matrix_ends_the_call_and_nothing_follows() -> None:
    case = Case().invite()
    case.new()
    case.remote(RemoteCallAnswer, sdp=full("RmTe") + "a=x:" + "y" * 60_000 + "\r\n", answered_by="The desk")
    assert case.new() == (["hangup"], ["HangUp"])
    assert case.call.reason is CallEnd.MEDIA_FAILED
