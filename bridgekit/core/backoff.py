"""How long to wait before trying again. Pure: the caller brings the attempt's number and the randomness."""

from __future__ import annotations

import math

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """Exponential backoff with *equal jitter*: each delay lies in the upper half of its step.

    Equal rather than full jitter, because full jitter may answer 0 s: a lane that hammers a server that is already
    down, for no gain. Half of the step is certain, the other half spreads the lanes that failed together.

    `base_s`: the first step, seconds. `factor`: each step's growth. `max_s`: the largest step, seconds.
    `retry_after_cap_s`: the longest the other side may make us wait; a blind wait of a day, because a server (or a
    proxy before it) said so, is never right.

    Raises ValueError when a number is not finite or out of its range.
    """

    base_s: float = 1.0
    factor: float = 2.0
    max_s: float = 300.0
    retry_after_cap_s: float = 3600.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.base_s, self.factor, self.max_s, self.retry_after_cap_s))):
            raise ValueError("every number of a Backoff must be finite")
        if self.base_s <= 0 or self.factor < 1 or self.max_s < self.base_s or self.retry_after_cap_s < 0:
            raise ValueError("a Backoff needs base_s > 0, factor >= 1, max_s >= base_s and retry_after_cap_s >= 0")

    def delay(self, attempt: int, jitter: float, retry_after_s: float | None = None) -> float:
        """Seconds to wait after failure number `attempt` (the first is 0; a negative number counts as 0).

        `jitter` in [0, 1) picks the place in the step's upper half. `retry_after_s` is what the other side asked for
        (Retry-After, `retry_after_ms`): the answer is never less, up to `retry_after_cap_s`. What makes no sense there
        (negative, NaN) is ignored.
        """
        step = self._step(max(attempt, 0))
        wait = step / 2 + step / 2 * min(max(jitter, 0.0), 1.0)
        # A comparison with NaN is false, so a NaN falls through here.
        if retry_after_s is not None and retry_after_s > 0:
            wait = max(wait, min(retry_after_s, self.retry_after_cap_s))
        return wait

    def _step(self, attempt: int) -> float:
        # Compared as logarithms: 2.0 ** 10_000 raises OverflowError.
        if attempt * math.log(self.factor) >= math.log(self.max_s / self.base_s):
            return self.max_s if self.factor > 1 else self.base_s
        return min(self.base_s * self.factor**attempt, self.max_s)
