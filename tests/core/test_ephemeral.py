from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.ephemeral import MAX_BYTES, MAX_EDUS, Ephemeral, Read, Writers, Writing, parse
from bridgekit.model.ids import EventID, RoomID, UserID

ALICE, BOB, GHOST = UserID("@alice:test"), UserID("@bob:test"), UserID("@fake_friend:test")
WANTED = frozenset({ALICE, BOB})
ROOM = RoomID("!room")


def edu(type: str, content: Any, room: Any = ROOM) -> bytes:
    return json.dumps({"type": type, "room_id": room, "content": content}).encode()


def typing(*users: Any) -> bytes:
    return edu("m.typing", {"user_ids": list(users)})


def receipt(event_id: str, user: str, kind: str = "m.read", **data: Any) -> bytes:
    return edu("m.receipt", {event_id: {kind: {user: data}}})


def read(user: UserID, event_id: str, ts: int = 0) -> Read:
    return Read(ROOM, user, EventID(event_id), ts)


def writing(*users: UserID) -> Writing:
    return Writing(ROOM, frozenset(users))


@pytest.mark.parametrize(
    ("raws", "expected"),
    [
        ([], Ephemeral()),
        # Typing: all who write, of whom we care; the last word counts.
        ([typing(ALICE, "@carol:test", GHOST)], Ephemeral(writing=(writing(ALICE),))),
        ([typing()], Ephemeral(writing=(writing(),))),
        ([typing(ALICE), typing(BOB)], Ephemeral(writing=(writing(BOB),))),
        ([typing(ALICE, ALICE)], Ephemeral(writing=(writing(ALICE),))),
        # Receipts: public ones, of whom we care, not of threads; the latest of each person.
        ([receipt("$a", ALICE, ts=5)], Ephemeral((read(ALICE, "$a", 5),))),
        ([receipt("$a", ALICE)], Ephemeral((read(ALICE, "$a"),))),
        ([receipt("$a", ALICE, ts=-5)], Ephemeral((read(ALICE, "$a"),))),
        ([receipt("$a", ALICE, ts="soon")], Ephemeral((read(ALICE, "$a"),))),
        ([receipt("$a", ALICE, "m.read.private", ts=5)], Ephemeral()),
        ([receipt("$a", GHOST, ts=5)], Ephemeral()),
        ([receipt("$a", ALICE, ts=5, thread_id="main")], Ephemeral((read(ALICE, "$a", 5),))),
        ([receipt("$a", ALICE, ts=5, thread_id="$root")], Ephemeral()),
        ([receipt("$b", ALICE, ts=6), receipt("$a", ALICE, ts=5)], Ephemeral((read(ALICE, "$b", 6),))),
        ([receipt("$a", ALICE, ts=5), receipt("$b", ALICE, ts=5)], Ephemeral((read(ALICE, "$b", 5),))),
        (
            [receipt("$a", ALICE, ts=5), receipt("$b", BOB, ts=4)],
            Ephemeral((read(ALICE, "$a", 5), read(BOB, "$b", 4))),
        ),
        # Others' business.
        ([edu("m.presence", {"user_id": ALICE})], Ephemeral()),
        ([edu("org.example.new", 5)], Ephemeral()),
        # Malformed: dropped, and only they are.
        (
            [b"", b"null", b"[]", b"\xff", b'{"type": 5}', typing(ALICE)],
            Ephemeral(writing=(writing(ALICE),), dropped=5),
        ),
        ([edu("m.typing", {"user_ids": ALICE}), edu("m.typing", [])], Ephemeral(dropped=2)),
        ([typing(ALICE, 5)], Ephemeral(dropped=1)),
        ([edu("m.typing", {"user_ids": []}, room=7)], Ephemeral(dropped=1)),
        ([edu("m.receipt", {"$a": 5}), edu("m.receipt", {"$a": {"m.read": []}})], Ephemeral(dropped=2)),
        ([b"[" * 100_000, b'{"type":"m.receipt","content":' + b'{"a":' * 50_000], Ephemeral(dropped=2)),
        # Too much.
        ([typing()] * MAX_EDUS + [typing(ALICE)], Ephemeral(writing=(writing(),), dropped=1)),
        ([typing(ALICE), b" " * MAX_BYTES, typing()], Ephemeral(writing=(writing(ALICE),), dropped=2)),
    ],
)
def test_table(raws: list[bytes], expected: Ephemeral) -> None:
    assert parse(raws, WANTED) == expected


def test_several_people_in_one_receipt() -> None:
    content = {
        "$a": {"m.read": {ALICE: {"ts": 3}, GHOST: {"ts": 3}}},
        "$b": {"m.read": {BOB: {"ts": 2}, ALICE: {"ts": 2}}},
    }
    assert set(parse([edu("m.receipt", content)], WANTED).reads) == {read(ALICE, "$a", 3), read(BOB, "$b", 2)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([ALICE, GHOST, "$a", "m.read", "m.typing"]) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["m.read", "$a", ALICE, "ts"]), inner),
    max_leaves=8,
)


@given(st.lists(st.binary() | st.builds(edu, st.sampled_from(["m.typing", "m.receipt"]), JSON, JSON), max_size=5))
def test_never_raises(raws: list[bytes]) -> None:
    found = parse(raws, WANTED)
    assert {each.user for each in found.reads} <= WANTED
    assert all(each.users <= WANTED for each in found.writing)


# --- who has stopped --------------------------------------------------------------------------------------------------
def test_who_has_stopped() -> None:
    writers = Writers()
    assert writers.stopped(writing(ALICE)) == set()
    assert writers.stopped(writing(ALICE, BOB)) == set()
    assert writers.stopped(writing(BOB)) == {ALICE}
    assert writers.stopped(Writing(RoomID("!other"), frozenset({ALICE}))) == set()
    assert writers.stopped(writing()) == {BOB}
    assert writers.stopped(writing()) == set()
    assert len(writers) == 1


def test_rooms_are_bounded() -> None:
    writers = Writers(size=3)
    for number in range(10):
        writers.stopped(Writing(RoomID(f"!{number}"), frozenset({ALICE})))
    assert len(writers) == 3
    assert writers.stopped(Writing(RoomID("!9"), frozenset())) == {ALICE}
