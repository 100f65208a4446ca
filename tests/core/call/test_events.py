"""Call events are read from what anybody may have sent, and written as clients read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgekit.core.call import contents, events, sdp
from bridgekit.core.call.contents import Party
from bridgekit.core.call.events import (
    Answer,
    AssertedIdentity,
    CallEvent,
    Candidates,
    Hangup,
    Invite,
    Malformed,
    Negotiate,
    Reject,
    Seen,
    SelectAnswer,
    Stream,
    StreamsChanged,
    read,
)
from bridgekit.core.call.reasons import FROM_MATRIX, TO_MATRIX, HangupReason, read_reason
from bridgekit.model.calls import CallEnd, Candidate
from bridgekit.model.ids import UserID
from tests.core.call.samples import bare, full, host

NOW = 1_700_000_000_000
US = Party("c1", "bridge")
STREAMS = {"s1": Stream("m.usermedia", audio_muted=True)}
COMMON: dict[str, Any] = {"call_id": "c1", "party_id": "DEV", "version": "1"}
INVITE = {**COMMON, "lifetime": 60_000, "offer": {"type": "offer", "sdp": bare()}}


def seen(kind: str, content: object, **more: Any) -> Seen | Malformed:
    event = {"type": kind, "sender": "@a:b", "content": content, "event_id": "$1", **more}
    return read(msgspec.json.encode(event), received_at=NOW)


def event(kind: str, content: object) -> CallEvent:
    found = seen(kind, content)
    assert isinstance(found, Seen), found
    return found.event


@pytest.mark.parametrize(
    "said, wanted",
    [
        (
            contents.invite(US, full(), STREAMS, invitee=UserID("@x:y"), lifetime=90_000),
            Invite(
                call_id="c1",
                version=1,
                party_id="bridge",
                sdp=full(),
                lifetime=90_000,
                invitee=UserID("@x:y"),
                streams=STREAMS,
            ),
        ),
        (
            contents.answer(US, full(), STREAMS),
            Answer(call_id="c1", version=1, party_id="bridge", sdp=full(), streams=STREAMS),
        ),
        (
            contents.candidates(US, (Candidate(host(), "0", 0, "EsAw"),), complete=True),
            Candidates(
                call_id="c1",
                version=1,
                party_id="bridge",
                candidates=(Candidate(host(), "0", 0, "EsAw"),),
                complete=True,
            ),
        ),
        (contents.select_answer(US, "DEV"), SelectAnswer(call_id="c1", version=1, party_id="bridge", selected="DEV")),
        (
            contents.reject(US, CallEnd.BUSY),
            Reject(call_id="c1", version=1, party_id="bridge", reason=HangupReason.USER_BUSY),
        ),
        (
            contents.reject(Party("c1", "bridge", 0), CallEnd.DECLINED),
            Hangup(call_id="c1", version=0, party_id="bridge", reason=HangupReason.USER_HANGUP),
        ),
        (
            contents.hangup(US, CallEnd.CONNECTION_LOST),
            Hangup(call_id="c1", version=1, party_id="bridge", reason=HangupReason.ICE_TIMEOUT),
        ),
        (
            contents.negotiate(US, "offer", full(), {}, lifetime=10_000),
            Negotiate(call_id="c1", version=1, party_id="bridge", sdp=full(), sdp_type="offer", lifetime=10_000),
        ),
        (
            contents.streams_changed(US, STREAMS),
            StreamsChanged(call_id="c1", version=1, party_id="bridge", streams=STREAMS),
        ),
        (
            contents.asserted_identity(US, "Bob"),
            AssertedIdentity(call_id="c1", version=1, party_id="bridge", name="Bob"),
        ),
        (contents.asserted_identity(US, ""), AssertedIdentity(call_id="c1", version=1, party_id="bridge", name="")),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_what_is_written_is_read_as_it_was_meant(said: tuple[str, dict[str, Any]], wanted: CallEvent) -> None:
    assert event(*said) == wanted


def test_both_keys_of_streams_are_written_and_either_is_read() -> None:
    _, content = contents.answer(US, full(), STREAMS)
    assert content["sdp_stream_metadata"] == content["org.matrix.msc3077.sdp_stream_metadata"]
    for key in events.STREAMS_KEYS:
        said = {**INVITE, key: {"s1": {"purpose": "m.usermedia", "audio_muted": True}}}
        invite = event("m.call.invite", said)
        assert isinstance(invite, Invite) and invite.streams == STREAMS
    assert "sdp_stream_metadata" not in contents.answer(US, full(), {})[1], "an empty list would be believed"


def test_the_older_type_of_mute_is_read() -> None:
    found = event(
        "org.matrix.call.sdp_stream_metadata_changed",
        {**COMMON, "org.matrix.msc3077.sdp_stream_metadata": {"s": {"purpose": "m.usermedia", "video_muted": True}}},
    )
    assert isinstance(found, StreamsChanged) and found.streams["s"].video_muted


@pytest.mark.parametrize(
    "said, version", [(0, 0), ("1", 1), (1, 1), ("0", 1), (None, 1), (False, 1), ("org.example.2", 1), ([], 1)]
)
def test_versions(said: object, version: int) -> None:
    assert event("m.call.hangup", {**COMMON, "version": said}).version == version


@pytest.mark.parametrize("call_id", ["", "a" * 256, "ä", "a/b", "a b", 1, None, [], "a\n"])
def test_ids_of_another_grammar_are_refused(call_id: object) -> None:
    assert isinstance(seen("m.call.hangup", {**COMMON, "call_id": call_id}), Malformed)
    if call_id is not None:  # version 0 has no party
        assert isinstance(seen("m.call.hangup", {**COMMON, "party_id": call_id}), Malformed)
    assert isinstance(seen("m.call.hangup", {**COMMON, "call_id": "aZ09._~-" * 31}), Seen)


@pytest.mark.parametrize(
    "said, wanted",
    [(60_000, 60_000), (None, 60_000), ("x", 60_000), (True, 60_000), (-5, 60_000), (10**9, 600_000), (1e300, 60_000)],
)
def test_lifetimes_are_capped(said: object, wanted: int) -> None:
    invite = event("m.call.invite", {**INVITE, "lifetime": said})
    assert isinstance(invite, Invite) and invite.lifetime == wanted


@pytest.mark.parametrize(
    "more, sent_at",
    [
        ({"unsigned": {"age": 5_000}}, NOW - 5_000),
        ({"unsigned": {"age": -5}}, NOW),
        ({"unsigned": {"age": "x"}, "origin_server_ts": NOW - 7}, NOW - 7),
        ({"unsigned": 3}, NOW),
        ({"origin_server_ts": NOW + 999_999}, NOW),
        ({"unsigned": {"age": 2**70}}, 0),
    ],
)
def test_when_it_was_sent_is_told_by_its_age(more: dict[str, Any], sent_at: int) -> None:
    found = seen("m.call.hangup", COMMON, **more)
    assert isinstance(found, Seen) and found.sent_at == sent_at


def test_a_reason_that_is_missing_or_unknown() -> None:
    assert read_reason(None) is HangupReason.USER_HANGUP
    assert read_reason("who knows") is HangupReason.UNKNOWN_ERROR
    assert read_reason([]) is HangupReason.UNKNOWN_ERROR


def test_the_tables_of_reasons_are_total() -> None:
    assert set(TO_MATRIX) == set(CallEnd)
    assert set(FROM_MATRIX) == set(HangupReason)
    for reason, end in FROM_MATRIX.items():
        assert TO_MATRIX[end] is reason, "what comes from Matrix goes back the same"


json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=12), inner, max_size=4)),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        *(
            "offer",
            "answer",
            "candidates",
            "lifetime",
            "invitee",
            "description",
            "reason",
            "selected_party_id",
            "version",
        ),
        *("party_id", "sdp_stream_metadata", "org.matrix.msc3077.sdp_stream_metadata", "asserted_identity"),
    ]
)


@given(st.sampled_from(sorted(events.TYPES)), st.dictionaries(fields, json, max_size=6), json)
@settings(max_examples=300)
def test_nothing_that_is_sent_raises(kind: str, content: dict[str, Any], unsigned: object) -> None:
    assert isinstance(seen(kind, {"call_id": "c1", **content}, unsigned=unsigned), Seen | Malformed)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"type":"m.call.hangup","sender":"@a:b"}']
)
def test_no_event_at_all(raw: bytes) -> None:
    assert isinstance(read(raw, received_at=NOW), Malformed)


def test_sizes_are_bounded() -> None:
    large = "v=0\r\n" + "ä" * sdp.MAX_BYTES
    assert isinstance(seen("m.call.invite", {**INVITE, "offer": {"sdp": large}}), Malformed)
    many = [{"candidate": f"candidate:{n}", "sdpMid": "x" * 1000} for n in range(2000)] + [{"candidate": "x" * 5000}]
    found = event("m.call.candidates", {**COMMON, "candidates": many})
    assert isinstance(found, Candidates) and len(found.candidates) == sdp.MAX_CANDIDATES
    streams = {f"{n}" * 300: {"purpose": "p" * 999} for n in range(99)}
    found_ = event("m.call.sdp_stream_metadata_changed", {**COMMON, "sdp_stream_metadata": streams})
    assert isinstance(found_, StreamsChanged) and 0 < len(found_.streams) <= events.MAX_STREAMS
