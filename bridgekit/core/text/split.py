"""Cutting a `Text`: one piece of it, or all of it into parts that a network's length limit lets through."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Literal

from bridgekit.core.text.characters import extends, is_boundary
from bridgekit.core.text.normalise import normalise
from bridgekit.core.text.offsets import Disjoint
from bridgekit.model.content import Mention, Run, Style, Text

LengthUnit = Literal["codepoints", "utf16", "utf8"]
"""What a network counts: Unicode code points, UTF-16 code units, or bytes of UTF-8."""

MIN_LENGTH = 4
"""The longest character in any unit: a part can hold at least one."""


def slice_text(text: Text, start: int, end: int) -> Text:
    """The piece ``[start, end)`` of a text, with its spans clipped and shifted, in normal form.

    Offsets outside of the body are moved to its nearest end. A mention that the cut goes through stays as text, in both
    pieces: half a name names nobody. A list item that began before `start` loses its marker: one item, one marker.
    """
    start = min(max(start, 0), len(text.body))
    return _pieces(text, [(start, max(start, min(end, len(text.body))))])[0]


def split_text(text: Text, max_length: int, *, unit: LengthUnit) -> tuple[Text, ...]:
    """The text as parts of at most `max_length` `unit`s each, in order; a text that fits comes back as it is, alone.

    Cuts are made, by preference: between paragraphs, lines, sentences, words, each where that leaves the part at least
    half full; then between words or lines anywhere; then between characters as a reader sees them (not before a
    combining mark, inside an emoji sequence or a flag); then, if not even one of these fits, between code points. Never
    inside a mention, unless the mention alone is longer than a part (it stays as text then).

    What is lost, where a text is cut at all: the whitespace around each cut and at both ends of the body, nothing else
    (of a body that is only whitespace, what does not fit). In a code block the line after a cut keeps its indentation,
    unless that alone is longer than a part. No-break spaces do not count as whitespace here and are never lost. So each
    part's body is a slice of the body, in order, with only whitespace between two of them. No part is empty or only
    whitespace, unless the whole body is. Blocks, code too, go on in the next part; a list item that goes on there has
    no second marker. Each part is in normal form.

    Linear time. Raises ValueError for a `max_length` under 4, which might not hold one character.
    """
    if max_length < MIN_LENGTH:
        raise ValueError(f"max_length must be at least {MIN_LENGTH}")
    body = text.body
    sizes = _Sizes(body, unit)
    if sizes.fit(0, max_length) >= len(body):
        return (text,)
    text = normalise(text)
    cuts = _cut(text, sizes, max_length)
    return _pieces(text, cuts or [(0, sizes.fit(0, max_length))])


class _Sizes:
    """How far from an offset a number of units reaches."""

    def __init__(self, body: str, unit: LengthUnit) -> None:
        self._length = len(body)
        self._sums: list[int] | None = None
        if unit == "utf16" and not (body.isascii() or max(body) <= "\uffff"):
            self._sums = [0, *accumulate(2 if char > "\uffff" else 1 for char in body)]
        elif unit == "utf8" and not body.isascii():
            self._sums = [0, *accumulate(_utf8_size(char) for char in body)]

    def fit(self, start: int, units: int) -> int:
        """The largest end such that ``[start, end)`` has at most this many units."""
        if self._sums is None:
            return min(start + units, self._length)
        return bisect_right(self._sums, self._sums[start] + units) - 1


def _utf8_size(char: str) -> int:
    if char <= "\x7f":
        return 1
    if char <= "\u07ff":
        return 2
    return 3 if char <= "\uffff" else 4


# --- where to cut -------------------------------------------------------------------------------------------------
_SPACE = r"[^\S\u00a0\u2007\u202f]"  # whitespace, but for the no-break spaces
_BLANK = re.compile(rf"{_SPACE}*")
_PARAGRAPH_END = re.compile(r"(?<!\n)(?=\n\n)")
_LINE_END = re.compile(r"(?=\n)")
_SENTENCE_END = re.compile(rf"(?:(?<=[.!?…])|(?<=[.!?…][)\"'»”’\]]))(?={_SPACE})|(?<=[。！？])")
_WORD_END = re.compile(rf"(?<!\s)(?={_SPACE})")
_LOOKAHEAD = 2  # the most that a pattern looks at after where it matches


def _cut(text: Text, sizes: _Sizes, max_length: int) -> list[tuple[int, int]]:
    body = text.body
    # A mention that fits in no part is text like any other.
    whole = (span for span in text.mentions if sizes.fit(span.start, max_length) >= span.end)
    mentions = Disjoint([(span.start, span.end) for span in whole])
    code = Disjoint([(run.start, run.end) for run in text.runs if run.style is Style.CODE_BLOCK])
    parts = []
    start, stop = _next_start(body, 0, code), _end_of_words(body, len(body))
    while start < stop:
        limit = sizes.fit(start, max_length)
        cut = stop if limit >= stop else _best_cut(body, start, limit, mentions)
        end = _end_of_words(body, cut)
        if end > start:  # else there is nothing but indentation before the limit
            parts.append((start, end))
        start = _next_start(body, cut, code)
    return parts


def _end_of_words(body: str, end: int) -> int:
    """`end` without the whitespace before it."""
    while end > 0 and _BLANK.fullmatch(body, end - 1, end):
        end -= 1
    return end


def _next_start(body: str, cut: int, code: Disjoint) -> int:
    """Where the part after a cut begins: past the whitespace, but in code at the start of that line."""
    found = _BLANK.match(body, cut)
    start = found.end() if found else cut
    if start == len(body):
        return start
    if code.strictly_around(start) is not None:
        newline = body.rfind("\n", cut, start)
        if newline >= 0 or cut == 0:
            return newline + 1
    # A combining mark sits on the space before it.
    return start - 1 if start > cut and extends(body[start]) else start


def _best_cut(body: str, start: int, limit: int, mentions: Disjoint) -> int:
    """Where to end the part that starts at `start` and may reach to `limit`; always after `start`."""
    half = start + (limit - start) // 2 + 1
    for pattern in (_PARAGRAPH_END, _LINE_END, _SENTENCE_END, _WORD_END):
        if (cut := _last(pattern, body, half, limit, mentions)) is not None:
            return cut
    for pattern in (_LINE_END, _WORD_END):
        if (cut := _last(pattern, body, start + 1, half - 1, mentions)) is not None:
            return cut
    for cut in range(limit, start, -1):
        if mentions.strictly_around(cut) is None and is_boundary(body, cut, start):
            return cut
    around = mentions.strictly_around(limit)
    return around[0] if around and around[0] > start else limit


def _last(pattern: re.Pattern[str], body: str, low: int, high: int, mentions: Disjoint) -> int | None:
    """The last place in ``[low, high]`` where the pattern matches and a cut is allowed."""
    last = None
    for found in pattern.finditer(body, low, high + _LOOKAHEAD):
        cut = found.start()
        if cut <= high and mentions.strictly_around(cut) is None and is_boundary(body, cut, low):
            last = cut
    return last


# --- the parts ------------------------------------------------------------------------------------------------------
def _pieces(text: Text, parts: list[tuple[int, int]]) -> tuple[Text, ...]:
    """The parts, disjoint and in order, as texts."""
    starts = [start for start, _ in parts]
    runs: list[list[Run]] = [[] for _ in parts]
    mentions: list[list[Mention]] = [[] for _ in parts]
    for run in text.runs:
        index = max(bisect_right(starts, run.start) - 1, 0)
        while index < len(parts) and parts[index][0] < run.end:
            piece = _shifted(text.body, run, *parts[index])
            if piece is not None:
                runs[index].append(piece)
            index += 1
    for mention in text.mentions:
        index = max(bisect_right(starts, mention.start) - 1, 0)
        start, end = parts[index]
        if start <= mention.start and mention.end <= end:
            mentions[index].append(Mention(mention.start - start, mention.end - start, mention.target))
    return tuple(
        normalise(Text(text.body[start:end], tuple(runs[index]), tuple(mentions[index])))
        for index, (start, end) in enumerate(parts)
    )


def _shifted(body: str, run: Run, start: int, end: int) -> Run | None:
    if run.start >= end or run.end <= start:
        return None
    if run.style is Style.LIST_ITEM and run.start < start:
        blank = _BLANK.match(body, max(run.start, 0), start)
        if blank is None or blank.end() < start:
            return None
    return Run(max(run.start, start) - start, min(run.end, end) - start, run.style, run.value, run.level, run.ordinal)
