"""Which lines of a body are quoted, listed, headings or code: the block runs, resolved line by line."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec

from bridgekit.model.content import Run, Style

MAX_LEVEL = 16
"""Quotes and lists nest no deeper than this; deeper levels count as this one."""


class Segment(msgspec.Struct, frozen=True):
    """Whole lines, ``[start, end)``, that lie in the same blocks; as long as can be.

    `quote`: depth, 0 for none. `item`: the innermost list item, by index into the block runs and itself. `leaf`: the
    code block or heading, likewise. Between a segment and the next there is exactly one newline.
    """

    start: int
    end: int
    quote: int
    item: tuple[int, Run] | None
    leaf: tuple[int, Run] | None


def strip_newlines(body: str, start: int, end: int) -> tuple[int, int]:
    """``[start, end)`` without the newlines at its ends."""
    while start < end and body[start] == "\n":
        start += 1
    while start < end and body[end - 1] == "\n":
        end -= 1
    return start, end


def clamp_level(run: Run) -> int:
    """The run's level, made one that can be shown."""
    return min(max(run.level, 1), 6 if run.style is Style.HEADING else MAX_LEVEL)


def layout(body: str, blocks: Sequence[Run]) -> list[Segment]:
    """The body's lines, grouped by the blocks they lie in.

    `blocks` are block runs within the body's bounds. Each counts for every line that it touches, but for its newlines
    at either end. Where several claim a line: the deepest quote (the quote is always outermost), the innermost list
    item, a code block before a heading, the earlier before the later.
    """
    starts = [0]
    newline = body.find("\n")
    while newline >= 0:
        starts.append(newline + 1)
        newline = body.find("\n", newline + 1)

    quotes, items, leaves = [], [], []
    for index, run in enumerate(blocks):
        start, end = strip_newlines(body, run.start, run.end)
        if start == end:
            continue
        claim = (bisect_right(starts, start) - 1, bisect_right(starts, end - 1) - 1, index)
        if run.style is Style.QUOTE:
            quotes.append(claim)
        elif run.style is Style.LIST_ITEM:
            items.append(claim)
        else:
            leaves.append(claim)

    def depth(index: int) -> tuple[int, int]:
        return -clamp_level(blocks[index]), index

    def innermost(index: int) -> tuple[int, int, int]:
        return -blocks[index].start, -clamp_level(blocks[index]), index

    def leaf_rank(index: int) -> tuple[bool, int, int]:
        return blocks[index].style is not Style.CODE_BLOCK, blocks[index].start, index

    quote_of = _winners(quotes, len(starts), depth)
    item_of = _winners(items, len(starts), innermost)
    leaf_of = _winners(leaves, len(starts), leaf_rank)

    segments: list[Segment] = []
    previous: tuple[int, int | None, int | None] | None = None
    for line, line_start in enumerate(starts):
        line_end = starts[line + 1] - 1 if line + 1 < len(starts) else len(body)
        quote, item, leaf = quote_of[line], item_of[line], leaf_of[line]
        level = 0 if quote is None else clamp_level(blocks[quote])
        if previous == (level, item, leaf):
            line_start = segments.pop().start
        previous = (level, item, leaf)
        segments.append(
            Segment(
                line_start,
                line_end,
                level,
                None if item is None else (item, blocks[item]),
                None if leaf is None else (leaf, blocks[leaf]),
            )
        )
    return segments


def _winners(
    claims: list[tuple[int, int, int]], lines: int, rank: Callable[[int], tuple[int, ...]]
) -> list[int | None]:
    """For each line the claim's index that ranks lowest among those that cover it. O((claims + lines) log claims)."""
    claims = sorted(claims)
    heap: list[tuple[tuple[int, ...], int, int]] = []
    winners: list[int | None] = []
    upcoming = 0
    for line in range(lines):
        while upcoming < len(claims) and claims[upcoming][0] <= line:
            _, last, index = claims[upcoming]
            heapq.heappush(heap, (rank(index), last, index))
            upcoming += 1
        while heap and heap[0][1] < line:
            heapq.heappop(heap)
        winners.append(heap[0][2] if heap else None)
    return winners
