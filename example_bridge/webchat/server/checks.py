"""What a request deserves to be refused for by itself, whatever chat it is for."""

from __future__ import annotations

import re

from example_bridge.webchat.server.acts import Act, ChangeChat, Delete, Draft, Edit, React, Read, RemoveMember
from example_bridge.webchat.server.protocol import (
    MAX_EMOJI_LENGTH,
    MAX_ID_LENGTH,
    MAX_NAME_LENGTH,
    MAX_SPANS,
    MAX_TOPIC_LENGTH,
    STYLES,
    Mention,
    Refusal,
    Span,
)

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def check_id(value: str, what: str) -> None:
    """Any text is an id, except what a URL cannot carry as one path segment."""
    if not value or value in (".", ".."):
        raise Refusal("bad_request", f"{what}: not usable as an id")
    if len(value) > MAX_ID_LENGTH:
        raise Refusal("bad_request", f"{what}: longer than {MAX_ID_LENGTH} code points")


def check_short(value: str | None, what: str) -> None:
    if value is not None and len(value) > MAX_NAME_LENGTH:
        raise Refusal("bad_request", f"{what}: longer than {MAX_NAME_LENGTH} code points")


def check_topic(value: str | None) -> None:
    if value is not None and len(value) > MAX_TOPIC_LENGTH:
        raise Refusal("bad_request", f"topic: longer than {MAX_TOPIC_LENGTH} code points")


def check_draft(draft: Draft, max_text_length: int) -> None:
    """Raise the `Refusal` that a new message deserves."""
    check_text(draft.text, draft.format, draft.mentions, max_text_length)
    _check_nonce(draft.nonce)
    if draft.shown_as is not None:
        check_short(draft.shown_as.name, "as.name")
        check_short(draft.shown_as.avatar_url, "as.avatar_url")


def check_act(act: Act, max_text_length: int) -> None:
    """Raise the `Refusal` that anything else deserves."""
    _check_nonce(act.nonce)
    match act:
        case Edit():
            check_text(act.text, act.format, act.mentions, max_text_length)
        case React(emoji=emoji):
            if not emoji or len(emoji) > MAX_EMOJI_LENGTH or any(each.isspace() for each in emoji):
                raise Refusal("bad_request", f"emoji: 1 to {MAX_EMOJI_LENGTH} code points without white space")
        case Read(message=None, seq=seq) if seq < 1:
            raise Refusal("bad_request", "one of message and seq, which is 1 or more")
        case Delete(reason=reason) | RemoveMember(reason=reason):
            check_short(reason, "reason")
        case ChangeChat():
            check_short(act.name, "name")
            check_short(act.avatar_url, "avatar_url")
            check_topic(act.topic)


def check_text(text: str, format: tuple[Span, ...], mentions: tuple[Mention, ...], max_text_length: int) -> None:
    """Length in code points; spans in UTF-16 code units, which must not cut a character in two."""
    if len(text) > max_text_length:
        raise Refusal("too_long", f"text: {len(text)} code points, at most {max_text_length}")
    if not text:
        raise Refusal("bad_request", "text: empty")
    if len(format) > MAX_SPANS or len(mentions) > MAX_SPANS:
        raise Refusal("bad_request", f"more than {MAX_SPANS} spans")
    astral = [found.start() for found in _ASTRAL.finditer(text)]
    inside = {start + before + 1 for before, start in enumerate(astral)}
    length = len(text) + len(astral)
    for what, spans in (("format", format), ("mentions", mentions)):
        for span in spans:
            if not 0 <= span.start <= span.end <= length:
                raise Refusal("bad_request", f"{what}: [{span.start}, {span.end}) is not inside the text")
            if span.start in inside or span.end in inside:
                raise Refusal("bad_request", f"{what}: [{span.start}, {span.end}) cuts a character in two")
    for style in format:
        if style.style not in STYLES:
            raise Refusal("bad_request", f"format: no style {style.style!r}")
    for mention in mentions:
        if (mention.user is not None) + mention.room + (mention.role is not None) != 1:
            raise Refusal("bad_request", "mentions: exactly one of user, room, role")


def _check_nonce(nonce: str | None) -> None:
    check_short(nonce, "nonce")
    if nonce == "":
        raise Refusal("bad_request", "nonce: empty")
