"""The store on a SQLite file.

One thread with one connection writes: a group commit is one function call there, so nothing that happens to a task can
leave a SQL transaction open. Another thread with a read-only connection reads; in WAL mode it never waits for the disk
that the writer waits for. Several processes may have the file open.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from bridgekit.errors import MigrationFailed, StoreError, StoreUnavailable
from bridgekit.store.base import SqlStore
from bridgekit.store.group_commit import Group
from bridgekit.store.migrate import migrate
from bridgekit.store.program import Many, Program, Query, Rows, Script
from bridgekit.store.statements import migrations, queries

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
"""How long a write waits for another process's commit."""

MESSAGES_UNINDEXED: Final = 5_000
"""So many messages may be missing in the index by event: looking through them takes about a millisecond, and adding
them together costs a small part of adding each."""

COMMITS_PER_LOOK: Final = 16
"""After so many commits it is looked at how many those are."""

TOGETHER: Final = ("entry_add", "entry_end", "lane_id", "message_save", "seen_add", "seen_known")
"""Queries that take a list of VALUES, in which many rows go as one statement. Between two statements this thread has to
wait for Python's lock, which in a flood the event loop holds nearly always."""

ROWS_TOGETHER: Final = (64, 16, 4, 1)
"""In one statement; each size is prepared once."""

WAL_PAGES = 4_000
"""How far the write-ahead log grows (16 MB) before its pages are moved into the file."""

_PRAGMAS: Final = (
    # A commit that was answered survives a power failure: NORMAL would not promise that in WAL mode.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # Deleted raw content is overwritten wherever that costs no extra write.
    "PRAGMA secure_delete = FAST",
    f"PRAGMA wal_autocheckpoint = {WAL_PAGES}",
    f"PRAGMA journal_size_limit = {WAL_PAGES * 4096}",
    "PRAGMA cache_size = -16000",
)

_WHAT_TO_DO: Final = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked; end that process if it should not be there",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked; end that process if it should not be there",
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_IOERR: "the disk does not read or write; look at the system's log",
    sqlite3.SQLITE_READONLY: "it may not be written; check the rights of the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its directory exists and may be written",
    sqlite3.SQLITE_PERM: "it may not be opened; check the rights of the file",
    sqlite3.SQLITE_AUTH: "it may not be opened; check the rights of the file",
    sqlite3.SQLITE_PROTOCOL: "its locks do not work; it must not be on a network file system",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_INTERRUPT: "the operation was interrupted",
}
"""Errors that are nobody's bug and may pass: what the admin can do."""

_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_creating = threading.Lock()


