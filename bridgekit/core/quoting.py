"""A reply on a network that has none: the answered message is quoted in front of the text."""

from __future__ import annotations

from bridgekit.core.text import normalise
from bridgekit.model.content import Mention, Run, Style, Text

MAX_QUOTED = 160
"""Code points of the answered message that are quoted."""


def excerpt(body: str) -> str:
    """What is quoted of a message: its beginning, on one line."""
    line = " ".join(body.split())
    return line if len(line) <= MAX_QUOTED else line[: MAX_QUOTED - 1].rstrip() + "…"


def with_quotation(text: Text, name: str, body: str) -> Text:
    """The text with a line in front that quotes `body`, which `name` has said.

    Every span is still over the same characters; the quotation mentions nobody.
    """
    quoted = f"{name}: {excerpt(body)}" if name else excerpt(body)
    if not excerpt(body):
        return text
    by = len(quoted) + 1
    text = normalise(text)
    runs = tuple(Run(run.start + by, run.end + by, run.style, run.value, run.level, run.ordinal) for run in text.runs)
    mentions = tuple(Mention(span.start + by, span.end + by, span.target) for span in text.mentions)
    quotation = [Run(0, len(quoted), Style.QUOTE, level=1)]
    if name:
        quotation.append(Run(0, len(name), Style.BOLD))
    return normalise(Text(f"{quoted}\n{text.body}", (*quotation, *runs), mentions))
