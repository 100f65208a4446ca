"""`Text` to Matrix HTML (``formatted_body``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from html import escape

from bridgekit.core.html.links import safe_url
from bridgekit.core.text.layout import Segment, layout
from bridgekit.core.text.normalise import normalise
from bridgekit.model.content import BLOCK_STYLES, Mention, MentionTarget, Run, Style, Text

_TAGS = {
    Style.BOLD: "strong",
    Style.ITALIC: "em",
    Style.UNDERLINE: "u",
    Style.STRIKE: "del",
    Style.CODE: "code",
    Style.SPOILER: "span",
    Style.LINK: "a",
}
# Spoilers and links are outermost: cut in two they would be two to click.
_NESTING = {style: rank for rank, style in enumerate((Style.SPOILER, Style.LINK))}
_COLLAPSIBLE = re.compile(r"(?m)^[ \t]+|[ \t]+$|[ \t]{2,}")
_NEWLINE = "\x00"  # stands for a newline that will be a <br>; a body that is written out has no NUL left
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")

Pill = Callable[[MentionTarget], tuple[str, str] | None]


def render_html(text: Text, *, pill: Pill) -> str | None:
    """The text as Matrix HTML; None when there is nothing to format, and the plain body says it all.

    `pill` gives a mention's URL (matrix.to) and the name to show instead of the body's text ("" keeps that); None makes
    no pill. A link whose scheme is not allowed (`bridgekit.core.html.links`) stays text. Whitespace that HTML would
    collapse becomes no-break spaces, outside of code blocks. Never raises, but for what `pill` raises.
    """
    text = normalise(text)
    mentions = [(mention, pilled) for mention in text.mentions if (pilled := pill(mention.target)) is not None]
    runs = list(_linkable(text.runs))
    if not runs and not mentions:
        return None
    # One character for one character: the spans' offsets stay right.
    body = _UNSENDABLE.sub("\ufffd", text.body)
    writer = _Writer(body, runs, mentions)
    for segment in layout(body, [run for run in runs if run.style in BLOCK_STYLES]):
        writer.segment(segment)
    return writer.finish()


def _linkable(runs: Iterable[Run]) -> Iterable[Run]:
    for run in runs:
        if run.style is not Style.LINK:
            yield run
        elif (url := safe_url(run.value)) is not None:
            yield Run(run.start, run.end, Style.LINK, value=url)


def _attribute(value: str) -> str:
    return escape(_UNSENDABLE.sub("\ufffd", " ".join(value.split())), quote=True)


def _escape(text: str) -> str:
    return escape(text, quote=False).replace(_NEWLINE, "<br>")


class _Writer:
    """Writes the segments in order; knows which blockquotes, lists and list items are open."""

    def __init__(self, body: str, runs: list[Run], mentions: list[tuple[Mention, tuple[str, str]]]) -> None:
        self._body = body
        self._inline = [run for run in runs if run.style not in BLOCK_STYLES]
        self._mentions = mentions
        self._next_inline = self._next_mention = 0
        self._out: list[str] = []
        self._quote = 0
        self._lists: list[_List] = []
        self._item: int | None = None

    def finish(self) -> str:
        self._to_quote(0)
        return "".join(self._out)

    def segment(self, segment: Segment) -> None:
        if segment.quote != self._quote:
            self._to_quote(segment.quote)
        if segment.item is None:
            self._close_lists(0)
        elif segment.item[0] != self._item:
            self._open_item(segment.item[1])
        self._item = None if segment.item is None else segment.item[0]

        leaf = None if segment.leaf is None else segment.leaf[1]
        if leaf is None:
            self._text(segment)
            # A <br> right before the end of a block shows nothing, so an empty last line takes another.
            if self._body[segment.start : segment.end].endswith("\n") or segment.start == segment.end:
                self._out.append("<br>")
        elif leaf.style is Style.CODE_BLOCK:
            language = f' class="language-{_attribute(leaf.value)}"' if leaf.value and not _spaced(leaf.value) else ""
            self._out.append(f"<pre><code{language}>")
            self._text(segment, code=True)
            self._out.append("</code></pre>")
        else:
            self._out.append(f"<h{leaf.level}>")
            self._text(segment)
            self._out.append(f"</h{leaf.level}>")

    # --- quotes and lists ------------------------------------------------------------------------------------------
    def _to_quote(self, level: int) -> None:
        self._close_lists(0)
        self._out.append("</blockquote>" * (self._quote - level) + "<blockquote>" * (level - self._quote))
        self._quote = level

    def _close_lists(self, depth: int) -> None:
        while len(self._lists) > depth:
            closed = self._lists.pop()
            self._out.append(closed.end_item() + f"</{closed.tag}>")

    def _open_item(self, item: Run) -> None:
        self._close_lists(item.level)
        tag = "ul" if item.ordinal is None else "ol"
        if len(self._lists) == item.level:
            same = self._lists[-1]
            # The spec allows <ol start>, not <li value>: a number out of sequence begins another list.
            if same.tag != tag or (item.ordinal is not None and same.ordinal != item.ordinal):
                self._close_lists(item.level - 1)
            else:
                self._out.append(same.end_item())
        while len(self._lists) < item.level:
            start = 1 if len(self._lists) < item.level - 1 or item.ordinal is None else item.ordinal
            self._out.append(f"<{tag}>" if start == 1 else f'<{tag} start="{start}">')
            self._lists.append(_List(tag, start))
        self._out.append(self._lists[-1].begin_item())

    # --- what is in the lines ----------------------------------------------------------------------------------------
    def _text(self, segment: Segment, *, code: bool = False) -> None:
        """A segment's text with its inline runs and pills; both lie wholly inside of one segment."""
        runs: list[Run] = []
        while self._next_inline < len(self._inline) and self._inline[self._next_inline].start < segment.end:
            runs.append(self._inline[self._next_inline])
            self._next_inline += 1
        text = self._body[segment.start : segment.end]
        if not code:
            text = _COLLAPSIBLE.sub(_unbreakable, text).replace("\n", _NEWLINE)
        pills: dict[int, tuple[int, str]] = {}
        while self._next_mention < len(self._mentions) and self._mentions[self._next_mention][0].start < segment.end:
            mention, (url, name) = self._mentions[self._next_mention]
            name = (
                " ".join(_UNSENDABLE.sub("\ufffd", name).split())
                or text[mention.start - segment.start : mention.end - segment.start]
            )
            pills[mention.start] = mention.end, f'<a href="{_attribute(url)}">{_escape(name)}</a>'
            self._next_mention += 1

        marks = {segment.start, segment.end, *(mark for run in runs for mark in (run.start, run.end))}
        marks.update(mark for start, (end, _) in pills.items() for mark in (start, end))
        ordered = sorted(marks)
        open_runs: list[Run] = []
        upcoming = 0
        for index, mark in enumerate(ordered):
            active = [run for run in open_runs if run.end > mark]
            while upcoming < len(runs) and runs[upcoming].start == mark:
                active.append(runs[upcoming])
                upcoming += 1
            active.sort(key=_nesting)
            self._reopen(open_runs, active)
            open_runs = active
            if mark in pills:
                self._out.append(pills[mark][1])
            elif mark < segment.end:
                self._out.append(_escape(text[mark - segment.start : ordered[index + 1] - segment.start]))

    def _reopen(self, before: list[Run], after: list[Run]) -> None:
        """From these open elements to those; what both begin with stays open."""
        common = 0
        while common < min(len(before), len(after)) and before[common] is after[common]:
            common += 1
        self._out += [f"</{_TAGS[run.style]}>" for run in reversed(before[common:])]
        self._out += [_start_tag(run) for run in after[common:]]


