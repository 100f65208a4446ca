"""The values that webchat's protocol is made of, on both ends of the wire. PROTOCOL.md is the prose to this file.

Here are the values that others are made of, and the answers; what happens is in `events`, what is asked for in `acts`.
Unknown fields are ignored everywhere. Offsets count UTF-16 code units, as JavaScript's strings do, and are half-open;
times are milliseconds since 1970 (UTC); `seq` counts the events of one chat: 1, 2, 3 ... without a gap.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_ID_LENGTH = 512
"""Code points of an account or chat id: percent-encoded, four bytes each, two must still fit one request line."""
MAX_NAME_LENGTH = 1000
"""Code points of a name, a URL or a nonce."""
FILES = "/api/media/"
"""What the address of a file begins with; its id follows."""
MAX_TOPIC_LENGTH = 4000
"""Code points."""
MAX_EMOJI_LENGTH = 64
"""Code points: families and flags are sequences of many."""
MAX_SPANS = 1000
"""Spans in `format`, and again in `mentions`."""
MAX_FILES = 20
"""Files of one message."""
MAX_WAVEFORM = 256
"""Values of a voice message's waveform."""
MAX_MEASURE = 1 << 40
"""The largest width, height or duration that is believed."""
MAX_FRAME_BYTES = 1 << 20
"""Size of one WebSocket frame or request body, a file's excepted."""

Kind = Literal["agent", "visitor"]
ChatKind = Literal["direct", "group"]
Membership = Literal["join", "leave", "ban", "unban"]
Role = Literal["member", "moderator", "admin"]

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
    "not_yet": 504,
}
"""Every error code and its HTTP status. None of them leaves anything behind in the network."""

FILE_KINDS = frozenset({"image", "video", "audio", "voice", "file", "sticker"})
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


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of a message, by the id of its reservation. All but `id` and `state` are the sender's word; `size` is
    counted once it is there."""

    id: str
    name: str = ""
    mimetype: str = ""
    size: int | None = None
    kind: str | None = None
    """One of `FILE_KINDS`; a draft may leave it to the type."""
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    blurhash: str = ""
    waveform: tuple[int, ...] = ()
    """How loud a voice message is over its length, from 0 to 1024."""
    state: str = "arriving"
    """``arriving``, ``there`` or ``failed``: the network's word."""


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place on earth (WGS 84), in degrees; `uncertainty_m` in metres."""

    latitude: float
    longitude: float
    uncertainty_m: float | None = None


class NewMedia(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a file whose bytes will come."""

    name: str = ""
    mimetype: str = ""
    size: int | None = None


class Reserved(msgspec.Struct, frozen=True):
    """The id under which messages may name it, and its bytes are uploaded."""

    id: str


class Uploaded(msgspec.Struct, frozen=True):
    """The file is on the network's disk: so many bytes, with this hash (hex)."""

    id: str
    size: int
    sha256: str


class Persona(msgspec.Struct, frozen=True, omit_defaults=True):
    """The person a relayed message is shown under, instead of its sender."""

    name: str
    avatar_url: str | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message as it is now. `id` is unique in the network; `nonce` is there only when the reader is the sender."""

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
    revision: int = 0
    """How often it was edited; text, format and mentions are those of the last time."""
    edited_at: int | None = None
    files: tuple[File, ...] = ()
    location: Location | None = None
    deleted: bool = False
    """It was deleted: the place in the chat is left, what it said is gone, with its files."""


class ChatInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a chat is called."""

    id: str
    kind: str
    name: str = ""
    avatar_url: str | None = None
    topic: str = ""


class Chat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chat with its present members. `last_seq` is the newest event that the asking account may see."""

    id: str
    kind: str
    last_seq: int
    name: str = ""
    avatar_url: str | None = None
    members: tuple[Account, ...] = ()
    topic: str = ""
    roles: dict[str, Role] = {}
    """Of those members who are more than ``member``."""
    read: dict[str, int] = {}
    """Up to which seq each member has read; who has read nothing is not there."""
    banned: tuple[str, ...] = ()


class Hello(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="hello"):
    """First frame of a stream: for each chat the seq seen last. `window`: how many events may come before `More`."""

    cursors: dict[str, int] = {}
    window: int | None = None


class More(msgspec.Struct, frozen=True, tag_field="type", tag="more"):
    """`count` events more may come."""

    count: int


class Receipt(msgspec.Struct, frozen=True):
    """What was asked for is on the network's disk: now, or since its nonce came the first time.

    `id`: of the message that it was about, else of the chat. `seq`: of the event that it made; where there was nothing
    left to do, the chat's last.
    """

    id: str
    seq: int
    timestamp: int


class Sent(Receipt, frozen=True, kw_only=True, tag_field="type", tag="sent"):
    """The answer to a `Send` or another act."""

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


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A STUN or TURN server, as in a browser's ``RTCIceServer``."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


class Info(msgspec.Struct, frozen=True):
    """What holds for everybody on this server."""

    name: str
    version: int
    max_text_length: int
    """Code points (not code units) of one message."""
    dedupe_seconds: int
    """How long a repeated nonce is answered with its first message; 0: never."""
    max_events: int
    """The largest `limit` of a history request."""
    max_upload_size: int
    """Bytes of one file."""
    ice_servers: tuple[IceServer, ...] = ()
    """For the media of calls. Anybody may read them, as anybody may have an account."""
