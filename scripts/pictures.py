"""``python -m scripts.pictures`` (``make pictures``): draws the pictures of docs/ from the code and from plain text.

- ``docs/pictures/NAME.txt`` -> ``NAME.svg``: who says what to whom, from top to bottom; see `sequence`
- ``lane.svg``, ``gap.svg``, ``layers.svg``: from the numbers in the code and the layers in pyproject.toml
- ``call-*.svg``: see `call_picture`
- ``docs/reference/policy.md``: see `policy_page`

A test draws them anew and compares.
"""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from pathlib import Path
from typing import Final

from bridgekit.runtime import points
from bridgekit.runtime.buffers import BUFFER_BYTES, BUFFER_PER_LANE, BUFFER_TOTAL
from bridgekit.runtime.gaps import EVERY_S
from bridgekit.runtime.lane import AHEAD_OF_COMMIT
from bridgekit.runtime.lanes import Lanes
from scripts import call_picture, policy_page
from scripts.drawing import LINE, Drawing, width, wrapped

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "pictures"
WIDE: Final = 860


def files() -> dict[Path, str]:
    """What the pictures must hold."""
    drawn = {source.with_suffix(".svg"): sequence(source) for source in sorted(FOLDER.glob("*.txt"))}
    made = {"lane": lane(), "gap": gap(), "layers": layers(), **call_picture.pictures()}
    pictures = {**drawn, **{FOLDER / f"{name}.svg": svg for name, svg in made.items()}}
    return {**pictures, ROOT / "docs/reference/policy.md": policy_page.page()}


# --- what the code says -----------------------------------------------------------------------------------------------
def meanings() -> dict[str, str]:
    """Each kill point with the words beside it in bridgekit/runtime/points.py."""
    found = re.findall(r'^[A-Z_]+ = "([a-z.]+)"  # (.+)$', inspect.getsource(points), re.MULTILINE)
    return {name: words for name, words in found if name in points.POINTS}


def _filled(text: str) -> str:
    """``{package.module:NAME}`` is replaced by that value."""

    def value(match: re.Match[str]) -> str:
        found = getattr(importlib.import_module(match[1]), match[2])
        return f"{found:,}" if isinstance(found, int) else f"{found:g}"

    return re.sub(r"\{([a-z_.]+):([A-Z_]+)\}", value, text)


# --- who says what to whom --------------------------------------------------------------------------------------------
class _Sequence:
    def __init__(self, title: str, columns: list[str]) -> None:
        self.d = Drawing(WIDE, title)
        step = (WIDE - 160) / (len(columns) - 1)
        self.x = {name: 80 + step * number for number, name in enumerate(columns)}
        self.y = 62.0
        self.later: list[tuple[str, tuple[object, ...]]] = []

    def say(self, start: str, end: str, words: str) -> None:
        x1, x2 = self.x[start], self.x[end]
        left, right = min(x1, x2), max(x1, x2)
        lines = wrapped(words, right - left - 14)
        self.d.box(left + 4, self.y, right - left - 8, len(lines) * LINE, kind="ground", round=0)
        self.d.lines((left + right) / 2, self.y + 13, lines, anchor="middle")
        self.y += len(lines) * LINE + 5
        gap = 2 if x1 < x2 else -2
        self.d.arrow(x1 + gap, self.y, x2 - gap, self.y)
        self.y += 12

    def kill(self, name: str, at: float) -> None:
        pill = width(name, mono=True) + 16
        x = at + 14
        lines = wrapped(meanings()[name], WIDE - x - pill - 26)
        high = max(22, len(lines) * LINE + 2)
        longest = max(width(line) for line in lines)
        self.d.box(x + pill, self.y, min(longest + 14, WIDE - x - pill - 8), high, kind="ground", round=0)
        self.d.line(at - 5, self.y + 6, at + 5, self.y + 16, kind="bad")
        self.d.line(at - 5, self.y + 16, at + 5, self.y + 6, kind="bad")
        self.d.box(x, self.y, pill, 22, kind="bad", round=11)
        self.d.text(x + pill / 2, self.y + 15, name, kind="mono badtext", anchor="middle")
        self.d.lines(x + pill + 8, self.y + 15, lines, kind="soft")
        self.y += high + 8

    def note(self, words: str, at: float) -> None:
        x = at + 14
        lines = wrapped(words, WIDE - x - 44)
        wide = max(width(line) for line in lines) + 20
        self.d.labelled(x, self.y, wide, len(lines) * LINE + 8, "\n".join(lines))
        self.y += len(lines) * LINE + 18

    def part(self, words: str) -> None:
        self.y += 6
        wide = width(words) + 24
        self.d.line(20, self.y + 9, WIDE - 20, self.y + 9)
        self.d.box((WIDE - wide) / 2, self.y, wide, LINE, kind="ground", round=0)
        self.d.text(WIDE / 2, self.y + 13, words, kind="text title", anchor="middle")
        self.y += LINE + 12


