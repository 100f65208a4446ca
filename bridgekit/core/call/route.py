"""Which call an event belongs to, before anything else is known of it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from bridgekit.core.call.events import CALL_TYPES, is_id

__all__ = ["CALL_TYPES", "MARK", "call_id_of"]

MARK: Final = b".call."
"""What stands in the bytes of each event of a call."""


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
