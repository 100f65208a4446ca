"""The values that webchat's protocol is made of, on both ends of the wire. PROTOCOL.md is the prose to this file.

Unknown fields are ignored everywhere. Offsets count Unicode code points and are half-open; times are milliseconds since
1970 (UTC); `seq` counts the events of one chat: 1, 2, 3 ... without a gap.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_ID_LENGTH = 512
"""Code points of an account or chat id: percent-encoded, four bytes each, two must still fit one request line."""
MAX_NAME_LENGTH = 1000
"""Code points of a name, a URL or a nonce."""
MAX_SPANS = 1000
"""Spans in `format`, and again in `mentions`."""
MAX_FRAME_BYTES = 1 << 20
"""Size of one WebSocket frame or request body."""

Kind = Literal["agent", "visitor"]
ChatKind = Literal["direct", "group"]
Membership = Literal["join", "leave"]

ERROR_STATUS: dict[str, int] = {
    "bad_request": 400,
    "bad_cursor": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "too_long": 413,
    "rate_limited": 429,
    "unavailable": 503,
}
"""Every error code and its HTTP status. None of them leaves anything behind in the network."""

INLINE_STYLES = frozenset({"bold", "italic", "underline", "strike", "code", "spoiler", "link"})
BLOCK_STYLES = frozenset({"code_block", "quote", "heading", "list_item"})
STYLES = INLINE_STYLES | BLOCK_STYLES

CLOSE_BAD_HELLO = 4400
CLOSE_UNAUTHORIZED = 4401


class Refusal(Exception):
    """A request that the network does not carry out, by its code in `ERROR_STATUS`."""

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(code, message, retry_after_ms)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person (or a program) in the network, as others see it."""

    id: str
    kind: str
    name: str
    avatar_url: str | None = None


