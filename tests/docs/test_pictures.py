"""The pictures are drawn from the code as it is, and show all of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from bridgekit.runtime import points
from scripts import pictures

DOCS: Final = Path(__file__).parents[2] / "docs"
DRAWN: Final = pictures.files()


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.name)
def test_it_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == DRAWN[path], "run: make pictures"


def test_nothing_else_is_there() -> None:
    known = {path for path in DRAWN if path.parent == pictures.FOLDER}
    assert {path for path in pictures.FOLDER.iterdir() if path.suffix != ".txt"} == known


def test_every_kill_point_has_words_and_a_place() -> None:
    assert list(pictures.meanings()) == list(points.POINTS)
    steps = "\n".join(path.read_text(encoding="utf-8") for path in pictures.FOLDER.glob("*.txt"))
    assert set(re.findall(r"^! (\S+)$", steps, re.MULTILINE)) == {*points.POINTS}


@pytest.mark.parametrize("path", [path for path in DRAWN if path.suffix == ".svg"], ids=lambda path: path.name)
def test_nothing_leaves_the_picture(path: Path) -> None:
    root = ElementTree.fromstring(DRAWN[path])
    wide, high = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter("{http://www.w3.org/2000/svg}rect"):
        x, y, w, h = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + w <= wide and y + h <= high, ElementTree.tostring(element)
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(element.attrib["x"]) <= wide and float(element.attrib["y"]) < high


def test_every_picture_is_shown_somewhere() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    for path in DRAWN:
        assert path.name in text, path
