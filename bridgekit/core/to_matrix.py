"""Remote messages as Matrix event contents: pure, so that the same message is the same content on every attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bridgekit.core.html import render_html, to_plain
from bridgekit.core.mentions import Mentions, Person, user_link, with_names
from bridgekit.core.reactions import to_matrix_key
from bridgekit.core.rooms import clean
from bridgekit.core.text import MIN_LENGTH, split_text
from bridgekit.core.versions import KEY, kept
from bridgekit.model.content import MentionRoom, MentionTarget, Text
from bridgekit.model.ids import EventID, TxnID, UserID
from bridgekit.model.remote import RemoteMessage

JSON = dict[str, Any]

MAX_CONTENT_BYTES = 60_000
"""The homeserver's limit is 65,536 bytes for the whole event; the rest is for its envelope."""

ENVELOPE_BYTES = 2500
"""What a content has beside its text and mentions, and the least of an edit's fallback, `MIN_FALLBACK_BYTES`."""

MIN_FALLBACK_BYTES = 1000

MAX_REPLY_MENTIONS = 20
"""People whom an answer notifies though it does not name them."""

HTML = "org.matrix.custom.html"

Users = Mapping[MentionTarget, UserID]
"""Which Matrix users the people are whom a text names."""


MAX_TIMESTAMP = 2**53 - 1
"""Homeservers refuse an event with a number above it (spec: Appendices, Canonical JSON)."""


def sent_at(timestamp: int) -> int | None:
    """The time with which an event is sent that the network dates `timestamp` (ms): None, for the present, where it
    does not say (0) or says what no homeserver takes, as an adapter that counts in nanoseconds would."""
    return timestamp if 0 < timestamp <= MAX_TIMESTAMP else None


def encoded_size(content: JSON) -> int:
    """How many bytes the content takes as canonical JSON."""
    return len(msgspec.json.encode(content))