def sequence(source: Path) -> str:
    """A picture from its plain text: the title, ``a | b | c`` (the columns), then a line for each step::

        a -> b: words     somebody says something to somebody
        ! point           a kill point of bridgekit.runtime.points, at the column "bridge"
        * words           what the bridge does by itself
        == words          from here on, something else

    A line that begins with spaces goes on with the one above.
    """
    text = re.sub(r"\n +", " ", _filled(source.read_text(encoding="utf-8")))
    title, columns, *steps = [line for line in text.splitlines() if line.strip()]
    names = [name.strip() for name in columns.split("|")]
    # Twice: the first time only shows how high it becomes, and the dashed lines must lie below everything else.
    high = 0.0
    drawing = _Sequence(title, names)
    for drawing in (_Sequence(title, names), _Sequence(title, names)):
        for name, x in drawing.x.items():
            drawing.d.line(x, 46, x, high, kind="life")
            drawing.d.labelled(x - 62, 16, 124, 30, name, kind=_kind(name), text="text title")
        for step in steps:
            _step(drawing, step, source)
        high = drawing.y
    return drawing.d.svg(high + 12)


def _kind(column: str) -> str:
    return {"bridge": "now", "disk": "disk"}.get(column, "box")


def _step(drawing: _Sequence, step: str, source: Path) -> None:
    at = drawing.x["bridge"]
    if step.startswith("! "):
        drawing.kill(step[2:].strip(), at)
    elif step.startswith("* "):
        drawing.note(step[2:], at)
    elif step.startswith("== "):
        drawing.part(step[3:])
    elif (said := re.fullmatch(r"([a-z ]+) -> ([a-z ]+): (.+)", step)) is not None:
        drawing.say(said[1], said[2], said[3])
    else:
        raise ValueError(f"{source}: no step: {step}")


# --- of shapes, with the code's numbers -------------------------------------------------------------------------------
def lane() -> str:
    """A lane: what is done and not yet written down, the head, what is in memory, what is only on disk."""
    d = Drawing(WIDE, "A lane: its head, its buffer in memory, and the rest on disk")
    y, high, step = 56, 44, 56
    parts: list[tuple[str, str, str]] = [
        ("box", "3 4 5", f"done; at most {AHEAD_OF_COMMIT} ends wait for one commit together"),
        ("now", "6", "the head: the only one under way"),
        ("box", "7 8 \N{HORIZONTAL ELLIPSIS} 106", f"in memory, too: at most {BUFFER_PER_LANE}"),
        ("disk", "107 108 109 \N{HORIZONTAL ELLIPSIS}", "only on disk: as many as come"),
    ]
    x = 30.0
    for kind, entries, words in parts:
        room = 0.0
        for entry in entries.split():
            d.labelled(x + room, y, 48, high, entry, kind=kind)
            room += step
        room = max(room, 118)
        d.lines(x, y + high + 22, wrapped(words, room + 8), kind="soft")
        x += room + 26
    d.text(30, 36, "\N{LEFTWARDS ARROW} to the other side, one after the other", kind="text title")
    d.text(WIDE - 30, 36, "\N{LEFTWARDS ARROW} what is new comes last", kind="text title", anchor="end")
    words = (
        "Every one of them is on disk until it is done; its end is committed together with what it became. All lanes "
        f"together keep at most {BUFFER_TOTAL:,} entries or {BUFFER_BYTES // 1024**2} MiB in memory: beyond that, each "
        f"only its head. Lanes run side by side, with at most {_concurrency()} heads under way at once."
    )
    lines = wrapped(words, WIDE - 60)
    d.lines(30, y + high + 88, lines)
    return d.svg(y + high + 84 + len(lines) * LINE)


