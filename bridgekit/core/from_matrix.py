"""Raw Matrix events as what people meant: texts, files, edits, reactions. Pure: the same bytes always mean the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from bridgekit.core.html import TooComplex, parse_html
from bridgekit.core.media_from_matrix import BadFile, ReadFile, file_kind, read_file, read_location
from bridgekit.core.mentions import Mentions, is_user_id, read_mentions, room_span
from bridgekit.core.text import normalise
from bridgekit.model.content import MentionRoom, MentionTarget, Run, Style, Text
from bridgekit.model.ids import EventID, UserID
from bridgekit.model.media import Location

BRIDGED_TYPES = frozenset({"m.room.message", "m.sticker", "m.room.encrypted", "m.room.redaction", "m.reaction"})
"""Event types that a portal's people would miss."""

BRIDGED_STATE = frozenset({"m.room.name", "m.room.topic", "m.room.avatar", "m.room.power_levels", "m.room.tombstone"})
"""State (with an empty key) that a portal's other side would miss, as it would memberships. No other state is kept."""

TEXT_TYPES = frozenset({"m.text", "m.notice", "m.emote"})

Resolve = Callable[[str], MentionTarget | None]
"""The remote person behind a Matrix user id, None where there is nobody."""


class ReadText(msgspec.Struct, frozen=True, kw_only=True):
    """A message that can cross: a text, or a file or a place with what is said of it (often nothing).

    `reply_to` is the event that it answers, `thread` the root of the thread that it belongs to. In a thread `reply_to`
    may be there only for clients without threads (`reply_is_fallback`): see `answered`. `hidden`: who is to be notified
    though the text does not name them; for a reply, first `core.mentions.drop_answered`, then `with_hidden`.
    """

    text: Text
    reply_to: EventID | None = None
    thread: EventID | None = None
    reply_is_fallback: bool = False
    hidden: tuple[MentionTarget, ...] = ()
    file: ReadFile | None = None
    location: Location | None = None


class ReadEdit(msgspec.Struct, frozen=True, kw_only=True):
    """A message says something else now. `text` is all of it, its mentions those of the new version. `newly`: who is to
    be notified of the edit; `hidden`: those of them whom the text does not name. `file`: the message is one, and the
    text its caption."""

    target: EventID
    text: Text
    newly: tuple[MentionTarget, ...] = ()
    hidden: tuple[MentionTarget, ...] = ()
    file: ReadFile | None = None


class ReadReaction(msgspec.Struct, frozen=True, kw_only=True):
    """A reaction to an event. `key` is as it was sent: for the network see `core.reactions.for_network`."""

    target: EventID
    key: str


class Unreadable(msgspec.Struct, frozen=True):
    """A message that cannot cross, and why, in a plain sentence for its sender. `code` is for machines."""

    code: str
    reason: str


class _Event(msgspec.Struct):
    type: str
    content: dict[str, Any] = {}
    sender: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_MALFORMED = Unreadable("bad_content", "the message is malformed")


def answered(read: ReadText, *, threads: bool) -> tuple[EventID | None, EventID | None]:
    """(the event that the message answers, the root of its thread) for a network that has threads or not.

    Where it has none, a message in a thread answers the message before it there, or the thread's root.
    """
    if read.thread is None:
        return read.reply_to, None
    if threads:
        return (None if read.reply_is_fallback else read.reply_to), read.thread
    return read.reply_to or read.thread, None


def read_message(raw: bytes, *, resolve: Resolve, may_mention_room: bool = True) -> ReadText | ReadEdit | Unreadable:
    """What a message event says. `resolve(user id)` is the remote person behind a mentioned Matrix user, asked at most
    once for each; `may_mention_room`: whether the sender has the power to notify the whole room.

    MSC3952: a pill notifies only whom ``m.mentions`` lists; of others the text stays. Events without ``m.mentions`` are
    older than it, and their pills notify. Never raises, but for what `resolve` raises: whatever is wrong with the
    content is said in an `Unreadable`.
    """
    try:
        event = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _MALFORMED
    content = event.content
    if event.type == "m.room.encrypted":
        return Unreadable("encrypted", "the message is encrypted, and this bridge cannot read encrypted messages")
    if not content:
        return Unreadable("redacted", "the message was deleted before it could be sent")
    relation = _relation(content)
    reader = _Reader(resolve, event.sender, may_mention_room=may_mention_room)
    if relation.get("rel_type") == "m.replace":
        return _edit(event.type, content, relation, reader)
    answers = _answers(relation)
    read = reader.read(event.type, content, is_reply=answers is not None)
    if isinstance(read, Unreadable):
        return read
    said, hidden = read
    in_thread = relation.get("rel_type") == "m.thread"
    return ReadText(
        text=said.text,
        file=said.file,
        location=said.location,
        reply_to=answers,
        thread=_event_id(relation.get("event_id")) if in_thread else None,
        # Spec, "Fallback for unthreaded clients": is_falling_back is false where it is missing.
        reply_is_fallback=in_thread and answers is not None and relation.get("is_falling_back") is True,
        hidden=hidden,
    )


def read_reaction(raw: bytes) -> ReadReaction | Unreadable:
    """What an ``m.reaction`` event says (spec: Event annotations and reactions). Never raises."""
    try:
        content = _decode(raw).content
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unreadable("bad_content", "the reaction is malformed")
    if not content:
        return Unreadable("redacted", "the reaction was taken back before it could be sent")
    relation = _relation(content)
    target, key = _event_id(relation.get("event_id")), relation.get("key")
    if relation.get("rel_type") != "m.annotation" or target is None or not isinstance(key, str) or not key.strip():
        return Unreadable("bad_content", "the reaction is malformed")
    return ReadReaction(target=target, key=key)


