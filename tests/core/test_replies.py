"""Replies and threads, both ways. Each test with `mapped` is a row of docs/mappings/replies.md."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from bridgekit.core.from_matrix import ReadText, answered
from bridgekit.core.mentions import Mentions, drop_answered, reply_mentions
from bridgekit.core.to_matrix import MAX_REPLY_MENTIONS
from bridgekit.model.content import Text
from bridgekit.model.ids import EventID, UserID
from tests.core.conversation import BORIS, JSON, VERA, content_of, contents, over, read, rich
from tests.core.mapped import mapped

mapped = functools.partial(mapped, "replies")
E, ROOT, LAST = EventID("$e"), EventID("$root"), EventID("$last")
VERA_ID, BORIS_ID, ALICE_ID = UserID("@g_vera:hs"), UserID("@g_boris:hs"), UserID("@alice:hs")


def reply(body: str = "yes", /, **more: Any) -> JSON:
    return {"msgtype": "m.text", "body": body, "m.relates_to": {"m.in_reply_to": {"event_id": E}}} | more


def in_thread(**relation: Any) -> JSON:
    return {
        "msgtype": "m.text", "body": "yes",
        "m.relates_to": {"rel_type": "m.thread", "event_id": ROOT, **relation},
    }  # fmt: skip


FALLBACK_REPLY = in_thread(**{"is_falling_back": True, "m.in_reply_to": {"event_id": LAST}})
REAL_REPLY = in_thread(**{"is_falling_back": False, "m.in_reply_to": {"event_id": E}})


# --- Matrix -> network ------------------------------------------------------------------------------------------------
@mapped("`m.in_reply_to`", "`reply_to`")
def test_reply() -> None:
    assert read(reply()) == ReadText(text=Text("yes"), reply_to=E)


@pytest.mark.parametrize(
    "body",
    ["> <@a:hs> one\n> two\n\nyes", "> * <@a:hs> waves\n\nyes", "> <@a:hs> one\n>\n> two\n\nyes", "> <@a:hs> x\nyes"],
)
@mapped("the quotation that older clients put in front: quoted lines in `body`", "left out")
def test_fallback_in_the_body(body: str) -> None:
    assert read(reply(body)).text == Text("yes")


@mapped("the same in `formatted_body`: `mx-reply`", "left out")
def test_fallback_in_the_html() -> None:
    html = "<mx-reply><blockquote><a href='https://matrix.to/#/@g_vera:hs'>Vera</a> old</blockquote></mx-reply>yes"
    assert read(reply() | rich(html, "> <@g_vera:hs> old\n\nyes")).text == Text("yes")


@mapped("a quotation that somebody wrote, in no reply or further down", "stays")
def test_other_quotations() -> None:
    assert read({"msgtype": "m.text", "body": "> <@a:hs> x\ny"}).text == Text("> <@a:hs> x\ny")
    assert read(reply("no\n> <@a:hs> x")).text == Text("no\n> <@a:hs> x")
    assert read(reply("> words\nno")).text == Text("> words\nno")


@mapped("the answered person in `m.mentions`, without a pill", "no `@Name`: networks notify of replies by themselves")
def test_the_answered_person_is_not_named() -> None:
    found = read(reply(**{"m.mentions": {"user_ids": [VERA_ID, BORIS_ID]}}))
    assert found.hidden == (VERA, BORIS)
    assert drop_answered(found.hidden, {VERA}) == (BORIS,)


@mapped("`m.thread`, where the network has threads", "`thread`, and `reply_to` only for a real answer")
def test_thread() -> None:
    assert answered(read(FALLBACK_REPLY), threads=True) == (None, ROOT)
    assert answered(read(REAL_REPLY), threads=True) == (E, ROOT)
    assert answered(read(in_thread()), threads=True) == (None, ROOT)
    assert answered(read(reply()), threads=True) == (E, None)


@mapped("`m.thread`, where it has none", "`reply_to`: the message before it in the thread, or the thread's root")
def test_no_threads() -> None:
    assert answered(read(FALLBACK_REPLY), threads=False) == (LAST, None)
    assert answered(read(REAL_REPLY), threads=False) == (E, None)
    assert answered(read(in_thread()), threads=False) == (ROOT, None)


@pytest.mark.parametrize(
    "relation",
    [
        5, None, [], {}, {"m.in_reply_to": "$e"}, {"m.in_reply_to": {}}, {"m.in_reply_to": {"event_id": 5}},
        {"m.in_reply_to": {"event_id": ""}}, {"rel_type": "m.thread"}, {"rel_type": "m.thread", "event_id": {}},
        {"rel_type": ["m.thread"], "event_id": "$e"}, {"rel_type": "m.unknown", "event_id": "$e"},
    ],
)  # fmt: skip
@mapped("a relation that is malformed or unknown", "the message, without it")
def test_malformed(relation: Any) -> None:
    assert read({"msgtype": "m.text", "body": "yes", "m.relates_to": relation}) == ReadText(text=Text("yes"))


# --- network -> Matrix ------------------------------------------------------------------------------------------------
@mapped("`reply_to`", "`m.in_reply_to`, without a quotation in the text")
def test_to_reply() -> None:
    content = content_of(Text("yes"), reply_to=E)
    assert content["m.relates_to"] == {"m.in_reply_to": {"event_id": E}}
    assert content["body"] == "yes"


@mapped("whom a reply notifies", "the answered person and whom they mentioned, without the replier; never the room")
def test_whom_a_reply_notifies() -> None:
    found = reply_mentions(VERA_ID, Mentions((ALICE_ID, BORIS_ID, VERA_ID), room=True), replier=BORIS_ID)
    assert found == (VERA_ID, ALICE_ID)
    assert reply_mentions(VERA_ID, None, replier=VERA_ID) == ()
    content = content_of(over("hi boris", ("boris", BORIS)), reply_to=E, reply_mentions=found)
    assert content["m.mentions"] == {"user_ids": [BORIS_ID, VERA_ID, ALICE_ID]}


def test_a_reply_to_a_message_with_many_mentions() -> None:
    many = [UserID(f"@u{index}:hs") for index in range(1000)]
    assert content_of(Text("x"), reply_mentions=many)["m.mentions"] == {"user_ids": many[:MAX_REPLY_MENTIONS]}


@mapped("a reply that takes several events", "the first one is the reply, and notifies")
def test_reply_of_several_parts() -> None:
    first, *rest = contents(Text("x" * 100_000), reply_to=E, reply_mentions=(VERA_ID,))
    assert (first["m.relates_to"], first["m.mentions"]) == (
        {"m.in_reply_to": {"event_id": E}}, {"user_ids": [VERA_ID]},
    )  # fmt: skip
    assert rest
    assert all("m.relates_to" not in content and content["m.mentions"] == {} for content in rest)


@mapped("`thread`", "`m.thread`; for clients without threads an answer to its last message (`is_falling_back`)")
def test_to_thread() -> None:
    for latest, shown in ((None, ROOT), (LAST, LAST)):
        assert content_of(Text("x"), thread=ROOT, thread_latest=latest)["m.relates_to"] == {
            "rel_type": "m.thread", "event_id": ROOT, "is_falling_back": True, "m.in_reply_to": {"event_id": shown},
        }  # fmt: skip


@mapped("`thread` and `reply_to`", "`m.thread`, and a real answer")
def test_to_reply_in_thread() -> None:
    first, *rest = contents(Text("x" * 100_000), thread=ROOT, thread_latest=LAST, reply_to=E)
    assert first["m.relates_to"] == {
        "rel_type": "m.thread", "event_id": ROOT, "is_falling_back": False, "m.in_reply_to": {"event_id": E},
    }  # fmt: skip
    assert all(content["m.relates_to"]["is_falling_back"] is True for content in rest)


def test_there_and_back() -> None:
    for relation in ({}, {"reply_to": E}, {"thread": ROOT}, {"thread": ROOT, "reply_to": E}):
        content = content_of(Text("x"), **relation)
        assert answered(read(content), threads=True) == (relation.get("reply_to"), relation.get("thread"))
