"""A place that was reserved for a file (MSC2246): how long it is good, and what the homeserver's answers mean."""

from __future__ import annotations

from enum import Enum

import msgspec

from bridgekit.core.policy import End, Retry, judge_homeserver
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ContentURI

RENEW_BEFORE_MS = 3_600_000
"""So long before its end a reservation is renewed, or a quarter of its life before, if that is less."""

UNKNOWN_LIFE_MS = 20 * 3_600_000
"""How long a reservation is trusted where the server does not say; MSC2246 recommends 24 h."""

MAX_ASKED_S = 300.0
"""The longest that we wait because a server said so: for a full quota Synapse says a day, and may have room at once."""

SHORT_WAIT_S = 60.0
"""Up to so long a wait means "slower"; a longer one means that too many files are reserved."""

MAX_LOST = 4
"""So many reservations of one file may turn out to be lost before their time; then something else is wrong."""


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reserved place, since when it is (ms), and until when it must be filled; None: not said."""

    uri: ContentURI
    since: int
    expires_at: int | None = None


class Answer(Enum):
    """What an answer to a request for a file means, beside `Retry` and `End`."""

    DONE = "done"  # the file is there
    GONE = "gone"  # the place is not ours any more: another must be reserved
    TOO_LARGE = "too large"
    UNSUPPORTED = "unsupported"  # the server knows no reservations
    FULL = "full"  # as many are reserved for this user as the server allows


def renew_at(place: Place) -> int:
    """From when on (ms) a place that is still empty must be renewed, so that no reader finds it gone."""
    expires_at = place.expires_at
    if expires_at is None or expires_at < place.since:  # the clocks differ: else it were renewed with each attempt
        expires_at = place.since + UNKNOWN_LIFE_MS
    return expires_at - min(RENEW_BEFORE_MS, (expires_at - place.since) // 4)


def judge_create(error: HomeserverUnreachable | MatrixRequestError) -> Answer | Retry | End:
    """What a failed reservation means."""
    if isinstance(error, MatrixRequestError):
        if error.status in (404, 405) or error.errcode == "M_UNRECOGNIZED":
            return Answer.UNSUPPORTED
        limited = error.status == 429 or error.errcode == "M_LIMIT_EXCEEDED"
        # MSC2246: both "too fast" and "too many pending" are M_LIMIT_EXCEEDED; only the wait tells them apart.
        if limited and (error.retry_after_ms is None or error.retry_after_ms > SHORT_WAIT_S * 1000):
            return Answer.FULL
    return _bounded(judge_homeserver(error))


def judge_fill(error: HomeserverUnreachable | MatrixRequestError, *, reserved: bool) -> Answer | Retry | End:
    """What a failed upload means; `reserved`: into a place of ours, otherwise the old way."""
    if isinstance(error, MatrixRequestError):
        if error.status == 413 or error.errcode == "M_TOO_LARGE":
            return Answer.TOO_LARGE
        if reserved:
            # MSC2246: "a media ID that already has content": an earlier attempt of ours got through.
            if error.status == 409 or error.errcode == "M_CANNOT_OVERWRITE_MEDIA":
                return Answer.DONE
            # MSC2246: "not known, not local, or expired", and 403 "a user other than the one who created" it.
            if error.status in (403, 404):
                return Answer.GONE
    return _bounded(judge_homeserver(error))


def _bounded(verdict: Retry | End) -> Retry | End:
    if isinstance(verdict, Retry) and verdict.retry_after_s is not None and verdict.retry_after_s > MAX_ASKED_S:
        return msgspec.structs.replace(verdict, retry_after_s=MAX_ASKED_S)
    return verdict
