"""HTML as a flat sequence of texts and tags, in linear time whatever the input.

Not the standard library's `html.parser.HTMLParser`: it rescans to the end of the input for each "<!--" or "<a " that is
never closed (quadratic: CVE-2025-6069), raises AssertionError for "<![x" and ValueError for a character reference of
5,000 digits, and answers differently from one patch release of Python to the next. What HTML allows in a
``formatted_body`` needs little of it. Followed where it matters: the HTML standard, section 13.2.5, Tokenization.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import msgspec


class TextToken(msgspec.Struct, frozen=True):
    """Characters, their entities resolved."""

    text: str


class StartTag(msgspec.Struct, frozen=True):
    """A start tag: its name in lower case, and those of its attributes that somebody reads, the first of each name."""

    name: str
    attributes: dict[str, str]


class EndTag(msgspec.Struct, frozen=True):
    """An end tag: its name in lower case."""

    name: str


Token = TextToken | StartTag | EndTag

ATTRIBUTES = frozenset({"href", "class", "start", "value", "alt", "title", "data-mx-spoiler"})

# What is inside of these is no markup. They are left out with their content, as the clients' sanitisers do.
_OPAQUE = frozenset({"script", "style", "textarea", "title", "iframe", "noembed", "noframes", "noscript", "xmp"})
_OPAQUE_END = {name: re.compile(rf"</{name}(?=[ \t\n\f/>])", re.IGNORECASE) for name in _OPAQUE}

_NAME = re.compile(r"[A-Za-z][^ \t\n\f/>]*")
_BETWEEN = re.compile(r"[ \t\n\f/]*")
_ATTRIBUTE_NAME = re.compile(r"=?[^ \t\n\f/>=]*")
_EQUALS = re.compile(r"[ \t\n\f]*=[ \t\n\f]*")
_BARE_VALUE = re.compile(r"[^ \t\n\f>]*")
_COMMENT_END = re.compile(r"--!?>")


def tokens(html: str) -> Iterator[Token]:
    """The input's tokens, comments and declarations left out. Never raises.

    A tag or comment that the input ends in becomes text, "<" and all: a browser would drop it, but it may be what
    somebody wrote.
    """
    done = 0
    while (start := html.find("<", done)) >= 0:
        token, end = _markup(html, start)
        if token is None and end == start + 1:  # a mere "<"
            end_of_text = html.find("<", end)
            end_of_text = len(html) if end_of_text < 0 else end_of_text
            yield TextToken(_unescape(html[done:end_of_text]))
            done = end_of_text
            continue
        if start > done:
            yield TextToken(_unescape(html[done:start]))
        if end < 0:
            done = start
            break
        done = end
        if isinstance(token, StartTag) and token.name in _OPAQUE:
            close = _OPAQUE_END[token.name].search(html, end)
            if close is None:
                return
            done = close.start()
        elif token is not None:
            yield token
    if done < len(html):
        yield TextToken(_unescape(html[done:]))


def _markup(html: str, start: int) -> tuple[Token | None, int]:
    """What begins with the "<" at `start`, and where it ends: -1 if it does not, None for what is left out.

    Whoever gets a -1 is at the end of the input, so nothing is scanned twice.
    """
    if (name := _NAME.match(html, start + 1)) is not None:
        return _start_tag(html, name)
    following = html[start + 1 : start + 2]
    if following == "/":
        if (name := _NAME.match(html, start + 2)) is not None:
            return EndTag(name[0].lower()), html.find(">", name.end()) + 1 or -1
        if html[start + 2 : start + 3] == "":
            return None, start + 1
        return None, html.find(">", start + 2) + 1 or -1
    if html.startswith("<!--", start):
        for empty in ("<!-->", "<!--->"):
            if html.startswith(empty, start):
                return None, start + len(empty)
        close = _COMMENT_END.search(html, start + 4)
        return None, close.end() if close else -1
    if following in ("!", "?") and following:
        return None, html.find(">", start + 1) + 1 or -1
    return None, start + 1


def _start_tag(html: str, name: re.Match[str]) -> tuple[StartTag, int]:
    tag = StartTag(name[0].lower(), {})
    at = name.end()
    while True:
        at = _end(_BETWEEN, html, at)
        if at == len(html):
            return tag, -1
        if html[at] == ">":
            return tag, at + 1
        key_start = at
        at = _end(_ATTRIBUTE_NAME, html, at)
        key = html[key_start:at].lower()
        equals = _EQUALS.match(html, at)
        value = ""
        if equals is not None:
            at = equals.end()
            quote = html[at : at + 1]
            if quote in ('"', "'") and quote:
                close = html.find(quote, at + 1)
                if close < 0:
                    return tag, -1
                value, at = html[at + 1 : close], close + 1
            else:
                bare = at
                at = _end(_BARE_VALUE, html, at)
                value = html[bare:at]
        if key in ATTRIBUTES and key not in tag.attributes:
            tag.attributes[key] = _unescape_attribute(value)


def _end(pattern: re.Pattern[str], html: str, at: int) -> int:
    found = pattern.match(html, at)
    return found.end() if found else at


# --- character references -------------------------------------------------------------------------------------------
_LONG_NUMBER = re.compile(r"&#([0-9]{8,})(;?)", re.ASCII)
_CLOSED_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,16}|[A-Za-z][A-Za-z0-9]{0,31});", re.ASCII)


def _short_number(found: re.Match[str]) -> str:
    digits = found[1].lstrip("0") or "0"
    return f"&#{digits}{found[2]}" if len(digits) <= 7 else "\ufffd"


def _unescape(text: str) -> str:
    if "&" not in text:
        return text
    # int() refuses more than 4,300 digits, and `unescape` does not expect that.
    return unescape(_LONG_NUMBER.sub(_short_number, text)).replace("\0", "")


def _unescape_attribute(value: str) -> str:
    """Only references that end in ";": "?a=1&copy=2" is a query, not a copyright sign (section 13.2.5.73)."""
    if "&" not in value:
        return value
    return _CLOSED_REFERENCE.sub(lambda found: unescape(found[0]), value).replace("\0", "")
