"""What the parser makes of each element; an element that is in none of these tables is its text."""

from __future__ import annotations

from bridgekit.model.content import Style

INLINE = {
    "b": Style.BOLD,
    "strong": Style.BOLD,
    "i": Style.ITALIC,
    "em": Style.ITALIC,
    "u": Style.UNDERLINE,
    "ins": Style.UNDERLINE,
    "s": Style.STRIKE,
    "del": Style.STRIKE,
    "strike": Style.STRIKE,
    "code": Style.CODE,
    "tt": Style.CODE,
    "kbd": Style.CODE,
    "samp": Style.CODE,
    "span": None,  # a spoiler, by its attributes
    "a": None,  # a link or a pill, by its attributes
}
"""Elements inside of a line. They may end in any order."""

HEADINGS = {f"h{level}": level for level in range(1, 7)}

BLOCKS = frozenset({"pre", "blockquote", "ul", "ol", "li", *HEADINGS})
"""Elements that say something about the lines in them; they are kept on the stack of open elements."""

LINE_BREAKERS = frozenset((
    "address", "article", "aside", "caption", "center", "dd", "details", "dir", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "main", "menu", "nav", "section", "summary", "table", "tbody",
    "tfoot", "thead", "tr",
))  # fmt: skip
"""Elements that only begin and end a line. Each tag does so by itself, so they may nest as deep as they like."""

CELLS = frozenset({"td", "th"})
CELL_SEPARATOR = " | "
RULE = "---"
"""What stands for <hr>, on a line of its own: the model has no style for it."""
