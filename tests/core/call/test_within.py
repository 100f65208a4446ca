"""What happens within a call."""

from __future__ import annotations

from typing import Any

from bridgekit.core.call import sdp
from bridgekit.core.call.candidates import OFFER_MS, QUIET_MS
from bridgekit.core.call.machine import LONGEST_MS
from bridgekit.model.calls import (
    CallEnd,
    MatrixCallMute,
    MatrixCallUpdate,
    RemoteCallAnswer,
    RemoteCallMute,
    RemoteCallUpdate,
)
from bridgekit.model.ids import CallID
from tests.core.call.case import Case, candidates, negotiate
from tests.core.call.ends import PORTAL
from tests.core.call.samples import bare, description, full, host, section


def test_hold_goes_through_at_once_with_the_candidates_that_are_known() -> None:
    case = Case().invite(bare()).matrix("candidates", **candidates(host(), ""))
    case.remote(RemoteCallAnswer, sdp=full("RmTe")).matrix("select_answer", selected_party_id=case.call.setup.party)
    case.new()
    case.matrix("negotiate", **negotiate(bare(direction="sendonly")))
    (update,) = case.told
    assert isinstance(update, MatrixCallUpdate) and update.held and sdp.facts(update.sdp).candidates
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmTe", direction="recvonly"))
    assert case.sent[-1][1]["description"]["type"] == "answer"
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmTe"))
    assert len(case.sent) == 1, "an answer to nothing"


def test_who_is_held_does_not_hold() -> None:
    case = Case().connected()
    case.new()
    case.remote(RemoteCallUpdate, sdp_type="offer", sdp=full("RmTe", direction="inactive"))
    case.matrix("negotiate", **negotiate(full(direction="inactive"), "answer"))
    case.matrix("negotiate", **negotiate(full(direction="sendonly"))).matrix("negotiate", **negotiate(full()))
    assert [one.held for one in case.told] == [False, True, False]


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


def test_sections_that_come_or_go_keep_the_candidates_of_the_others() -> None:
    audio, video = section("audio", 0), section("video", 1, ufrag="ViDe")
    both = [{"candidate": host(), "sdpMid": "0"}, {"candidate": host(7, ufrag="ViDe"), "sdpMid": "1"}]
    case = Case().invite(description(audio, video)).matrix("candidates", candidates=[*both, {"candidate": ""}])
    case.remote(RemoteCallAnswer, sdp=full("RmTe", video=True))
    case.matrix("select_answer", selected_party_id=case.call.setup.party)
    case.new()
    # Bundled from the answer on: no generation is new, and the client looks for no other candidates.
    case.matrix("negotiate", **negotiate(description(audio, section("video", 1))))
    (held,) = case.told
    assert "a=" + host() in held.sdp and "ViDe" not in held.sdp
    # A section of a new generation beside the one that stays.
    case.matrix("negotiate", **negotiate(description(audio, section("video", 1, ufrag="NewU")))).wait(OFFER_MS)
    assert "a=" + host() in case.told[-1].sdp and len(case.told) == 2


def test_an_offer_behind_an_answer_that_gathers_waits_for_it() -> None:
    case = Case().connected()
    case.new()
    case.remote(RemoteCallUpdate, sdp_type="offer", sdp=full("RmT2"))
    case.matrix("negotiate", **negotiate(bare("NewU"), "answer"))
    case.matrix("candidates", **candidates(host(ufrag="NewU")))
    case.matrix("negotiate", **negotiate(bare("NewU", direction="sendonly")))
    assert not case.told
    case.wait(QUIET_MS)
    assert [(one.sdp_type, one.held) for one in case.told] == [("answer", False), ("offer", True)]
    assert "a=sendonly" in case.told[1].sdp
    case.remote(RemoteCallUpdate, sdp_type="answer", sdp=full("RmT2", direction="recvonly"))
    assert case.sent[-1][1]["description"]["type"] == "answer"


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
    case.matrix("negotiate", call_id="-r1", **negotiate(full("AnSw")))
    case.remote(RemoteCallUpdate, call=CallID("r1"), sdp_type="offer", sdp=full("RmTe"))
    case.matrix("negotiate", call_id="-r1", **negotiate(full("AnSw")))
    assert case.new() == (["negotiate"], ["Update"])
    case.matrix("negotiate", call_id="-r1", **negotiate(full("AnSw"), "answer"))
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


def test_a_call_whose_end_nobody_tells_is_over_after_a_day() -> None:
    case = Case().connected()
    case.new()
    case.wait(LONGEST_MS - 1)
    assert case.new() == ([], []) and not case.call.over
    case.wait(1)
    assert case.call.reason is CallEnd.CONNECTION_LOST
    assert case.new() == (["hangup"], ["HangUp"])
    assert case.book.next_timer() == case.call.forget_at