def _concurrency() -> int:
    concurrency: int = inspect.signature(Lanes).parameters["concurrency"].default
    return concurrency


def gap() -> str:
    """The comparison of a room's timeline with the journal."""
    d = Drawing(WIDE, "What the homeserver lost: a room's timeline, the journal before the check, and after it")
    x0, step, high = 190, 92, 36
    rows: list[tuple[str, list[tuple[str, str]]]] = [
        ("the room's timeline", [(name, "box") for name in "ABCDEF"]),
        ("the journal, before", [("A", "disk"), ("B", "disk"), ("", ""), ("", ""), ("E", "now"), ("", "")]),
        ("the journal, after", [("A", "disk"), ("B", "disk"), ("C", "bad"), ("D", "bad"), ("E", "now"), ("F", "bad")]),
    ]
    for number, (label, cells) in enumerate(rows):
        y = 62 + number * 64
        d.text(24, y + 23, label, kind="text title")
        for index, (name, kind) in enumerate(cells):
            if name:
                d.labelled(x0 + index * step, y, 64, high, name, kind=kind)
    d.text(x0 + 32, 34, "the anchor", kind="soft", anchor="middle")
    d.arrow(x0 + 32, 40, x0 + 32, 60)
    d.line(x0 + 78, 30, x0 + 78, 62 + 3 * 64 - 20, kind="life")
    d.text(x0 + 90, 34, "read back from the newest event to the anchor, in pages \N{RIGHTWARDS ARROW}", kind="soft")
    legend = [
        ("disk", "done"),
        ("now", "waits: the lane is held meanwhile"),
        ("bad", "was missing: put in its place, before what waits behind it"),
    ]
    x = 24.0
    for kind, words in legend:
        d.box(x, 262, 16, 16, kind=kind, round=4)
        d.text(x + 24, 275, words, kind="soft")
        x += width(words) + 56
    d.lines(
        24,
        306,
        wrapped(
            "F becomes the new anchor. A room is compared at every start, after every failure of the homeserver, and "
            f"every {EVERY_S / 60:g} minutes if something happened there. If E were done already, C and D would cross "
            "late, after it, and be counted as late.",
            WIDE - 48,
        ),
    )
    return d.svg(306 + 3 * LINE - 6)


WHAT: Final = {
    "app": "the only place where objects meet",
    "testing": "fakes of clock, network, homeserver and journal; a real Synapse",
    "runtime": "runtime: asyncio. matrix: HTTP with the homeserver. store: SQL. web: HTTP for people",
    "adapter": "adapter: what authors see. ports: protocols. core: logic without I/O",
    "model": "frozen values: ids, contents, events, entries",
    "errors": "the type says whose fault it is, and what happens next",
}


def layers() -> str:
    """The layers, as import-linter enforces them."""
    d = Drawing(WIDE, "The layers: imports go down only")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = [one for one in contracts if one["type"] == "layers"]
    y = 20.0
    for layer in contract["layers"]:
        names = re.findall(r"[a-z_]+", layer)
        between = "  |  " if "|" in layer else "    "
        d.box(24, y, WIDE - 160, 46)
        d.text(42, y + 20, between.join(names), kind="mono text")
        d.text(42, y + 38, WHAT[names[0]], kind="soft")
        y += 58
    d.arrow(WIDE - 68, 24, WIDE - 68, y - 14)
    d.box(WIDE - 118, y / 2 - LINE, 100, 2 * LINE, kind="ground", round=0)
    d.lines(WIDE - 68, y / 2 - 5, ["imports", "go down only"], kind="soft", anchor="middle")
    return d.svg(y + 8)


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
