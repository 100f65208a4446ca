"""Who is meant to be notified: ``m.mentions`` (MSC3952), read from events, written into contents, shown to networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any
from urllib.parse import quote

import msgspec

from bridgekit.core.speaker import tidy_name
from bridgekit.core.text import normalise
from bridgekit.model.content import (
    BLOCK_STYLES,
    Mention,
    MentionRoom,
    MentionTarget,
    MentionUser,
    Style,
    Text,
)
from bridgekit.model.ids import UserID
from bridgekit.model.limits import Limits

MAX_MENTIONS = 500
"""Distinct users of one event's ``m.mentions`` that are looked at."""

MAX_APPENDED = 50
"""People whose names are written behind a text that does not name them."""

MAX_ROOM_WORDS = 100
"""Times that ``@room`` is looked for outside of code and of other mentions."""

MAX_USER_ID_BYTES = 255

ROOM = "@room"
"""What names everybody in a text on Matrix (spec: User and room mentions)."""

_ROOM_WORD = re.compile(r"(?<![\w@])@room(?!\w)")
_NOT_IN_AN_ID = re.compile("[\x00-\x20\x7f\ud800-\udfff]")
# RFC 3986 lets these stand in a fragment, and clients write them so; "/" and "?" would end the id for them.
_PLAIN_IN_LINKS = "@:=+!$,;"


_PLACEHOLDER = "\ufffc"
"""What some networks put where a name goes (OBJECT REPLACEMENT CHARACTER)."""


class Mentions(msgspec.Struct, frozen=True):
    """Whom an event mentions: each user once, in the event's order."""

    users: tuple[UserID, ...] = ()
    room: bool = False

    def to_content(self) -> dict[str, Any]:
        """The value of ``m.mentions``, ``{}`` for nobody."""
        content: dict[str, Any] = {}
        if self.users:
            content["user_ids"] = list(self.users)
        if self.room:
            content["room"] = True
        return content

    def without(self, others: Mentions) -> Mentions:
        """Those of these who are not among the others."""
        known = frozenset(others.users)
        return Mentions(tuple(user for user in self.users if user not in known), self.room and not others.room)


def read_mentions(content: object) -> Mentions | None:
    """Whom an event's content mentions; None for one from before MSC3952, without ``m.mentions``.

    What is malformed counts for nobody, and the rest stays: entries that are no user ids, repeats, and all beyond the
    first `MAX_MENTIONS`. Never raises.
    """
    if not isinstance(content, dict) or "m.mentions" not in content:
        return None
    mentions = content["m.mentions"]
    if not isinstance(mentions, dict):
        return Mentions()
    user_ids = mentions.get("user_ids")
    users: dict[UserID, None] = {}
    for user_id in user_ids if isinstance(user_ids, list) else ():
        if len(users) == MAX_MENTIONS:
            break
        if is_user_id(user_id):
            users[UserID(user_id)] = None
    # MSC3952: "true indicates an "@room" mention. Any other value or the property missing is interpreted as not".
    return Mentions(tuple(users), mentions.get("room") is True)


def mentioned_so_far(contents: Iterable[object]) -> Mentions:
    """Whom a message has mentioned in any version: `contents` are those of its event and of its edits. What
    `core.to_matrix.edit_contents` calls `already`."""
    users: dict[UserID, None] = {}
    room = False
    for content in contents:
        new = content.get("m.new_content") if isinstance(content, dict) else None
        for mentions in (read_mentions(content), read_mentions(new)):
            if mentions is not None:
                users.update(dict.fromkeys(mentions.users))
                room = room or mentions.room
    return Mentions(tuple(users), room)


def is_user_id(value: object) -> bool:
    """Whether this can be a Matrix user id (spec: Appendices, User Identifiers, the historical ones included)."""
    return (
        isinstance(value, str)
        and len(value) <= MAX_USER_ID_BYTES
        and value.startswith("@")
        and bool(value.partition(":")[2])
        and _NOT_IN_AN_ID.search(value) is None
        and len(value.encode()) <= MAX_USER_ID_BYTES
    )


def user_link(user: UserID) -> str:
    """The matrix.to link of a user: what makes a pill (spec: Appendices, matrix.to navigation)."""
    return "https://matrix.to/#/" + quote(user, safe=_PLAIN_IN_LINKS, errors="replace")


def reply_mentions(sender: UserID, mentioned: Mentions | None, *, replier: UserID) -> tuple[UserID, ...]:
    """Whom a reply notifies beside those whom it names: the sender of the answered event and those whom that mentioned,
    but for `replier`, who answers. Never the room.

    MSC3952: "Clients should include the sender of the event being replied to as well as any mentioned users in that
    event (excluding yourself) [...] The room property MUST NOT be copied over."
    """
    users = dict.fromkeys((sender, *(mentioned.users if mentioned is not None else ())))
    return tuple(user for user in users if user != replier)


# --- Matrix -> network ------------------------------------------------------------------------------------------------
def room_span(text: Text) -> Text:
    """The text with a `MentionRoom` over its first ``@room`` that is no code; as it is if there is none."""
    taken = [(run.start, run.end) for run in text.runs if run.style in (Style.CODE, Style.CODE_BLOCK)]
    taken += [(span.start, span.end) for span in text.mentions]
    for found in islice(_ROOM_WORD.finditer(text.body), MAX_ROOM_WORDS):
        start, end = found.span()
        if not any(before < end and start < after for before, after in taken):
            span = Mention(start, end, MentionRoom())
            return normalise(Text(text.body, text.runs, (*text.mentions, span)))
    return text


