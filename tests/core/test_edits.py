"""Edits, both ways. Each test with `mapped` is a row of docs/mappings/edits.md."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgekit.core.from_matrix import ReadEdit, Unreadable
from bridgekit.core.mentions import Mentions, mentioned_so_far
from bridgekit.core.to_matrix import MAX_CONTENT_BYTES, EditContents, as_notice, edit_contents, encoded_size
from bridgekit.core.versions import KEY
from bridgekit.model.content import Run, Style, Text
from bridgekit.model.ids import EventID, TxnID, UserID
from tests.core.conversation import BORIS, JSON, PEOPLE, ROOM, VERA, contents, over, pill, read_edit, rich
from tests.core.mapped import mapped

mapped = functools.partial(mapped, "edits")
A, B, C = EventID("$a"), EventID("$b"), EventID("$c")
VERA_ID, BORIS_ID = UserID("@g_vera:hs"), UserID("@g_boris:hs")
NOBODY = Mentions()


def edit_of(new: Any, **more: Any) -> JSON:
    relation = {"rel_type": "m.replace", "event_id": A}
    return {"msgtype": "m.text", "body": "* plain", "m.new_content": new, "m.relates_to": relation, **more}


def reads(new: Any, **more: Any) -> ReadEdit:
    found = read_edit(edit_of(new, **more))
    assert isinstance(found, ReadEdit), found
    return found


def edit(text: Text, *targets: EventID, **more: Any) -> EditContents:
    return edit_contents(
        text, targets=targets or (A,), txn_id=lambda part: TxnID(f"t{part}"), mention=PEOPLE.get, **more
    )


def only(edited: EditContents) -> JSON:
    ((key, target, content),) = edited.replaced
    assert (key, target, content[KEY]) == ("t0", A, "t0")
    assert not edited.added and not edited.surplus
    return content


# --- Matrix -> network ------------------------------------------------------------------------------------------------
@mapped("`m.replace` with `m.new_content`", "an edit: all of the new text, without the `* ` of clients without edits")
def test_reading() -> None:
    html = f"hi <b>you</b> {pill('@g_vera:hs', 'Vera')}"
    found = reads(rich(html, **{"m.mentions": {"user_ids": [VERA_ID]}}), **{"m.mentions": {}})
    text = Text("hi you Vera", (Run(3, 6, Style.BOLD),), over("hi you Vera", ("Vera", VERA)).mentions)
    assert found == ReadEdit(target=A, text=text)


@mapped("whom the edit notifies", "those of the top level's `m.mentions`; those of `m.new_content` are only named")
def test_newly() -> None:
    html = f"{pill('@g_vera:hs', 'Vera')} {pill('@g_boris:hs', 'Boris')}"
    both = {"m.mentions": {"user_ids": [VERA_ID, BORIS_ID]}}
    found = reads(rich(html, **both), **{"m.mentions": {"user_ids": [BORIS_ID], "room": False}})
    assert found.text == over("Vera Boris", ("Vera", VERA), ("Boris", BORIS))
    assert (found.newly, found.hidden) == ((BORIS,), ())


@mapped("somebody newly mentioned whom the text does not name", "as in a message; others who are not named stay so")
def test_hidden() -> None:
    new = {"msgtype": "m.text", "body": "hi", "m.mentions": {"user_ids": [VERA_ID, BORIS_ID]}}
    found = reads(new, **{"m.mentions": {"user_ids": [BORIS_ID]}})
    assert (found.newly, found.hidden) == ((BORIS,), (BORIS,))


def test_an_edit_of_a_reply_repeats_no_fallback() -> None:
    new = {"msgtype": "m.text", "body": "> <@a:hs> x\n\nyes", "m.relates_to": {"m.in_reply_to": {"event_id": "$r"}}}
    assert reads(new).text == Text("yes")


@pytest.mark.parametrize("content", [
    edit_of(None), edit_of("x"), edit_of({"msgtype": "m.text"}),
    edit_of({"msgtype": "m.text", "body": "x"}, **{"m.relates_to": {"rel_type": "m.replace"}}),
    edit_of({"msgtype": "m.text", "body": "x"}, **{"m.relates_to": {"rel_type": "m.replace", "event_id": 5}}),
])  # fmt: skip
@mapped("an edit without a target, text or `m.new_content`", "refused: its sender is told that it is malformed")
def test_malformed(content: Any) -> None:
    found = read_edit(content)
    assert isinstance(found, Unreadable)
    assert found.code == "bad_content"


# --- network -> Matrix ------------------------------------------------------------------------------------------------
@mapped("an edit", "`m.replace` with all of the new text in `m.new_content`, and `* ` before it for other clients")
def test_writing() -> None:
    content = only(edit(Text("hi you", (Run(3, 6, Style.BOLD),))))
    assert content == {
        "msgtype": "m.text", "body": "* hi you", "m.mentions": {}, KEY: "t0",
        "format": "org.matrix.custom.html", "formatted_body": "* hi <strong>you</strong>",
        "m.relates_to": {"rel_type": "m.replace", "event_id": A},
        "m.new_content": {
            "msgtype": "m.text", "body": "hi you", "m.mentions": {},
            "format": "org.matrix.custom.html", "formatted_body": "hi <strong>you</strong>",
        },
    }  # fmt: skip


@mapped("`m.mentions` of the edit", "those only whom no version before mentioned; `m.new_content` has all")
def test_new_mentions() -> None:
    text = over("vera boris @all", ("vera", VERA), ("boris", BORIS), ("@all", ROOM))
    content = only(edit(text, already=Mentions((VERA_ID,)), may_mention_room=True))
    assert content["m.mentions"] == {"user_ids": [BORIS_ID], "room": True}
    assert content["m.new_content"]["m.mentions"] == {"user_ids": [VERA_ID, BORIS_ID], "room": True}
    again = only(edit(text, already=Mentions((VERA_ID, BORIS_ID), room=True), may_mention_room=True))
    assert again["m.mentions"] == {}


@mapped("somebody who is not mentioned any more", "in neither")
def test_removed_mention() -> None:
    content = only(edit(Text("hi"), already=Mentions((VERA_ID,))))
    assert (content["m.mentions"], content["m.new_content"]["m.mentions"]) == ({}, {})


@mapped("it is not known whom the versions before mentioned", "the edit notifies nobody")
def test_unknown_mentions() -> None:
    content = only(edit(over("hi vera", ("vera", VERA)), already=None))
    assert (content["m.mentions"], content["m.new_content"]["m.mentions"]) == ({}, {"user_ids": [VERA_ID]})


@mapped("an edit of a reply", "whom the reply notified stays in `m.new_content`, and is not notified again")
def test_edit_of_a_reply() -> None:
    content = only(edit(Text("hi"), already=NOBODY, reply_mentions=(BORIS_ID,)))
    assert (content["m.mentions"], content["m.new_content"]["m.mentions"]) == ({}, {"user_ids": [BORIS_ID]})


@mapped("a message that took several events", "an edit for each of them")
def test_as_many_parts() -> None:
    edited = edit(Text("x" * 100_000), A, B)
    assert [(key, target) for key, target, _ in edited.replaced] == [("t0", A), ("t1", B)]
    assert "".join(content["m.new_content"]["body"] for _, _, content in edited.replaced) == "x" * 100_000
    assert (edited.added, edited.surplus) == ((), ())


@mapped("the new text takes more events", "the others are sent behind the rest of the room, in the same thread")
def test_more_parts() -> None:
    edited = edit(Text("x" * 100_000), A, thread=C)
    ((key, content),) = edited.added
    assert (key, content[KEY], content["m.relates_to"]["event_id"]) == ("t1", "t1", C)
    assert content["m.relates_to"]["rel_type"] == "m.thread"
    assert edited.replaced[0][2]["m.new_content"]["body"] + content["body"] == "x" * 100_000


@mapped("the new text takes fewer events", "those left over are redacted")
def test_fewer_parts() -> None:
    edited = edit(Text("x"), A, B, C)
    assert len(edited.replaced) == 1
    assert edited.surplus == (B, C)


@mapped(
    "an edit that is too large for an event", "clients without edits see less: no HTML, then a text that ends in `…`"
)
def test_large() -> None:
    small, middle, larger, large = ("ab " * count for count in (4_000, 6_000, 9_000, 18_000))
    bold = (Run(0, 2, Style.BOLD),)
    assert "formatted_body" in only(edit(Text(small, bold)))
    content = only(edit(Text(middle, bold)))
    assert "formatted_body" not in content
    assert content["body"] == f"* {middle}"
    assert "formatted_body" in content["m.new_content"]
    content = only(edit(Text(larger, bold)))
    assert content["body"].endswith("ab…")
    assert "formatted_body" in content["m.new_content"]
    content = only(edit(Text(large, bold)))
    assert content["body"].endswith("ab…")
    assert content["m.new_content"] == {"msgtype": "m.text", "body": large, "m.mentions": {}}


def test_somebody_who_moves_into_another_part_is_not_notified_again() -> None:
    text = over("x" * 100_000 + " vera", ("vera", VERA))
    edited = edit(text, A, already=Mentions((VERA_ID,)))
    assert [content["m.mentions"] for _, content in edited.added] == [{}]
    edited = edit(text, A, already=NOBODY)
    assert [content["m.mentions"] for _, content in edited.added] == [{"user_ids": [VERA_ID]}]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["a", "ä", "\x01", "😀", '"', "e\u0301 ", "<"]), st.integers(1, 70_000), st.booleans())
def test_every_edit_fits_and_lines_up_with_its_message(character: str, length: int, bold: bool) -> None:
    text = Text(character * length, (Run(0, length, Style.BOLD),) if bold else ())
    sent = contents(text)
    edited = edit(text, *(EventID(f"${index}") for index in range(len(sent))))
    assert not edited.added and not edited.surplus
    for before, (_, _, content) in zip(sent, edited.replaced, strict=True):
        assert encoded_size(content) <= MAX_CONTENT_BYTES
        assert content["m.new_content"]["body"] == before["body"]
        assert content["body"].startswith("* ")
    # 65,536 bytes is what the homeserver takes, with the envelope.
    assert all(encoded_size(content) < 61_000 for content in sent)


def test_whom_all_versions_mention() -> None:
    first = contents(over("hi vera", ("vera", VERA)))
    second = only(edit(over("hi boris", ("boris", BORIS)), already=mentioned_so_far(first)))
    assert second["m.mentions"] == {"user_ids": [BORIS_ID]}
    assert mentioned_so_far([*first, second]) == Mentions((VERA_ID, BORIS_ID))
    again = only(edit(over("hi vera", ("vera", VERA)), already=mentioned_so_far([*first, second])))
    assert again["m.mentions"] == {}
    assert mentioned_so_far([None, 5, {"m.new_content": 5}]) == NOBODY


def test_no_target() -> None:
    with pytest.raises(ValueError, match="no event"):
        edit_contents(Text("x"), targets=(), txn_id=lambda part: TxnID("t"), mention=PEOPLE.get)


def test_a_quiet_edit_is_quiet_inside_too() -> None:
    quiet = as_notice(only(edit(Text("x"))))
    assert (quiet["msgtype"], quiet["m.new_content"]["msgtype"]) == ("m.notice", "m.notice")


def test_there_and_back() -> None:
    text = over("hi Boris", ("Boris", BORIS))
    found = read_edit(only(edit(text, already=NOBODY)))
    assert found == ReadEdit(target=A, text=text, newly=(BORIS,))
