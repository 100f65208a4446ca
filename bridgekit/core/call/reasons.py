"""Why a call ends: Matrix's reasons, and a table for each direction. Both are total."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from bridgekit.model.calls import CallEnd


class HangupReason(StrEnum):
    """``reason`` of ``m.call.hangup`` and ``m.call.reject``: those of the specification, and two that clients send."""

    ICE_FAILED = "ice_failed"
    ICE_TIMEOUT = "ice_timeout"
    INVITE_TIMEOUT = "invite_timeout"
    USER_HANGUP = "user_hangup"
    USER_MEDIA_FAILED = "user_media_failed"
    USER_BUSY = "user_busy"
    UNKNOWN_ERROR = "unknown_error"
    REPLACED = "replaced"  # matrix-js-sdk: by another call of the same two
    ANSWERED_ELSEWHERE = "answered_elsewhere"  # matrix-js-sdk


TO_MATRIX: Final[dict[CallEnd, HangupReason]] = {
    CallEnd.HANGUP: HangupReason.USER_HANGUP,
    CallEnd.DECLINED: HangupReason.USER_HANGUP,  # said by the event: m.call.reject
    CallEnd.BUSY: HangupReason.USER_BUSY,
    CallEnd.NO_ANSWER: HangupReason.INVITE_TIMEOUT,
    CallEnd.UNREACHABLE: HangupReason.UNKNOWN_ERROR,
    CallEnd.ANSWERED_ELSEWHERE: HangupReason.ANSWERED_ELSEWHERE,
    CallEnd.REPLACED: HangupReason.REPLACED,
    CallEnd.NOT_SUPPORTED: HangupReason.UNKNOWN_ERROR,
    CallEnd.MEDIA_FAILED: HangupReason.USER_MEDIA_FAILED,
    CallEnd.CONNECTION_FAILED: HangupReason.ICE_FAILED,
    CallEnd.CONNECTION_LOST: HangupReason.ICE_TIMEOUT,
    CallEnd.ERROR: HangupReason.UNKNOWN_ERROR,
}

FROM_MATRIX: Final[dict[HangupReason, CallEnd]] = {
    HangupReason.ICE_FAILED: CallEnd.CONNECTION_FAILED,
    HangupReason.ICE_TIMEOUT: CallEnd.CONNECTION_LOST,
    HangupReason.INVITE_TIMEOUT: CallEnd.NO_ANSWER,
    HangupReason.USER_HANGUP: CallEnd.HANGUP,
    HangupReason.USER_MEDIA_FAILED: CallEnd.MEDIA_FAILED,
    HangupReason.USER_BUSY: CallEnd.BUSY,
    HangupReason.UNKNOWN_ERROR: CallEnd.ERROR,
    HangupReason.REPLACED: CallEnd.REPLACED,
    HangupReason.ANSWERED_ELSEWHERE: CallEnd.ANSWERED_ELSEWHERE,
}


def read_reason(value: object) -> HangupReason:
    """What an event's ``reason`` says; of unknown ones only that something failed."""
    # MSC2746: "clients should treat an absence of the `reason` field as `user_hangup`."
    if value is None:
        return HangupReason.USER_HANGUP
    try:
        return HangupReason(str(value))
    except ValueError:
        return HangupReason.UNKNOWN_ERROR
