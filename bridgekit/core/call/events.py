"""Matrix's call events (MSC2746, and what clients really send), read from what anybody may have written.

Reading never raises: what cannot be one is `Malformed`. Ids are checked, sizes bounded, lifetimes capped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from bridgekit.core.call.reasons import HangupReason, read_reason
from bridgekit.core.call.sdp import MAX_BYTES, MAX_CANDIDATES, is_line
from bridgekit.core.rooms import clean
from bridgekit.model.calls import Candidate, SDPType
from bridgekit.model.ids import UserID

JSON = dict[str, Any]

TYPES: Final = frozenset(
    {
        "m.call.invite",
        "m.call.answer",
        "m.call.candidates",
        "m.call.select_answer",
        "m.call.reject",
        "m.call.hangup",
        "m.call.negotiate",
        "m.call.sdp_stream_metadata_changed",
        "org.matrix.call.sdp_stream_metadata_changed",
        "m.call.asserted_identity",
        "org.matrix.call.asserted_identity",
    }
)
"""The event types that `read` knows."""

STREAMS_KEYS: Final = ("sdp_stream_metadata", "org.matrix.msc3077.sdp_stream_metadata")
"""Of the same meaning. matrix-js-sdk 37 writes only the second, 43 only the first: we write both."""

DEFAULT_LIFETIME_MS: Final = 60_000
MAX_LIFETIME_MS: Final = 10 * 60_000
MAX_STREAMS: Final = 16
MAX_CANDIDATE_BYTES: Final = 1024

_ID = re.compile(r"[0-9a-zA-Z._~-]{1,255}")


class Stream(msgspec.Struct, frozen=True):
    """What a sent stream is: ``m.usermedia`` or ``m.screenshare``, and what of it is muted."""

    purpose: str
    audio_muted: bool = False
    video_muted: bool = False


Streams = Mapping[str, Stream]


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What every call event has. `version`: 0 or 1; `party_id`: None where there is none (version 0)."""

    call_id: str
    version: int
    party_id: str | None = None


class Invite(Common, frozen=True, kw_only=True):
    """``m.call.invite``. `lifetime` in ms; `invitee` None: anybody in the room."""

    sdp: str
    lifetime: int
    invitee: UserID | None = None
    streams: Streams | None = None


class Answer(Common, frozen=True, kw_only=True):
    """``m.call.answer``."""

    sdp: str
    streams: Streams | None = None


class Candidates(Common, frozen=True, kw_only=True):
    """``m.call.candidates``. `complete`: with the marker that these were the last."""

    candidates: tuple[Candidate, ...]
    complete: bool = False


class SelectAnswer(Common, frozen=True, kw_only=True):
    """``m.call.select_answer``."""

    selected: str | None


class Reject(Common, frozen=True, kw_only=True):
    """``m.call.reject``."""

    reason: HangupReason


class Hangup(Common, frozen=True, kw_only=True):
    """``m.call.hangup``."""

    reason: HangupReason


class Negotiate(Common, frozen=True, kw_only=True):
    """``m.call.negotiate``. `lifetime` in ms."""

    sdp: str
    sdp_type: SDPType
    lifetime: int
    streams: Streams | None = None


class StreamsChanged(Common, frozen=True, kw_only=True):
    """``m.call.sdp_stream_metadata_changed``: muted, or not any more."""

    streams: Streams


class AssertedIdentity(Common, frozen=True, kw_only=True):
    """``m.call.asserted_identity`` (MSC3086): with whom one really talks; ``""``: with the one called."""

    name: str


CallEvent = (
    Invite | Answer | Candidates | SelectAnswer | Reject | Hangup | Negotiate | StreamsChanged | AssertedIdentity
)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A call event and its circumstances. `sent_at`: when, in ms since the epoch, by the bridge's clock."""

    event: CallEvent
    sender: UserID
    sent_at: int


class Malformed(msgspec.Struct, frozen=True):
    """No call event, and why, in words for the log."""

    reason: str


class _Unsigned(msgspec.Struct):
    age: Any = None


class _Event(msgspec.Struct):
    type: str
    sender: str
    content: dict[str, Any] = {}
    unsigned: Any = None
    origin_server_ts: Any = None


class _Wrong(Exception):
    pass


_decode = msgspec.json.Decoder(_Event).decode


def read(raw: bytes, *, received_at: int) -> Seen | Malformed:
    """A call event as the homeserver sent it, which we had at `received_at` (ms since the epoch). Never raises."""
    try:
        event = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Malformed("no event")
    how = _READERS.get(event.type)
    if how is None:
        return Malformed(f"no call event: {event.type[:100]!r}")
    try:
        read = how(event.content, _common(event.content))
    except _Wrong as error:
        return Malformed(str(error))
    return Seen(event=read, sender=UserID(event.sender), sent_at=received_at - _age(event, received_at))


def _age(event: _Event, received_at: int) -> int:
    # MSC2746: "The use of the `age` field ensures that incorrect clocks on client devices don't break calls."
    age = event.unsigned.get("age") if isinstance(event.unsigned, dict) else None
    if type(age) is not int:
        sent = event.origin_server_ts
        age = received_at - sent if type(sent) is int else 0
    return min(max(age, 0), received_at)


