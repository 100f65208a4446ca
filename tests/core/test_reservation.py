"""How long a reserved place is good, and what answers mean: row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.policy import End, Retry
from bridgekit.core.reservation import (
    MAX_ASKED_S,
    RENEW_BEFORE_MS,
    UNKNOWN_LIFE_MS,
    Answer,
    Place,
    judge_create,
    judge_fill,
    renew_at,
)
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ContentURI

URI = ContentURI("mxc://test/a")
HOUR = 3_600_000
DAY_MS = 24 * HOUR


def refusal(status: int, errcode: str = "M_UNKNOWN", retry_after_ms: int | None = None) -> MatrixRequestError:
    return MatrixRequestError(status, errcode, "words", retry_after_ms=retry_after_ms)


@pytest.mark.parametrize(
    ("since", "expires_at", "expected"),
    [
        (0, DAY_MS, DAY_MS - RENEW_BEFORE_MS),
        (0, HOUR, HOUR * 3 // 4),
        (1000, 2000, 1750),
        (0, None, UNKNOWN_LIFE_MS - RENEW_BEFORE_MS),
        (5000, 1000, 5000 + UNKNOWN_LIFE_MS - RENEW_BEFORE_MS),  # the clocks disagree: not with each attempt
    ],
)
def test_when_a_reservation_is_renewed(since: int, expires_at: int | None, expected: int) -> None:
    assert renew_at(Place(URI, since, expires_at)) == expected


@given(st.integers(0, 2**45), st.integers(0, 2**45))
def test_a_renewal_is_due_before_the_end_and_not_at_the_beginning(since: int, life: int) -> None:
    at = renew_at(Place(URI, since, since + life))
    assert since + life * 3 // 4 - 1 <= at <= since + life
    assert since + life - at <= RENEW_BEFORE_MS


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal(404, "M_UNRECOGNIZED"), Answer.UNSUPPORTED),
        (refusal(404), Answer.UNSUPPORTED),
        (refusal(405, "M_UNRECOGNIZED"), Answer.UNSUPPORTED),
        (refusal(429, "M_LIMIT_EXCEEDED", DAY_MS), Answer.FULL),
        (refusal(429, "M_LIMIT_EXCEEDED"), Answer.FULL),
        (refusal(400, "M_LIMIT_EXCEEDED"), Answer.FULL),
    ],
)
def test_what_an_answer_to_create_means(error: MatrixRequestError, expected: Answer) -> None:
    assert judge_create(error) is expected


def test_too_fast_is_not_too_many() -> None:
    verdict = judge_create(refusal(429, "M_LIMIT_EXCEEDED", 2000))
    assert isinstance(verdict, Retry)
    assert (verdict.retry_after_s, verdict.forever) == (2.0, True)


@pytest.mark.parametrize("error", [HomeserverUnreachable("away"), refusal(502), refusal(500)])
def test_a_server_that_stumbles_is_asked_again(error: HomeserverUnreachable | MatrixRequestError) -> None:
    assert isinstance(judge_create(error), Retry)
    assert isinstance(judge_fill(error, reserved=True), Retry)


def test_a_refusal_is_an_end() -> None:
    assert isinstance(judge_create(refusal(403, "M_FORBIDDEN")), End)
    assert isinstance(judge_fill(refusal(400, "M_INVALID_PARAM"), reserved=True), End)


@pytest.mark.parametrize(
    ("error", "reserved", "expected"),
    [
        (refusal(409, "M_CANNOT_OVERWRITE_MEDIA"), True, Answer.DONE),
        (refusal(404, "M_NOT_FOUND"), True, Answer.GONE),
        (refusal(403, "M_FORBIDDEN"), True, Answer.GONE),
        (refusal(413, "M_TOO_LARGE"), True, Answer.TOO_LARGE),
        (refusal(413, "M_TOO_LARGE"), False, Answer.TOO_LARGE),
        (refusal(400, "M_TOO_LARGE"), False, Answer.TOO_LARGE),
    ],
)
def test_what_an_answer_to_fill_means(error: MatrixRequestError, reserved: bool, expected: Answer) -> None:
    assert judge_fill(error, reserved=reserved) is expected


@pytest.mark.parametrize("status", [403, 404, 409])
def test_without_a_reservation_there_is_none_to_lose(status: int) -> None:
    assert isinstance(judge_fill(refusal(status), reserved=False), End)


@given(st.sampled_from([400, 403, 404, 409, 413, 429, 500, 502]), st.one_of(st.none(), st.integers(0, 2**40)))
def test_nobody_makes_us_wait_for_a_day(status: int, retry_after_ms: int | None) -> None:
    for verdict in (
        judge_create(refusal(status, retry_after_ms=retry_after_ms)),
        judge_fill(refusal(status, retry_after_ms=retry_after_ms), reserved=True),
    ):
        if isinstance(verdict, Retry):
            assert verdict.retry_after_s is None or verdict.retry_after_s <= MAX_ASKED_S
