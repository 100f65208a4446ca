"""Offsets in code points (Python, `Text`) <-> in UTF-16 code units (JavaScript, Java and their networks)."""

from __future__ import annotations

import re
from bisect import bisect_left

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


class Utf16Offsets:
    """Converts many offsets of one body: made once in linear time, then each answer takes a binary search.

    Offsets outside of the body are moved to its nearest end. A UTF-16 offset in the middle of a surrogate pair is moved
    to before the character, so that no span ever starts or ends inside one.
    """

    __slots__ = ("_astral", "_length")

    def __init__(self, body: str) -> None:
        self._length = len(body)
        self._astral = [found.start() for found in _ASTRAL.finditer(body)]

    def to_utf16(self, offset: int) -> int:
        """The offset in UTF-16 code units of an offset in code points. Never raises."""
        offset = min(max(offset, 0), self._length)
        return offset + bisect_left(self._astral, offset)

    def from_utf16(self, units: int) -> int:
        """The offset in code points of an offset in UTF-16 code units. Never raises."""
        units = min(max(units, 0), self._length + len(self._astral))
        # The k-th astral character (from 0) begins at unit self._astral[k] + k, and is passed from that + 2 on.
        low, high = 0, len(self._astral)
        while low < high:
            middle = (low + high) // 2
            if self._astral[middle] + middle + 2 <= units:
                low = middle + 1
            else:
                high = middle
        offset = units - low
        inside = low < len(self._astral) and self._astral[low] + low + 1 == units
        return offset - 1 if inside else offset


def utf16_offset(body: str, offset: int) -> int:
    """One offset in code points as UTF-16 code units; for many offsets of a body use `Utf16Offsets`."""
    return Utf16Offsets(body).to_utf16(offset)


def from_utf16(body: str, units: int) -> int:
    """One offset in UTF-16 code units as code points; for many offsets of a body use `Utf16Offsets`."""
    return Utf16Offsets(body).from_utf16(units)
