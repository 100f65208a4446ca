"""What an operation on the database is, without a database: a generator that yields statements and receives rows.

Each operation is written once, in `bridgekit.store.programs`; the drivers in `sqlite` and `postgres` run it. A program
runs inside one SQL transaction and may be run again from its start, after that one was rolled back.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

Row = Sequence[Any]
Rows = Sequence[Row]


class Query(NamedTuple):
    """A named query (see ``sql/queries``), executed once."""

    name: str
    parameters: Sequence[object] = ()


class Many(NamedTuple):
    """A named query, executed for each tuple of parameters in turn; the rows of all of them, one after the other."""

    name: str
    parameters: Sequence[Sequence[object]]


class Script(NamedTuple):
    """A statement of a migration, as it is; no parameters, no rows."""

    sql: str


Statement = Query | Many | Script

Program = Generator[Statement, Rows, T]