class SqliteStore(SqlStore):
    """`bridgekit.ports.Store` on a file, which is made, for its owner only, if it is not there."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(self._commit)
        self.path: Final = Path(path)
        self._writer: ThreadPoolExecutor | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._write_connection: sqlite3.Connection | None = None
        self._read_connection: sqlite3.Connection | None = None
        self._commits = 0
        self._indexing: asyncio.Future[None] | None = None
        self._sql: Final = queries("sqlite")
        self._returns_rows: Final = {
            name for name, sql in self._sql.items() if sql.startswith("SELECT") or "RETURNING" in sql
        }
        self._together: Final = {name: _row_of_values(self._sql[name]) for name in TOGETHER}

    async def open(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="bridgekit-sqlite-write")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="bridgekit-sqlite-read")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open)
        except BaseException:
            await self._disconnect()
            raise
        self._writes.start()

    async def close(self) -> None:
        await self._writes.close()
        await self._disconnect()

    # --- on the threads ---------------------------------------------------------------------------------------------
    def _open(self) -> None:
        try:
            with _creating:
                _create(self.path)
                # Under the lock, too: closing a file drops the locks that this process has on it (POSIX), so nobody may
                # have opened it while `_create` closes it.
                writer = self._write_connection = self._connect()
            for pragma in _PRAGMAS:
                writer.execute(pragma)
            _use_wal(writer)
            writer.execute("BEGIN IMMEDIATE")
            try:
                self._run(writer, migrate("sqlite", migrations("sqlite")))
                writer.execute("COMMIT")
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
            reader = self._read_connection = self._connect()
            reader.execute("PRAGMA query_only = ON")
        except (sqlite3.Error, OSError) as error:
            raise self._translated(error, MigrationFailed) from error

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,  # SQL transactions begin and end where this module says so
            check_same_thread=False,  # opened on one of our threads, used on the other
            cached_statements=256,
        )

    def _run(self, connection: sqlite3.Connection, program: Program[T]) -> T:
        rows: Rows | None = None
        try:
            while True:
                statement = program.send(rows) if rows is not None else next(program)
                if isinstance(statement, Query):
                    rows = connection.execute(self._sql[statement.name], statement.parameters).fetchall()
                elif isinstance(statement, Script):
                    rows = connection.execute(statement.sql).fetchall()
                elif statement.name in self._together:
                    rows = self._run_together(connection, statement)
                elif statement.name in self._returns_rows:
                    sql, execute = self._sql[statement.name], connection.execute
                    rows = [row for each in statement.parameters for row in execute(sql, each)]
                else:
                    connection.executemany(self._sql[statement.name], statement.parameters)
                    rows = ()
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            program.close()

    def _run_together(self, connection: sqlite3.Connection, statement: Many) -> Rows:
        head, row, tail = self._together[statement.name]
        parameters, rows, start = statement.parameters, [], 0
        for size in ROWS_TOGETHER:
            sql = head + ", ".join([row] * size) + tail
            while len(parameters) - start >= size:
                part = parameters[start : start + size]
                rows += connection.execute(sql, tuple(chain.from_iterable(part))).fetchall()
                start += size
        return rows

    def _transaction(self, groups: Sequence[Group]) -> list[list[Any]]:
        connection = self._write_connection
        if connection is None:
            raise StoreUnavailable(f"the database {self.path} is closed")
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                results = [self._run(connection, group.start()) for group in groups]
                connection.execute("COMMIT")
            finally:
                # After some errors SQLite has rolled back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._translated(error) from error
        self._commits += 1
        return results

    def _index_messages(self) -> None:
        """Add the last messages to the index by event, if they have become many. What fails here is done by and by:
        messages that are not in the index are found all the same."""
        connection = self._write_connection
        if connection is None:
            return
        try:
            ((behind, last),) = connection.execute(self._sql["message_events_behind"]).fetchall()
            if behind < MESSAGES_UNINDEXED:
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(self._sql["message_events_add"], (last,))
                connection.execute(self._sql["message_events_until"], (last,))
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.warning("the database %s: messages could not be indexed (%s); trying again later", self.path, error)

    def _query(self, program: Program[T]) -> T:
        connection = self._read_connection
        if connection is None:
            raise StoreUnavailable(f"the database {self.path} is closed")
        try:
            # One snapshot for the whole program.
            connection.execute("BEGIN")
            try:
                return self._run(connection, program)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._translated(error) from error

    def _close_reader(self) -> None:
        if self._read_connection is not None:
            self._read_connection.close()
            self._read_connection = None

    def _close_writer(self) -> None:
        if self._write_connection is not None:
            self._write_connection.close()
            self._write_connection = None

    # --- on the loop ------------------------------------------------------------------------------------------------
    async def _commit(self, groups: Sequence[Group]) -> list[list[Any]]:
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(self._writer, self._transaction, groups)
        if self._commits >= COMMITS_PER_LOOK:
            # On the same thread, before the next write; those who wait for this one are answered first.
            self._commits = 0
            self._indexing = loop.run_in_executor(self._writer, self._index_messages)
        return results

    async def _read(self, program: Callable[P, Program[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._reader is None:
            raise StoreUnavailable(f"the database {self.path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._query, program(*args, **kwargs))

    async def _disconnect(self) -> None:
        """Each thread closes its connection behind whatever it still does."""
        reader, self._reader = self._reader, None
        writer, self._writer = self._writer, None
        loop = asyncio.get_running_loop()
        if reader is not None:
            await loop.run_in_executor(reader, self._close_reader)
            reader.shutdown(wait=False)
        if writer is not None:
            await loop.run_in_executor(writer, self._close_writer)
            writer.shutdown(wait=False)

    def _translated(
        self, error: sqlite3.Error | OSError, otherwise: type[StoreError] | None = None
    ) -> StoreError | sqlite3.Error | OSError:
        """What an error of the database means. A bug of ours stays what it is, unless `otherwise` names it."""
        if isinstance(error, OSError):
            return StoreUnavailable(
                f"the database {self.path}: {error.strerror}; check that its directory may be written"
            )
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _WHAT_TO_DO:
            return StoreUnavailable(f"the database {self.path}: {error} ({_WHAT_TO_DO[code]})")
        if code in _DAMAGED:
            return (otherwise or StoreError)(
                f"the database {self.path} is damaged, or is no database: {error}. Restore it from a backup"
            )
        return error if otherwise is None else otherwise(f"the database {self.path}: {error}")


def _row_of_values(sql: str) -> tuple[str, str, str]:
    """What comes before the one row of a list of VALUES, the row, and what comes behind."""
    head, values, rest = sql.partition("VALUES ")
    end = rest.index(")") + 1
    return head + values, re.sub(r"\?\d+", "?", rest[:end]), rest[end:]


def _create(path: Path) -> None:
    """For its owner only: there are tokens in it. SQLite gives the files beside it the same rights."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL, which stays. The switch does not wait for other processes by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise MigrationFailed(f"SQLite cannot use a write-ahead log here (it says {mode}); use a local disk")
        return