def drop_answered(hidden: Iterable[MentionTarget], answered: Collection[MentionTarget]) -> tuple[MentionTarget, ...]:
    """Those whom a reply notifies though its text does not name them, without the people whom it `answered`: clients
    put them there by themselves (MSC3952, "Impact on replies"), and networks notify of replies by themselves."""
    return tuple(target for target in hidden if target not in answered)


def for_network(text: Text, limits: Limits) -> Text:
    """The text with only those mentions that the network has; what named the others stays as text."""
    if limits.room_mentions or not any(isinstance(span.target, MentionRoom) for span in text.mentions):
        return text
    return Text(text.body, text.runs, tuple(span for span in text.mentions if not isinstance(span.target, MentionRoom)))


def with_hidden(
    text: Text, hidden: Collection[MentionTarget], names: Callable[[MentionTarget], str], limits: Limits
) -> tuple[Text, tuple[MentionTarget, ...]]:
    """How the network gets the mentions of a message: its text, and those whom it is to notify beside (`hidden`).

    Where the network can notify without naming (`Limits.hidden_mentions`), the text stays, and all hidden ones come
    back; elsewhere `` @Name`` goes behind the text for each, at most `MAX_APPENDED`, as an ordinary mention, on a line
    of its own if the text ends in a block, and none come back. `names(target)` is what the network calls somebody; whom
    it has no name for is left out. The whole room counts only where the network can name it (`Limits.room_mentions`).
    """
    if not hidden and not text.mentions:
        return text, ()
    text = for_network(text, limits)
    named = {span.target for span in text.mentions}
    wanted = [target for target in dict.fromkeys(hidden) if target not in named]
    if not limits.room_mentions:
        wanted = [target for target in wanted if not isinstance(target, MentionRoom)]
    if limits.hidden_mentions:
        return text, tuple(wanted)
    body = text.body
    in_block = any(run.end >= len(body) and run.style in BLOCK_STYLES for run in text.runs)
    spans = list(text.mentions)
    for index, (target, name) in enumerate(_called(wanted, names)):
        if body:  # nothing is said with most pictures
            body += "\n" if in_block and not index else " "
        spans.append(Mention(len(body), len(body) + len(name), target))
        body += name
    if len(spans) == len(text.mentions):
        return text, ()
    return normalise(Text(body, text.runs, tuple(spans))), ()


def _called(targets: list[MentionTarget], names: Callable[[MentionTarget], str]) -> Iterable[tuple[MentionTarget, str]]:
    for target in targets[:MAX_APPENDED]:
        name = tidy_name(names(target))
        if name:
            yield target, name if name.startswith("@") else f"@{name}"


# --- network -> Matrix ------------------------------------------------------------------------------------------------
Person = Callable[[MentionTarget], tuple[UserID, str] | None]
"""The Matrix user and display name of somebody whom a remote text names; None where there is nobody."""


def with_names(text: Text, person: Person, *, may_mention_room: bool) -> tuple[Text, dict[MentionTarget, UserID]]:
    """A remote text as Matrix names people: each span over somebody known holds the display name (what stands there is
    often a number or a placeholder), one over the whole room ``@room`` if the sender may notify everybody. Mentions of
    all others are gone, their text stays. With it comes which user each remaining target is.

    A span is kept as the network wrote it where the person has no display name.
    """
    text = normalise(text)
    if not text.mentions:
        return text, {}
    users: dict[MentionTarget, UserID] = {}
    replacements: list[tuple[Mention, str]] = []
    known: dict[MentionTarget, tuple[UserID, str] | None] = {}
    for span in text.mentions:
        if isinstance(span.target, MentionRoom):
            if may_mention_room:
                replacements.append((span, ROOM))
            continue
        if not isinstance(span.target, MentionUser):
            continue
        if span.target not in known:
            known[span.target] = person(span.target)
        if (found := known[span.target]) is None or not is_user_id(found[0]):
            continue
        user, name = found
        users[span.target] = user
        shown = text.body[span.start : span.end]
        replacements.append((span, tidy_name(name) or (user if shown == _PLACEHOLDER else shown)))
    return _replaced(text, replacements), users


def _replaced(text: Text, replacements: list[tuple[Mention, str]]) -> Text:
    """The text with other words in these spans, which are sorted and do not overlap; they alone stay mentions."""
    pieces: list[str] = []
    spans: list[Mention] = []
    moves = [(0, 0)]  # from this old offset on, so much is added
    done = length = 0
    for span, words in replacements:
        pieces += (text.body[done : span.start], words)
        length += span.start - done
        spans.append(Mention(length, length + len(words), span.target))
        length += len(words)
        done = span.end
        moves.append((span.end, length - span.end))
    pieces.append(text.body[done:])
    moved = _Moved(moves)
    runs = tuple(msgspec.structs.replace(run, start=moved(run.start), end=moved(run.end)) for run in text.runs)
    return normalise(Text("".join(pieces), runs, tuple(spans)))


class _Moved:
    """Where an offset of the old body is in the new one. Normal form: none lies strictly inside of a mention."""

    def __init__(self, moves: list[tuple[int, int]]) -> None:
        self._moves = moves

    def __call__(self, offset: int) -> int:
        low, high = 0, len(self._moves)
        while high - low > 1:
            middle = (low + high) // 2
            if self._moves[middle][0] <= offset:
                low = middle
            else:
                high = middle
        return offset + self._moves[low][1]
