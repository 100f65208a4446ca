"""Takes the body of a transaction apart, without losing anything to one bad event.

The whole body is looked at once to find where each event lies, then each event's envelope is decoded on its own, so
that an event which is nonsense costs only itself. The content stays the bytes that came: the journal keeps those.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bridgekit.core.rawjson import (
    NotJSON,
    decode_elements,
    decode_members,
    deep_elements,
    deep_members,
    mend_surrogates,
)
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.raw import MalformedEvent, RawEvent, Transaction


class BadBody(ValueError):
    """The body is no transaction at all. `errcode` and `message` are for the standard error response."""

    def __init__(self, errcode: str, message: str) -> None:
        super().__init__(f"{errcode}: {message}")
        self.errcode = errcode
        self.message = message


class _Body(msgspec.Struct):
    # Only `events` is required, and only its being a list: an odd extension must not cost the events beside it.
    events: list[msgspec.Raw]
    ephemeral: msgspec.Raw = msgspec.Raw()
    unstable_ephemeral: msgspec.Raw = msgspec.field(name="de.sorunome.msc2409.ephemeral", default=msgspec.Raw())
    to_device: msgspec.Raw = msgspec.Raw()
    unstable_to_device: msgspec.Raw = msgspec.field(name="de.sorunome.msc2409.to_device", default=msgspec.Raw())


class _Envelope(msgspec.Struct, gc=False):
    event_id: str
    room_id: str
    sender: str
    type: str
    content: msgspec.Raw
    state_key: str | None = None
    origin_server_ts: int = 0
    redacts: str | None = None


class _Redaction(msgspec.Struct):
    redacts: str | None = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_redaction = msgspec.json.Decoder(_Redaction).decode
_decode_str = msgspec.json.Decoder(str).decode
_decode_int = msgspec.json.Decoder(int).decode

_MAX_TS = 2**63 - 1  # what a database column holds


def parse(body: bytes) -> Transaction:
    """Find what lies in a transaction's body. Raises `BadBody`, and nothing else, when it is no transaction.

    One pass over the body: events are told apart, not decoded (`split_events` does that), because a flood of them is
    first written down as it came.
    """
    parts = _parts(body)
    return Transaction(
        events=parts.events,
        ephemeral=_items(parts.ephemeral, parts.unstable_ephemeral),
        to_device=_items(parts.to_device, parts.unstable_to_device),
    )


def split_events(
    raws: Iterable[msgspec.Raw | bytes],
) -> tuple[tuple[RawEvent, ...], tuple[MalformedEvent, ...]]:
    """Decode the envelope of each event, each on its own; the order is kept. Also for the chunk of ``/messages``."""
    events: list[RawEvent] = []
    malformed: list[MalformedEvent] = []
    for raw in raws:
        event = read_event(bytes(raw))
        if isinstance(event, RawEvent):
            events.append(event)
        else:
            malformed.append(event)
    return tuple(events), tuple(malformed)


def read_event(raw: bytes) -> RawEvent | MalformedEvent:
    """Decode one event's envelope. `raw` is kept as it is."""
    try:
        e = _decode_envelope(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(raw)
    if (
        e.event_id[:1] != "$"
        or e.room_id[:1] != "!"
        or e.sender[:1] != "@"
        or ":" not in e.sender
        or bytes(e.content)[:1] != b"{"
        or not 0 <= e.origin_server_ts <= _MAX_TS
        or rb"\u0000" in raw
    ):
        return _read_slowly(raw)
    redacts = e.redacts if e.type != "m.room.redaction" else _redacts(e.redacts, e.content)
    return RawEvent(
        raw=raw,
        event_id=EventID(e.event_id),
        room_id=RoomID(e.room_id),
        sender=UserID(e.sender),
        type=e.type,
        state_key=e.state_key,
        origin_server_ts=e.origin_server_ts,
        redacts=None if redacts is None else EventID(redacts),
    )


# --- the body ---------------------------------------------------------------------------------------------------


class _Parts(msgspec.Struct):
    events: Sequence[msgspec.Raw | bytes]
    ephemeral: bytes
    unstable_ephemeral: bytes
    to_device: bytes
    unstable_to_device: bytes


def _parts(body: bytes) -> _Parts:
    # The decoder jumps over what it does not decode without looking at its encoding; the journal keeps those bytes.
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BadBody("M_NOT_JSON", f"the body is not UTF-8 at byte {error.start}") from None
    try:
        return _quick_parts(body)
    except RecursionError:
        return _deep_parts(mend_surrogates(body))
    except msgspec.ValidationError as error:
        raise BadBody("M_BAD_JSON", str(error)) from None
    except msgspec.DecodeError as error:
        mended = mend_surrogates(body)
        if mended == body:
            raise BadBody("M_NOT_JSON", str(error)) from None
    try:
        return _quick_parts(mended)
    except RecursionError:
        return _deep_parts(mended)
    except msgspec.ValidationError as error:
        raise BadBody("M_BAD_JSON", str(error)) from None
    except msgspec.DecodeError as error:
        raise BadBody("M_NOT_JSON", str(error)) from None


def _quick_parts(body: bytes) -> _Parts:
    b = _decode_body(body)
    return _Parts(
        events=b.events,
        ephemeral=bytes(b.ephemeral),
        unstable_ephemeral=bytes(b.unstable_ephemeral),
        to_device=bytes(b.to_device),
        unstable_to_device=bytes(b.unstable_to_device),
    )


def _deep_parts(body: bytes) -> _Parts:
    """As `_quick_parts`, for a body in which something is nested deeper than a recursive decoder can go."""
    try:
        found = deep_members(body)
        events = found.get("events", b"")
        if events[:1] != b"[":
            raise BadBody("M_BAD_JSON", "Expected `array` - at `$.events`")
        return _Parts(
            events=deep_elements(events),
            ephemeral=found.get("ephemeral", b""),
            unstable_ephemeral=found.get("de.sorunome.msc2409.ephemeral", b""),
            to_device=found.get("to_device", b""),
            unstable_to_device=found.get("de.sorunome.msc2409.to_device", b""),
        )
    except NotJSON as error:
        code = "M_BAD_JSON" if body.lstrip()[:1] != b"{" else "M_NOT_JSON"
        raise BadBody(code, str(error)) from None


def _items(*lists: bytes) -> tuple[bytes, ...]:
    """The items of the first list that has any: a homeserver may send the stable and the unstable key, alike."""
    for raw in lists:
        try:
            items = tuple(bytes(item) for item in decode_elements(raw)) if raw else ()
        except (msgspec.DecodeError, RecursionError):
            continue
        if items:
            return items
    return ()


# --- one event --------------------------------------------------------------------------------------------------


def _redacts(top: str | None, content: msgspec.Raw) -> str | None:
    # Room versions 1-10 have it at the top level. "redacts" in the content (version 11 on) is repeated at the top
    # by servers for old clients; where both are, only the top level was checked by the server in old rooms.
    if top is not None:
        return top
    try:
        return _decode_redaction(content).redacts
    except (msgspec.DecodeError, RecursionError):
        return None


def _read_slowly(raw: bytes) -> RawEvent | MalformedEvent:
    """Find out what is wrong with an event; if it is nothing that matters, it is an event all the same."""
    deep = False
    try:
        parts = {key: bytes(value) for key, value in decode_members(raw).items()}
    except RecursionError:
        deep = True
        try:
            parts = deep_members(raw)
        except NotJSON as error:
            return MalformedEvent(raw=raw, reason=f"is not JSON: {error}")
    except msgspec.ValidationError:
        return MalformedEvent(raw=raw, reason="is not an object")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        mended = mend_surrogates(raw)
        if mended != raw:
            return read_event(mended)
        return MalformedEvent(raw=raw, reason=f"is not JSON: {error}")

    problems: list[str] = []
    event_id = _identifier(parts, "event_id", "$", problems)
    room_id = _identifier(parts, "room_id", "!", problems)
    sender = _identifier(parts, "sender", "@", problems)
    type = _identifier(parts, "type", "", problems)
    state_key = _identifier(parts, "state_key", "", problems) if _has(parts, "state_key") else None
    if parts.get("content", b"")[:1] != b"{":
        problems.append("content is not an object")
    if deep:
        problems.append("is nested too deeply")
    if problems or event_id is None or room_id is None or sender is None or type is None:
        return MalformedEvent(
            raw=raw,
            reason="; ".join(problems),
            event_id=None if event_id is None else EventID(event_id),
            room_id=None if room_id is None else RoomID(room_id),
            sender=None if sender is None else UserID(sender),
            type=type,
        )
    redacts = _identifier(parts, "redacts", "", []) if _has(parts, "redacts") else None
    if type == "m.room.redaction":
        redacts = _redacts(redacts, msgspec.Raw(parts["content"]))
    return RawEvent(
        raw=raw,
        event_id=EventID(event_id),
        room_id=RoomID(room_id),
        sender=UserID(sender),
        type=type,
        state_key=state_key,
        origin_server_ts=_timestamp(parts.get("origin_server_ts", b"")),
        redacts=None if redacts is None else EventID(redacts),
    )


def _has(parts: dict[str, bytes], key: str) -> bool:
    return parts.get(key, b"null") != b"null"


def _identifier(parts: dict[str, bytes], key: str, sigil: str, problems: list[str]) -> str | None:
    raw = parts.get(key)
    if raw is None:
        problems.append(f"{key} is missing")
        return None
    try:
        value = _decode_str(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problems.append(f"{key} is not a string")
        return None
    if not value.startswith(sigil):
        problems.append(f"{key} does not start with {sigil}")
        return None
    if "\0" in value and key != "state_key":
        # These become text in the database, and PostgreSQL's cannot hold it: one such event would wedge delivery.
        problems.append(f"{key} contains U+0000")
        return None
    if sigil == "@" and ":" not in value:
        problems.append(f"{key} has no server")
        return None
    return value


def _timestamp(raw: bytes) -> int:
    try:
        ts = _decode_int(raw)
    except (msgspec.DecodeError, RecursionError):
        return 0
    return ts if 0 <= ts <= _MAX_TS else 0