class Span(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stretch of the text and how it is shown. `value`, `level` and `ordinal` depend on the style."""

    start: int
    end: int
    style: str
    value: str = ""
    level: int = 0
    ordinal: int | None = None


class Mention(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stretch of the text that names a user (an account id), the whole room, or a role: exactly one of the three."""

    start: int
    end: int
    user: str | None = None
    room: bool = False
    role: str | None = None


class Persona(msgspec.Struct, frozen=True, omit_defaults=True):
    """The person a relayed message is shown under, instead of its sender."""

    name: str
    avatar_url: str | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message. `id` is unique in the network; `nonce` is there only when the reader is the sender."""

    id: str
    chat: str
    sender: str
    timestamp: int
    text: str
    format: tuple[Span, ...] = ()
    mentions: tuple[Mention, ...] = ()
    reply_to: str | None = None
    nonce: str | None = None
    shown_as: Persona | None = msgspec.field(default=None, name="as")


class ChatInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a chat is called."""

    id: str
    kind: str
    name: str = ""
    avatar_url: str | None = None


class Chat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chat with its present members. `last_seq` is the newest event that the asking account may see."""

    id: str
    kind: str
    last_seq: int
    name: str = ""
    avatar_url: str | None = None
    members: tuple[Account, ...] = ()


class _EventBase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    chat: str
    seq: int
    timestamp: int
    actor: str
    """The account that caused it."""


class MessageEvent(_EventBase, frozen=True, kw_only=True, tag="message"):
    """Somebody said something."""

    message: Message


class ChatEvent(_EventBase, frozen=True, kw_only=True, tag="chat"):
    """The chat was made (always seq 1), or got another name or avatar. `info` is how it is since."""

    change: str
    """"created" or "changed"."""
    info: ChatInfo


class MemberEvent(_EventBase, frozen=True, kw_only=True, tag="member"):
    """`member` came in or left. An account sees a chat's events up to and with its own leaving."""

    membership: Membership
    member: Account


class ProfileEvent(_EventBase, frozen=True, kw_only=True, tag="profile"):
    """A member has another name or avatar."""

    profile: Account


KnownEvent = MessageEvent | ChatEvent | MemberEvent | ProfileEvent


class Hello(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="hello"):
    """First frame of a stream: for each chat the seq seen last. `window`: how many events may come before `More`."""

    cursors: dict[str, int] = {}
    window: int | None = None


class More(msgspec.Struct, frozen=True, tag_field="type", tag="more"):
    """`count` events more may come."""

    count: int


class Draft(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sender writes: a message before the network has given it id, seq and timestamp."""

    text: str
    format: tuple[Span, ...] = ()
    mentions: tuple[Mention, ...] = ()
    reply_to: str | None = None
    nonce: str | None = None
    shown_as: Persona | None = msgspec.field(default=None, name="as")


class Send(Draft, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="send"):
    """A draft, sent over the socket; `ref` names the request in its answer."""

    ref: str
    chat: str


class Receipt(msgspec.Struct, frozen=True):
    """A message that is on the network's disk: now, or since its nonce came the first time."""

    id: str
    seq: int
    timestamp: int


class Sent(Receipt, frozen=True, kw_only=True, tag_field="type", tag="sent"):
    """The answer to a `Send`."""

    ref: str


class Ready(msgspec.Struct, frozen=True, tag_field="type", tag="ready"):
    """Everything that was there at the hello has been streamed."""

    account: str


class Error(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="error"):
    """A refusal; without `ref` it is about the stream itself, which is then closed."""

    code: str
    message: str
    ref: str | None = None
    retry_after_ms: int | None = None


class Info(msgspec.Struct, frozen=True):
    """What holds for everybody on this server."""

    name: str
    version: int
    max_text_length: int
    """Code points of one message."""
    dedupe_seconds: int
    """How long a repeated nonce is answered with its first message; 0: never."""
    max_events: int
    """The largest `limit` of a history request."""


def check_id(value: str, what: str) -> None:
    """Any text is an id, except what a URL cannot carry as one path segment."""
    if not value or value in (".", ".."):
        raise Refusal("bad_request", f"{what}: not usable as an id")
    if len(value) > MAX_ID_LENGTH:
        raise Refusal("bad_request", f"{what}: longer than {MAX_ID_LENGTH} code points")


def check_short(value: str | None, what: str) -> None:
    if value is not None and len(value) > MAX_NAME_LENGTH:
        raise Refusal("bad_request", f"{what}: longer than {MAX_NAME_LENGTH} code points")


def check_draft(draft: Draft, max_text_length: int) -> None:
    """Raise the `Refusal` that `draft` deserves by itself, whatever chat it is for."""
    length = len(draft.text)
    if length > max_text_length:
        raise Refusal("too_long", f"text: {length} code points, at most {max_text_length}")
    if not length:
        raise Refusal("bad_request", "text: empty")
    if len(draft.format) > MAX_SPANS or len(draft.mentions) > MAX_SPANS:
        raise Refusal("bad_request", f"more than {MAX_SPANS} spans")
    for span in draft.format:
        if not 0 <= span.start <= span.end <= length:
            raise Refusal("bad_request", f"format: [{span.start}, {span.end}) is not inside the text")
        if span.style not in STYLES:
            raise Refusal("bad_request", f"format: no style {span.style!r}")
    for mention in draft.mentions:
        if not 0 <= mention.start <= mention.end <= length:
            raise Refusal("bad_request", f"mentions: [{mention.start}, {mention.end}) is not inside the text")
        if (mention.user is not None) + mention.room + (mention.role is not None) != 1:
            raise Refusal("bad_request", "mentions: exactly one of user, room, role")
    check_short(draft.nonce, "nonce")
    if draft.nonce == "":
        raise Refusal("bad_request", "nonce: empty")
    if draft.shown_as is not None:
        check_short(draft.shown_as.name, "as.name")
        check_short(draft.shown_as.avatar_url, "as.avatar_url")
