"""What errors mean: both tables, row by row."""

from __future__ import annotations

import pytest

from bridgekit.core.policy import INTERNAL_ERROR, End, Pause, Retry, expired, judge_homeserver, judge_network
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

CONNECTION = (ConnectionError, TimeoutError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Transient("busy"), Retry(code="transient", reason="busy")),
        (Transient("busy", retry_after=7), Retry(code="transient", reason="busy", retry_after_s=7)),
        (Rejected("no"), End(code="rejected", reason="no")),
        (NotSupported("no such thing"), End(code="not_supported", reason="no such thing")),
        (Uncertain("perhaps"), End(code="uncertain", reason="perhaps", uncertain=True)),
        (AuthFailed("expired"), Pause(reason="expired")),
        (LoginCancelled("gone"), End(code="rejected", reason="gone")),
        (KeyError("x"), End(code="bug", reason=INTERNAL_ERROR, bug=True)),
    ],
)
@pytest.mark.parametrize("repeatable", [True, False])
def test_what_an_adapter_raises(error: Exception, expected: object, repeatable: bool) -> None:
    assert judge_network(error, connection_errors=CONNECTION, repeatable=repeatable) == expected


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError()])
def test_a_connection_error_is_repeated_only_where_the_network_drops_repeats(error: Exception) -> None:
    again = judge_network(error, connection_errors=CONNECTION, repeatable=True)
    assert isinstance(again, Retry) and again.ambiguous
    never = judge_network(error, connection_errors=CONNECTION, repeatable=False)
    assert isinstance(never, End) and never.uncertain


@pytest.mark.parametrize(
    "error", [Transient(), Rejected(), NotSupported(), Uncertain(), AuthFailed(), ConnectionResetError(), ValueError()]
)
def test_a_person_always_reads_a_reason(error: Exception) -> None:
    assert judge_network(error, connection_errors=CONNECTION, repeatable=False).reason


def refusal(status: int, errcode: str, retry_after_ms: int | None = None) -> MatrixRequestError:
    return MatrixRequestError(status, errcode, "words", retry_after_ms=retry_after_ms)


@pytest.mark.parametrize(
    ("error", "code", "forever"),
    [
        (HomeserverUnreachable("refused"), "unreachable", True),
        (HomeserverUnreachable("slow", timed_out=True), "unreachable", True),
        (refusal(429, "M_LIMIT_EXCEEDED", 1500), "M_LIMIT_EXCEEDED", True),
        (refusal(401, "M_UNKNOWN_TOKEN"), "M_UNKNOWN_TOKEN", True),
        (refusal(401, "M_MISSING_TOKEN"), "M_MISSING_TOKEN", True),
        (refusal(408, "M_UNKNOWN"), "M_UNKNOWN", True),
        (refusal(502, "M_UNKNOWN"), "M_UNKNOWN", True),
        (refusal(503, "M_UNKNOWN"), "M_UNKNOWN", True),
        (refusal(504, "M_UNKNOWN"), "M_UNKNOWN", True),
        (refusal(500, "M_UNKNOWN"), "M_UNKNOWN", False),
    ],
)
def test_a_homeserver_that_is_away_is_waited_for(
    error: HomeserverUnreachable | MatrixRequestError, code: str, forever: bool
) -> None:
    verdict = judge_homeserver(error)
    assert isinstance(verdict, Retry)
    assert (verdict.code, verdict.forever) == (code, forever)


def test_the_homeserver_says_how_long_to_wait() -> None:
    verdict = judge_homeserver(refusal(429, "M_LIMIT_EXCEEDED", 1500))
    assert isinstance(verdict, Retry) and verdict.retry_after_s == 1.5


@pytest.mark.parametrize(
    ("status", "errcode"),
    [
        (400, "M_BAD_JSON"),
        (400, "M_INVALID_PARAM"),
        (400, "M_DUPLICATE_ANNOTATION"),
        (403, "M_FORBIDDEN"),
        (404, "M_NOT_FOUND"),
        (413, "M_TOO_LARGE"),
        (418, "M_UNHEARD_OF"),
    ],
)
def test_a_homeserver_that_refuses_ends_the_entry(status: int, errcode: str) -> None:
    assert judge_homeserver(refusal(status, errcode)) == End(code=errcode, reason=f"{status} {errcode}: words")


def test_a_row_of_failures_expires() -> None:
    assert not expired(now=100, failed_since=None, retry_for_ms=0)
    assert not expired(now=109, failed_since=100, retry_for_ms=10)
    assert expired(now=110, failed_since=100, retry_for_ms=10)
