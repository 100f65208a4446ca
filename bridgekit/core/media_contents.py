"""Messages with files as Matrix events: a file each, the text as the first one's caption where it fits."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import msgspec

from bridgekit.core.media_from_matrix import location_words
from bridgekit.core.media_info import geo_uri
from bridgekit.core.mentions import Mentions, Person, with_names
from bridgekit.core.rooms import clean
from bridgekit.core.to_matrix import (
    Users,
    Words,
    as_notice,
    encoded_size,
    joined_mentions,
    mentions_in,
    text_content,
    text_parts,
)
from bridgekit.core.versions import KEY
from bridgekit.model.content import Text
from bridgekit.model.ids import EventID, TxnID
from bridgekit.model.media import Location
from bridgekit.model.remote import RemoteMessage

JSON = dict[str, Any]

MESSAGE = "m.room.message"
STICKER = "m.sticker"

NOTE = "io.bridgekit.file"
"""Content key of a notice that stands in a file's place: the words about the file, which are the end of its body."""

MAX_CAPTION_BYTES = 12_000
"""A longer text stands by itself: an edit carries the caption up to four times."""

CAPTIONED = "io.bridgekit.caption_at"
"""Content key of a file's event whose caption was edited: the latest time (ms) that the network gave such an edit. The
edit's own time is another one, as edits of the file come between."""

_CAPTION = ("body", "format", "formatted_body", "m.mentions")


class FileEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file's event. `base`: its content without URI and caption (`core.media_info.file_content`); `uri`; `caption`:
    what a text event with that text has, None for none. `note`: there is no file (yet), and these words say so.
    `captioned_at`: the network's time (ms) of the edit that gave the caption or took it away, 0: none did."""

    base: JSON
    uri: str = ""
    caption: JSON | None = None
    note: str = ""
    captioned_at: int = 0

    @property
    def type(self) -> str:
        """The event's type."""
        return MESSAGE if self.note or "msgtype" in self.base else STICKER

    def content(self) -> JSON:
        """The whole content, but for relations and key."""
        caption = {name: self.caption[name] for name in _CAPTION if name in self.caption} if self.caption else {}
        since = {CAPTIONED: self.captioned_at} if self.captioned_at else {}
        if not self.note:
            return {**self.base, "url": self.uri, "m.mentions": {}, **caption, **since}
        content: JSON = {"msgtype": "m.notice", "m.mentions": {}, **caption, **since, NOTE: self.note}
        content["body"] = f"{caption['body']}\n{self.note}" if caption else self.note
        if "formatted_body" in caption:
            content["formatted_body"] = caption["formatted_body"] + _note_html(self.note)
        return content


def _note_html(note: str) -> str:
    return f"<br/>{escape(note)}"


def file_event(content: JSON) -> FileEvent | None:
    """A file's event by its content (of an edit: ``m.new_content``); None if it is no file's."""
    caption = {name: content[name] for name in _CAPTION if name in content}
    body = caption.get("body")
    if not isinstance(body, str):
        return None
    note, since = content.get(NOTE), content.get(CAPTIONED)
    since = since if isinstance(since, int) else 0
    if isinstance(note, str) and note:
        if body == note:
            return FileEvent(base={}, note=note, captioned_at=since)
        caption["body"] = body.removesuffix(f"\n{note}")
        if isinstance(html := caption.get("formatted_body"), str):
            caption["formatted_body"] = html.removesuffix(_note_html(note))
        return FileEvent(base={}, caption=caption, note=note, captioned_at=since)
    uri, name = content.get("url"), content.get("filename")
    if not isinstance(uri, str):
        return None
    ours = (*_CAPTION, "url", "m.relates_to", KEY, CAPTIONED)
    rest = {key: value for key, value in content.items() if key not in ours}
    if not isinstance(name, str):
        return FileEvent(base=rest | {"body": body}, uri=uri, captioned_at=since)
    shown = caption if body != name else None
    return FileEvent(base=rest | {"body": name}, uri=uri, caption=shown, captioned_at=since)


class _Event(msgspec.Struct):
    content: JSON = {}
    unsigned: JSON = {}


_decode_event = msgspec.json.Decoder(_Event).decode


