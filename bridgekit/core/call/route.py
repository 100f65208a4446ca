"""Which call an event belongs to, before anything else is known of it."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import msgspec

from bridgekit.core.call.events import is_id
from bridgekit.model.ids import CallID, PortalKey

CALL_TYPES: Final = frozenset(
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
"""Event types of calls. They have lanes of their own, and are worth nothing when they are old."""

MARK: Final = b".call."
"""What stands in the bytes of each of them."""


class _Content(msgspec.Struct):
    call_id: Any = None


class _Event(msgspec.Struct):
    content: _Content


_decode = msgspec.json.Decoder(_Event).decode


def call_id_of(raw: bytes) -> str | None:
    """The id of the call that an event is of; None if it names none that could be one."""
    try:
        call_id = _decode(raw).content.call_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return call_id if isinstance(call_id, str) and is_id(call_id) else None


def matrix_call_id(secret: bytes, portal: PortalKey, call: CallID) -> str:
    """What a call that the network began is called on Matrix: the same whenever it is told again, and nobody can guess
    it, or know it from another one."""
    fields = (portal.chat, portal.receiver or "", call)
    said = b"".join(
        len(data).to_bytes(8, "big") + data for data in (one.encode("utf-8", "surrogatepass") for one in fields)
    )
    return hmac.new(secret, b"call" + said, hashlib.sha256).hexdigest()[:32]
