"""Answers of the bot that are more than a sentence, as plain text and as HTML that says the same."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from bridgekit.core.rooms import clean

MAX_CELL = 120
"""Code points of a cell that are shown: an answer must fit into an event."""


class Answer(msgspec.Struct, frozen=True):
    """What the bot says. `html` is None where plain text says it all."""

    body: str
    html: str | None = None


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, note: str = "") -> Answer:
    """A table under a title; `note` comes below it. Cells are cut at `MAX_CELL` and get no line breaks."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[index]) for row in cells)]) for index, name in enumerate(head)]
    lines = [_line(head, widths), *(_line(row, widths) for row in cells)]
    body = "\n".join([title, *lines, *([note] if note else [])])
    header = "".join(f"<th>{escape(name)}</th>" for name in head)
    trs = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    html = f"<p>{escape(title)}</p><table><thead><tr>{header}</tr></thead><tbody>{trs}</tbody></table>"
    if note:
        html += f"<p>{escape(note)}</p>"
    return Answer(clean(body), clean(html))


def _cell(cell: str) -> str:
    line = " ".join(cell.split())
    return line if len(line) <= MAX_CELL else line[: MAX_CELL - 1] + "…"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
