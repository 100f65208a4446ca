"""The pages in docs/mappings say what the tests show: row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core import test_edits, test_features, test_mentions, test_reactions, test_replies, test_versions
from tests.core.mapped import ROWS

PAGES = Path(__file__).parents[2] / "docs" / "mappings"
MODULES = {
    "mentions": (test_mentions,),
    "replies": (test_replies,),
    "edits": (test_edits, test_versions),
    "reactions": (test_reactions,),
    "features": (test_features,),
}


@pytest.mark.parametrize("page", MODULES)
def test_each_row_has_its_test_and_each_test_its_row(page: str) -> None:
    lines = (PAGES / f"{page}.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    # A table begins with its head and a line of dashes.
    heads = {index - 1 for index, row in enumerate(cells) if set("".join(row)) <= set("-| ")}
    heads |= {index + 1 for index in heads}
    rows = [tuple(row) for index, row in enumerate(cells) if index not in heads]
    assert sorted(rows) == sorted(ROWS[page])
