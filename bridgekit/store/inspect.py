"""Looks at a database without changing it: what `check` has to know before, and while, a bridge works there.

`SqlStore.open` would make the file, and bring the schema to this program's version beneath a bridge that still runs.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import asyncpg
import msgspec

from bridgekit.store import open_store, split_url
from bridgekit.store.codec import dec
from bridgekit.store.sqlite import SqliteStore
from bridgekit.store.statements import migrations, queries

CONNECT_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 5.0

Problem = Literal[
    "directory",  # the SQLite file's directory is not there
    "rights",  # what is there may not be written
    "damaged",  # it is no database
    "foreign",  # it is another program's database
    "locked",  # somebody keeps it locked
    "unreachable",  # no PostgreSQL answers
    "refused",  # PostgreSQL does not let this user in
    "missing",  # PostgreSQL has no database of this name
    "address",  # the URL is none
    "other",
]


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """What is there. `place`: the file, or host and database, without a password. `problem`: what kept us from seeing
    more, with the database's own words in `detail`.

    `schema`: its version, None while there are no tables; `known`: this program's. `owner`: who holds the lease, None
    if nobody does; `expires_at`: until when, in ms. Of PostgreSQL: `server_version` as in ``150004``, its `encoding`,
    and whether it is `read_only` (a standby).
    """

    kind: Literal["sqlite", "postgres"]
    place: str
    known: int
    problem: Problem | None = None
    detail: str = ""
    schema: int | None = None
    owner: str | None = None
    expires_at: int = 0
    server_version: int = 0
    encoding: str = ""
    read_only: bool = False


async def inspect(url: str) -> Inspected:
    """Look at the database that a URL names, as `open_store` takes it. Raises `ConfigError` for a kind that is none."""
    if split_url(url) is None:
        return Inspected(kind="postgres", place="", known=0, problem="address")
    store = open_store(url)
    if isinstance(store, SqliteStore):
        return _inspect_sqlite(store.path)
    return await _inspect_postgres(url)


# --- SQLite -----------------------------------------------------------------------------------------------------------
_SQLITE_PROBLEMS: dict[int, Problem] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_READONLY: "rights",
    sqlite3.SQLITE_CANTOPEN: "rights",
    sqlite3.SQLITE_PERM: "rights",
    sqlite3.SQLITE_AUTH: "rights",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
}


def _inspect_sqlite(path: Path) -> Inspected:
    found = Inspected(kind="sqlite", place=str(path), known=len(migrations("sqlite")))
    if not path.parent.is_dir():
        return msgspec.structs.replace(found, problem="directory", detail=str(path.parent))
    # The write-ahead log stands beside the file: the directory has to be writable, too.
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return msgspec.structs.replace(found, problem="rights", detail=f"{path.parent} may not be written")
    if not path.exists():
        return found
    try:
        # rw: not made if it is not there.
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None
        )
        try:
            return _read_sqlite(connection, found)
        finally:
            connection.close()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return msgspec.structs.replace(found, problem=_SQLITE_PROBLEMS.get(code, "other"), detail=str(error))


def _read_sqlite(connection: sqlite3.Connection, found: Inspected) -> Inspected:
    sql = queries("sqlite")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "schema_version" not in tables:
        return msgspec.structs.replace(found, problem="foreign", detail=", ".join(sorted(tables)[:3]))
    # Taken and given back: whether it may be written.
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not tables:
            return found
        version = connection.execute(sql["schema_version"]).fetchone()
        lease = connection.execute(sql["lease_read"]).fetchone() if "lease" in tables else None
    finally:
        connection.execute("ROLLBACK")
    return _with_lease(found, version, lease)


# --- PostgreSQL -------------------------------------------------------------------------------------------------------
async def _inspect_postgres(url: str) -> Inspected:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    found = Inspected(kind="postgres", place=host + parts.path, known=len(migrations("postgres")))
    problem: Problem
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S)
        try:
            return await _read_postgres(connection, found)
        finally:
            connection.terminate()
    except asyncpg.InvalidAuthorizationSpecificationError as error:  # a wrong password is one of them
        problem, detail = "refused", str(error)
    except asyncpg.InvalidCatalogNameError as error:
        problem, detail = "missing", str(error)
    except OSError as error:  # a timeout is one, too
        # The system's words, for asyncio's repeat the address; those for an unknown name have a number below 0.
        number = error.errno or 0
        detail = os.strerror(number) if number > 0 else error.strerror or str(error) or "no answer in time"
        problem = "unreachable"
    except ValueError:
        problem, detail = "address", ""  # as above: never quoted
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        problem, detail = "other", str(error) or type(error).__name__
    return msgspec.structs.replace(found, problem=problem, detail=detail)


async def _read_postgres(connection: asyncpg.Connection[asyncpg.Record], found: Inspected) -> Inspected:
    sql = queries("postgres")
    row = await connection.fetchrow(
        "SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding, "
        "pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool AS read_only, "
        "to_regclass('schema_version') IS NOT NULL AS present, to_regclass('lease') IS NOT NULL AS leased, "
        "coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create, "
        "coalesce(has_table_privilege(to_regclass('lease'), 'UPDATE'), true) AS may_write, "
        "current_user AS name"
    )
    assert row is not None
    found = msgspec.structs.replace(
        found, server_version=row["version"], encoding=row["encoding"], read_only=row["read_only"]
    )
    if not (row["may_write"] and (row["present"] or row["may_create"])):
        detail = f"the user {row['name']} may not {'write' if row['present'] else 'make tables'} there"
        return msgspec.structs.replace(found, problem="rights", detail=detail)
    if not row["present"]:
        return found
    version = await connection.fetchrow(sql["schema_version"])
    lease = await connection.fetchrow(sql["lease_read"]) if row["leased"] else None
    return _with_lease(found, version, lease)


def _with_lease(found: Inspected, version: Any, lease: Any) -> Inspected:
    """Any: a row of either driver, or None."""
    owner, _, expires_at = lease or (None, 0, 0)
    return msgspec.structs.replace(
        found,
        schema=version[0] if version else None,
        owner=None if owner is None else dec(owner),
        expires_at=expires_at,
    )