def _common(content: JSON) -> JSON:
    call_id = content.get("call_id")
    if not is_id(call_id):
        raise _Wrong("no call_id, or one that is none")
    party = content.get("party_id")
    if party is not None and not is_id(party):
        raise _Wrong("a party_id that is none")
    version = content.get("version")
    # MSC2746: events with a version "other than `0` or "1"" are to be treated as if it were "1".
    return {"call_id": call_id, "party_id": party, "version": 0 if type(version) is int and version == 0 else 1}


def is_id(value: object) -> bool:
    """MSC2746: "between 1 and 255 characters long, consisting of the characters `[0-9a-zA-Z._~-]`"."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _sdp(content: JSON, key: str) -> tuple[str, object]:
    description = content.get(key)
    sdp = description.get("sdp") if isinstance(description, dict) else None
    if not isinstance(sdp, str) or not sdp:
        raise _Wrong(f"no {key}")
    if len(sdp) > MAX_BYTES or len(sdp.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _Wrong(f"a {key} that is too large")
    return sdp, description.get("type") if isinstance(description, dict) else None


def _lifetime(content: JSON) -> int:
    lifetime = content.get("lifetime")
    if not isinstance(lifetime, int | float) or isinstance(lifetime, bool) or not 0 < lifetime < 2**53:
        return DEFAULT_LIFETIME_MS
    return min(int(lifetime), MAX_LIFETIME_MS)


def _streams(content: JSON) -> Streams | None:
    for key in STREAMS_KEYS:
        found = content.get(key)
        if isinstance(found, dict):
            return {
                name[:255]: Stream(
                    str(one.get("purpose"))[:255], one.get("audio_muted") is True, one.get("video_muted") is True
                )
                for name, one in list(found.items())[:MAX_STREAMS]
                if isinstance(one, dict)
            }
    return None


def _invite(content: JSON, common: JSON) -> Invite:
    sdp, _ = _sdp(content, "offer")
    invitee = content.get("invitee")
    if invitee is not None and not isinstance(invitee, str):
        raise _Wrong("an invitee that is none")
    return Invite(
        **common,
        sdp=sdp,
        lifetime=_lifetime(content),
        invitee=None if invitee is None else UserID(invitee),
        streams=_streams(content),
    )


def _answer(content: JSON, common: JSON) -> Answer:
    return Answer(**common, sdp=_sdp(content, "answer")[0], streams=_streams(content))


def _candidates(content: JSON, common: JSON) -> Candidates:
    given = content.get("candidates")
    if not isinstance(given, list):
        raise _Wrong("no candidates")
    found, complete = [], False
    for one in given[:MAX_CANDIDATES]:
        line = one.get("candidate") if isinstance(one, dict) else None
        if line == "":
            # MSC2746: "an ICE candidate whose value is the empty string means that no more ICE candidates will be sent"
            complete = True
        elif isinstance(line, str) and len(line) <= MAX_CANDIDATE_BYTES and is_line(line):
            mid, index, ufrag = one.get("sdpMid"), one.get("sdpMLineIndex"), one.get("usernameFragment")
            found.append(
                Candidate(
                    line.removeprefix("a="),
                    mid[:64] if isinstance(mid, str) else None,
                    index if type(index) is int and 0 <= index < 1000 else None,
                    ufrag[:256] if isinstance(ufrag, str) and ufrag else None,
                )
            )
    return Candidates(**common, candidates=tuple(found), complete=complete)


def _select(content: JSON, common: JSON) -> SelectAnswer:
    selected = content.get("selected_party_id")
    return SelectAnswer(**common, selected=selected if is_id(selected) else None)


def _reject(content: JSON, common: JSON) -> Reject:
    return Reject(**common, reason=read_reason(content.get("reason")))


def _hangup(content: JSON, common: JSON) -> Hangup:
    return Hangup(**common, reason=read_reason(content.get("reason")))


def _negotiate(content: JSON, common: JSON) -> Negotiate:
    sdp, kind = _sdp(content, "description")
    if kind not in ("offer", "answer"):
        raise _Wrong("a description that is neither offer nor answer")
    sdp_type: SDPType = "offer" if kind == "offer" else "answer"
    return Negotiate(**common, sdp=sdp, sdp_type=sdp_type, lifetime=_lifetime(content), streams=_streams(content))


def _changed(content: JSON, common: JSON) -> StreamsChanged:
    streams = _streams(content)
    if streams is None:
        raise _Wrong("no streams")
    return StreamsChanged(**common, streams=streams)


def _identity(content: JSON, common: JSON) -> AssertedIdentity:
    identity = content.get("asserted_identity")
    name = identity.get("display_name") if isinstance(identity, dict) else None
    return AssertedIdentity(**common, name=clean(name)[:255] if isinstance(name, str) else "")


_READERS: dict[str, Callable[[JSON, JSON], CallEvent]] = {
    "m.call.invite": _invite,
    "m.call.answer": _answer,
    "m.call.candidates": _candidates,
    "m.call.select_answer": _select,
    "m.call.reject": _reject,
    "m.call.hangup": _hangup,
    "m.call.negotiate": _negotiate,
    "m.call.sdp_stream_metadata_changed": _changed,
    "org.matrix.call.sdp_stream_metadata_changed": _changed,
    "m.call.asserted_identity": _identity,
    "org.matrix.call.asserted_identity": _identity,
}

CALL_TYPES: Final = frozenset(_READERS)
"""The types of call events. They have lanes of their own, and are worth nothing when they are old."""
