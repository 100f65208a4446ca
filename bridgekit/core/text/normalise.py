"""The normal form of a `Text`: one way to write each formatting, which everything after it may rely on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from bridgekit.core.text.characters import clusters
from bridgekit.core.text.layout import MAX_LEVEL, Segment, clamp_level, layout, strip_newlines
from bridgekit.core.text.offsets import Disjoint
from bridgekit.model.content import BLOCK_STYLES, Mention, Run, Style, Text


def normalise(text: Text) -> Text:
    """The same text with its spans in normal form. The body is not changed. Never raises; idempotent.

    - Spans are in range, not empty, and sorted: by start, longer first, then outer first (quote, list item, the other
      blocks, inline styles).
    - A block run covers whole lines, the first and last of them not empty: the lines that it touched. Its level is
      between 1 and 16 (a heading's: 6). Code blocks and headings do not overlap, nor do list items: a line belongs to
      the innermost, and an item that another one interrupts ends there. Quotes are nested: a line at depth 2 lies in a
      run of level 1 and one of level 2; consecutive quoted lines are one quote. A quote is outside of what it touches:
      items end, and code blocks and headings are cut, where its depth changes.
    - Inline runs of a style do not overlap; those that touch and are alike are one. They do not start or end with
      whitespace, do not cross the edge of a block, are not inside a code block, and do not cut a mention in two.
    - Mentions do not overlap each other (the earlier stays), start or end with whitespace, or cross a block's edge (cut
      to the first block), and no link lies over a mention.
    - No span starts or ends inside of what a reader sees as one character (a letter and its accent, a flag, an emoji
      sequence): it is widened.
    - What a style does not use (`value`, `level`, `ordinal`) is unset.
    """
    if not text.runs and not text.mentions:
        return text
    body = text.body
    characters = clusters(body)
    in_range = [run for run in (_clipped(run, len(body)) for run in text.runs) if run.start < run.end]
    segments = layout(body, sorted((run for run in in_range if run.style in BLOCK_STYLES), key=_order))
    blocks = [*_quotes(segments), *_items(body, segments), *_leaves(body, segments)]
    edges = sorted({edge for run in blocks for edge in (run.start, run.end)})
    code = Disjoint([(run.start, run.end) for run in blocks if run.style is Style.CODE_BLOCK])
    mentions = _mentions(text, edges, characters)
    inline = _inline(
        body, (run for run in in_range if run.style not in BLOCK_STYLES), edges, code, mentions, characters
    )
    return Text(body, tuple(sorted((*blocks, *inline), key=_order)), tuple(mentions))


_OUTERMOST = (Style.QUOTE, Style.LIST_ITEM, Style.CODE_BLOCK, Style.HEADING)
_RANK = {
    style: rank for rank, style in enumerate((*_OUTERMOST, *(style for style in Style if style not in _OUTERMOST)))
}


def _order(run: Run) -> tuple[int, int, int, int, str]:
    return run.start, -run.end, _RANK[run.style], run.level, run.value


def _clipped(run: Run, length: int) -> Run:
    if run.start >= 0 and run.end <= length:
        return run
    return Run(max(run.start, 0), min(run.end, length), run.style, run.value, run.level, run.ordinal)


# --- blocks -----------------------------------------------------------------------------------------------------
def _quotes(segments: list[Segment]) -> list[Run]:
    runs = []
    open_at: list[int] = []  # the start of the quote of each open level
    end = 0
    for segment in segments:
        while len(open_at) > segment.quote:
            runs.append(Run(open_at.pop(), end, Style.QUOTE, level=len(open_at) + 1))
        open_at += [segment.start] * (min(segment.quote, MAX_LEVEL) - len(open_at))
        end = segment.end
    while open_at:
        runs.append(Run(open_at.pop(), end, Style.QUOTE, level=len(open_at) + 1))
    return runs


def _items(body: str, segments: list[Segment]) -> list[Run]:
    runs: list[Run] = []
    done: set[int] = set()
    index = 0
    while index < len(segments):
        first = last = segments[index]
        index += 1
        if first.item is None:
            continue
        key, run = first.item
        # A second stretch of the same item would look like another item.
        if key in done:
            continue
        done.add(key)
        while index < len(segments) and (segments[index].item, segments[index].quote) == (first.item, first.quote):
            last = segments[index]
            index += 1
        start, end = strip_newlines(body, first.start, last.end)
        if start < end:
            runs.append(Run(start, end, Style.LIST_ITEM, level=clamp_level(run), ordinal=run.ordinal))
    return runs


def _leaves(body: str, segments: list[Segment]) -> list[Run]:
    runs: list[Run] = []
    for segment in segments:
        if segment.leaf is None:
            continue
        start, end = strip_newlines(body, segment.start, segment.end)
        if start == end:
            continue
        _, run = segment.leaf
        if run.style is Style.CODE_BLOCK:
            runs.append(Run(start, end, Style.CODE_BLOCK, value=run.value))
        else:
            runs.append(Run(start, end, Style.HEADING, level=clamp_level(run)))
    return runs


# --- what lies in the lines ---------------------------------------------------------------------------------------
def _mentions(text: Text, edges: list[int], characters: Disjoint) -> list[Mention]:
    kept: list[Mention] = []
    for mention in sorted(text.mentions, key=lambda mention: (mention.start, -mention.end)):
        start, end = max(mention.start, 0), min(mention.end, len(text.body))
        if start >= end:
            continue
        start, end = _whole(characters, start, end)
        if kept and start < kept[-1].end:
            continue
        # Cut, not dropped: whoever is named should hear of it. Whitespace at the ends is not part of a name.
        for piece_start, piece_end in _between(start, end, edges):
            piece_start, piece_end = _trim(text.body, piece_start, piece_end, characters)
            if piece_start < piece_end:
                kept.append(Mention(piece_start, piece_end, mention.target))
                break
    return kept


def _inline(
    body: str, runs: Iterable[Run], edges: list[int], code: Disjoint, mentions: list[Mention], characters: Disjoint
) -> Iterable[Run]:
    named = Disjoint([(mention.start, mention.end) for mention in mentions])
    by_style: dict[Style, list[Run]] = {}
    for run in runs:
        by_style.setdefault(run.style, []).append(run)
    for style, same in by_style.items():
        for start, end, value in _disjoint(_snapped(same, named, characters)):
            outside = named.subtract_from(start, end) if style is Style.LINK else [(start, end)]
            for stretch in outside:
                for piece in _between(*stretch, edges):
                    for uncoded in code.subtract_from(*piece):
                        trimmed_start, trimmed_end = _trim(body, *uncoded, characters)
                        if trimmed_start < trimmed_end:
                            yield Run(trimmed_start, trimmed_end, style, value=value)


def _snapped(runs: list[Run], named: Disjoint, characters: Disjoint) -> Iterable[tuple[int, int, str]]:
    """The runs as (start, end, value), widened where an end lies inside a mention or a character; a value only where it
    is used."""
    for run in runs:
        start, end = _whole(named, *_whole(characters, run.start, run.end))
        yield start, end, run.value if run.style in (Style.LINK, Style.SPOILER) else ""


def _whole(units: Disjoint, start: int, end: int) -> tuple[int, int]:
    """``[start, end)``, widened where an end lies inside of one of these."""
    around_start, around_end = units.strictly_around(start), units.strictly_around(end)
    return around_start[0] if around_start else start, around_end[1] if around_end else end


def _disjoint(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The spans sorted, alike ones that overlap or touch as one; where different ones overlap, the earlier goes on."""
    kept: list[tuple[int, int, str]] = []
    for start, end, value in sorted(spans, key=lambda span: (span[0], -span[1], span[2])):
        if kept:
            last_start, last_end, last_value = kept[-1]
            if value == last_value and start <= last_end:
                kept[-1] = (last_start, max(end, last_end), value)
                continue
            start = max(start, last_end)
        if start < end:
            kept.append((start, end, value))
    return kept


def _between(start: int, end: int, edges: list[int]) -> Iterable[tuple[int, int]]:
    """``[start, end)`` cut at the edges that lie strictly inside."""
    for index in range(bisect_right(edges, start), bisect_left(edges, end)):
        yield start, edges[index]
        start = edges[index]
    yield start, end


def _trim(body: str, start: int, end: int, characters: Disjoint) -> tuple[int, int]:
    # An accent can sit on a space.
    while start < end and body[start].isspace() and characters.strictly_around(start + 1) is None:
        start += 1
    while start < end and body[end - 1].isspace():
        end -= 1
    return start, end