def _edit(type: str, content: dict[str, Any], relation: dict[str, Any], reader: _Reader) -> ReadEdit | Unreadable:
    target, new = _event_id(relation.get("event_id")), content.get("m.new_content")
    if target is None or not isinstance(new, dict):
        return Unreadable("bad_content", "the edit is malformed")
    # Spec, "Event replacements": a reply's relation stays with the original; some clients repeat it in the new content.
    is_reply = _answers(relation) is not None or _answers(_relation(new)) is not None
    read = reader.read(type, new, is_reply=is_reply)
    if isinstance(read, Unreadable):
        return read
    said, _ = read
    text = said.text
    # MSC3952: "One at the top-level of the content, which should contain any users to mention for this edit."
    newly = reader.notified(read_mentions(content) or Mentions())
    named = {span.target for span in text.mentions}
    return ReadEdit(
        target=target,
        text=text,
        newly=newly,
        hidden=tuple(target for target in newly if target not in named),
        file=said.file,
    )


class _Said(msgspec.Struct, frozen=True):
    text: Text
    file: ReadFile | None
    location: Location | None


class _Reader:
    """Reads one event's text and mentions."""

    def __init__(self, resolve: Resolve, sender: object, *, may_mention_room: bool) -> None:
        self._resolve = resolve
        self._sender = sender
        self._may_mention_room = may_mention_room
        self._known: dict[str, MentionTarget | None] = {}

    def read(
        self, type: str, content: dict[str, Any], *, is_reply: bool
    ) -> tuple[_Said, tuple[MentionTarget, ...]] | Unreadable:
        """What a content says, and whom it notifies without naming them."""
        msgtype = content.get("msgtype")
        file = None
        if (kind := file_kind(type, content)) is not None:
            read = read_file(kind, content)
            if isinstance(read, BadFile):
                return Unreadable(read.code, read.reason)
            file = read
        elif not isinstance(msgtype, str) or msgtype not in (*TEXT_TYPES, "m.location"):
            return Unreadable("not_supported", "messages of this kind are not bridged")
        location = read_location(content) if msgtype == "m.location" else None
        body = content.get("body") if file is None or file.has_caption else ""
        if not isinstance(body, str):
            return Unreadable("bad_content", "the message has no text")
        mentions = read_mentions(content)
        meant = None if mentions is None else frozenset(self._targets(mentions))
        text = self._text(content, body, meant, is_reply=is_reply) if body else Text()
        if file is None and location is None and not text.body.strip():
            return Unreadable("empty", "the message is empty")
        if msgtype == "m.emote":
            text = normalise(Text(text.body, (Run(0, len(text.body), Style.ITALIC), *text.runs), text.mentions))
        if mentions is None or not meant:  # nearly every message
            return _Said(text, file, location), ()
        if MentionRoom() in meant:
            text = room_span(text)
        named = {span.target for span in text.mentions}
        hidden = tuple(target for target in self.notified(mentions) if target not in named)
        return _Said(text, file, location), hidden

    def notified(self, mentions: Mentions) -> tuple[MentionTarget, ...]:
        """Whom these mentions notify on the network: each once, never the sender."""
        own = self._target(self._sender) if isinstance(self._sender, str) else None
        return tuple(target for target in self._targets(mentions) if target != own)

    def _targets(self, mentions: Mentions) -> dict[MentionTarget, None]:
        found: dict[MentionTarget, None] = {}
        for user in mentions.users:
            if (target := self._target(user)) is not None:
                found[target] = None
        if mentions.room and self._may_mention_room:
            found[MentionRoom()] = None
        return found

    def _target(self, user: str) -> MentionTarget | None:
        if user not in self._known:
            self._known[user] = self._resolve(UserID(user)) if is_user_id(user) else None
        return self._known[user]

    def _text(
        self, content: dict[str, Any], body: str, meant: frozenset[MentionTarget] | None, *, is_reply: bool
    ) -> Text:
        def pilled(user: UserID) -> MentionTarget | None:
            target = self._target(user)
            return target if meant is None or target in meant else None

        html = content.get("formatted_body")
        if content.get("format") == "org.matrix.custom.html" and isinstance(html, str):
            try:
                text = parse_html(html, resolve=pilled)
            except TooComplex:
                text = Text()  # the plain body says the same
            if text.body.strip():
                return text
        return Text(_without_fallback(body) if is_reply else body)


def _relation(content: dict[str, Any]) -> dict[str, Any]:
    relates_to = content.get("m.relates_to")
    return relates_to if isinstance(relates_to, dict) else {}


def _answers(relation: dict[str, Any]) -> EventID | None:
    reply = relation.get("m.in_reply_to")
    return _event_id(reply.get("event_id")) if isinstance(reply, dict) else None


def _event_id(value: object) -> EventID | None:
    return EventID(value) if isinstance(value, str) and value else None


_FALLBACK = re.compile(r"> (?:\* )?<[^\n>]*>")


def _without_fallback(body: str) -> str:
    """The body without the quoted lines that older clients put before a reply (spec: rich reply fallbacks)."""
    if _FALLBACK.match(body) is None:
        return body
    lines = body.split("\n")
    index = 0
    while index < len(lines) and (lines[index].startswith("> ") or lines[index] == ">"):
        index += 1
    return "\n".join(lines[index:]).lstrip("\n")
