"""Reads the ``.sql`` files that are part of this package: named queries and numbered migrations.

A query starts with a line ``-- its_name --``. Files directly in ``queries`` speak to both databases; those in
``queries/<dialect>`` add to them or replace one of the same name. Parameters are written ``$1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal, NamedTuple

Dialect = Literal["sqlite", "postgres"]

_HEADER = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{4})_(\w+)\.sql$")


class Migration(NamedTuple):
    """One step of the schema: `statements` lead from the version before to `version`."""

    version: int
    name: str
    statements: tuple[str, ...]


@cache
def queries(dialect: Dialect) -> dict[str, str]:
    """Name -> SQL, in the dialect's own way of writing parameters."""
    root = files(__package__) / "sql" / "queries"
    found = _named(root)
    found.update(_named(root / dialect))
    if dialect == "sqlite":
        return {name: re.sub(r"\$(\d+)", r"?\1", sql) for name, sql in found.items()}
    return found


@cache
def migrations(dialect: Dialect) -> tuple[Migration, ...]:
    """All steps, in order; the last one's version is the version of this program."""
    folder = files(__package__) / "sql" / "migrations" / dialect
    steps = sorted(
        Migration(int(match[1]), match[2], tuple(split(file.read_text(encoding="utf-8"))))
        for file in folder.iterdir()
        if (match := _MIGRATION.match(file.name))
    )
    if [step.version for step in steps] != list(range(1, len(steps) + 1)):
        raise RuntimeError(f"the migrations for {dialect} are not numbered 1, 2, 3 ...")
    return tuple(steps)


def split(script: str) -> Iterator[str]:
    """The statements of a script: each ends with a semicolon at the end of its line."""
    for statement in re.split(r";[ \t]*$", _without_comments(script), flags=re.MULTILINE):
        if text := statement.strip():
            yield text


def _named(folder: Traversable) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            _, *pieces = _HEADER.split(file.read_text(encoding="utf-8"))
            for name, text in zip(pieces[::2], pieces[1::2], strict=True):
                if name in found:
                    raise RuntimeError(f"the query {name} is there twice (the second time in {file.name})")
                found[name] = _without_comments(text).strip().removesuffix(";")
    return found


def _without_comments(text: str) -> str:
    return re.sub(r"^\s*--.*\n?", "", text, flags=re.MULTILINE)
