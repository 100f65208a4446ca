"""Matrix HTML (``formatted_body``) to `Text`."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from bridgekit.core.html.elements import BLOCKS, CELL_SEPARATOR, CELLS, HEADINGS, INLINE, LINE_BREAKERS, RULE
from bridgekit.core.html.links import pilled_user, safe_url
from bridgekit.core.html.tokens import EndTag, StartTag, TextToken, tokens
from bridgekit.core.text.normalise import normalise
from bridgekit.model.content import Mention, MentionTarget, Run, Style, Text
from bridgekit.model.ids import UserID

MAX_LENGTH = 256 * 1024
"""Characters of HTML; an event has at most 64 KiB."""

MAX_DEPTH = 100
"""Open formatting elements; what nests deeper adds no formatting, its text stays. No client shows as many."""

MAX_RUNS = 4096
"""Formatting runs and mentions together."""


class TooComplex(ValueError):
    """The HTML is longer or has more formatting than is worth translating: use the plain body."""


def parse_html(html: str, *, resolve: Callable[[UserID], MentionTarget | None]) -> Text:
    """The text that Matrix HTML shows, in normal form (`bridgekit.core.text.normalise`).

    `resolve` says whom a Matrix user stands for on the network; where it answers None, the pill's text stays, without a
    link: it is a name, and where it leads is on Matrix. Spec: m.room.message msgtypes, ``org.matrix.custom.html``.
    Whitespace collapses as in a browser; a paragraph is set off by an empty line, other blocks by a newline.
    ``mx-reply`` is left out with its content, as is what no client shows (scripts, styles); a table is its cells' text,
    an image its ``alt``, an unknown element its text.

    The body may be empty though `html` is not; the plain body may still say something then. Lone surrogates become
    U+FFFD, NUL is left out. Linear time. Raises `TooComplex`, and what `resolve` raises, nothing else.
    """
    if len(html) > MAX_LENGTH:
        raise TooComplex(f"{len(html)} characters of HTML, at most {MAX_LENGTH} are translated")
    builder = _Builder(resolve)
    for token in tokens(_clean(html)):
        if isinstance(token, TextToken):
            builder.text(token.text)
        elif isinstance(token, StartTag):
            builder.start(token)
        else:
            builder.end(token)
    return builder.finish()


def _clean(html: str) -> str:
    html = html.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return html if html.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", html)


_SPACES = re.compile(r"[ \t\n\r\f]+")
_INTEGER = re.compile(r"[ \t\n\f]*([+-]?[0-9]{1,9})", re.ASCII)


class _Open:
    """An element that is open: what its content will be formatted as, once it ends."""

    __slots__ = ("behind_line", "next_ordinal", "run", "start", "tag", "target")

    def __init__(self, tag: str, start: int) -> None:
        self.tag = tag
        self.start = start
        self.run: Run | None = None  # its style and value; where it lies is known at the end
        self.target: MentionTarget | None = None
        self.behind_line = False  # begun after a line had ended, and no other has begun yet
        self.next_ordinal = 1


class _Builder:
    """The body so far, the line that is being written, and the elements that are open."""

    def __init__(self, resolve: Callable[[UserID], MentionTarget | None]) -> None:
        self._resolve = resolve
        self._chunks: list[str] = []
        self._length = 0
        self._runs: list[Run] = []
        self._mentions: list[Mention] = []
        self._open: list[_Open] = []
        self._ignored: dict[str, int] = {}  # elements beyond MAX_DEPTH, to pair their end tags
        self._pre = 0
        self._reply = 0  # depth inside mx-reply
        # The line: open once it has content, or is an empty line that somebody asked for.
        self._line_open = False
        self._begun_behind_line: list[_Open] = []
        self._ended_behind_line: list[int] = []  # inline runs
        self._any_line = False
        self._last_line_empty = False
        self._empty_line_wanted = False
        self._at_item_start = False
        self._ends_with_space = False  # a collapsible one
        self._skip_newline = False  # HTML, 13.2.6.4.7: a newline right after <pre> is ignored

    # --- lines ---------------------------------------------------------------------------------------------------
    def _append(self, text: str) -> None:
        self._chunks.append(text)
        self._length += len(text)

    def _begin_line(self, *, empty: bool) -> None:
        if self._any_line:
            wanted = self._empty_line_wanted and not self._last_line_empty and not empty
            self._append("\n\n" if wanted else "\n")
        # What has begun since the line before ended begins in this one: the newline between is not part of it.
        for element in self._begun_behind_line:
            element.start, element.behind_line = self._length, False
        # What has ended since then has the newline in it: it goes on in a like one that begins right here.
        for index in self._ended_behind_line:
            self._runs[index] = msgspec.structs.replace(self._runs[index], end=self._length)
        self._begun_behind_line.clear()
        self._ended_behind_line.clear()
        self._any_line = self._line_open = True
        self._empty_line_wanted = self._at_item_start = False
        self._last_line_empty = empty

    def _end_line(self) -> None:
        if self._ends_with_space:
            # Spans that reach over the space are trimmed when the text is brought into normal form.
            self._chunks[-1] = self._chunks[-1][:-1]
            self._length -= 1
            self._ends_with_space = False
        self._line_open = False

    def _boundary(self, *, paragraph: bool = False) -> None:
        """A block begins or ends here."""
        self._end_line()
        if paragraph and not self._at_item_start:
            self._empty_line_wanted = True

    def _newline(self) -> None:
        if not self._line_open:
            self._begin_line(empty=True)
        self._end_line()

    # --- tokens --------------------------------------------------------------------------------------------------
    def text(self, text: str) -> None:
        if self._reply:
            return
        if self._pre:
            self._preformatted(text)
            return
        text = _SPACES.sub(" ", text)
        if (not self._line_open or self._ends_with_space) and text.startswith(" "):
            text = text[1:]
        if text:
            self._write(text)
            self._ends_with_space = text.endswith(" ")

    def _preformatted(self, text: str) -> None:
        text = text.replace("\r\n", "\n").replace("\r", "\n")  # those that came as character references
        if self._skip_newline:
            text = text.removeprefix("\n")
        for index, line in enumerate(text.split("\n")):
            if index:
                self._newline()
            if line:
                self._write(line)
        self._skip_newline = False

    def _write(self, text: str) -> None:
        if not self._line_open:
            self._begin_line(empty=False)
        self._append(text)
        self._ends_with_space = False

    def start(self, token: StartTag) -> None:
        tag = token.name
        if tag == "mx-reply":
            self._reply += 1
        if self._reply:
            return
        self._skip_newline = self._skip_newline and tag == "code"
        if tag == "br":
            self._newline()
        elif tag == "p":
            self._boundary(paragraph=True)
        elif tag == "hr":
            self._boundary()
            self._write(RULE)
            self._boundary()
        elif tag == "img":
            self.text(token.attributes.get("alt") or token.attributes.get("title") or "")
        elif tag in CELLS:
            if self._line_open and not self._pre:
                self._end_line()
                self._line_open = True
                self._write(CELL_SEPARATOR)
                self._ends_with_space = True
        elif tag in LINE_BREAKERS:
            self._boundary()
        elif tag in INLINE or tag in BLOCKS:
            self._start_element(tag, token.attributes)

    def end(self, token: EndTag) -> None:
        tag = token.name
        if tag == "mx-reply":
            self._reply = max(self._reply - 1, 0)
        elif self._reply:
            return
        elif tag == "br":  # HTML, 13.2.6.4.7: </br> is <br>
            self._newline()
        elif tag == "p":
            self._boundary(paragraph=True)
        elif tag in LINE_BREAKERS:
            self._boundary()
        elif self._ignored.get(tag, 0):
            self._ignored[tag] -= 1
            if tag in BLOCKS:
                self._boundary()
        elif tag in INLINE:
            # Only this one ends: in <b><i></b></i> the italics go on, as in browsers.
            self._close(self._find(tag), only=True)
        elif tag in BLOCKS:
            self._close(self._find(tag), only=False)

    def finish(self) -> Text:
        self._close(0 if self._open else None, only=False)
        self._end_line()
        text = normalise(Text("".join(self._chunks), tuple(self._runs), tuple(self._mentions)))
        self._check(len(text.runs) + len(text.mentions))
        return text

    # --- elements ------------------------------------------------------------------------------------------------
    def _find(self, *tags: str, until: frozenset[str] = frozenset()) -> int | None:
        """Where on the stack the innermost of these elements is; None if there is none inside of `until`."""
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index].tag in tags:
                return index
            if self._open[index].tag in until:
                return None
        return None

    def _start_element(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "li":
            self._close(self._find("li", until=frozenset({"ul", "ol"})), only=False)
        elif tag == "a":
            self._close(self._find("a"), only=True)
        elif tag in HEADINGS:
            self._close(self._find(*HEADINGS, until=BLOCKS.difference(HEADINGS)), only=False)
        if tag in BLOCKS:
            self._boundary()
        if len(self._open) >= MAX_DEPTH:
            self._ignored[tag] = self._ignored.get(tag, 0) + 1
            return
        element = _Open(tag, self._length)
        if tag in INLINE:
            self._inline(element, attributes)
        else:
            self._block(element, attributes)
        self._open.append(element)
        if not self._line_open:
            element.behind_line = True
            self._begun_behind_line.append(element)

    def _inline(self, element: _Open, attributes: dict[str, str]) -> None:
        style = INLINE[element.tag]
        if element.tag == "a":
            url = safe_url(attributes.get("href", ""))
            user_id = pilled_user(url) if url else None
            element.target = self._resolve(user_id) if user_id else None
            if url and user_id is None:
                element.run = Run(0, 0, Style.LINK, value=url)
        elif element.tag == "span":
            if "data-mx-spoiler" in attributes:
                element.run = Run(0, 0, Style.SPOILER, value=" ".join(attributes["data-mx-spoiler"].split()))
        elif self._pre and element.tag == "code":
            pre = self._open[self._find("pre") or 0]
            language = _language(attributes.get("class", ""))
            if language and pre.run is not None and not pre.run.value:
                pre.run = Run(0, 0, Style.CODE_BLOCK, value=language)
        elif style is not None:
            element.run = Run(0, 0, style)

    def _block(self, element: _Open, attributes: dict[str, str]) -> None:
        tag = element.tag
        if tag == "pre":
            self._pre += 1
            self._skip_newline = True
            element.run = Run(0, 0, Style.CODE_BLOCK, value=_language(attributes.get("class", "")))
        elif tag == "blockquote":
            level = 1 + sum(outer.tag == "blockquote" for outer in self._open)
            element.run = Run(0, 0, Style.QUOTE, level=level)
        elif tag in ("ul", "ol"):
            element.next_ordinal = _integer(attributes.get("start", ""), 1)
            if self._find("li") is not None:
                self._empty_line_wanted = False
        elif tag == "li":
            self._at_item_start = True
            lists = [outer for outer in self._open if outer.tag in ("ul", "ol")]
            ordinal = None
            if lists and lists[-1].tag == "ol":
                ordinal = _integer(attributes.get("value", ""), lists[-1].next_ordinal)
                lists[-1].next_ordinal = ordinal + 1
            element.run = Run(0, 0, Style.LIST_ITEM, level=max(len(lists), 1), ordinal=ordinal)
        else:
            element.run = Run(0, 0, Style.HEADING, level=HEADINGS[tag])

    def _close(self, index: int | None, *, only: bool) -> None:
        """Ends the element at this place on the stack: it alone, or with all that is inside of it."""
        if index is None:
            return
        ending = [self._open[index]] if only else self._open[index:]
        del self._open[index : index + len(ending)]
        for element in reversed(ending):
            self._ended(element)

    def _ended(self, element: _Open) -> None:
        if element.tag in BLOCKS:
            self._boundary()
        if element.tag == "pre":
            self._pre -= 1
            self._skip_newline = False
        elif element.tag == "li":
            self._empty_line_wanted = self._at_item_start = False
        has_newline = not self._line_open and not element.behind_line and element.tag in INLINE
        if self._length <= element.start and not has_newline:
            return
        if element.target is not None and self._length > element.start:
            self._mentions.append(Mention(element.start, self._length, element.target))
        elif element.run is not None:
            run = element.run
            if has_newline:
                self._ended_behind_line.append(len(self._runs))
            self._runs.append(Run(element.start, self._length, run.style, run.value, run.level, run.ordinal))
        self._check(len(self._runs) + len(self._mentions))

    def _check(self, spans: int) -> None:
        if spans > MAX_RUNS:
            raise TooComplex(f"more than {MAX_RUNS} formatting runs and mentions")


def _language(classes: str) -> str:
    """Spec, m.room.message msgtypes: "code: class (only classes which start with language- ...)"."""
    for name in classes.split():
        if name.startswith("language-"):
            return name.removeprefix("language-")[:64]
    return ""


def _integer(value: str, default: int) -> int:
    found = _INTEGER.match(value)
    return int(found[1]) if found else default
