"""Which call an event belongs to, before anything else is known of it."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from bridgekit.core.call.events import CALL_TYPES, is_id
from bridgekit.core.lane import call_lane
from bridgekit.model.ids import CallID, LaneKey

__all__ = ["CALL_TYPES", "MARK", "call_id_of", "matrix_id_for", "matrix_lane_of", "remote_lane_of"]

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


def matrix_id_for(call: CallID) -> str:
    """What a call of the network's is called on Matrix: the same behind a hyphen, if Matrix allows that.

    matrix-js-sdk: of two calls that meet, the one with the smaller id counts, and its own begin with a digit. The
    network has decided for its call before we hear of it: it may have refused the other one already. So the network's
    has to be the smaller one, and nothing sorts before a hyphen that an id may have in it.
    """
    return f"-{_bare(call)}"


def matrix_lane_of(matrix_id: str) -> LaneKey:
    """The lane of what Matrix says of a call."""
    return call_lane(_bare(matrix_id).lstrip("-"))


def remote_lane_of(call: CallID) -> LaneKey:
    """The lane of what the network says of a call: the same one. Who began the call, and so which of its two ids has
    the hyphen before it, is not known before its turn: the lane's name has none."""
    return matrix_lane_of(matrix_id_for(call))


def _bare(call: str) -> str:
    """What stands behind the hyphen: as long as there is room for one."""
    if is_id(f"-{call}"):
        return call
    return hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:32]
