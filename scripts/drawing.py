"""The few shapes that the pictures of docs/ are drawn with, as SVG: readable on light and dark pages, without scripts
and without fonts of their own."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape
from typing import Final

SIZE: Final = 13
"""Of letters, in px."""

LINE: Final = 18
"""From one line of text to the next, in px."""

_WIDE: Final = 0.55
"""Width of a letter, in parts of its size, as no font can be asked: a little more than most have."""

_STYLE: Final = """\
.page { fill: #ffffff; stroke: #d1d9e0; }
.text { fill: #1f2328; }
.soft { fill: #59636e; }
.ground { fill: #ffffff; }
.box { fill: #f6f8fa; stroke: #afb8c1; }
.disk { fill: #dafbe1; stroke: #1a7f37; }
.now { fill: #ddf4ff; stroke: #0969da; }
.bad { fill: #ffebe9; stroke: #cf222e; }
.badtext { fill: #a40e26; }
.life { stroke: #afb8c1; stroke-dasharray: 3 4; }
.line { stroke: #59636e; fill: none; }
.tip { fill: #59636e; }
@media (prefers-color-scheme: dark) {
  .page, .ground { fill: #151b23; }
  .page { stroke: #3d444d; }
  .text { fill: #f0f6fc; }
  .soft { fill: #9198a1; }
  .box { fill: #212830; stroke: #656c76; }
  .disk { fill: #12331d; stroke: #3fb950; }
  .now { fill: #10233d; stroke: #4493f8; }
  .bad { fill: #3c1418; stroke: #f85149; }
  .badtext { fill: #ff938a; }
  .life { stroke: #656c76; }
  .line { stroke: #9198a1; }
  .tip { fill: #9198a1; }
}
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 13px; }
.mono { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 12px; }
.title { font-weight: 600; }
"""


def width(text: str, *, mono: bool = False) -> float:
    """About how wide a text is, in px."""
    return len(text) * (7.3 if mono else SIZE * _WIDE)


def wrapped(text: str, room: float) -> list[str]:
    """The text in lines that fit into `room` px."""
    return textwrap.wrap(text, max(8, int(room / (SIZE * _WIDE))), break_long_words=False) or [""]


class Drawing:
    """A picture `wide` px wide; how high, is said in the end."""

    def __init__(self, wide: int, title: str) -> None:
        self.wide: Final = wide
        self._title = title
        self._parts: list[str] = []

    def svg(self, high: float) -> str:
        """The whole file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.wide} {_n(high)}" width="{self.wide}" '
            f'height="{_n(high)}" role="img">\n<title>{escape(self._title)}</title>\n<style>\n{_STYLE}</style>\n'
            f'<rect class="page" x="0.5" y="0.5" width="{self.wide - 1}" height="{_n(high - 1)}" rx="8"/>\n'
        )
        return head + "\n".join(self._parts) + "\n</svg>\n"

    def text(self, x: float, y: float, text: str, *, kind: str = "text", anchor: str = "start") -> None:
        """One line; `y` is where its letters stand."""
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}"{where}>{escape(text)}</text>')

    def lines(self, x: float, y: float, lines: Sequence[str], *, kind: str = "text", anchor: str = "start") -> None:
        for number, line in enumerate(lines):
            self.text(x, y + number * LINE, line, kind=kind, anchor=anchor)

    def box(self, x: float, y: float, wide: float, high: float, *, kind: str = "box", round: float = 6) -> None:
        self._parts.append(
            f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}" rx="{_n(round)}"/>'
        )

    def labelled(
        self, x: float, y: float, wide: float, high: float, label: str, *, kind: str = "box", text: str = "text"
    ) -> None:
        """A box with words in its middle, one line for each in `label`."""
        self.box(x, y, wide, high, kind=kind)
        lines = label.split("\n")
        top = y + high / 2 - (len(lines) - 1) * LINE / 2 + 4.5
        self.lines(x + wide / 2, top, lines, kind=text, anchor="middle")

    def line(self, x1: float, y1: float, x2: float, y2: float, *, kind: str = "line") -> None:
        self._parts.append(f'<line class="{kind}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Along an axis, with a tip at the second end."""
        dx, dy = _sign(x2 - x1), _sign(y2 - y1)
        self.line(x1, y1, x2 - 6 * dx, y2 - 6 * dy)
        left = (x2 - 8 * dx - 4 * dy, y2 - 8 * dy + 4 * dx)
        right = (x2 - 8 * dx + 4 * dy, y2 - 8 * dy - 4 * dx)
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in ((x2, y2), left, right))
        self._parts.append(f'<polygon class="tip" points="{points}"/>')


def _n(number: float) -> str:
    """A number without the noise of binary fractions."""
    return f"{round(number, 1):g}"


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
