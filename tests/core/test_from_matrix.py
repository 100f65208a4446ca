"""Raw Matrix events as what people meant."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridgekit.core.from_matrix import ReadEdit, ReadReaction, ReadText, Unreadable, read_message, read_reaction
from bridgekit.model.content import Mention, MentionTarget, MentionUser, Run, Style, Text
from bridgekit.model.ids import RemoteUserID


def resolve(user: str) -> MentionTarget | None:
    return MentionUser(RemoteUserID("vera")) if user == "@g_vera:hs" else None


def read(content: Any, type: str = "m.room.message") -> ReadText | ReadEdit | Unreadable:
    return read_message(msgspec.json.encode({"type": type, "content": content}), resolve=resolve)


def text(**content: Any) -> Text:
    result = read({"msgtype": "m.text", **content})
    assert isinstance(result, ReadText), result
    return result.text


def test_plain() -> None:
    assert text(body="hello") == Text("hello")


def test_html() -> None:
    html = {"format": "org.matrix.custom.html", "formatted_body": "<b>hello</b> you"}
    assert text(body="hello you", **html) == Text("hello you", (Run(0, 5, Style.BOLD),))


def test_a_pill_is_a_mention() -> None:
    html = '<a href="https://matrix.to/#/@g_vera:hs">Vera</a>: hi'
    found = text(body="Vera: hi", format="org.matrix.custom.html", formatted_body=html)
    assert found == Text("Vera: hi", mentions=(Mention(0, 4, MentionUser(RemoteUserID("vera"))),))


@pytest.mark.parametrize(
    "html", ["<b>" * 10 + "x" * 300_000, "", "<mx-reply>only the quote</mx-reply>", 5, None, ["x"]]
)
def test_html_that_says_nothing_leaves_the_body(html: object) -> None:
    assert text(body="hello", format="org.matrix.custom.html", formatted_body=html) == Text("hello")


def test_a_reply_loses_its_fallback() -> None:
    content = {
        "msgtype": "m.text",
        "body": "> <@a:hs> first\n> second\n\nanswer",
        "m.relates_to": {"m.in_reply_to": {"event_id": "$e"}},
    }
    assert read(content) == ReadText(text=Text("answer"), reply_to="$e")  # type: ignore[arg-type]


def test_a_quote_that_is_no_reply_stays() -> None:
    assert text(body="> <@a:hs> x\ny") == Text("> <@a:hs> x\ny")


def test_an_emote() -> None:
    result = read({"msgtype": "m.emote", "body": "waves"})
    assert isinstance(result, ReadText)
    assert result.text == Text("waves", (Run(0, 5, Style.ITALIC),))


@pytest.mark.parametrize(
    ("content", "type", "code"),
    [
        ({"algorithm": "x", "ciphertext": "y"}, "m.room.encrypted", "encrypted"),
        ({"body": "cat"}, "m.sticker", "bad_content"),
        ({}, "m.room.message", "redacted"),
        ({"msgtype": "m.image", "body": "x.png"}, "m.room.message", "bad_content"),
        ({"msgtype": "m.location", "body": ""}, "m.room.message", "empty"),
        ({"msgtype": ["m.image"], "body": "x.png"}, "m.room.message", "not_supported"),
        ({"msgtype": "org.example.new", "body": "?"}, "m.room.message", "not_supported"),
        ({"msgtype": 5, "body": "?"}, "m.room.message", "not_supported"),
        ({"msgtype": "m.text"}, "m.room.message", "bad_content"),
        ({"msgtype": "m.text", "body": 5}, "m.room.message", "bad_content"),
        ({"msgtype": "m.text", "body": " \n"}, "m.room.message", "empty"),
        (
            {"msgtype": "m.text", "body": "* x", "m.relates_to": {"rel_type": "m.replace", "event_id": "$e"}},
            "m.room.message",
            "bad_content",
        ),
    ],
)
def test_what_cannot_cross_says_why(content: Any, type: str, code: str) -> None:
    result = read(content, type)
    assert isinstance(result, Unreadable)
    assert result.code == code
    assert result.reason


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = ["msgtype", "body", "format", "formatted_body", "m.relates_to", "m.mentions", "m.new_content"]
fields += ["url", "file", "filename", "info", "geo_uri", "org.matrix.msc1767.audio", "org.matrix.msc3245.voice"]
contents = st.dictionaries(
    st.sampled_from(fields),
    json | st.sampled_from(["m.text", "m.image", "m.location", "org.matrix.custom.html", "mxc://a/b"]),
)
relations = st.sampled_from(["m.replace", "m.thread", "m.annotation"]).flatmap(
    lambda rel_type: st.fixed_dictionaries(
        {"rel_type": st.just(rel_type)},
        optional={"event_id": json, "key": json, "m.in_reply_to": json, "is_falling_back": json},
    )
)


# The machine may be busy, and these strategies are slow to begin with.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(contents, contents, relations)
def test_no_content_is_beyond_it(content: dict[str, Any], new: dict[str, Any], relation: dict[str, Any]) -> None:
    for event in (
        content,
        content | {"m.relates_to": relation},
        content | {"m.relates_to": relation, "m.new_content": new},
    ):
        assert isinstance(read(event), ReadText | ReadEdit | Unreadable)
        assert isinstance(
            read_reaction(msgspec.json.encode({"type": "m.reaction", "content": event})), ReadReaction | Unreadable
        )


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"type":"m.room.message","content":5}', b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_event(raw: bytes) -> None:
    assert isinstance(read_message(raw, resolve=resolve), Unreadable)
    assert isinstance(read_reaction(raw), Unreadable)
