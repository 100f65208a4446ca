from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.backoff import Backoff

NAN = math.nan


@pytest.mark.parametrize(
    ("attempt", "jitter", "retry_after_s", "expected"),
    [
        (0, 0.0, None, 0.5),
        (0, 0.5, None, 0.75),
        (1, 0.0, None, 1.0),
        (3, 0.0, None, 4.0),
        (8, 0.0, None, 128.0),
        (9, 0.0, None, 150.0),  # 512 s, but at most 300
        (10_000, 0.0, None, 150.0),
        (-5, 0.0, None, 0.5),
        (0, 0.0, 20.0, 20.0),
        (9, 0.0, 20.0, 150.0),  # a lower bound only
        (0, 0.0, 86_400.0, 3600.0),  # never a blind sleep of a day
        (0, 0.0, math.inf, 3600.0),
        (0, 0.0, -1.0, 0.5),
        (0, 0.0, NAN, 0.5),
        (0, 7.0, None, 1.0),
    ],
)
def test_table(attempt: int, jitter: float, retry_after_s: float | None, expected: float) -> None:
    assert Backoff().delay(attempt, jitter, retry_after_s) == pytest.approx(expected)


def test_a_factor_of_one_never_grows() -> None:
    assert Backoff(base_s=5, factor=1).delay(10_000, 0.0) == 2.5


@given(st.integers(0, 20_000), st.floats(0, 1, exclude_max=True), st.floats(1, 10), st.floats(0.01, 300))
def test_between_half_a_step_and_the_largest(attempt: int, jitter: float, factor: float, base: float) -> None:
    backoff = Backoff(base_s=base, factor=factor)
    delay = backoff.delay(attempt, jitter)
    assert base / 2 <= delay <= 300
    assert delay <= backoff.delay(attempt + 1, jitter)


@pytest.mark.parametrize(
    "bad", [{"base_s": 0}, {"factor": 0.5}, {"max_s": 0.5}, {"max_s": NAN}, {"factor": math.inf}, {"base_s": -1}]
)
def test_nonsense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Backoff"):
        Backoff(**bad)
