"""Remote messages as Matrix event contents: pure, so that the same message is the same content on every attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bridgekit.core.html import render_html, to_plain
from bridgekit.core.rooms import clean
from bridgekit.core.text import split_text
from bridgekit.model.content import MentionTarget, MentionUser, Text
from bridgekit.model.ids import EventID, TxnID, UserID
from bridgekit.model.remote import RemoteMessage

JSON = dict[str, Any]

KEY = "io.bridgekit.key"
"""Content key that holds the transaction id: two equal messages never have equal contents, and an event can be found
again when the homeserver has forgotten its transaction id."""

MAX_CONTENT_BYTES = 60_000
"""The homeserver's limit is 65,536 bytes for the whole event; the rest is for its envelope."""

_MATRIX_TO = "https://matrix.to/#/"


def encoded_size(content: JSON) -> int:
    """How many bytes the content takes as canonical JSON."""
    return len(msgspec.json.encode(content))


def message_contents(
    message: RemoteMessage,
    *,
    txn_id: Callable[[int], TxnID],
    mention: Callable[[MentionTarget], tuple[UserID, str] | None],
    reply_to: EventID | None = None,
) -> list[tuple[TxnID, JSON]]:
    """The events that a message becomes: one, or several where it is too large for one. Never none.

    `txn_id(part)` names each; `mention(target)` is the Matrix user and display name of a mentioned person, None where
    there is nobody to name.
    """
    text = _with_files(message)
    contents = [_content(part, mention) for part in _parts(text, mention)]
    if reply_to is not None:
        contents[0]["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
    named = []
    for index, content in enumerate(contents):
        key = txn_id(index)
        content[KEY] = key
        named.append((key, content))
    return named


def _with_files(message: RemoteMessage) -> Text:
    """Files do not cross yet; that there was one must be visible."""
    if not message.media:
        return message.text
    lines = [f"[file not bridged: {ref.name or ref.mimetype or 'unnamed'}]" for ref in message.media]
    body = message.text.body
    joined = "\n".join(([body] if body else []) + lines)
    return msgspec.structs.replace(message.text, body=joined)


def _parts(text: Text, mention: Callable[[MentionTarget], tuple[UserID, str] | None]) -> list[Text]:
    """The text cut so that each part fits into one event, at least without its HTML."""
    if _plain_size(text) <= MAX_CONTENT_BYTES:
        return [text]
    # JSON escapes make a byte of text up to six bytes of content: halve until the pieces fit.
    length = MAX_CONTENT_BYTES
    while True:
        length //= 2
        parts = split_text(text, length, unit="utf8")
        if all(_plain_size(part) <= MAX_CONTENT_BYTES for part in parts):
            return list(parts)


def _plain_size(text: Text) -> int:
    return encoded_size({"msgtype": "m.text", "body": clean(to_plain(text))}) + 1000


def _content(text: Text, mention: Callable[[MentionTarget], tuple[UserID, str] | None]) -> JSON:
    mentioned: list[UserID] = []

    def pill(target: MentionTarget) -> tuple[str, str] | None:
        found = mention(target) if isinstance(target, MentionUser) else None
        if found is None:
            return None
        user_id, name = found
        if user_id not in mentioned:
            mentioned.append(user_id)
        return _MATRIX_TO + user_id, name

    html = render_html(text, pill=pill)
    # MSC3952: "m.mentions" must be there, if only empty, or clients guess from the body.
    content: JSON = {"msgtype": "m.text", "body": clean(to_plain(text)), "m.mentions": {}}
    if mentioned:
        content["m.mentions"] = {"user_ids": mentioned}
    if html is not None:
        rich = content | {"format": "org.matrix.custom.html", "formatted_body": clean(html)}
        if encoded_size(rich) + 500 <= MAX_CONTENT_BYTES:
            return rich
    return content


def as_notice(content: JSON) -> JSON:
    """The same words as ``m.notice``, which notify nobody (push rule ``.m.rule.suppress_notices``, before mentions)."""
    return content | {"msgtype": "m.notice"} if content.get("msgtype") == "m.text" else content


def notice_content(text: str, key: TxnID, *, reply_to: EventID | None = None, html: str | None = None) -> JSON:
    """The bot's own words; `html` says the same for clients that show it."""
    content: JSON = {"msgtype": "m.notice", "body": clean(text), "m.mentions": {}, KEY: key}
    if html is not None:
        content |= {"format": "org.matrix.custom.html", "formatted_body": clean(html)}
    if reply_to is not None:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
    return content
