"""What an error means for the lane: one total table for each side.

The adapter's side is the design's "what an author raises is the policy"; the homeserver's side sorts the answers of
the client-server API. Whatever is in neither table is a bug: the entry ends as a dead letter and the lane goes on.
"""

from __future__ import annotations

import msgspec

from bridgekit.errors import (
    AuthFailed,
    HomeserverUnreachable,
    LoginCancelled,
    MatrixRequestError,
    NotSupported,
    Rejected,
    Transient,
    Uncertain,
)

INTERNAL_ERROR = "internal error in the bridge; the admin can see it in the log"


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """The head stays and backs off; nothing overtakes it. `retry_after_s` is the other side's wish, in seconds.

    `ambiguous`: the call may have taken effect. `forever`: no time limit, since the whole other side is away.
    """

    code: str
    reason: str
    retry_after_s: float | None = None
    ambiguous: bool = False
    forever: bool = False


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The head ends as a dead letter, the lane goes on. `uncertain`: it may have been sent. `bug`: log how."""

    code: str
    reason: str
    uncertain: bool = False
    bug: bool = False


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """The login is no longer valid: wait until its person has logged in again."""

    reason: str


Verdict = Retry | End | Pause

AWAY_STATUS = frozenset({408, 502, 503, 504})
"""A proxy's words for: the homeserver is not there, or not in time."""

TOKEN_ERRCODES = frozenset({"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"})
"""The registration and the homeserver disagree. Nothing is lost: the admin mends it, the lanes go on."""


def judge_network(
    error: BaseException, *, connection_errors: tuple[type[BaseException], ...], repeatable: bool
) -> Verdict:
    """What an exception out of the adapter means.

    `repeatable`: the network would drop a repeat of this very message, so an unknown outcome may be tried again.
    """
    match error:
        case Transient():
            reason = error.reason or "the network is not available"
            return Retry(code="transient", reason=reason, retry_after_s=error.retry_after)
        case NotSupported():
            return End(code="not_supported", reason=error.reason or "the network cannot do this")
        case Rejected():
            return End(code="rejected", reason=error.reason or "the network refused it")
        case Uncertain():
            return End(code="uncertain", reason=error.reason or "the network did not confirm it", uncertain=True)
        case AuthFailed():
            return Pause(reason=error.reason or "the login is no longer valid")
        case LoginCancelled():
            return End(code="rejected", reason=str(error))
    if isinstance(error, connection_errors):
        reason = f"no answer from the network ({type(error).__name__})"
        if repeatable:
            return Retry(code="connection", reason=reason, ambiguous=True)
        return End(code="uncertain", reason=reason, uncertain=True)
    return End(code="bug", reason=INTERNAL_ERROR, bug=True)


def judge_homeserver(error: HomeserverUnreachable | MatrixRequestError) -> Retry | End:
    """What a failed client-server request means for the entry that needed it."""
    if isinstance(error, HomeserverUnreachable):
        return Retry(code="unreachable", reason=str(error), ambiguous=True, forever=True)
    retry_after = None if error.retry_after_ms is None else error.retry_after_ms / 1000
    reason = str(error)
    if error.status == 429 or error.errcode == "M_LIMIT_EXCEEDED":
        return Retry(code="M_LIMIT_EXCEEDED", reason=reason, retry_after_s=retry_after, forever=True)
    if error.status in AWAY_STATUS:
        return Retry(code=error.errcode, reason=reason, retry_after_s=retry_after, ambiguous=True, forever=True)
    if error.errcode in TOKEN_ERRCODES:
        return Retry(code=error.errcode, reason=reason, forever=True)
    if error.status >= 500:
        # Not "forever": an event that makes the server stumble each time must not hold its room for good.
        return Retry(code=error.errcode, reason=reason, ambiguous=True)
    return End(code=error.errcode, reason=reason)


def expired(*, now: int, failed_since: int | None, retry_for_ms: int) -> bool:
    """Whether a row of failures has lasted longer than the configured time (ms)."""
    return failed_since is not None and now - failed_since >= retry_for_ms
