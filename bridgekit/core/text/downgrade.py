"""Writing out as plain text what a network (or a plain client) cannot show."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate

from bridgekit.core.text.layout import layout
from bridgekit.core.text.normalise import normalise
from bridgekit.model.content import BLOCK_STYLES, Mention, Run, Style, Text


def downgrade(text: Text, supported: frozenset[Style]) -> Text:
    """The text, in normal form, with runs of the `supported` styles only.

    What a network lacks goes into the body, and every other span moves along: ``> `` before each quoted line, once per
    level; ``- `` or ``1. `` before a list item, two spaces of indentation per level above, its further lines indented
    below its text (none of these inside a code block that stays one); `` (url)`` after a link, unless the link shows
    that url anyway. Code blocks, headings and inline styles need no marker to be read: their runs are dropped and the
    text stays.
    """
    if not text.runs and not text.mentions:
        return text  # most messages
    text = normalise(text)
    blocks = [run for run in text.runs if run.style in BLOCK_STYLES]
    inserts: list[tuple[int, str]] = []
    if not supported >= {Style.QUOTE, Style.LIST_ITEM} and blocks:
        inserts += _line_markers(text.body, blocks, supported)
    if Style.LINK not in supported:
        inserts += [(run.end, f" ({run.value})") for run in text.runs if _hides_url(text.body, run)]
    inserts.sort(key=lambda insert: insert[0])
    kept = [run for run in text.runs if run.style in supported]
    return _insert(text.body, inserts, kept, text.mentions)


def _hides_url(body: str, run: Run) -> bool:
    if run.style is not Style.LINK or not run.value:
        return False
    shown = body[run.start : run.end].strip().rstrip("/")
    url = run.value.rstrip("/")
    return shown not in (url, url.removeprefix("mailto:"), url.removeprefix("https://"), url.removeprefix("http://"))


def _line_markers(body: str, blocks: list[Run], supported: frozenset[Style]) -> list[tuple[int, str]]:
    inserts = []
    current: int | None = None  # the item of the segment before
    for segment in layout(body, blocks):
        quote = "" if Style.QUOTE in supported else "> " * segment.quote
        first = rest = ""
        if segment.item is not None and Style.LIST_ITEM not in supported:
            index, item = segment.item
            indent, marker = "  " * (item.level - 1), "- " if item.ordinal is None else f"{item.ordinal}. "
            rest = indent + " " * len(marker)
            first = rest if index == current else indent + marker
            current = index
        if segment.leaf is not None and segment.leaf[1].style is Style.CODE_BLOCK and Style.CODE_BLOCK in supported:
            continue  # a marker there would become part of the code
        start = segment.start
        while True:
            newline = body.find("\n", start, segment.end)
            line_end = segment.end if newline < 0 else newline
            marker = quote + first
            # An empty line needs no trailing spaces.
            marker = marker if line_end > start else marker.rstrip()
            if marker:
                inserts.append((start, marker))
            if newline < 0:
                break
            start, first = newline + 1, rest
    return inserts


def _insert(body: str, inserts: list[tuple[int, str]], runs: list[Run], mentions: tuple[Mention, ...]) -> Text:
    """Puts the strings in at their offsets, sorted, and moves the spans along.

    What goes in at the edge of a span lies outside of it, but inside of a block: that covers the whole line.
    """
    places = [place for place, _ in inserts]
    added = [0, *accumulate(len(string) for _, string in inserts)]
    pieces: list[str] = []
    done = 0
    for place, string in inserts:
        pieces += (body[done:place], string)
        done = place
    pieces.append(body[done:])

    def before(offset: int) -> int:
        return offset + added[bisect_left(places, offset)]

    def after(offset: int) -> int:
        return offset + added[bisect_right(places, offset)]

    moved = [
        Run(before(run.start), after(run.end), run.style, run.value, run.level, run.ordinal)
        if run.style in BLOCK_STYLES
        else Run(after(run.start), before(run.end), run.style, run.value)
        for run in runs
    ]
    named = tuple(Mention(after(span.start), before(span.end), span.target) for span in mentions)
    return normalise(Text("".join(pieces), tuple(moved), named))
