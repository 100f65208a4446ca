"""Calls that the network begins, and calls of both that meet."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.core.call import words
from bridgekit.core.call.effects import Failed, InviteToRoom
from bridgekit.core.call.route import matrix_id_for, matrix_lane_of, remote_lane_of
from bridgekit.core.call.states import State
from bridgekit.model.calls import (
    CallEnd,
    CallKind,
    CallProgress,
    MatrixCallAnswer,
    MatrixCallHangUp,
    MatrixCallReject,
    RemoteCallHangUp,
    RemoteCallReject,
)
from bridgekit.model.ids import CallID, UserID
from tests.core.call.case import Case
from tests.core.call.ends import PORTAL, START, USER
from tests.core.call.samples import full

EVE = UserID("@eve:example.org")


def test_an_offer_becomes_an_invite() -> None:
    case = Case().offer()
    (_, invite), (_, marker) = case.sent
    assert invite["invitee"] == USER
    assert invite["lifetime"] == 90_000
    assert marker["candidates"] == [{"candidate": ""}]
    assert [one.progress for one in case.told] == [CallProgress.RINGING]
    case.offer()
    assert len(case.sent) == 2


def test_an_offer_without_description_waits_for_it() -> None:
    case = Case().offer("")
    assert case.new() == ([], [])
    assert case.offer().new()[0] == ["invite", "candidates"]
    case = Case().offer("").wait(90_000)
    assert case.new() == ([], ["Reject"])


def test_the_first_device_that_answers_has_the_call() -> None:
    case = Case().called()
    assert case.sent[-1] == ("select_answer", {**case.call._us.content(), "selected_party_id": "DEV"})
    case.new()
    case.matrix("answer", call_id="-r1", party_id="TWO", answer={"type": "answer", "sdp": full("TwoA")})
    case.matrix("reject", call_id="-r1", party_id="TWO").matrix("hangup", call_id="-r1", party_id="TWO")
    assert case.new() == ([], [])
    assert case.call.state is State.CONNECTED


def test_a_rejection_is_selected_and_told_with_its_reason() -> None:
    case = Case().offer().matrix("reject", call_id="-r1", reason="user_busy")
    assert case.sent[-1][0] == "select_answer"
    assert case.told[-1] == MatrixCallReject(portal=PORTAL, call=CallID("r1"), reason=CallEnd.BUSY)
    case = Case().offer().matrix("reject", call_id="-r1")
    assert case.call.reason is CallEnd.DECLINED


def test_while_it_rings_only_version_0_declines_by_hanging_up() -> None:
    case = Case().offer().matrix("hangup", call_id="-r1")
    assert not case.call.over
    case.matrix("answer", call_id="-r1", answer={"type": "answer", "sdp": full("AnSw")})
    assert case.call.over, "the device that had hung up"
    case = Case().offer().matrix("hangup", call_id="-r1", version=0, party_id=None)
    assert case.call.reason is CallEnd.DECLINED


def test_strangers_do_not_answer() -> None:
    case = Case().offer()
    case.matrix("answer", EVE, call_id="-r1", answer={"type": "answer", "sdp": full("AnSw")})
    case.matrix("reject", EVE, call_id="-r1").matrix("hangup", EVE, call_id="-r1", version=0)
    assert case.call.state is State.INVITED


def test_nobody_answers() -> None:
    case = Case().offer(expires_at=START + 30_000).wait(30_000)
    assert case.sent[-1][1]["reason"] == "invite_timeout"
    assert case.told[-1].reason is CallEnd.NO_ANSWER
    assert words.line(case.others[0]) == "Missed call"


def test_nothing_rings_for_ever() -> None:
    case = Case().offer(expires_at=2**60).wait(10 * 60_000)
    assert case.sent[0][1]["lifetime"] == 10 * 60_000
    assert case.call.reason is CallEnd.NO_ANSWER


def test_a_call_that_is_found_too_late_leaves_a_line_and_does_not_ring() -> None:
    case = Case().offer(timestamp=START - 88_000)
    assert case.new() == ([], [])
    assert words.line(case.others[0]) == "Missed call"


def test_who_is_not_in_the_room_is_invited_first() -> None:
    case = Case(joined=False).offer()
    assert case.others == [InviteToRoom(USER)]
    assert case.new() == ([], ["Progress"])
    case._take(case.book.joined(PORTAL, USER, START + 5_000))
    assert case.new() == (["invite", "candidates"], ["Progress"])
    case = Case(joined=False).offer()
    case._take(case.book.left(PORTAL, USER, START))
    assert case.told[-1].reason is CallEnd.DECLINED


@pytest.mark.parametrize(
    "place, fields, reason",
    [
        ({}, {"group": True}, CallEnd.NOT_SUPPORTED),
        ({"calls": frozenset({CallKind.AUDIO})}, {"kind": CallKind.VIDEO}, CallEnd.NOT_SUPPORTED),
        ({"refuse": CallEnd.UNREACHABLE}, {}, CallEnd.UNREACHABLE),
        ({}, {"sdp": "nonsense"}, CallEnd.MEDIA_FAILED),
        ({}, {"sdp": full() + "a=x\r\n" * 12_800}, CallEnd.MEDIA_FAILED),
    ],
)
def test_what_cannot_be_is_declined_at_once(place: dict[str, Any], fields: dict[str, Any], reason: CallEnd) -> None:
    case = Case(**place).offer(**fields)
    assert not [kind for kind, _ in case.sent if kind == "invite"]
    assert case.told[-1] == MatrixCallReject(portal=PORTAL, call=CallID("r1"), reason=reason)


def test_the_same_from_matrix() -> None:
    for case in (
        Case(calls=frozenset({CallKind.AUDIO})).invite(full(video=True)),
        Case(refuse=CallEnd.NOT_SUPPORTED).invite(),
        Case().invite("nonsense"),
    ):
        assert case.sent[-1][0] == "reject"
        assert not case.told


def test_too_many_at_once_are_busy() -> None:
    case = Case()
    for number in range(40):
        case.invite(call_id=f"c{number}")
    assert len(case.told) == 4
    assert {content["reason"] for _, content in case.sent} == {"user_busy"}


def test_the_adapters_refusal_reaches_matrix() -> None:
    case = Case().invite().input(Failed(CallEnd.UNREACHABLE))
    assert case.sent[-1][0] == "reject"
    assert words.line(case.others[0]) == "Call: not reachable"


def test_of_two_calls_that_meet_the_networks_counts() -> None:
    case = Case().offer(call=CallID("zz"))
    case.new()
    case.invite(call_id="1795846271971Na0b")
    assert [(kind, said["reason"]) for kind, said in case.sent] == [("reject", "replaced")]
    assert not case.told


@pytest.mark.parametrize("declined", [False, True], ids=["not said", "declined there"])
def test_the_same_when_matrix_was_first(*, declined: bool) -> None:
    case = Case().invite(call_id="1795846271971Na0b")
    case.new()
    case.offer(call=CallID("zz"))
    # matrix-js-sdk takes the new one in the place of its own, if that has the greater id, and is still calling.
    assert [kind for kind, _ in case.sent] == ["invite", "candidates", "reject"], "the new one is seen first"
    assert case.sent[0][1]["call_id"] < "1795846271971Na0b"
    assert case.told[-1].reason is CallEnd.REPLACED
    if declined:  # the network, which had its own call first, refuses the other one as well
        case.remote(RemoteCallReject, call=CallID("1795846271971Na0b"), reason=CallEnd.REPLACED)
    counts = case.book.by_matrix_id(PORTAL, "-zz")
    assert counts is not None and not counts.over
    assert [call.setup.matrix_id for call in case.book.live()] == ["-zz"]
    case = Case().offer().matrix("hangup", call_id="-r1", reason="replaced")
    assert case.call.over, "matrix-js-sdk hangs up the one that lost"


def test_an_id_on_matrix_that_is_smaller_still_counts() -> None:
    """As every client decides; none gives such ids by itself."""
    case = Case().offer(call=CallID("zz"))
    case.new()
    case.invite(call_id="--")
    call = case.book.by_matrix_id(PORTAL, "-zz")
    assert call is not None and case.sent == [("hangup", {**call._us.content(), "reason": "replaced"})]
    lost, offer = case.told
    assert (lost.call, lost.reason) == ("zz", CallEnd.REPLACED)
    assert (offer.call, offer.replaces) == ("--", "zz")
    case = Case().invite(call_id="--")
    case.new()
    case.offer(call=CallID("zz"))
    assert not case.sent
    assert (case.told[0].call, case.told[0].reason) == ("zz", CallEnd.REPLACED)


@pytest.mark.parametrize(
    "fields", [{"timestamp": START - 600_000}, {"expires_at": START + 1_000}, {"group": True}, {"sdp": "nonsense"}]
)
def test_an_offer_that_is_none_does_not_replace_a_call(fields: dict[str, Any]) -> None:
    case = Case().invite(call_id="1795846271971Na0b")
    case.new()
    case.offer(call=CallID("aa"), **fields)
    ours = case.book.by_matrix_id(PORTAL, "1795846271971Na0b")
    assert ours is not None and ours.state is State.RINGING
    assert not case.sent


@pytest.mark.parametrize("sender", [USER, EVE])
def test_an_invite_with_the_id_of_a_call_of_the_networks_takes_nothing_away(sender: UserID) -> None:
    """Everybody in the room has read that id, behind its hyphen."""
    case = Case().offer(call=CallID("abc"))
    for id in ("abc", "-abc"):
        case.invite(sender=sender, call_id=id)
    case.world.restart()
    case.new()
    case.remote(RemoteCallHangUp, call=CallID("abc"))
    assert [(kind, said["call_id"]) for kind, said in case.sent] == [("hangup", "-abc")]


def test_a_call_of_the_networks_whose_id_is_taken_on_matrix_has_another_there() -> None:
    case = Case().invite(sender=EVE, call_id="-abc")
    case.new()
    case.offer(call=CallID("abc"))
    id = case.sent[0][1]["call_id"]
    assert id.startswith("-") and id != "-abc"
    case.world.restart()
    case.new()
    case.matrix("hangup", EVE, call_id="-abc")
    case.matrix("answer", call_id=id, answer={"type": "answer", "sdp": full("AnSw")})
    assert [(type(one), one.call) for one in case.told] == [(MatrixCallHangUp, "-abc"), (MatrixCallAnswer, "abc")]


def test_ids_of_the_network_fit_matrix() -> None:
    assert matrix_id_for(CallID("abc-1")) == "-abc-1"
    assert len(matrix_id_for(CallID("x" * 255))) <= 255
    odd = matrix_id_for(CallID("a b/ä\ud800"))
    assert odd != matrix_id_for(CallID("a b/ö"))
    for call in ("abc", "-", "--abc", "x" * 255, "-" + "x" * 254, "a b"):
        lane = remote_lane_of(CallID(call))
        assert lane == matrix_lane_of(matrix_id_for(CallID(call))), "where the network began it"
        assert call == "a b" or lane == matrix_lane_of(call), "where Matrix did"
    case = Case().offer(call=CallID("a b"))
    call_id = case.sent[0][1]["call_id"]
    case.matrix("answer", call_id=call_id, answer={"type": "answer", "sdp": full("AnSw")})
    assert case.told[-1].call == "a b"
