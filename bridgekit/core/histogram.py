"""Counts how long something took, in buckets."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

COMMIT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the buckets for writes to a disk, in seconds: a good one needs 1 ms, a bad day 10 s."""


class Histogram:
    """`counts[i]` values were at most `bounds[i]` and above the bound before; the last count is of those above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = COMMIT_BOUNDS_S) -> None:
        if list(bounds) != sorted(set(bounds)):
            raise ValueError("the bounds of a histogram must grow")
        self.bounds: Final = bounds
        self.counts: Final = [0] * (len(bounds) + 1)
        self.total = 0.0
        """The sum of all values."""

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, int]]:
        """(upper bound, how many values were at most that), as Prometheus wants it; ends with ``+Inf``."""
        found: list[tuple[str, int]] = []
        below = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            below += count
            found.append((bound, below))
        return found
