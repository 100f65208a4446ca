"""The store on PostgreSQL.

One connection of its own writes: group commits, one after the other, each with the lease's row locked. A small pool
reads. Both connect again by themselves after the server was away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import asyncpg

from bridgekit.errors import ConfigError, MigrationFailed, StoreUnavailable
from bridgekit.store.base import SqlStore
from bridgekit.store.group_commit import Group
from bridgekit.store.migrate import migrate
from bridgekit.store.program import Program, Query, Rows, Script
from bridgekit.store.statements import migrations, queries

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0
"""A statement that takes longer is given up: the server does not answer, or somebody keeps a table locked."""

READERS = 4
RACES = 5
"""How often a SQL transaction that lost a race against another process is tried again."""

_SETTINGS: Final = {
    # An answered commit is on disk, whatever the server's default is.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "application_name": "bridgekit",
}

READER_SETTINGS: Final = {
    **_SETTINGS,
    # A table of what waits grows and shrinks faster than the planner's statistics. Every read here is ordered by an
    # index and stops early; a planner that takes a million rows for a few thousand would collect and sort them all.
    "enable_bitmapscan": "off",
}

_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, an admin's cancel
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.PostgresSystemError,  # the server's own I/O errors
    asyncpg.ReadOnlySQLTransactionError,  # connected to a standby
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,  # no such database
    asyncpg.InternalClientError,  # what asyncpg says of a connection that the server is just ending
)
"""Errors that are nobody's bug and may pass."""

_LOST_RACE: Final = (
    asyncpg.UniqueViolationError,  # the same dedupe key came through another process, into another lane
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class PostgresStore(SqlStore):
    """`bridgekit.ports.Store` on a PostgreSQL database of its own, named by a ``postgresql://`` URL."""

    def __init__(self, dsn: str) -> None:
        super().__init__(self._commit)
        self._dsn: Final = dsn
        parts = urlsplit(dsn)
        self._name: Final = parts.netloc.rpartition("@")[2] + parts.path  # without the password
        self._sql: Final = queries("postgres")
        self._returns_rows: Final = {
            name for name, sql in self._sql.items() if sql.startswith("SELECT") or "RETURNING" in sql
        }
        self._writer: asyncpg.Connection[asyncpg.Record] | None = None
        self._readers: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        try:
            writer = await self._connected()
            async with writer.transaction():
                await self._run(writer, migrate("postgres", migrations("postgres")))
            self._readers = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=READERS,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings=READER_SETTINGS,
                reset=_leave_as_it_is,
            )
        except _AWAY as error:
            await self._disconnect()
            raise self._unavailable(error) from error
        except ValueError as error:  # what asyncpg says of a URL that it does not understand
            raise ConfigError("database", str(error), "Write postgresql://user:password@host/database") from error
        except asyncpg.PostgresError as error:
            await self._disconnect()
            raise MigrationFailed(f"the database {self._name}: {error}") from error
        except BaseException:
            await self._disconnect()
            raise
        self._writes.start()

    async def close(self) -> None:
        await self._writes.close()
        await self._disconnect()

    # --- running programs -------------------------------------------------------------------------------------------
    async def _run(self, connection: Any, program: Program[T]) -> T:
        # Any: a connection, or a pool's stand-in for one.
        rows: Rows | None = None
        try:
            while True:
                statement = program.send(rows) if rows is not None else next(program)
                if isinstance(statement, Query):
                    rows = await connection.fetch(self._sql[statement.name], *statement.parameters)
                elif isinstance(statement, Script):
                    await connection.execute(statement.sql)
                    rows = ()
                elif not statement.parameters:
                    rows = ()
                elif statement.name in self._returns_rows:
                    rows = await connection.fetchmany(self._sql[statement.name], statement.parameters)
                else:
                    await connection.executemany(self._sql[statement.name], statement.parameters)
                    rows = ()
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            program.close()

    async def _commit(self, groups: Sequence[Group]) -> list[list[Any]]:
        for attempt in range(1, RACES + 1):
            try:
                writer = await self._connected()
                async with writer.transaction():
                    return [await self._run(writer, group.start()) for group in groups]
            except _LOST_RACE:
                # Rolled back as a whole. The other process has committed by now, so that we see what it wrote.
                if attempt == RACES:
                    raise
            except _AWAY as error:
                self._drop_writer()
                raise self._unavailable(error) from error
            except asyncpg.InterfaceError as error:
                # asyncpg says so when the connection is gone, but also when it is used wrongly.
                if self._writer is not None and not self._writer.is_closed():
                    raise
                self._drop_writer()
                raise self._unavailable(error) from error
        raise AssertionError("unreachable")

    async def _read(self, program: Callable[P, Program[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._readers is None:
            raise StoreUnavailable(f"the database {self._name} is closed")
        try:
            async with self._readers.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                try:
                    return await self._run(connection, program(*args, **kwargs))
                except asyncpg.InterfaceError as error:
                    if not connection.is_closed():
                        raise
                    raise self._unavailable(error) from error
        except _AWAY as error:
            raise self._unavailable(error) from error

    # --- connections ------------------------------------------------------------------------------------------------
    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        if self._writer is None or self._writer.is_closed():
            self._writer = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings=_SETTINGS,
            )
        return self._writer

    def _drop_writer(self) -> None:
        # Whatever it was doing, the server rolls it back.
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.terminate()

    async def _disconnect(self) -> None:
        readers, self._readers = self._readers, None
        self._drop_writer()
        if readers is not None:
            readers.terminate()

    def _unavailable(self, error: BaseException) -> StoreUnavailable:
        what = str(error) or type(error).__name__
        return StoreUnavailable(
            f"the database {self._name} does not answer: {what}. Check that PostgreSQL runs, has room on its disk, and "
            "lets this user in; bridgekit connects again by itself"
        )


async def _leave_as_it_is(_: object) -> None:
    """Our reads change nothing in a session: giving a connection back needs no round trip that resets it."""
