"""Raw Matrix events as the text that people meant. Pure: the same bytes always mean the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bridgekit.core.html import TooComplex, parse_html
from bridgekit.core.text import normalise
from bridgekit.model.content import MentionTarget, Run, Style, Text
from bridgekit.model.ids import EventID, UserID

BRIDGED_TYPES = frozenset({"m.room.message", "m.sticker", "m.room.encrypted", "m.room.redaction"})
"""Event types that a portal's people would miss; state and everything else is not journalled."""

TEXT_TYPES = frozenset({"m.text", "m.notice", "m.emote"})

FILES = {
    "m.image": "pictures",
    "m.video": "videos",
    "m.audio": "audio files",
    "m.file": "files",
    "m.location": "locations",
}


class ReadText(msgspec.Struct, frozen=True, kw_only=True):
    """A message that can cross. `reply_to` is the event that it answers."""

    text: Text
    reply_to: EventID | None = None


class Unreadable(msgspec.Struct, frozen=True):
    """A message that cannot cross, and why, in a plain sentence for its sender. `code` is for machines."""

    code: str
    reason: str


class _Event(msgspec.Struct):
    type: str
    content: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Event).decode


def read_message(raw: bytes, *, resolve: Callable[[str], MentionTarget | None]) -> ReadText | Unreadable:
    """What a message event says. `resolve(user id)` is the remote person behind a mentioned Matrix user.

    Never raises: whatever is wrong with the content is said in an `Unreadable`.
    """
    try:
        event = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unreadable("bad_content", "the message is malformed")
    content = event.content
    if event.type == "m.room.encrypted":
        return Unreadable("encrypted", "the message is encrypted, and this bridge cannot read encrypted messages")
    if event.type == "m.sticker":
        return Unreadable("not_supported", "stickers are not bridged yet")
    if not content:
        return Unreadable("redacted", "the message was deleted before it could be sent")
    relates_to = content.get("m.relates_to")
    relation = relates_to if isinstance(relates_to, dict) else {}
    if relation.get("rel_type") == "m.replace":
        return Unreadable("not_supported", "edits are not bridged yet")
    msgtype = content.get("msgtype")
    if not isinstance(msgtype, str) or msgtype not in TEXT_TYPES:
        kind = FILES.get(msgtype if isinstance(msgtype, str) else "", "messages of this kind")
        return Unreadable("not_supported", f"{kind} are not bridged yet")
    body = content.get("body")
    if not isinstance(body, str):
        return Unreadable("bad_content", "the message has no text")
    reply_to = _reply_to(relation)
    text = _text(content, body, resolve, is_reply=reply_to is not None)
    if not text.body.strip():
        return Unreadable("empty", "the message is empty")
    if msgtype == "m.emote":
        text = normalise(Text(text.body, (Run(0, len(text.body), Style.ITALIC), *text.runs), text.mentions))
    return ReadText(text=text, reply_to=reply_to)


def _reply_to(relation: dict[str, Any]) -> EventID | None:
    reply = relation.get("m.in_reply_to")
    event_id = reply.get("event_id") if isinstance(reply, dict) else None
    return EventID(event_id) if isinstance(event_id, str) else None


def _text(
    content: dict[str, Any], body: str, resolve: Callable[[str], MentionTarget | None], *, is_reply: bool
) -> Text:
    html = content.get("formatted_body")
    if content.get("format") == "org.matrix.custom.html" and isinstance(html, str):
        try:
            text = parse_html(html, resolve=lambda user: resolve(UserID(user)))
        except TooComplex:
            text = Text()  # the plain body says the same
        if text.body.strip():
            return text
    return Text(_without_fallback(body) if is_reply else body)


def _without_fallback(body: str) -> str:
    """The body without the quoted lines that older clients put before a reply (spec: rich reply fallbacks)."""
    if not body.startswith("> <"):
        return body
    lines = body.split("\n")
    index = 0
    while index < len(lines) and lines[index].startswith("> "):
        index += 1
    return "\n".join(lines[index:]).lstrip("\n")