def shown_content(raw: bytes) -> JSON:
    """What an event shows now: its last edit's ``m.new_content``, where the homeserver says (spec: Server-side
    aggregation of m.replace), else its own content."""
    event = _decode_event(raw)
    found: Any = event.unsigned
    for name in ("m.relations", "m.replace", "content", "m.new_content"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else event.content


class Part(msgspec.Struct, frozen=True):
    """One event of a message. `file`: of which of its files, None for its text (`is_text`) and its place."""

    key: TxnID
    type: str
    content: JSON
    file: int | None = None
    event: FileEvent | None = None
    is_text: bool = False


def file_parts(message: RemoteMessage, files: Sequence[FileEvent], words: Words, *, quiet: bool = False) -> list[Part]:
    """The events that a message with files or a place becomes, in their order: the files, the place, and the text where
    it is nobody's caption. `files`: those events without captions (`quietly` before, if `quiet`); `quiet`: nobody is to
    be notified."""
    text, users = with_names(message.text, words.mention, may_mention_room=words.may_mention_room)
    answered = words.answered
    caption = caption_content(text, users) if files and may_have_caption(files[0]) else None
    parts: list[Part] = []

    def add(
        type: str, content: JSON, file: int | None = None, event: FileEvent | None = None, *, is_text: bool = False
    ) -> None:
        if not parts:
            notified = joined_mentions(_mentions_of(content), answered)
            content = content | {"m.mentions": notified.to_content()}
        if related := words.relation(first=not parts):
            content = content | {"m.relates_to": related}
        if quiet:
            content = as_notice(content) if type == MESSAGE else content | {"m.mentions": {}}
        key = words.txn_id(len(parts))
        parts.append(Part(key, type, content | {KEY: key}, file, event, is_text))

    for number, event in enumerate(files):
        shown = msgspec.structs.replace(event, caption=caption) if number == 0 and caption else event
        add(shown.type, shown.content(), number, shown)
    if message.location is not None:
        add(MESSAGE, location_content(message.location, quiet=quiet))
    if caption is None and (text.body or not parts):
        for piece in text_parts(text, users, answered):
            add(MESSAGE, text_content(piece, users, mentions_in(piece, users)), is_text=True)
    return parts


def caption_content(text: Text, users: Users) -> JSON | None:
    """A text as a caption; None if there is none, or it is too long for one."""
    if not text.body.strip():
        return None
    content = text_content(text, users, mentions_in(text, users))
    return content if encoded_size(content) <= MAX_CAPTION_BYTES else None


def edited_caption(text: Text, *, mention: Person, may_mention_room: bool = False) -> JSON | None:
    """As `caption_content`, of what a message says now."""
    return caption_content(*with_names(text, mention, may_mention_room=may_mention_room))


def may_have_caption(event: FileEvent) -> bool:
    """Whether clients show a text with it: not with a sticker, nor where a voice message is played."""
    return bool(event.note) or ("msgtype" in event.base and "org.matrix.msc3245.voice" not in event.base)


def _mentions_of(content: JSON) -> Mentions:
    """Of a content that we made."""
    said = content["m.mentions"]
    return Mentions(tuple(said.get("user_ids", ())), said.get("room", False))


def quietly(event: FileEvent, words: str) -> FileEvent:
    """A file's event that notifies nobody: `words`, which the file replaces by an edit (spec:
    ``.m.rule.suppress_edits``); sent as a file it would notify like any message. A sticker notifies nobody by itself.
    """
    return msgspec.structs.replace(event, note=words) if event.type == MESSAGE and not event.note else event


def location_content(place: Location, *, quiet: bool = False) -> JSON:
    """A place (spec: m.location); in words where it is none on earth, or nobody is to be notified (`quiet`)."""
    words = f"Location: {place.latitude:g}, {place.longitude:g}"
    uri = geo_uri(place)
    if uri is None:
        return {"msgtype": "m.text", "body": words, "m.mentions": {}}
    if quiet:
        return {"msgtype": "m.notice", "body": location_words(place, words), "m.mentions": {}}
    return {"msgtype": "m.location", "body": clean(words), "geo_uri": uri, "m.mentions": {}}


def replacement(
    event: FileEvent, target: EventID, key: TxnID, *, newly: Mentions | None = None, more: JSON | None = None
) -> JSON:
    """The content of an edit that leaves `event` in the place of `target` (spec: Event replacements), and notifies
    nobody but `newly`; `more` goes beside it. Clients that know no edits see a file, too: an ``m.image`` without
    ``url`` is none."""
    new = event.content()
    content: JSON = {**new, "body": f"* {new['body']}", "m.mentions": (newly or Mentions()).to_content()}
    if "formatted_body" in new:
        content["formatted_body"] = f"* {new['formatted_body']}"
    content["m.new_content"] = new
    content["m.relates_to"] = {"rel_type": "m.replace", "event_id": target}
    content[KEY] = key
    return content | (more or {})
