"""Characters as a reader sees them: a letter with its accents, a flag, an emoji sequence (roughly UAX #29)."""

from __future__ import annotations

import re
import unicodedata

from bridgekit.core.text.offsets import Disjoint

_ZERO_WIDTH_JOINER = "\u200d"
# What neither extends another character nor is a flag's half: Latin, Greek, Cyrillic, kana, CJK, Hangul syllables.
_UNUSUAL = re.compile("[^\x00-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u2027\u3040-\u3098\u309b-\u9fff\uac00-\ud7a3]")


def extends(char: str) -> bool:
    """Whether the character belongs to the one before it (roughly UAX #29's Extend, SpacingMark and ZWJ)."""
    if char < "\u0300":
        return False
    return (
        char == _ZERO_WIDTH_JOINER
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= char <= "\U000e007f"  # tags: the flag of Scotland
        or "\u1160" <= char <= "\u11ff"  # Hangul vowels and trailing consonants
        or unicodedata.category(char).startswith("M")  # marks; variation selectors and keycaps are among them
    )


def is_boundary(body: str, offset: int, floor: int) -> bool:
    """Whether a reader sees the end of a character at `offset`; regional indicators are paired from `floor` on."""
    if offset <= 0 or offset >= len(body):
        return True
    before, after = body[offset - 1], body[offset]
    if before < "\u0300" and after < "\u0300":
        return (before, after) != ("\r", "\n")
    if before == _ZERO_WIDTH_JOINER or extends(after):
        return False
    if _is_regional(before) and _is_regional(after):
        first = offset - 1
        while first > floor and _is_regional(body[first - 1]):
            first -= 1
        return (offset - first) % 2 == 0
    return not _are_halves(before, after)


def clusters(body: str) -> Disjoint:
    """The stretches of the body that are one character to a reader and several code points. Linear time.

    None has a line break in it, and only its first code point can be whitespace.
    """
    found: list[tuple[int, int]] = []
    half_flag = -1  # where a regional indicator is that still takes another
    for match in _UNUSUAL.finditer(body):
        offset = match.start()
        after = body[offset]
        if _is_regional(after):
            if half_flag == offset - 1 and offset:
                _join(found, offset)
                half_flag = -1
            else:
                half_flag = offset
            if offset == 0 or body[offset - 1] != _ZERO_WIDTH_JOINER:
                continue
        if offset and _joins(body[offset - 1], after):
            _join(found, offset)
    return Disjoint(found)


def _join(found: list[tuple[int, int]], offset: int) -> None:
    if found and found[-1][1] == offset:
        found[-1] = (found[-1][0], offset + 1)
    else:
        found.append((offset - 1, offset + 1))


def _joins(before: str, after: str) -> bool:
    if unicodedata.category(before) in ("Cc", "Zl", "Zp"):
        return False
    if extends(after):
        return True
    if before == _ZERO_WIDTH_JOINER:
        return unicodedata.category(after) in ("So", "Sm", "Cn")  # the next sign of an emoji sequence
    return _are_halves(before, after)


def _are_halves(before: str, after: str) -> bool:
    """Two halves of a surrogate pair that came as two code points."""
    return "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff"


def _is_regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
