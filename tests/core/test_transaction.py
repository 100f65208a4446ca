"""Parsing loses nothing: one bad event costs itself only, and whatever comes is either read or refused in words."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.rawjson import deep_elements, deep_members, elements, members, mend_surrogates
from bridgekit.core.staging import join, part
from bridgekit.core.transaction import BadBody, parse, read_event, split_events
from bridgekit.model.raw import MalformedEvent, RawEvent

DEEP = b"[" * 20_000 + b"]" * 20_000


def event(**changes: Any) -> dict[str, Any]:
    made = {
        "event_id": "$e:hs.test",
        "room_id": "!r:hs.test",
        "sender": "@a:hs.test",
        "type": "m.room.message",
        "origin_server_ts": 1_700_000_000_000,
        "content": {"msgtype": "m.text", "body": "hello"},
        "unsigned": {"age": 5},
        **changes,
    }
    return {key: value for key, value in made.items() if value is not ...}


def raw(**changes: Any) -> bytes:
    return json.dumps(event(**changes)).encode()


def body(*events: bytes, **more: Any) -> bytes:
    rest = "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key, value in more.items())
    return b'{"events": [' + b", ".join(events) + b"]" + rest.encode() + b"}"


class Split(NamedTuple):
    events: tuple[RawEvent, ...]
    malformed: tuple[MalformedEvent, ...]
    ephemeral: tuple[bytes, ...]
    to_device: tuple[bytes, ...]


def split(data: bytes) -> Split:
    """The whole way of a body: told apart at once, written down as it came, its events decoded later."""
    found = parse(data)
    events, malformed = split_events(found.events)
    assert split_events(part(join(found.events))) == (events, malformed)
    return Split(events, malformed, found.ephemeral, found.to_device)


def read(data: bytes) -> RawEvent:
    found = read_event(data)
    assert isinstance(found, RawEvent), found
    return found


def malformed(data: bytes) -> MalformedEvent:
    found = read_event(data)
    assert isinstance(found, MalformedEvent), found
    return found


# --- good ones --------------------------------------------------------------------------------------------------------


def test_an_event_is_its_bytes_and_its_envelope() -> None:
    data = raw()
    assert split(body(data)).events == (
        RawEvent(
            raw=data,
            event_id="$e:hs.test",  # type: ignore[arg-type]
            room_id="!r:hs.test",  # type: ignore[arg-type]
            sender="@a:hs.test",  # type: ignore[arg-type]
            type="m.room.message",
            origin_server_ts=1_700_000_000_000,
        ),
    )


def test_the_order_is_kept_around_what_is_malformed() -> None:
    found = split(body(raw(event_id="$1"), b"5", raw(event_id="$2"), b"{}", raw(event_id="$3")))
    assert [e.event_id for e in found.events] == ["$1", "$2", "$3"]
    assert [m.raw for m in found.malformed] == [b"5", b"{}"]


def test_an_event_does_not_keep_the_whole_body_alive() -> None:
    # msgspec.Raw is a view: kept as it is, a hundred small events would hold a body of 64 MiB for as long as they live.
    found = split(body(raw(), raw(event_id="$other")))
    assert all(type(e.raw) is bytes for e in found.events)


@pytest.mark.parametrize("room_id", ["!abc:hs.test", "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"])
def test_rooms_of_every_version(room_id: str) -> None:
    assert read(raw(room_id=room_id)).room_id == room_id


@pytest.mark.parametrize(("state_key", "expected"), [("", ""), ("@a:hs.test", "@a:hs.test"), (None, None), (..., None)])
def test_state_key_tells_state(state_key: Any, expected: str | None) -> None:
    assert read(raw(state_key=state_key)).state_key == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"redacts": "$top"}, "$top"),
        ({"content": {"redacts": "$inside"}}, "$inside"),
        ({"redacts": "$top", "content": {"redacts": "$inside"}}, "$top"),
        ({}, None),
        ({"content": {"redacts": 5}}, None),
        ({"redacts": 5, "content": {"redacts": "$inside"}}, "$inside"),
    ],
)
def test_what_a_redaction_redacts(changes: dict[str, Any], expected: str | None) -> None:
    assert read(raw(type="m.room.redaction", **changes)).redacts == expected


def test_content_redacts_of_another_event_means_nothing() -> None:
    assert read(raw(content={"redacts": "$inside"})).redacts is None


@pytest.mark.parametrize("ts", [None, "x", 1.5, -1, 2**63, 10**400, [], ...])
def test_a_timestamp_that_makes_no_sense_is_0(ts: Any) -> None:
    assert read(raw(origin_server_ts=ts)).origin_server_ts == 0


@pytest.mark.parametrize("ts", ["1" + "0" * 6000, "1e999", "-0", "1.0"])
def test_numbers_that_python_or_msgspec_will_not_convert(ts: str) -> None:
    assert read(raw(origin_server_ts=77).replace(b"77", ts.encode())).origin_server_ts == 0


def test_a_huge_integer_in_the_content_is_kept() -> None:
    data = raw(content={"n": 77}).replace(b"77", b"1" + b"0" * 6000)
    assert read(data).raw == data


def test_nul_in_the_content_is_kept() -> None:
    data = raw(content={"body": "a\0b"})
    assert split(body(data)).events[0].raw == data


def test_the_last_of_duplicate_keys_counts() -> None:
    data = raw()[:-1] + b', "event_id": "$last", "event_id": "$laster"}'
    assert read(data).event_id == "$laster"


def test_escapes_in_the_envelope() -> None:
    assert read(raw(event_id="$é\U0001f600/")).event_id == "$é\U0001f600/"


# --- what must not lose the transaction -------------------------------------------------------------------------------


def test_a_lone_surrogate_is_replaced_and_nothing_else_is_touched() -> None:
    odd = raw(event_id="$odd", content={"body": "a \ud800 b \U0001f600 \\ud800 \udfff"})
    found = split(body(raw(event_id="$1"), odd, raw(event_id="$2")))
    assert [e.event_id for e in found.events] == ["$1", "$odd", "$2"]
    assert json.loads(found.events[1].raw)["content"]["body"] == "a � b \U0001f600 \\ud800 �"


def test_a_lone_surrogate_as_a_key_anywhere() -> None:
    assert split(body(raw(**{"\udc00": 1}), **{"\ud8aa": {"\ud8aa": 1}})).events[0].event_id == "$e:hs.test"


@pytest.mark.parametrize("more", [b"", b'"a \\ud800 surrogate", '])
def test_deep_nesting_makes_one_event_malformed(more: bytes) -> None:
    deep = raw(event_id="$deep", content={"x": 77}).replace(b"77", DEEP)
    found = split(body(raw(event_id="$1"), more + deep, raw(event_id="$2"), ephemeral=[{"type": "m.typing"}]))
    assert [e.event_id for e in found.events] == ["$1", "$2"]
    assert found.malformed[-1] == MalformedEvent(
        raw=deep,
        reason="is nested too deeply",
        event_id="$deep",  # type: ignore[arg-type]
        room_id="!r:hs.test",  # type: ignore[arg-type]
        sender="@a:hs.test",  # type: ignore[arg-type]
        type="m.room.message",
    )
    assert found.ephemeral == (b'{"type": "m.typing"}',)


def test_deep_nesting_beside_the_events() -> None:
    assert len(split(b'{"x": ' + DEEP + b", " + body(raw())[1:]).events) == 1
    assert split(body(raw())[:-1] + b', "ephemeral": ' + DEEP + b"}").ephemeral == ()
    assert len(split(body(raw())[:-1] + b', "to_device": ' + DEEP + b"}").events) == 1


def test_deep_nesting_where_an_event_should_be() -> None:
    found = split(body(DEEP, b'{"a":' * 20_000 + b"1" + b"}" * 20_000, raw()))
    assert len(found.events) == 1
    assert found.malformed[0].reason == "is not an object"
    assert found.malformed[1].reason.endswith("is nested too deeply")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_id": ...}, "event_id is missing"),
        ({"room_id": ...}, "room_id is missing"),
        ({"sender": ...}, "sender is missing"),
        ({"type": ...}, "type is missing"),
        ({"content": ...}, "content is not an object"),
        ({"event_id": 5}, "event_id is not a string"),
        ({"room_id": None}, "room_id is not a string"),
        ({"sender": ["@a:hs"]}, "sender is not a string"),
        ({"type": {}}, "type is not a string"),
        ({"state_key": 5}, "state_key is not a string"),
        ({"content": []}, "content is not an object"),
        ({"content": None}, "content is not an object"),
        ({"content": "{}"}, "content is not an object"),
        ({"event_id": "e"}, "event_id does not start with $"),
        ({"event_id": ""}, "event_id does not start with $"),
        ({"room_id": "#r:hs.test"}, "room_id does not start with !"),
        ({"sender": "a:hs.test"}, "sender does not start with @"),
        ({"sender": "@a"}, "sender has no server"),
        ({"event_id": "$\0"}, "event_id contains U+0000"),
        ({"room_id": "!\0"}, "room_id contains U+0000"),
        ({"sender": "@\0:hs"}, "sender contains U+0000"),
        ({"type": "a\0b"}, "type contains U+0000"),
    ],
)
def test_what_is_malformed_and_why(changes: dict[str, Any], reason: str) -> None:
    data = raw(**changes)
    found = malformed(data)
    assert (found.reason, found.raw) == (reason, data)
    known = {"event_id", "room_id", "sender", "type"} - changes.keys()
    assert all(getattr(found, key) == event()[key] for key in known)
    assert all(getattr(found, key) is None for key in changes.keys() & {"event_id", "room_id", "sender", "type"})


@pytest.mark.parametrize("data", [b"5", b"null", b"[]", b'"$x"', b"true"])
def test_what_is_no_object(data: bytes) -> None:
    assert malformed(data).reason == "is not an object"


def test_all_problems_are_told_at_once() -> None:
    assert malformed(b'{"event_id": 1}').reason == (
        "event_id is not a string; room_id is missing; sender is missing; type is missing; content is not an object"
    )


# --- beside the events ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["ephemeral", "to_device"])
def test_the_stable_and_the_unstable_key(field: str) -> None:
    items = [{"type": "m.typing"}, {"type": "x"}]
    expected = tuple(json.dumps(item).encode() for item in items)
    unstable = f"de.sorunome.msc2409.{field}"
    assert getattr(split(body(**{field: items})), field) == expected
    assert getattr(split(body(**{unstable: items})), field) == expected
    assert getattr(split(body(**{unstable: items, field: items})), field) == expected
    assert getattr(split(body(**{unstable: items, field: []})), field) == expected


@pytest.mark.parametrize("value", [None, 5, "x", {}, True])
@pytest.mark.parametrize("field", ["ephemeral", "to_device", "de.sorunome.msc2409.to_device"])
def test_an_odd_extension_does_not_cost_the_events(field: str, value: Any) -> None:
    found = split(body(raw(), **{field: value}))
    assert (len(found.events), found.ephemeral, found.to_device) == (1, (), ())


# --- what is no transaction -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "errcode"),
    [
        (b"", "M_NOT_JSON"),
        (b"nul", "M_NOT_JSON"),
        (b'{"events": []', "M_NOT_JSON"),
        (b'{"events": []} x', "M_NOT_JSON"),
        (b'{"events": [NaN]}', "M_NOT_JSON"),
        (b'{"events": ["\\q"]}', "M_NOT_JSON"),
        (b"\xef\xbb\xbf{}", "M_NOT_JSON"),
        (b'{"events": ["\xff"]}', "M_NOT_JSON"),
        (b'{"events": ["\xed\xa0\x80"]}', "M_NOT_JSON"),
        ('{"events": []}'.encode("utf-16"), "M_NOT_JSON"),
        (b'{"events": ' + DEEP, "M_NOT_JSON"),
        (b'{"events": [' + DEEP + b', "open', "M_NOT_JSON"),
        (b'{"events": [' + DEEP + b"]} x", "M_NOT_JSON"),
        (b'{"events": [' + DEEP + b"]}]", "M_NOT_JSON"),
        (b'{x: 1, "events": [' + DEEP + b"]}", "M_NOT_JSON"),
        (b"{}", "M_BAD_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b"null", "M_BAD_JSON"),
        (b'"x"', "M_BAD_JSON"),
        (b'{"events": null}', "M_BAD_JSON"),
        (b'{"events": {}}', "M_BAD_JSON"),
        (b'{"event": []}', "M_BAD_JSON"),
        (b'{"\\ud800": 1, "events": 5}', "M_BAD_JSON"),
        (b'{"events": 5, "x": ' + DEEP + b"}", "M_BAD_JSON"),
        (b'{"x": ' + DEEP + b', "events": 5}', "M_BAD_JSON"),
    ],
)
def test_what_is_refused(data: bytes, errcode: str) -> None:
    with pytest.raises(BadBody) as caught:
        split(data)
    assert caught.value.errcode == errcode
    assert caught.value.message


# --- properties -------------------------------------------------------------------------------------------------------

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ODD_EVENTS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("event_id", "room_id", "sender", "type", "content", "state_key", "redacts"), JSONS),
)


@given(st.binary())
def test_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        split(data)
    except BadBody:
        pass


@given(st.lists(JSONS | ODD_EVENTS | st.just(event())), JSONS, st.integers(0), st.binary(min_size=1, max_size=3))
def test_every_event_comes_out_once_and_damage_is_refused_or_read(
    events: list[Any], other: Any, at: int, damage: bytes
) -> None:
    data = json.dumps({"events": events, "ephemeral": other}).encode()
    found = split(data)
    assert len(found.events) + len(found.malformed) == len(events)
    good = [e for e in events if e == event()]
    assert sum(e.event_id == "$e:hs.test" for e in found.events) >= len(good)
    at %= len(data)
    try:
        split(data[:at] + damage + data[at + 1 :])
    except BadBody:
        pass


@given(st.lists(JSONS))
def test_elements_of_any_array(values: list[Any]) -> None:
    data = json.dumps(values).encode()
    plain = [json.dumps(value).encode() for value in values]
    assert elements(data) == plain
    assert deep_elements(data) == plain


@given(st.dictionaries(st.text(), JSONS))
def test_members_of_any_object(values: dict[str, Any]) -> None:
    data = json.dumps(values).encode()
    plain = {key: json.dumps(value).encode() for key, value in values.items()}
    assert members(data) == plain
    assert deep_members(data) == plain


@given(st.text(st.characters()) | st.text(st.sampled_from('\ud800\udbff\udc00\udfff\\u"dx\U0001f600')))
def test_mending_replaces_lone_surrogates_only(text: str) -> None:
    mended = json.loads(mend_surrogates(json.dumps(text).encode()))
    # What Python makes of the same text by way of UTF-16, where halves that belong together find each other.
    paired = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert mended.replace("\ufffd", "") == paired.replace("\ufffd", "")
    mended.encode()  # raises if one is left
