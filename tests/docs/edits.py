"""The few ways in which a guide changes a file, each in the words of the line above a block."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["edit", "edited"]


def edit(directory: Path, lead: str, block: str) -> None:
    """Change a file in the directory as the line above the block says."""
    name = re.search(r"\bfile `([^`]+)`|^In `([^`]+)`|end of `([^`]+)`", lead)
    if name is None:
        raise LookupError(f"which file is {block!r} for? above it stands {lead!r}")
    path = directory / next(filter(None, name.groups()))
    path.write_text(edited(path.read_text() if path.exists() else "", lead, block))


def edited(source: str, lead: str, block: str) -> str:
    """The source after the change. Raises `LookupError` for words that are none of ours."""
    for form, change in _FORMS.items():
        if match := re.fullmatch(form, lead):
            return "".join(change(source.splitlines(keepends=True), match[1] if match.re.groups else "", block))
    raise LookupError(f"what is to be done with {block!r}? above it stands {lead!r}")


def _new(lines: list[str], what: str, block: str) -> list[str]:
    assert not lines, "the file is there already"
    return [block]


def _append(lines: list[str], what: str, block: str) -> list[str]:
    return [*lines, block]


def _replace_line(lines: list[str], what: str, block: str) -> list[str]:
    found = [number for number, line in enumerate(lines) if line.strip() == what]
    assert len(found) == 1, f"{len(found)} lines are {what!r}"
    return [*lines[: found[0]], block, *lines[found[0] + 1 :]]


def _replace(lines: list[str], what: str, block: str) -> list[str]:
    first, end = _span(lines, what)
    return [*lines[:first], block, *lines[end:]]


def _add_before(lines: list[str], what: str, block: str) -> list[str]:
    first, _ = _span(lines, what)
    return [*lines[:first], block, "\n\n", *lines[first:]]


def _add_to(lines: list[str], what: str, block: str) -> list[str]:
    _, end = _span(lines, what)
    return [*lines[:end], "\n", block, *lines[end:]]


def _span(lines: list[str], what: str) -> tuple[int, int]:
    """Where a class, a function or a method (`A.b`) stands: its lines from 0, half-open."""
    found: ast.stmt | None = None
    body = ast.parse("".join(lines)).body
    for name in what.split("."):
        (found,) = (one for one in body if isinstance(one, _NAMED) and one.name == name)
        body = found.body
    assert isinstance(found, _NAMED) and found.end_lineno is not None
    return min(one.lineno for one in (found, *found.decorator_list)) - 1, found.end_lineno


_NAMED: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

_FORMS: Final[dict[str, Callable[[list[str], str, str], list[str]]]] = {
    r"New file `[^`]+`:": _new,
    r".*[Aa]dd to the end of `[^`]+`:": _append,
    r"In `[^`]+`, replace the line `([^`]+)` by:": _replace_line,
    r"In `[^`]+`, replace `([\w.]+)`:": _replace,
    r"In `[^`]+`, add before `(\w+)`:": _add_before,
    r"In `[^`]+`, add to `(\w+)`:": _add_to,
}
