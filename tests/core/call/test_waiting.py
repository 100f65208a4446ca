"""Candidates: what waits for them, and where they go."""

from __future__ import annotations

import msgspec
import pytest

from bridgekit.core.call import sdp
from bridgekit.core.call.candidates import ANSWER_MS, BATCH_MS, OFFER_MS, QUIET_MS
from bridgekit.core.to_matrix import MAX_CONTENT_BYTES
from bridgekit.model.calls import (
    CallEnd,
    Candidate,
    MatrixCallAnswer,
    RemoteCallAnswer,
    RemoteCallCandidates,
    RemoteCallReject,
    Trickle,
)
from bridgekit.model.ids import CallID
from tests.core.call.case import Case, candidates
from tests.core.call.samples import TCP, bare, full, host


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
    case = Case().offer().matrix("answer", call_id="-r1", answer={"type": "answer", "sdp": bare("AnSw")})
    assert case.new()[0] == ["invite", "candidates", "select_answer"]
    case.matrix("candidates", call_id="-r1", **candidates(host(ufrag="AnSw"))).wait(QUIET_MS - 1)
    assert not case.told
    case.wait(1)
    (answer,) = case.told
    assert isinstance(answer, MatrixCallAnswer) and sdp.facts(answer.sdp).complete
    case = Case().offer().matrix("answer", call_id="-r1", answer={"type": "answer", "sdp": bare("AnSw")})
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
    case = Case(trickle="half").offer().matrix("answer", call_id="-r1", answer={"type": "answer", "sdp": bare("AnSw")})
    assert isinstance(case.told[-1], MatrixCallAnswer)


@pytest.mark.parametrize("trickle", ["trickle", "half"])
def test_the_networks_candidates_go_inside_or_after_the_answer(trickle: Trickle) -> None:
    case = Case(trickle=trickle).offer(bare("RmTe"))
    case.remote(RemoteCallCandidates, call=CallID("r1"), candidates=(Candidate(host(ufrag="RmTe"), "0"),)).wait(300)
    invite = case.sent[0][1]["offer"]["sdp"]
    assert ("a=candidate" in invite) is (trickle == "trickle")
    case.remote(RemoteCallCandidates, call=CallID("r1"), candidates=(Candidate(host(7), "0"),), complete=True).wait(300)
    assert [kind for kind, _ in case.sent] == ["invite"], "clients drop what comes before the answer"
    case.matrix("answer", call_id="-r1", answer={"type": "answer", "sdp": full("AnSw")}).wait(300)
    ((_, found),) = [one for one in case.sent if one[0] == "candidates"]
    assert found["candidates"][-1] == {"candidate": ""}
    assert {"candidate": host(7), "sdpMid": "0"} in found["candidates"]


def test_many_candidates_of_the_network_go_in_parts_and_end_no_call() -> None:
    case = Case(trickle="trickle").invite().remote(RemoteCallAnswer, sdp=bare("RmTe"))
    case.matrix("select_answer", selected_party_id=case.call.setup.party)
    case.new()
    lines = [host(n + 1, f"10.0.0.{n}", ufrag="RmTe") + " x" * 400 for n in range(100)]
    found = tuple(Candidate(line, "0", 0, "RmTe") for line in [*lines, host() + " x" * 600])
    case.remote(RemoteCallCandidates, candidates=found, complete=True).wait(BATCH_MS)
    assert not case.call.over
    sent = [content["candidates"] for _, content in case.sent]
    assert all(len(msgspec.json.encode(part)) < MAX_CONTENT_BYTES for part in sent)
    assert [one["candidate"] for part in sent for one in part] == [*lines, ""], "what is no candidate is left out"
