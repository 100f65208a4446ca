"""Remote messages as Matrix contents."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridgekit.core.to_matrix import MAX_CONTENT_BYTES, Words, encoded_size, message_contents, notice_content
from bridgekit.core.versions import KEY
from bridgekit.model.content import Mention, MentionTarget, MentionUser, Run, Style, Text
from bridgekit.model.ids import ChatID, EventID, PortalKey, RemoteMessageID, RemoteUserID, TxnID, UserID
from bridgekit.model.media import MediaRef
from bridgekit.model.remote import RemoteMessage


def nobody(target: MentionTarget) -> tuple[UserID, str] | None:
    return None


def message(text: Text, **more: Any) -> RemoteMessage:
    return RemoteMessage(
        portal=PortalKey(ChatID("c")),
        id=RemoteMessageID("m"),
        sender=RemoteUserID("u"),
        timestamp=1,
        text=text,
        **more,
    )


def contents(text: Text, **more: Any) -> list[dict[str, Any]]:
    named = message_contents(message(text, **more), Words(txn_id=lambda part: TxnID(f"t{part}"), mention=nobody))
    assert [key for key, _ in named] == [f"t{part}" for part in range(len(named))]
    return [content for _, content in named]


def test_plain_text() -> None:
    assert contents(Text("hello")) == [{"msgtype": "m.text", "body": "hello", "m.mentions": {}, KEY: "t0"}]


def test_formatting_has_a_plain_body_too() -> None:
    (content,) = contents(Text("hello you", (Run(6, 9, Style.BOLD),)))
    assert content["formatted_body"] == "hello <strong>you</strong>"
    assert (content["format"], content["body"]) == ("org.matrix.custom.html", "hello you")


def test_a_mentioned_person_is_named_in_the_mentions() -> None:
    text = Text("hi Vera", mentions=(Mention(3, 7, MentionUser(RemoteUserID("v"))),))
    named = message_contents(
        message(text), Words(txn_id=lambda part: TxnID("t"), mention=lambda target: (UserID("@g_v:hs"), "Vera"))
    )
    ((_, content),) = named
    assert content["m.mentions"] == {"user_ids": ["@g_v:hs"]}
    assert 'href="https://matrix.to/#/@g_v:hs"' in content["formatted_body"]


def test_somebody_unknown_stays_text() -> None:
    (content,) = contents(Text("hi Vera", mentions=(Mention(3, 7, MentionUser(RemoteUserID("v"))),)))
    assert content["m.mentions"] == {}
    assert content["body"] == "hi Vera"


def test_a_reply() -> None:
    words = Words(txn_id=lambda part: TxnID("t"), mention=nobody, reply_to=EventID("$e"))
    named = message_contents(message(Text("x")), words)
    assert named[0][1]["m.relates_to"] == {"m.in_reply_to": {"event_id": "$e"}}


def test_a_file_leaves_a_trace() -> None:
    (content,) = contents(Text("look"), media=(MediaRef("1", name="cat.png"),))
    assert content["body"] == "look\n[file not bridged: cat.png]"


def test_html_is_dropped_before_text_is_split() -> None:
    body = "word " * 8000  # 40 kB: fits once, but not a second time as HTML
    (content,) = contents(Text(body, (Run(0, 4, Style.BOLD),)))
    assert "formatted_body" not in content
    assert content["body"].split() == body.split()


@settings(max_examples=20)
@given(st.sampled_from(["a", "ä", "\x01", "😀", '"']), st.integers(50_000, 200_000))
def test_whatever_is_too_large_is_split(character: str, length: int) -> None:
    parts = contents(Text(character * length))
    assert all(encoded_size(part) < MAX_CONTENT_BYTES + 1000 for part in parts)
    assert "".join(part["body"] for part in parts) == character * length


def test_nul_and_surrogates_do_not_reach_the_homeserver() -> None:
    (content,) = contents(Text("a\x00b\ud800"))
    assert content["body"] == "a\ufffdb?"


def test_a_notice() -> None:
    content = notice_content("words", TxnID("t"), reply_to=EventID("$e"))
    assert (content["msgtype"], content["body"], content[KEY], content["m.mentions"]) == ("m.notice", "words", "t", {})
    assert content["m.relates_to"] == {"m.in_reply_to": {"event_id": "$e"}}
