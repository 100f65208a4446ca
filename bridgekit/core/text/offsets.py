"""Spans over a text, by offset. The conversion to UTF-16 lies in the model, where adapters find it too."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from bridgekit.model.offsets import Utf16Offsets, from_utf16, utf16_offset

__all__ = ["Disjoint", "Utf16Offsets", "from_utf16", "utf16_offset"]


class Disjoint:
    """Sorted spans that do not overlap, to be asked which of them an offset lies in."""

    __slots__ = ("ends", "starts")

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        self.starts = [start for start, _ in spans]
        self.ends = [end for _, end in spans]

    def strictly_around(self, offset: int) -> tuple[int, int] | None:
        """The span with ``start < offset < end``, or None."""
        index = bisect_left(self.starts, offset) - 1
        if index >= 0 and offset < self.ends[index]:
            return self.starts[index], self.ends[index]
        return None

    def subtract_from(self, start: int, end: int) -> list[tuple[int, int]]:
        """What of ``[start, end)`` lies in none of the spans, in order."""
        pieces = []
        index = bisect_right(self.ends, start)
        while index < len(self.starts) and self.starts[index] < end:
            if start < self.starts[index]:
                pieces.append((start, self.starts[index]))
            start = max(start, self.ends[index])
            index += 1
        if start < end:
            pieces.append((start, end))
        return pieces