class EditContents(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit becomes. `replaced`: (transaction id, edited event, content of the edit) for each event of the
    message that goes on; `added`: events to send, where the text has more parts now; `surplus`: events to redact, where
    it has fewer."""

    replaced: tuple[tuple[TxnID, EventID, JSON], ...]
    added: tuple[tuple[TxnID, JSON], ...] = ()
    surplus: tuple[EventID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What is to be known of Matrix where a message becomes events.

    `txn_id(part)` names each; `mention(target)` is the Matrix user and display name of a mentioned person, None where
    there is nobody to name. `may_mention_room`: whether its sender may notify everybody; else that is only text.
    `reply_to`: the event that it answers, `reply_mentions`: whom that notifies (`core.mentions.reply_mentions`).
    `thread`: the root of the thread that it belongs to, `thread_latest`: the last event there, if known.
    """

    txn_id: Callable[[int], TxnID]
    mention: Person
    may_mention_room: bool = False
    reply_to: EventID | None = None
    reply_mentions: Sequence[UserID] = ()
    thread: EventID | None = None
    thread_latest: EventID | None = None

    @property
    def answered(self) -> Mentions:
        """Whom its first event notifies because it answers theirs."""
        return _answered(self.reply_mentions)

    def relation(self, *, first: bool) -> JSON:
        """The ``m.relates_to`` of its first event, or of another."""
        return relation(self.reply_to if first else None, self.thread, self.thread_latest)


def message_contents(message: RemoteMessage, words: Words) -> list[tuple[TxnID, JSON]]:
    """The events that a message becomes: one, or several where it is too large for one. Never none."""
    text, users = with_names(_with_files(message), words.mention, may_mention_room=words.may_mention_room)
    answered = words.answered
    named = []
    for part, piece in enumerate(text_parts(text, users, answered)):
        mentions = mentions_in(piece, users)
        content = text_content(piece, users, joined_mentions(mentions, answered) if part == 0 else mentions)
        if related := words.relation(first=part == 0):
            content["m.relates_to"] = related
        key = words.txn_id(part)
        content[KEY] = key
        named.append((key, content))
    return named


def edit_contents(
    text: Text,
    *,
    targets: Sequence[EventID],
    txn_id: Callable[[int], TxnID],
    mention: Person,
    may_mention_room: bool = False,
    already: Mentions | None = None,
    reply_mentions: Sequence[UserID] = (),
    thread: EventID | None = None,
) -> EditContents:
    """The edit of a message whose events, in order, are `targets` (at least one): `text` is all that it says now.

    `already`: whom any version before mentioned (`core.versions.mentioned_before`); only others are notified (MSC3952,
    "Impact on edits"), and nobody if it is None, not known. The other arguments as in `Words`;
    `reply_mentions` and `thread` are those of the message. An edit carries its text up to four times: where that is too
    much, first the HTML of what clients without edits see is left out, then their text is cut, with "…"; what the
    others see is whole. Raises ValueError for no target.
    """
    if not targets:
        raise ValueError("there is no event to edit")
    text, users = with_names(text, mention, may_mention_room=may_mention_room)
    answered = _answered(reply_mentions)
    replaced, added = [], []
    notified = already
    parts = text_parts(text, users, answered, kept(already, Mentions()))
    for part, piece in enumerate(parts):
        mentions = mentions_in(piece, users)
        newly = mentions.without(notified) if notified is not None else Mentions()
        notified = joined_mentions(notified, newly) if notified is not None else None
        key = txn_id(part)
        if part < len(targets):
            now = joined_mentions(mentions, answered) if part == 0 else mentions
            new = text_content(piece, users, now)
            more = kept(already, now) if part == 0 else {}
            replaced.append((key, targets[part], _replacement(new, targets[part], newly, {KEY: key, **more})))
            continue
        content = text_content(piece, users, newly)
        related = relation(None, thread, None)
        if related:
            content["m.relates_to"] = related
        added.append((key, content | {KEY: key}))
    return EditContents(replaced=tuple(replaced), added=tuple(added), surplus=tuple(targets[len(parts) :]))


def reaction_content(target: EventID, emoji: str, key: TxnID, *, emoji_id: str = "") -> JSON:
    """An ``m.reaction`` to an event; `emoji`, `emoji_id` as in `RemoteReaction`, `key` is its transaction id."""
    annotation = {"rel_type": "m.annotation", "event_id": target, "key": clean(to_matrix_key(emoji, emoji_id))}
    return {"m.relates_to": annotation, KEY: key}


def _answered(reply_mentions: Sequence[UserID]) -> Mentions:
    return Mentions(tuple(dict.fromkeys(reply_mentions))[:MAX_REPLY_MENTIONS])


def relation(reply_to: EventID | None, thread: EventID | None, latest: EventID | None) -> JSON:
    """The ``m.relates_to`` of what answers `reply_to`, in a thread; `latest`: the last event there, if known."""
    if thread is None:
        return {"m.in_reply_to": {"event_id": reply_to}} if reply_to is not None else {}
    # Spec, "Fallback for unthreaded clients": those see an answer to the thread's last message.
    return {
        "rel_type": "m.thread",
        "event_id": thread,
        "is_falling_back": reply_to is None,
        "m.in_reply_to": {"event_id": reply_to or latest or thread},
    }


def _with_files(message: RemoteMessage) -> Text:
    """Of a network whose files cannot be fetched: that there was one must be visible."""
    if not message.media:
        return message.text
    lines = [f"[file not bridged: {ref.name or ref.mimetype or 'unnamed'}]" for ref in message.media]
    body = message.text.body
    joined = "\n".join(([body] if body else []) + lines)
    return msgspec.structs.replace(message.text, body=joined)


def text_parts(text: Text, users: Users, answered: Mentions, more: JSON | None = None) -> list[Text]:
    """The text cut so that each part fits into one event, and into the edit of one, at least without its HTML, and
    with what it has `more`."""

    def size(part: Text) -> int:
        mentions = mentions_in(part, users).to_content()  # an edit has them twice
        return encoded_size({"body": clean(to_plain(part))}) + 2 * encoded_size(mentions) + reserved

    reserved = encoded_size(answered.to_content()) + encoded_size(more or {}) + ENVELOPE_BYTES
    if size(text) <= MAX_CONTENT_BYTES:
        return [text]
    # JSON escapes make a byte of text up to six bytes of content: halve until the pieces fit.
    length = MAX_CONTENT_BYTES - 2 * ENVELOPE_BYTES
    while True:
        parts = split_text(text, length, unit="utf8")
        if length == MIN_LENGTH or all(size(part) <= MAX_CONTENT_BYTES for part in parts):
            return list(parts)
        length = max(length // 2, MIN_LENGTH)


def mentions_in(text: Text, users: Users) -> Mentions:
    """Exactly those whom the text names."""
    named = dict.fromkeys(users[span.target] for span in text.mentions if span.target in users)
    return Mentions(tuple(named), any(isinstance(span.target, MentionRoom) for span in text.mentions))


def joined_mentions(first: Mentions, second: Mentions) -> Mentions:
    """Everybody of both."""
    return Mentions(tuple(dict.fromkeys((*first.users, *second.users))), first.room or second.room)


def text_content(text: Text, users: Users, mentions: Mentions) -> JSON:
    """The content of a text's event, without relations and key."""

    def pill(target: MentionTarget) -> tuple[str, str] | None:
        return (user_link(users[target]), "") if target in users else None

    html = render_html(text, pill=pill)
    # MSC3952: "m.mentions" must be there, if only empty, or clients guess from the body.
    content: JSON = {"msgtype": "m.text", "body": clean(to_plain(text)), "m.mentions": mentions.to_content()}
    if html is not None:
        rich = content | {"format": HTML, "formatted_body": clean(html)}
        if encoded_size(rich) + 500 <= MAX_CONTENT_BYTES:
            return rich
    return content


def _replacement(new: JSON, target: EventID, newly: Mentions, more: JSON) -> JSON:
    """The content of an edit (spec: Event replacements), with our own keys in `more`."""
    content: JSON = {
        "msgtype": new["msgtype"],
        "body": f"* {new['body']}",
        "m.mentions": newly.to_content(),
        "m.new_content": new,
        "m.relates_to": {"rel_type": "m.replace", "event_id": target},
        **more,
    }
    if "formatted_body" in new:
        rich = content | {"format": HTML, "formatted_body": f"* {new['formatted_body']}"}
        if encoded_size(rich) <= MAX_CONTENT_BYTES:
            return rich
    if encoded_size(content) <= MAX_CONTENT_BYTES:
        return content
    room = MAX_CONTENT_BYTES - encoded_size(content | {"body": "* "})
    if room < MIN_FALLBACK_BYTES:
        plain = {name: value for name, value in new.items() if name not in ("format", "formatted_body")}
        content["m.new_content"] = plain
        room = MAX_CONTENT_BYTES - encoded_size(content | {"body": "* "})
    return content | {"body": f"* {_shortened(new['body'], room)}"}


def _shortened(body: str, max_bytes: int) -> str:
    """The beginning of a text, with "…" if it is not all, so that it takes at most so many bytes as JSON."""
    length = max_bytes
    while True:
        beginning = split_text(Text(body), max(length, MIN_LENGTH), unit="utf8")[0].body
        shown = beginning if beginning == body else f"{beginning}…"
        if len(msgspec.json.encode(shown)) <= max_bytes or length <= MIN_LENGTH:
            return shown
        length = length * 3 // 4


def as_notice(content: JSON) -> JSON:
    """The same words as ``m.notice``, which notify nobody (push rule ``.m.rule.suppress_notices``, before mentions)."""
    if content.get("msgtype") != "m.text":
        return content
    quiet = content | {"msgtype": "m.notice"}
    if isinstance(new := content.get("m.new_content"), dict):
        quiet["m.new_content"] = as_notice(new)
    return quiet


def notice_content(text: str, key: TxnID, *, reply_to: EventID | None = None, html: str | None = None) -> JSON:
    """The bot's own words; `html` says the same for clients that show it."""
    content: JSON = {"msgtype": "m.notice", "body": clean(text), "m.mentions": {}, KEY: key}
    if html is not None:
        content |= {"format": HTML, "formatted_body": clean(html)}
    if reply_to is not None:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
    return content
