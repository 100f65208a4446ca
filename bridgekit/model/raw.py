"""Events as the homeserver sent them: the envelope decoded, the content still bytes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bridgekit.model.ids import EventID, RoomID, UserID


class RawEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event as it came, and its envelope.

    `raw` is valid JSON in UTF-8: an object whose `content` is an object. `state_key` is None where the event is not
    state. `redacts` is set for redactions, wherever the room version puts it. `origin_server_ts` is in ms since the
    epoch, 0 where the server gave no usable one.
    """

    raw: bytes
    event_id: EventID
    room_id: RoomID
    sender: UserID
    type: str
    state_key: str | None = None
    origin_server_ts: int = 0
    redacts: EventID | None = None


class MalformedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that cannot be one: its bytes, why in words, and those of its ids that could be read."""

    raw: bytes
    reason: str
    event_id: EventID | None = None
    room_id: RoomID | None = None
    sender: UserID | None = None
    type: str | None = None


class MemberProfile(msgspec.Struct, frozen=True):
    """What a room's member event says of a person. `avatar_url` is an ``mxc://`` URI or empty."""

    name: str = ""
    avatar_url: str = ""


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """What the homeserver pushed, in its order: the JSON of each item, not looked into yet.

    `events` may be views of the body that they came in, which keep it in memory.
    """

    events: Sequence[bytes | msgspec.Raw] = ()
    ephemeral: tuple[bytes, ...] = ()
    to_device: tuple[bytes, ...] = ()


class MessagesPage(msgspec.Struct, frozen=True):
    """A page of a room's timeline in the order asked for. `malformed`: how many events could not be read and are
    missing from `chunk`. `end` is where the next page starts, None at the end of what there is."""

    chunk: tuple[RawEvent, ...]
    start: str
    end: str | None
    malformed: int = 0
