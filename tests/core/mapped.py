"""The tables in docs/mappings: each row belongs to a test, and `test_mapping_pages` says if one is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

ROWS: dict[str, list[tuple[str, str]]] = defaultdict(list)
"""Page -> (first cell, second cell)."""

F = TypeVar("F", bound=Callable[..., object])


def mapped(page: str, when: str, then: str) -> Callable[[F], F]:
    """The test shows a row of ``docs/mappings/<page>.md``: ``| when | then |``."""

    def note(test: F) -> F:
        ROWS[page].append((when, then))
        return test

    return note
