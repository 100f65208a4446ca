"""What a room shows of an event now: the event as it was sent, its latest edit, the end of its thread. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from bridgekit.core.mentions import Mentions, mentioned_so_far, read_mentions, user_link
from bridgekit.model.ids import EventID, TxnID, UserID

JSON = dict[str, Any]

KEY = "io.bridgekit.key"
"""Content key that holds the transaction id: two equal messages never have equal contents, and an event can be found
again when the homeserver has forgotten its transaction id."""

MENTIONED = "io.bridgekit.mentioned"
"""Content key of an edit: whom earlier versions mentioned and this one does not, in the form of ``m.mentions``. The
homeserver shows an event with its latest edit only (spec: Event replacements), so each carries what came before."""

SAME_MS = 1_000
"""Edits that are less apart count as of one time: many networks count in seconds."""

MAX_KEPT = 50
"""So many of them are kept; beyond them somebody may be notified once more."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a room shows it.

    `mentions`: whom it mentions now. `so_far`: whom any version mentioned. `newly`: whom its latest edit notified.
    `edit`: that edit, `key`: its transaction id, if it is one of ours, `edited_at`: its time (ms, 0: there is none).
    `answers`: whether it is a reply, `unnamed`: whom it notified as it was sent without a pill, which in a reply are
    those whom it answers. `thread`: the root of its thread. `thread_latest`: the last event in the thread of which it
    is the root.
    """

    mentions: Mentions = Mentions()
    so_far: Mentions = Mentions()
    newly: Mentions = Mentions()
    edit: EventID | None = None
    key: TxnID | None = None
    edited_at: int = 0
    answers: bool = False
    unnamed: tuple[UserID, ...] = ()
    thread: EventID | None = None
    thread_latest: EventID | None = None


class _Event(msgspec.Struct):
    content: JSON
    unsigned: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


def read_version(raw: bytes) -> Version | None:
    """What the homeserver answers to the question for an event, with what it bundles (spec: Aggregations of child
    events). None for one that was redacted or cannot be read. Never raises."""
    try:
        event = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    content = event.content
    if not content:
        return None
    bundled = _dict(_dict(event.unsigned).get("m.relations"))
    edit = _dict(bundled.get("m.replace"))
    edited = _dict(edit.get("content"))
    latest = _dict(_dict(bundled.get("m.thread")).get("latest_event"))
    relation = _dict(content.get("m.relates_to"))
    in_thread = relation.get("rel_type") == "m.thread"
    own = read_mentions(content) or Mentions()
    new = edited.get("m.new_content")
    html = content.get("formatted_body")
    return Version(
        mentions=(read_mentions(new) or Mentions()) if isinstance(new, dict) else own,
        so_far=mentioned_so_far((content, edited, {"m.mentions": edited.get(MENTIONED)})),
        newly=read_mentions(edited) or Mentions(),
        edit=_text(edit.get("event_id"), EventID),
        key=_text(edited.get(KEY), TxnID),
        edited_at=_number(edit.get("origin_server_ts")),
        answers="m.in_reply_to" in relation and not (in_thread and relation.get("is_falling_back") is True),
        unnamed=tuple(user for user in own.users if not isinstance(html, str) or user_link(user) not in html),
        thread=_text(relation.get("event_id"), EventID) if in_thread else None,
        thread_latest=_text(latest.get("event_id"), EventID),
    )


def as_it_says_now(raw: bytes) -> bytes | None:
    """The event that says what a message says now, of what the homeserver answers to the question for it: its latest
    edit, or else itself. None for one that was redacted or cannot be read. Never raises."""
    try:
        event = _decode_any(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not event.get("content"):
        return None
    edit = _dict(_dict(_dict(event.get("unsigned")).get("m.relations")).get("m.replace"))
    if not _dict(edit.get("content")):
        return raw
    return msgspec.json.encode({"type": event.get("type"), "sender": event.get("sender"), "content": edit["content"]})


class Redacted(msgspec.Struct, frozen=True):
    """What is left of a redacted event: its `type` and `sender`, and the redaction that took the rest."""

    type: str
    sender: UserID
    by: EventID


def read_redacted(raw: bytes) -> Redacted | None:
    """The homeserver's answer to the question for an event, if that was redacted (spec: ``redacted_because`` of
    ``unsigned``). Never raises."""
    try:
        event = _decode_any(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    by = _text(_dict(_dict(event.get("unsigned")).get("redacted_because")).get("event_id"), EventID)
    type, sender = event.get("type"), _text(event.get("sender"), UserID)
    if by is None or sender is None or not isinstance(type, str):
        return None
    return Redacted(type, sender, by)


def edited_event(raw: bytes) -> EventID | None:
    """Which event an edit is of; None for what is no edit, or cannot be read. Never raises."""
    try:
        relation = _dict(_decode(raw).content.get("m.relates_to"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _text(relation.get("event_id"), EventID) if relation.get("rel_type") == "m.replace" else None


def mentioned_before(parts: Sequence[Version], ours: Collection[TxnID]) -> Mentions:
    """Whom a message, which takes these events, mentioned in any version before the edit with the transaction ids
    `ours`. Where a part of that edit is there already, because it is done again after a crash, whom it notified does
    not count: so the other parts become what they would have been."""
    before = (part.so_far.without(part.newly) if part.key in ours else part.so_far for part in parts)
    return mentioned_so_far({"m.mentions": mentions.to_content()} for mentions in before)


def edited_at(timestamp: int, parts: Iterable[Version], ours: Collection[TxnID]) -> int:
    """When an edit is to be dated that the network dates `timestamp` (ms, 0: it does not say): after the one before it.

    Homeserver and clients show the edit with the latest ``origin_server_ts``, and of two of the same moment any.
    """
    if timestamp <= 0:
        return timestamp
    return max(timestamp, *(part.edited_at + 1 for part in parts if part.key not in ours), 0)


def is_outdated(timestamp: int, parts: Iterable[Version], ours: Collection[TxnID]) -> bool:
    """Whether an edit of this time (ms, 0: not known) is certainly older than one that is there."""
    return any(is_older(timestamp, part.edited_at) for part in parts if part.key not in ours)


def is_older(timestamp: int, than: int) -> bool:
    """Whether this time (ms, 0: not known) is certainly before `than`. Those of one second count as in order."""
    return timestamp > 0 and than - timestamp >= SAME_MS


def kept(before: Mentions | None, now: Mentions) -> JSON:
    """What an edit's content says of those whom only versions before it mentioned; ``{}`` if there are none."""
    gone = before.without(now) if before is not None else Mentions()
    if not gone.users and not gone.room:
        return {}
    return {MENTIONED: Mentions(gone.users[:MAX_KEPT], gone.room).to_content()}


def _dict(value: object) -> JSON:
    return value if isinstance(value, dict) else {}


def _text(value: object, kind: Any) -> Any:
    return kind(value) if isinstance(value, str) and value else None


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
