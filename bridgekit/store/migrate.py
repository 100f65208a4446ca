"""Bringing a database to this version's schema: a program for one SQL transaction that keeps other processes out."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bridgekit.errors import MigrationFailed
from bridgekit.store.program import Program, Query, Script
from bridgekit.store.statements import Dialect, Migration


def migrate(dialect: Dialect, steps: Sequence[Migration]) -> Program[None]:
    """Take the steps that the database lacks, and make its secret. Raises `MigrationFailed` if it is newer."""
    if dialect == "postgres":
        # SQLite has its one writer; here nothing else would keep a second process out.
        yield Query("migration_lock")
    yield Query("schema_version_table")
    rows = yield Query("schema_version")
    present: int = rows[0][0] if rows else 0
    ours = len(steps)
    if present > ours:
        raise MigrationFailed(
            f"the database was used by a newer bridgekit (its schema is version {present}, this program knows {ours}). "
            "Start the newer program again, or restore a backup from before the update"
        )
    if present == ours:
        return
    for step in steps[present:]:
        for statement in step.statements:
            yield Script(statement)
    yield Query("schema_version_clear")
    yield Query("schema_version_put", (ours,))
    yield Query("secret_put", (os.urandom(32),))
