"""What a room shows of an event now, and what its next edit has to know of that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridgekit.core.mentions import Mentions
from bridgekit.core.to_matrix import MAX_CONTENT_BYTES, edit_contents, encoded_size
from bridgekit.core.versions import (
    KEY,
    MAX_KEPT,
    MENTIONED,
    Redacted,
    Version,
    edited_at,
    edited_event,
    is_outdated,
    kept,
    mentioned_before,
    read_redacted,
    read_version,
)
from bridgekit.model.content import Text
from bridgekit.model.ids import EventID, TxnID, UserID
from tests.core.conversation import BORIS, JSON, PEOPLE, VERA, over, rich
from tests.core.mapped import mapped

A, B = EventID("$a"), EventID("$b")
VERA_ID, BORIS_ID, CARL = UserID("@g_vera:hs"), UserID("@g_boris:hs"), UserID("@carl:hs")


def seen(content: JSON, edit: JSON | None = None, **unsigned: Any) -> bytes:
    relations: JSON = dict(unsigned)
    if edit is not None:
        relations["m.replace"] = {"event_id": "$edit", "content": edit, "origin_server_ts": 7}
    return msgspec.json.encode({"content": content, "unsigned": {"m.relations": relations}})


def version(content: JSON, edit: JSON | None = None, **unsigned: Any) -> Version:
    found = read_version(seen(content, edit, **unsigned))
    assert found is not None
    return found


def says(*users: UserID, room: bool = False) -> JSON:
    return {"msgtype": "m.text", "body": "x", "m.mentions": Mentions(users, room).to_content()}


def edited(text: Text, already: Mentions | None, key: str = "t", **more: Any) -> JSON:
    contents = edit_contents(
        text,
        targets=[A],
        txn_id=lambda part: TxnID(f"{key}{part}"),
        mention=PEOPLE.get,
        already=already,
        may_mention_room=True,
        **more,
    )
    ((_, _, content),) = contents.replaced
    return content


# --- whom earlier versions mentioned ----------------------------------------------------------------------------------
@mapped(
    "edits",
    "somebody whom any version before mentioned, and who is named again",
    "in `m.new_content`: nobody is notified twice",
)
def test_nobody_is_notified_twice_over_many_edits() -> None:
    """Each edit sees the original and the one edit before it, as homeservers bundle them."""
    vera, boris = over("hi vera", ("vera", VERA)), over("hi boris", ("boris", BORIS))
    texts = [boris, Text("nobody"), Text("still nobody"), vera, over("vera boris", ("vera", VERA), ("boris", BORIS))]
    original, edit = says(VERA_ID), None
    notified = []
    for number, text in enumerate(texts):
        before = mentioned_before([version(original, edit)], [TxnID(f"{number}0")])
        edit = edited(text, before, key=str(number))
        notified.append(edit["m.mentions"])
    assert notified == [{"user_ids": [BORIS_ID]}, {}, {}, {}, {}]


def test_what_is_there_already_of_an_edit_that_is_done_again() -> None:
    text = over("vera boris", ("vera", VERA), ("boris", BORIS))
    original = says(VERA_ID)
    first = edited(text, mentioned_before([version(original)], [TxnID("t0")]))
    assert first["m.mentions"] == {"user_ids": [BORIS_ID]}
    after_a_crash = mentioned_before([version(original, first)], [TxnID("t0")])
    assert edited(text, after_a_crash) == first
    # And the next edit, of other transaction ids, notifies nobody.
    assert edited(text, mentioned_before([version(original, first)], [TxnID("u0")]), key="u")["m.mentions"] == {}


def test_the_whole_room_is_notified_once() -> None:
    original = says(room=True)
    gone = edited(Text("x"), mentioned_before([version(original)], []))
    assert gone[MENTIONED] == {"room": True}
    assert mentioned_before([version(says(), gone)], []).room


def test_what_is_kept_has_a_limit_and_is_left_out_where_it_is_empty() -> None:
    many = tuple(UserID(f"@u{number}:hs") for number in range(100))
    assert kept(Mentions(many), Mentions())[MENTIONED] == {"user_ids": list(many[:MAX_KEPT])}
    assert kept(Mentions(many), Mentions(many)) == kept(None, Mentions()) == {}


@pytest.mark.parametrize("length", [40_000, 57_000, 60_000, 170_000])
def test_an_edit_that_keeps_many_still_fits(length: int) -> None:
    long = Mentions(tuple(UserID(f"@{number:03}{'u' * 240}:hs") for number in range(MAX_KEPT)))
    contents = edit_contents(
        Text("x" * length), targets=[A], txn_id=lambda part: TxnID(f"t{part}"), mention=PEOPLE.get, already=long
    )
    every = [*(content for _, _, content in contents.replaced), *(content for _, content in contents.added)]
    assert all(encoded_size(content) <= MAX_CONTENT_BYTES for content in every)
    assert len(contents.replaced[0][2][MENTIONED]["user_ids"]) == MAX_KEPT
    assert sum(len(content.get("m.new_content", content)["body"]) for content in every) == length


def test_several_parts_are_one_message() -> None:
    before = mentioned_before([version(says(VERA_ID)), version(says(BORIS_ID, room=True))], [])
    assert before == Mentions((VERA_ID, BORIS_ID), room=True)


# --- reading ----------------------------------------------------------------------------------------------------------
def test_the_latest_version_says_whom_a_message_mentions() -> None:
    edit = {"m.mentions": {}, "m.new_content": says(BORIS_ID), KEY: "k"}
    found = version(says(VERA_ID), edit)
    assert (found.mentions, found.so_far) == (Mentions((BORIS_ID,)), Mentions((VERA_ID, BORIS_ID)))
    assert (found.edit, found.key, found.edited_at) == ("$edit", "k", 7)


def test_a_reply_notifies_those_without_a_pill() -> None:
    html = f'<a href="https://matrix.to/#/{VERA_ID}">Vera</a>'
    content = rich(html, **{"m.mentions": {"user_ids": [VERA_ID, CARL]}})
    relation = {"m.in_reply_to": {"event_id": "$e"}}
    found = version(content | {"m.relates_to": relation})
    assert (found.answers, found.unnamed) == (True, (CARL,))
    fallback = {"rel_type": "m.thread", "event_id": "$root", "is_falling_back": True, **relation}
    found = version(content | {"m.relates_to": fallback})
    assert (found.answers, found.thread) == (False, "$root")


@pytest.mark.parametrize("rel_type, event_id, of", [
    ("m.replace", "$a", "$a"), ("m.thread", "$a", None), ("m.replace", "", None), ("m.replace", 5, None),
    ([], "$a", None), (None, None, None),
])  # fmt: skip
def test_which_event_an_edit_is_of(rel_type: Any, event_id: Any, of: str | None) -> None:
    assert edited_event(seen({"m.relates_to": {"rel_type": rel_type, "event_id": event_id}})) == of
    assert edited_event(seen({"m.relates_to": rel_type})) is None
    assert edited_event(b"{") is None


def test_the_end_of_a_thread() -> None:
    assert version(says(), **{"m.thread": {"latest_event": {"event_id": "$l"}}}).thread_latest == "$l"
    assert version(says()).thread_latest is None


@pytest.mark.parametrize("raw", [
    b"", b"[]", b"{}", b'{"content":{}}', b'{"content":5}', b'{"content":' + b'{"a":' * 5_000, b"\xff",
])  # fmt: skip
def test_what_cannot_be_read_is_nothing(raw: bytes) -> None:
    assert read_version(raw) is None


NONSENSE: list[Any] = [None, 5, "x", [], {}, {"content": 5}, {"content": {"m.new_content": 5, MENTIONED: "x", KEY: {}}}]


@pytest.mark.parametrize("value", [*NONSENSE, {"origin_server_ts": "x"}, {"latest_event": 5}, {"event_id": 5}])
def test_malformed_bundles_count_for_nothing(value: Any) -> None:
    relations = {"m.replace": value, "m.thread": value}
    event = {"content": {"body": "x", "m.relates_to": value}, "unsigned": {"m.relations": relations}}
    assert read_version(msgspec.json.encode(event)) == Version()
    for unsigned in (value, {"m.relations": value}):
        assert read_version(msgspec.json.encode({"content": says(VERA_ID), "unsigned": unsigned})) is not None


# --- their order ------------------------------------------------------------------------------------------------------
@mapped(
    "edits",
    "edits of the same second, or with times the wrong way round",
    "in the order in which they came: each is dated after the one before it",
)
@pytest.mark.parametrize(("says", "before", "at"), [
    (10, [0], 10), (10, [5], 10), (10, [10], 11), (10, [20, 15], 21), (0, [20], 0), (-1, [20], -1), (10, [], 10),
])  # fmt: skip
def test_an_edit_is_dated_after_the_one_before_it(says: int, before: list[int], at: int) -> None:
    parts = [Version(edited_at=each, key=TxnID("other")) for each in before]
    assert edited_at(says, parts, [TxnID("t0")]) == at


@pytest.mark.parametrize(("says", "before", "outdated"), [
    (10_000, 11_000, True), (10_000, 10_999, False), (10_000, 5_000, False), (10_000, 0, False), (0, 11_000, False),
])  # fmt: skip
def test_what_is_older_than_the_latest_edit(says: int, before: int, outdated: bool) -> None:
    parts = [Version(), Version(edited_at=before, key=TxnID("other"))]
    assert is_outdated(says, parts, [TxnID("t0")]) is outdated
    assert not is_outdated(says, parts, [TxnID("other")])


def test_an_edit_that_is_done_again_has_its_own_date() -> None:
    assert edited_at(10, [Version(edited_at=10, key=TxnID("t0"))], [TxnID("t0"), TxnID("t1")]) == 10


# --- what was redacted ------------------------------------------------------------------------------------------------
def test_what_is_left_of_a_redacted_event() -> None:
    because = {"type": "m.room.redaction", "event_id": "$gone"}
    event = {"type": "m.room.message", "sender": "@a:b", "content": {}, "unsigned": {"redacted_because": because}}
    assert read_redacted(msgspec.json.encode(event)) == Redacted("m.room.message", UserID("@a:b"), EventID("$gone"))


@pytest.mark.parametrize("raw", [
    b"", b"[]", b"\xff", b"{}", b'{"type":"m.room.message","sender":"@a:b","content":{}}',
    b'{"type":"m.room.message","sender":"@a:b","unsigned":{"redacted_because":7}}',
    b'{"type":7,"sender":"@a:b","unsigned":{"redacted_because":{"event_id":"$gone"}}}',
])  # fmt: skip
def test_what_does_not_say_by_what_it_was_redacted(raw: bytes) -> None:
    assert read_redacted(raw) is None
