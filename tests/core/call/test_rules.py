"""The rules of calls, one by one: MSC2746's, and those that clients live by."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridgekit.core.call import sdp, words
from bridgekit.core.call.book import Book, matrix_id_for
from bridgekit.core.call.callee import Callee
from bridgekit.core.call.candidates import ANSWER_MS, OFFER_MS, QUIET_MS
from bridgekit.core.call.effects import CallRemote, Ended, Failed, InviteToRoom, Note, SendMatrix
from bridgekit.core.call.machine import FORGET_MS, GRACE_MS, SELECT_MS
from bridgekit.core.call.states import TABLE, Cause, Role, State, leads_to
from bridgekit.model.calls import (
    CallEnd,
    CallKind,
    CallProgress,
    Candidate,
    MatrixCallAnswer,
    MatrixCallCandidates,
    MatrixCallHangUp,
    MatrixCallMute,
    MatrixCallOffer,
    MatrixCallProgress,
    MatrixCallReject,
    MatrixCallUpdate,
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
from tests.core.call.ends import BOB, GHOST, PORTAL, START, USER, World
from tests.core.call.samples import TCP, bare, full, host


class Case:
    """A book, and what it wanted done so far."""

    def __init__(self, **place: Any) -> None:
        self.world = World()
        self.world.place = msgspec.structs.replace(self.world.place, **place)
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.told: list[Any] = []
        self.others: list[Any] = []

    @property
    def book(self) -> Book:
        return self.world.book

    @property
    def call(self) -> Any:
        (call,) = self.book._calls.values()
        return call

    def wait(self, ms: int) -> Case:
        until = self.world.now + ms
        while (timer := self.book.next_timer()) is not None and timer <= until:
            self.world.now = max(self.world.now, timer)
            self._take(self.book.fire(self.world.now))
        self.world.now = until
        return self

    def matrix(self, kind: str, sender: UserID = USER, age: int = 0, **content: Any) -> Case:
        content = {"call_id": "m1", "party_id": "DEV", "version": "1", **content}
        content = {key: value for key, value in content.items() if value is not None}
        before = self.world.carry_out
        self.world.carry_out = self._take  # type: ignore[method-assign]
        self.world.from_matrix(f"m.call.{kind}", content, sender, sent_at=self.world.now - age)
        self.world.carry_out = before  # type: ignore[method-assign]
        return self

    def invite(self, text: str | None = None, **content: Any) -> Case:
        offer = {"type": "offer", "sdp": full("EsAw") if text is None else text}
        return self.matrix("invite", **{"invitee": GHOST, "lifetime": 60_000, "offer": offer, **content})

    def remote(self, kind: type[Any], /, **fields: Any) -> Case:
        event = kind(**{"portal": PORTAL, "call": CallID("m1"), "timestamp": self.world.now, **fields})
        self._take(self.book.remote(event, self.world.now, lambda: self.world.place))
        return self

    def offer(self, text: str | None = None, **fields: Any) -> Case:
        text = full("RmTe") if text is None else text
        return self.remote(RemoteCallOffer, **{"call": CallID("r1"), "sender": BOB, "sdp": text, **fields})

    def input(self, event: Any) -> Case:
        self._take(self.book.tell(self.call, event, self.world.now))
        return self

    def _take(self, calls: list[Any]) -> None:
        for effect in [effect for call in calls for effect in call.effects()]:
            match effect:
                case SendMatrix():
                    self.sent.append((effect.type.removeprefix("m.call."), effect.content))
                case CallRemote():
                    self.told.append(effect.value)
                case _:
                    self.others.append(effect)

    def new(self) -> tuple[list[str], list[str]]:
        """What was done since: kinds of events, kinds of values."""
        done = [kind for kind, _ in self.sent], [type(one).__name__.removeprefix("MatrixCall") for one in self.told]
        self.sent.clear()
        self.told.clear()
        return done

    # --- on the way ---------------------------------------------------------------------------------------------
    def answered(self, **fields: Any) -> Case:
        self.invite().remote(RemoteCallRinging).remote(RemoteCallAnswer, sdp=full("RmTe"), **fields)
        return self

    def connected(self) -> Case:
        return self.answered().matrix("select_answer", selected_party_id=self.call.setup.party)

    def called(self) -> Case:
        return self.offer().matrix("answer", call_id="r1", answer={"type": "answer", "sdp": full("AnSw")})


# --- the table --------------------------------------------------------------------------------------------------
def test_every_state_can_be_reached_and_left() -> None:
    for role, table in TABLE.items():
        reached = {State.NEW}
        for _ in table:
            reached |= {to for state in reached for to in table.get(state, {}).values()}
        assert reached == set(table)
        for state in reached - {State.NEW, State.ENDED}:
            assert leads_to(role, state, Cause.FAILED) is State.ENDED
        assert not table[State.ENDED]


# --- Matrix calls -----------------------------------------------------------------------------------------------
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


# --- a network that forks ---------------------------------------------------------------------------------------
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


# --- candidates -------------------------------------------------------------------------------------------------
def candidates(*lines: str, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"candidate": line, "sdpMid": "0"} for line in lines], **more}


def test_an_offer_waits_for_its_candidates_and_the_marker() -> None:
    case = Case().invite(bare())
    assert not case.told
    case.matrix("candidates", **candidates(host())).wait(OFFER_MS - 1)
    assert not case.told
    case.matrix("candidates", **candidates(""))
    (offer,) = case.told
    assert sdp.facts(offer.sdp).complete


def test_without_the_marker_there_is_a_deadline() -> None:
    case = Case().invite(bare()).matrix("candidates", **candidates(host(), TCP)).wait(OFFER_MS)
    (offer,) = case.told
    assert sdp.facts(offer.sdp).complete and " tcp " not in offer.sdp


@pytest.mark.parametrize("lines", [(), (TCP,), (host(ufrag="old"),)])
def test_an_offer_that_has_none_at_the_deadline_is_rejected(lines: tuple[str, ...]) -> None:
    case = Case().invite(bare()).matrix("candidates", **candidates(*lines, "")).wait(OFFER_MS)
    assert case.new() == (["reject"], [])
    assert case.call.reason is CallEnd.CONNECTION_FAILED


def test_candidates_before_their_invite_are_kept() -> None:
    case = Case().matrix("candidates", **candidates(host(), "")).invite(bare())
    assert len(case.told) == 1
    assert len(case.book._stash) == 0


def test_a_call_that_was_hung_up_before_it_came_never_rings() -> None:
    case = Case().matrix("hangup").invite().invite()
    assert case.new() == ([], [])


def test_it_rings_before_the_offer_is_complete_where_the_network_can() -> None:
    case = Case(rings_first=True).invite(bare())
    assert [one.sdp for one in case.told] == [""]
    case.matrix("candidates", **candidates(host(), ""))
    assert len(case.told) == 2 and case.told[1].sdp
    case = Case(rings_first=True).invite(bare()).remote(RemoteCallReject)
    assert case.call.over and case.sent[-1][0] == "reject"


def test_an_answer_is_selected_first_and_waits_for_a_moment_of_quiet() -> None:
    case = Case().offer().matrix("answer", call_id="r1", answer={"type": "answer", "sdp": bare("AnSw")})
    assert case.new()[0] == ["invite", "candidates", "select_answer"]
    case.matrix("candidates", call_id="r1", **candidates(host(ufrag="AnSw"))).wait(QUIET_MS - 1)
    assert not case.told
    case.wait(1)
    (answer,) = case.told
    assert isinstance(answer, MatrixCallAnswer) and sdp.facts(answer.sdp).complete
    case = Case().offer().matrix("answer", call_id="r1", answer={"type": "answer", "sdp": bare("AnSw")})
    case.new()
    case.wait(ANSWER_MS)
    assert case.new() == (["hangup"], ["Reject"]), "never an answer without candidates"


def test_a_network_that_trickles_gets_descriptions_at_once_and_candidates_apart() -> None:
    case = Case(trickle="trickle").invite(full()).matrix("candidates", **candidates(host(50009), ""))
    offer, inside, later = case.told
    assert "candidate" not in offer.sdp
    assert inside.candidates == (Candidate(host(), "0", 0, "EsAw"),) and inside.complete
    assert [one.candidate for one in later.candidates] == [host(50009)]


def test_a_network_that_half_trickles_gets_its_offers_complete() -> None:
    case = Case(trickle="half").invite(bare())
    assert not case.told
    case.matrix("candidates", **candidates(host(), ""))
    assert sdp.facts(case.told[0].sdp).complete
    case.matrix("candidates", **candidates(host(), host(50009)))
    assert [one.candidate for one in case.told[1].candidates] == [host(50009)]
    case = Case(trickle="half").offer().matrix("answer", call_id="r1", answer={"type": "answer", "sdp": bare("AnSw")})
    assert isinstance(case.told[-1], MatrixCallAnswer)


@pytest.mark.parametrize("trickle", ["trickle", "half"])
def test_the_networks_candidates_go_inside_or_after_the_answer(trickle: Trickle) -> None:
    case = Case(trickle=trickle).offer(bare("RmTe"))
    case.remote(RemoteCallCandidates, call=CallID("r1"), candidates=(Candidate(host(ufrag="RmTe"), "0"),)).wait(300)
    invite = case.sent[0][1]["offer"]["sdp"]
    assert ("a=candidate" in invite) is (trickle == "trickle")
    case.remote(RemoteCallCandidates, call=CallID("r1"), candidates=(Candidate(host(7), "0"),), complete=True).wait(300)
    assert [kind for kind, _ in case.sent] == ["invite"], "clients drop what comes before the answer"
    case.matrix("answer", call_id="r1", answer={"type": "answer", "sdp": full("AnSw")}).wait(300)
    ((_, found),) = [one for one in case.sent if one[0] == "candidates"]
    assert found["candidates"][-1] == {"candidate": ""}
    assert {"candidate": host(7), "sdpMid": "0"} in found["candidates"]


# --- the network calls ------------------------------------------------------------------------------------------
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
    case.matrix("answer", call_id="r1", party_id="TWO", answer={"type": "answer", "sdp": full("TwoA")})
    case.matrix("reject", call_id="r1", party_id="TWO").matrix("hangup", call_id="r1", party_id="TWO")
    assert case.new() == ([], [])
    assert case.call.state is State.CONNECTED


def test_a_rejection_is_selected_and_told_with_its_reason() -> None:
    case = Case().offer().matrix("reject", call_id="r1", reason="user_busy")
    assert case.sent[-1][0] == "select_answer"
    assert case.told[-1] == MatrixCallReject(portal=PORTAL, call=CallID("r1"), reason=CallEnd.BUSY)
    case = Case().offer().matrix("reject", call_id="r1")
    assert case.call.reason is CallEnd.DECLINED


def test_while_it_rings_only_version_0_declines_by_hanging_up() -> None:
    case = Case().offer().matrix("hangup", call_id="r1")
    assert not case.call.over
    case.matrix("answer", call_id="r1", answer={"type": "answer", "sdp": full("AnSw")})
    assert case.call.over, "the device that had hung up"
    case = Case().offer().matrix("hangup", call_id="r1", version=0, party_id=None)
    assert case.call.reason is CallEnd.DECLINED


def test_strangers_do_not_answer() -> None:
    eve = UserID("@eve:example.org")
    case = Case().offer()
    case.matrix("answer", eve, call_id="r1", answer={"type": "answer", "sdp": full("AnSw")})
    case.matrix("reject", eve, call_id="r1").matrix("hangup", eve, call_id="r1", version=0)
    assert case.call.state is State.INVITED


def test_nobody_answers() -> None:
    case = Case().offer(expires_at=START + 30_000).wait(30_000)
    assert case.sent[-1][1]["reason"] == "invite_timeout"
    assert case.told[-1].reason is CallEnd.NO_ANSWER
    assert words.line(case.others[0]) == "Missed call"


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


# --- two calls meet ---------------------------------------------------------------------------------------------
def test_of_two_calls_that_meet_the_smaller_id_counts() -> None:
    case = Case().offer(call=CallID("zz"))
    case.new()
    case.invite(call_id="aa")
    assert case.sent == [("hangup", {**case.book.by_matrix_id(PORTAL, "zz")._us.content(), "reason": "replaced"})]  # type: ignore[union-attr]
    lost, offer = case.told
    assert (lost.call, lost.reason) == ("zz", CallEnd.REPLACED)
    assert (offer.call, offer.replaces) == ("aa", "zz")
    case = Case().offer(call=CallID("aa"))
    case.new()
    case.invite(call_id="zz")
    assert [(kind, said["reason"]) for kind, said in case.sent] == [("reject", "replaced")]
    assert not case.told


def test_the_same_when_matrix_was_first() -> None:
    case = Case().invite(call_id="zz")
    case.new()
    case.offer(call=CallID("aa"))
    assert [kind for kind, _ in case.sent] == ["invite", "candidates", "reject"], "the new one is seen first"
    assert case.told[-1].reason is CallEnd.REPLACED
    case = Case().invite(call_id="aa")
    case.new()
    case.offer(call=CallID("zz"))
    assert not case.sent
    assert (case.told[0].call, case.told[0].reason) == ("zz", CallEnd.REPLACED)
    case = Case().offer().matrix("hangup", call_id="r1", reason="replaced")
    assert case.call.over, "matrix-js-sdk hangs up the one that lost"


def test_ids_of_the_network_fit_matrix() -> None:
    assert matrix_id_for(PORTAL, CallID("abc-1")) == "abc-1"
    odd = matrix_id_for(PORTAL, CallID("a b/ä\ud800"))
    assert odd != matrix_id_for(PORTAL, CallID("a b/ö"))
    case = Case().offer(call=CallID("a b"))
    call_id = case.sent[0][1]["call_id"]
    case.matrix("answer", call_id=call_id, answer={"type": "answer", "sdp": full("AnSw")})
    assert case.told[-1].call == "a b"


# --- within a call ----------------------------------------------------------------------------------------------
def negotiate(text: str, sdp_type: str = "offer", **more: Any) -> dict[str, Any]:
    return {"description": {"type": sdp_type, "sdp": text}, "lifetime": 10_000, **more}


def test_hold_goes_through_at_once_with_the_candidates_that_are_known() -> None:
    case = Case().invite(bare()).matrix("candidates", **candidates(host(), ""))
    case.remote(RemoteCallAnswer, sdp=full("RmTe")).matrix("select_answer", selected_party_id=case.call.setup.party)
    case.new()
    case.matrix("negotiate", **negotiate(bare(direction="recvonly")))
    (update,) = case.told
    assert isinstance(update, MatrixCallUpdate) and update.held and sdp.facts(update.sdp).candidates
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmTe", direction="inactive"))
    assert case.sent[-1][1]["description"]["type"] == "answer"
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmTe"))
    assert len(case.sent) == 1, "an answer to nothing"


def test_a_new_generation_is_gathered_again() -> None:
    case = Case().connected()
    case.new()
    case.matrix("negotiate", **negotiate(bare("NewU"))).matrix("candidates", **candidates(host(ufrag="EsAw"), ""))
    assert not case.told
    case.matrix("candidates", **candidates(host(ufrag="NewU"))).matrix("candidates", **candidates(""))
    (update,) = case.told
    assert "NewU" in update.sdp and "EsAw" not in update.sdp
    case.matrix("negotiate", **negotiate(bare("Dead"))).wait(OFFER_MS)
    assert len(case.told) == 1 and not case.call.over, "no candidates: the call goes on as it was"


def test_of_two_offers_that_meet_the_callers_counts() -> None:
    case = Case().connected()  # Matrix is the caller
    case.new()
    case.matrix("negotiate", **negotiate(full())).remote(RemoteCallUpdate, sdp_type="offer", sdp=full("RmTe"))
    assert case.new() == ([], ["Update"])
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmTe"))
    case.remote(RemoteCallUpdate, sdp_type="offer", sdp=full("RmTe")).matrix("negotiate", **negotiate(full()))
    assert case.new() == (["negotiate", "negotiate"], ["Update"])
    case = Case().called()  # the network is the caller
    case.new()
    case.matrix("negotiate", call_id="r1", **negotiate(full("AnSw")))
    case.remote(RemoteCallUpdate, call=CallID("r1"), sdp_type="offer", sdp=full("RmTe"))
    case.matrix("negotiate", call_id="r1", **negotiate(full("AnSw")))
    assert case.new() == (["negotiate"], ["Update"])
    case.matrix("negotiate", call_id="r1", **negotiate(full("AnSw"), "answer"))
    assert case.new() == ([], ["Update"])


def test_what_is_too_late_or_of_a_stranger_is_not_negotiated() -> None:
    case = Case().connected()
    case.new()
    case.matrix("negotiate", age=10_000, **negotiate(full()))
    case.matrix("negotiate", party_id="OTHER", **negotiate(full()))
    case.matrix("negotiate", **negotiate("nonsense"))
    case.remote(RemoteCallUpdate, sdp_type="offer", sdp="nonsense")
    assert case.new() == ([], [])
    case.matrix("negotiate", **negotiate(full())).wait(10_000)
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmTe"))
    assert case.new() == ([], ["Update"]), "nobody waits for that answer any more"


def test_an_offer_that_overtakes_the_selection_waits_for_it() -> None:
    case = Case().answered()
    case.new()
    case.matrix("negotiate", **negotiate(full()))
    assert case.new() == ([], [])
    case.matrix("select_answer", selected_party_id=case.call.setup.party)
    assert case.new() == ([], ["Progress", "Update"])


def test_mute_goes_both_ways_once() -> None:
    case = Case().connected()
    case.new()
    stream = {"purpose": "m.usermedia", "audio_muted": True, "video_muted": False}
    metadata: dict[str, Any] = {"sdp_stream_metadata": {"s": stream}}
    case.matrix("sdp_stream_metadata_changed", **metadata).matrix("sdp_stream_metadata_changed", **metadata)
    assert case.told == [MatrixCallMute(portal=PORTAL, call=CallID("m1"), audio_muted=True, video_muted=False)]
    case.remote(RemoteCallMute, audio_muted=True, video_muted=False)
    case.remote(RemoteCallMute, audio_muted=True, video_muted=False)
    ((kind, content),) = case.sent
    assert kind == "sdp_stream_metadata_changed"
    assert [*content["sdp_stream_metadata"].values()] == [stream]


# --- what is kept -----------------------------------------------------------------------------------------------
def test_a_call_outlives_the_process() -> None:
    case = Case().connected()
    case.new()
    case.world.restart()
    case.matrix("negotiate", **negotiate(full(direction="recvonly")))
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmTe", direction="sendonly"))
    case.matrix("hangup", reason="user_hangup")
    assert case.new() == (["negotiate"], ["Update", "HangUp"])
    case = Case().connected()
    case.world.restart()
    case.new()
    case.remote(RemoteCallHangUp)
    assert case.new() == (["hangup"], [])


def test_the_same_event_to_the_same_snapshot_gives_the_same_effects() -> None:
    case = Case().invite()
    data = case.call.snapshot()
    done = []
    for _ in range(2):
        (call,) = Book().restore([data])
        answer = RemoteCallAnswer(portal=PORTAL, call=CallID("m1"), sdp=full("RmTe"), timestamp=START)
        call.receive(answer, START)
        done.append(call.effects())
    assert done[0] == done[1] != []
    keys = [one.key for one in done[0] if isinstance(one, SendMatrix)]
    assert len(keys) == len(set(keys)) == 2


def test_one_that_rang_when_the_process_died_ends_when_its_time_is_over() -> None:
    case = Case().offer()
    case.world.restart()
    case.new()
    case.wait(200_000)
    assert case.new() == (["hangup"], ["Reject"])


def test_nothing_is_kept_for_ever() -> None:
    case = Case().connected().matrix("hangup")
    assert len(case.call.snapshot()) < 1500
    case.wait(FORGET_MS)
    assert len(case.book) == 0 and not case.book._by_matrix_id
    for number in range(1_200):
        case.matrix("candidates", call_id=f"c{number}", **candidates(host()))
        case.invite(call_id=f"d{number}").matrix("hangup", call_id=f"d{number}")
    assert len(case.book) <= 1_000
    assert len(case.book._stash) <= 200
    case.wait(2 * FORGET_MS)
    assert len(case.book) == len(case.book._stash) == 0


def test_candidates_of_a_call_are_bounded() -> None:
    case = Case().invite(bare())
    for number in range(600):
        case.matrix("candidates", **candidates(host(number % 60_000 + 1, f"10.0.0.{number % 250}")))
    case.wait(OFFER_MS)
    assert len(case.told[0].sdp) < sdp.MAX_BYTES
    assert len(case.call.snapshot()) < 100_000


# --- words ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reason", CallEnd)
def test_every_end_has_its_line(reason: CallEnd) -> None:
    note = Note(role=Role.CALLEE, kind=CallKind.VIDEO, reason=reason, by_matrix=False, connected_ms=None)
    assert words.line(note).startswith("Video call")
    assert words.line(note)[-1] not in ": "
    talked = msgspec.structs.replace(note, connected_ms=3_723_000)
    assert words.line(talked).startswith("Video call ended after 1:02:03")


def test_a_call_leaves_one_line() -> None:
    case = Case().connected().wait(61_000).matrix("hangup").remote(RemoteCallHangUp)
    (note,) = [one for one in case.others if isinstance(one, Note)]
    assert words.line(note) == "Call ended after 1:01"
    assert isinstance(case.others[-1], Ended)


def test_what_a_value_says_is_what_the_surface_says() -> None:
    case = Case().connected()
    assert isinstance(case.call, Callee)
    assert not [one for one in case.told if isinstance(one, MatrixCallCandidates)]
    assert isinstance(case.told[-1], MatrixCallProgress)
