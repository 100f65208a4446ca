"""Lane and dedupe keys: different things never share one, and the same thing always does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.lane import (
    again_key,
    copy_lane,
    delete_key,
    edit_key,
    event_key,
    is_copy_lane,
    login_event_key,
    matrix_lane,
    message_key,
    partition,
    reaction_key,
    remote_lane,
    room_of,
    user_lane,
)
from bridgekit.core.transaction import read_event
from bridgekit.model.entry import PARTITIONS
from bridgekit.model.ids import ChatID, LaneKey, LoginID, PortalKey, RemoteUserID, RoomID
from bridgekit.model.raw import RawEvent

# The characters that the keys are built with, and a lone surrogate, which JSON can carry into an id.
ids = st.text(st.sampled_from("ab@\\s\x1f:\x00\ud800"), max_size=5)
portals = st.builds(PortalKey, ids.map(ChatID), st.none() | ids.map(LoginID))


@given(portals, portals)
def test_two_portals_have_two_lanes(a: PortalKey, b: PortalKey) -> None:
    assert (remote_lane(a) == remote_lane(b)) == (a == b)


@given(portals, ids, portals, ids)
def test_two_messages_have_two_keys(a: PortalKey, one: str, b: PortalKey, other: str) -> None:
    assert (message_key(a, one) == message_key(b, other)) == ((a, one) == (b, other))


@given(st.lists(st.tuples(portals, ids, ids, ids, st.booleans(), ids), min_size=2, max_size=2))
def test_two_changes_have_two_keys(two: list[tuple[PortalKey, str, str, str, bool, str]]) -> None:
    edits = [edit_key(portal, target, revision) for portal, target, revision, *_ in two]
    assert (edits[0] == edits[1]) == (two[0][:3] == two[1][:3])
    deletions = [delete_key(portal, target) for portal, target, *_ in two]
    assert (deletions[0] == deletions[1]) == (two[0][:2] == two[1][:2])
    reactions = [
        reaction_key(portal, target, RemoteUserID(who), emoji, added=added, occurrence=occurrence)
        for portal, target, who, emoji, added, occurrence in two
    ]
    assert (reactions[0] == reactions[1]) == (two[0] == two[1])
    assert len({*edits, *deletions, *reactions, *(message_key(two[0][0], each[1]) for each in two)}) == sum(
        len(set(kind)) for kind in (edits, deletions, reactions, [message_key(two[0][0], each[1]) for each in two])
    )


@given(portals, ids, ids)
def test_once_more_is_once(portal: PortalKey, target: str, revision: str) -> None:
    for key in (edit_key(portal, target, revision), delete_key(portal, target)):
        again = again_key(key)
        assert again is not None and again != key and again_key(again) is None


@given(st.tuples(ids, ids, ids, ids), st.tuples(ids, ids, ids, ids))
def test_two_cursors_have_two_keys(a: tuple[str, str, str, str], b: tuple[str, str, str, str]) -> None:
    key_a = login_event_key(LoginID(a[0]), a[1], a[2], a[3])
    key_b = login_event_key(LoginID(b[0]), b[1], b[2], b[3])
    assert (key_a == key_b) == (a == b)


@given(portals, ids)
def test_kinds_of_lanes_do_not_meet(portal: PortalKey, name: str) -> None:
    login = LoginID(name)
    lanes = {matrix_lane(RoomID(name)), remote_lane(portal), user_lane(RemoteUserID(name)), copy_lane(portal, login)}
    assert len(lanes) == 4
    assert [is_copy_lane(lane) for lane in lanes].count(True) == 1


@given(ids)
def test_the_room_of_a_lane(name: str) -> None:
    assert room_of(matrix_lane(RoomID(name))) == name
    assert room_of(user_lane(RemoteUserID(name))) is None


@given(ids.map(LaneKey))
def test_a_lane_has_one_of_the_partitions(lane: LaneKey) -> None:
    assert 0 <= partition(lane) < PARTITIONS


def test_partitions_are_stable() -> None:
    # Stored with each lane: a change would part a lane's entries.
    assert [partition(LaneKey(key)) for key in ("m:!a:hs", "m:!b:hs", "r:\x1fchat")] == [45, 3, 18]


@pytest.mark.parametrize(
    ("time", "key"),
    [
        ("5", "000000000005"),
        ("1700000000000", "018bcfe56800"),
        ("9007199254740993", "ffffffffffff"),
        ("9223372036854775808", "000000000000"),
        *((odd, "000000000000") for odd in ("-5", "5.0", "1e3", '"5"', "null", "true", "[]", "1e400")),
    ],
)
def test_a_repeat_of_an_event_has_its_key_however_its_time_looks(time: str, key: str) -> None:
    """Read quickly or slowly, whole or redacted: a comparison must know what was pushed."""
    copies = ('{"body":"hi"}', "{}", r'{"body":"\ud800"}', r'{"body":"\u0000"}', '{"deep":' + "[" * 50 + "]" * 50 + "}")
    for content in copies:
        raw = (
            f'{{"event_id":"$a:x","room_id":"!r:x","sender":"@a:x","type":"m.room.message","content":{content},'
            f'"origin_server_ts":{time}}}'
        )
        event = read_event(raw.encode())
        assert isinstance(event, RawEvent)
        assert event_key(event.event_id, event.origin_server_ts) == f"@{key}:$a:x"
