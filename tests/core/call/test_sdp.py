"""Descriptions are read without loss and changed as both sides need them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridgekit.core.call import sdp
from bridgekit.core.call.streams import SCREENSHARE, USERMEDIA, with_streams
from bridgekit.model.calls import CallKind, Candidate
from tests.core.call.samples import IPV6, MDNS, TCP, bare, crlf, description, found, full, host, section

HOST = found(host())

lines = st.one_of(
    st.sampled_from(
        [
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "m=video 9 UDP/TLS/RTP/SAVPF 96",
            "m=audio 0 RTP/AVP 0",
            "m=nonsense",
            "a=mid:0",
            "a=mid:1",
            "a=ice-ufrag:EsAw",
            "a=ice-options:trickle renomination",
            "a=ice-options:trickle",
            "a=end-of-candidates",
            "a=group:BUNDLE 0 1",
            "a=group:BUNDLE",
            "a=group:",
            "a=bundle-only",
            "m=audio 5000/2 X 1",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "a=candidate:",
            "a=ice-options:",
            "a=sendonly",
            "c=",
            "c=IN",
            "a=msid:- t",
            "a=msid:s t",
            "a=msid",
            "a=ssrc:1 msid:old t",
            "a=sendrecv",
            "a=inactive",
            "c=IN IP4 0.0.0.0",
            "a=rtcp:9 IN IP4 0.0.0.0",
            "i=words",
            "",
            f"a={TCP}",
            f"a={MDNS}",
            f"a={IPV6}",
            f"a={host()}",
            f"a={host(ufrag='other')}",
        ]
    ),
    st.text(max_size=40),
)
hostile = st.builds(
    lambda parts, ends: "v=0\r\n" + "".join(line + end for line, end in zip(parts, ends, strict=False)),
    st.lists(lines, max_size=25),
    st.lists(st.sampled_from(["\r\n", "\n", "\r", "\r\n\r\n"]), min_size=25, max_size=25),
)
candidates = st.lists(
    st.builds(
        Candidate,
        st.one_of(
            st.sampled_from(
                [host(), host(50007), host(ufrag="other"), host(ufrag=None), TCP, MDNS, IPV6, "candidate:"]
            ),
            st.text(max_size=60),
        ),
        st.one_of(st.none(), st.sampled_from(["0", "1", "x"])),
        st.one_of(st.none(), st.integers(-1, 40)),
        st.one_of(st.none(), st.sampled_from(["EsAw", "other"])),
    ),
    max_size=6,
)


@given(hostile)
def test_reading_and_writing_loses_nothing(text: str) -> None:
    try:
        read = sdp.parse(text)
    except sdp.BadSDP:
        return
    assert read.render() == text


@given(st.one_of(hostile, st.sampled_from([bare(), full(), bare(video=True), full(video=True)])), candidates)
def test_what_is_done_twice_is_as_if_done_once(text: str, given_: list[Candidate]) -> None:
    changes: list[Callable[[str], str]] = [
        sdp.tidy,
        lambda one: sdp.merge(one, given_),
        lambda one: sdp.merge(one, given_, final=False),
        lambda one: sdp.split(one)[0],
        lambda one: with_streams(one, "stream1")[0],
    ]
    for change in changes:
        try:
            once = change(text)
        except sdp.BadSDP:
            continue
        assert change(once) == once


@given(st.one_of(hostile, st.sampled_from([full(), full(video=True)])), candidates)
@example("v=0\r\na=end-of-candidates\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", [])
def test_nothing_raises_but_what_is_no_description(text: str, given_: list[Candidate]) -> None:
    try:
        sdp.facts(text)
        inside = sdp.merge(text, given_)
        bare_, taken, _ = sdp.split(inside)
    except sdp.BadSDP:
        return
    assert sdp.merge(bare_, taken) == inside, "split and merged is what was merged"
    assert all(sdp.usable(one) for one in taken)


@pytest.mark.parametrize(
    "text",
    ["", "v=0\r\n", "hello", "v=0\r\nm=audio\r\n", "v=0\r\nm=audio 9 x 1\0\r\n", "v=0\r\n" + "m=audio 9 x 1\r\n" * 33],
)
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(sdp.BadSDP):
        sdp.parse(text)


def test_64_kib_are_the_most() -> None:
    base = "v=0\r\nm=audio 9 x 1\r\na="
    assert sdp.parse(base + "x" * (sdp.MAX_BYTES - len(base))).sections
    with pytest.raises(sdp.BadSDP):
        sdp.parse(base + "ä" * (sdp.MAX_BYTES - len(base)))


def test_line_ends_become_what_browsers_take() -> None:
    assert sdp.tidy("v=0\ns=-\r\rm=audio 9 x 1\n\na=mid:0") == crlf("v=0", "s=-", "m=audio 9 x 1", "a=mid:0")


def test_a_bare_offer_merged_is_one_that_a_network_without_trickle_can_take() -> None:
    video = found(host(50007), "1", 1)
    merged = sdp.merge(bare(video=True), [HOST, found(TCP), found(MDNS), video, HOST])
    first, second = sdp.parse(merged).sections
    assert first.lines[0] == "m=audio 50000 UDP/TLS/RTP/SAVPF 111\r\n"
    assert first.lines[1] == "c=IN IP4 192.168.1.7\r\n"
    assert "a=rtcp:50000 IN IP4 192.168.1.7\r\n" in first.lines
    assert [*first.values("candidate")] == [host().removeprefix("candidate:")]
    assert second.port == 50007
    assert merged.count("a=end-of-candidates") == 2
    assert "trickle" not in merged
    assert sdp.facts(merged) == sdp.Facts(("EsAw",), candidates=True, complete=True, held=False, kind=CallKind.VIDEO)


def test_candidates_are_placed_by_tag_then_number_else_first() -> None:
    text = bare(video=True)
    for candidate, port in [
        (found(host(1), "1", 0), (9, 1)),
        (found(host(1), None, 1), (9, 1)),
        (found(host(1), "gone", 1), (9, 1)),
        (found(host(1), None, None), (1, 9)),
        (found(host(1), None, 77), (1, 9)),
    ]:
        read = sdp.parse(sdp.merge(text, [candidate]))
        assert [len([*one.values("candidate")]) for one in read.sections] == [int(one != 9) for one in port]


def test_what_is_bundled_has_the_address_of_its_group() -> None:
    merged = sdp.parse(sdp.merge(bare(video=True), [HOST]))
    assert [one.port for one in merged.sections] == [50000, 50000]


@pytest.mark.parametrize("line", ["a=group:", "a=group: ", "a=group", "a=group:BUNDLE", "a=group:BUNDLE  0  9 9"])
def test_a_group_of_nothing_is_none(line: str) -> None:
    text = bare().replace("a=group:BUNDLE 0", line)
    assert line in text
    merged = sdp.merge(text, [HOST])
    assert sdp.facts(merged).complete and f"{line}\r\n" in merged


def test_other_generations_are_dropped() -> None:
    ours = found(host(ufrag=None), ufrag=None)
    merged = sdp.merge(
        bare(), [found(host(1, ufrag="old"), ufrag="old"), found(host(2, ufrag="old"), ufrag=None), ours]
    )
    assert [*sdp.parse(merged).sections[0].values("candidate")] == [ours.candidate.removeprefix("candidate:")]


def test_the_address_for_whoever_reads_no_candidates_is_ipv4_and_reaches_most() -> None:
    relay = found(host(3478, "203.0.113.9", kind="relay"))
    reflexive = found(host(40000, "198.51.100.2", kind="srflx"))
    for given_, wanted in [
        ([found(IPV6), HOST], "IN IP4 192.168.1.7"),
        ([HOST, reflexive], "IN IP4 198.51.100.2"),
        ([HOST, reflexive, relay], "IN IP4 203.0.113.9"),
        ([found(IPV6)], "IN IP6 2001:db8::7"),
    ]:
        assert f"c={wanted}\r\n" in sdp.merge(bare(), given_)


def test_nothing_usable_is_seen_as_such() -> None:
    assert not sdp.facts(sdp.merge(bare(), [found(TCP), found(MDNS)])).candidates


@pytest.mark.parametrize(
    "address, is_one",
    [
        *(("192.0.2.7", True), ("2001:db8::7", True), ("6a1b4cb2.local", False), ("host.example.org", False)),
        *(("999.1.1.1", False), ("fe80::1%eth0", False), ("1.2.3", False)),
    ],
)
def test_usable_is_what_has_an_address(address: str, is_one: bool) -> None:
    assert sdp.usable(found(host(ip=address))) is is_one
    assert (address in sdp.merge(bare(), [found(host(ip=address))])) is is_one


def test_a_refused_section_gets_nothing() -> None:
    text = description(section("audio", 0), ("m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:1", "a=inactive"))
    merged = sdp.parse(sdp.merge(text, [found(host(1), "1", 1), HOST]))
    assert merged.sections[1].lines == ["m=video 0 UDP/TLS/RTP/SAVPF 96\r\n", "a=mid:1\r\n", "a=inactive\r\n"]
    assert sdp.facts(text).kind is CallKind.AUDIO


def test_split_gives_what_was_inside() -> None:
    text, inside, complete = sdp.split(full(video=True))
    assert inside == (Candidate(host(), "0", 0, "EsAw"),)
    assert complete
    assert "candidate" not in text


@pytest.mark.parametrize(
    "direction, held", [("sendrecv", False), ("sendonly", True), ("recvonly", False), ("inactive", True)]
)
def test_held_is_by_whom_nothing_is_taken_in(direction: str, held: bool) -> None:
    assert sdp.facts(bare(direction=direction)).held is held


def test_every_sending_section_names_its_stream() -> None:
    text = description(
        section("audio", 0, msid="-"),
        section("video", 1, msid=None),
        section("video", 2, msid="screen"),
        section("audio", 3, direction="recvonly", msid=None),
    )
    named, streams = with_streams(text, "ours")
    assert [sdp.parse(named).sections[number].value("msid") for number in range(4)] == [
        "ours audio0",
        "ours ours-1",
        "screen video2",
        None,
    ]
    assert streams == {"ours": USERMEDIA, "screen": SCREENSHARE}


def test_sound_and_picture_are_one_stream_whatever_the_network_calls_it() -> None:
    text = description(section("audio", 0, msid="a"), section("video", 1, msid="b"))
    named, streams = with_streams(text, "ours")
    assert [one.value("msid") for one in sdp.parse(named).sections] == ["ours audio0", "ours video1"]
    assert streams == {"ours": USERMEDIA}


@given(st.one_of(hostile, st.sampled_from([bare(), full(video=True)])), candidates, st.booleans())
def test_a_candidate_adds_one_line_at_most(text: str, given_: list[Candidate], final: bool) -> None:
    try:
        merged = sdp.merge(text, given_, final=final)
    except sdp.BadSDP:
        return
    lines = set(sdp.tidy(text).split("\r\n"))
    added = [line for line in merged.split("\r\n") if line not in lines]
    assert all(
        line.startswith(("a=candidate:", "a=end-of-candidates", "a=ice-options", "a=rtcp", "m=", "c="))
        for line in added
    )