class _List:
    """An open list."""

    def __init__(self, tag: str, start: int) -> None:
        self.tag = tag
        self.ordinal = start  # of the next item
        self._item_open = False

    def begin_item(self) -> str:
        self._item_open = True
        self.ordinal += 1
        return "<li>"

    def end_item(self) -> str:
        was_open, self._item_open = self._item_open, False
        return "</li>" if was_open else ""


def _nesting(run: Run) -> tuple[int, int, int, str]:
    return _NESTING.get(run.style, len(_NESTING)), -run.end, run.start, run.style


def _start_tag(run: Run) -> str:
    if run.style is Style.LINK:
        return f'<a href="{_attribute(run.value)}">'
    if run.style is Style.SPOILER:
        # Spec, m.room.message, Spoiler messages: the attribute's value is the reason, and may be empty.
        return f'<span data-mx-spoiler="{_attribute(run.value)}">' if run.value else "<span data-mx-spoiler>"
    return f"<{_TAGS[run.style]}>"


def _spaced(value: str) -> bool:
    return len(value.split()) != 1


def _unbreakable(found: re.Match[str]) -> str:
    spaces = found[0]
    at_edge = found.start() == 0 or found.string[found.start() - 1] == "\n"
    at_edge = at_edge or found.end() == len(found.string) or found.string[found.end()] == "\n"
    return "\u00a0" * len(spaces) if at_edge else "\u00a0" * (len(spaces) - 1) + " "
