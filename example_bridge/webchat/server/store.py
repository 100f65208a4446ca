"""The SQLite file, its one thread, and the group commit.

Every write that waits while a commit runs goes into the next SQL transaction together with the others: one fsync for
all of them. Writes take effect, are published and are answered in the order in which `Store.write` was called.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from example_bridge.webchat.server.events import KnownEvent, Signal, nonce_of, with_nonce
from example_bridge.webchat.server.protocol import Refusal

log = logging.getLogger(__name__)

T = TypeVar("T")
MAX_BATCH = 500
"""Writes in one SQL transaction; bounds how long the first of them waits for its answer."""

SCHEMA_VERSION = 3
"""Of schema.sql. There is no way from an older one: the webchat is for trying bridges out."""

LOCK_WAIT = 2.0
"""Seconds that a server which has just been told to stop gets to let go of the file."""


@dataclass(slots=True)
class Published:
    """A new event and the accounts that see it live."""

    event: KnownEvent
    audience: tuple[str, ...]
    _public: bytes | None = None

    def json_for(self, account: str) -> bytes:
        """The event as `account` may see it. What everybody sees is encoded once."""
        own = account == self.event.actor
        if own and nonce_of(self.event) is not None:
            return msgspec.json.encode(self.event)
        if self._public is None:
            self._public = public_json(self.event)
        return self._public


@dataclass(frozen=True, slots=True)
class Signalled:
    """Something that is not kept, and the accounts that are told if they listen."""

    signal: Signal
    audience: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """What a write hands back: its answer, the events it appended, and what else is to be told."""

    value: T
    events: tuple[Published | Signalled, ...] = ()


Operation = Callable[[sqlite3.Connection], Written[T]]


def public_json(event: KnownEvent) -> bytes:
    """The event without what only its actor may see."""
    return msgspec.json.encode(with_nonce(event, None) if nonce_of(event) is not None else event)


class Store:
    """The network's state. `publish` is called on the loop, in commit order, before the write's answer is set."""

    def __init__(self, path: Path, publish: Callable[[Published | Signalled], None]) -> None:
        self._path = path
        self._publish = publish
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webchat-sqlite")
        self._waiting: list[tuple[Operation[Any], asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._committer: asyncio.Task[None] | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._connection = await loop.run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.shutdown()
            raise
        self._committer = asyncio.create_task(self._commit_forever(self._connection))

    async def close(self) -> None:
        """Commit what waits, then close the file."""
        self._closing = True
        self._wake.set()
        if self._committer is not None:
            await self._committer
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    def write(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue `operation`; the future is done once it is on disk. Cancelling the future does not undo it."""
        if self._closing:
            raise Refusal("unavailable", "the server is stopping")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((operation, future))
        self._wake.set()
        return future

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` between two commits: it sees only what is on disk."""
        if self._closing or self._connection is None:
            raise Refusal("unavailable", "the server is stopping")
        return await asyncio.get_running_loop().run_in_executor(self._thread, query, self._connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=LOCK_WAIT)
        try:
            # A second server on this file would hand out events that the first never streams: keep it out.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("BEGIN IMMEDIATE")
            _check_version(connection)
            for statement in Path(__file__).with_name("schema.sql").read_text("utf-8").split(";\n"):
                connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    async def _commit_forever(self, connection: sqlite3.Connection) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or not self._closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            results = await loop.run_in_executor(self._thread, _commit, connection, [item[0] for item in batch])
            for result in results:
                if isinstance(result, Written):
                    for event in result.events:
                        self._publish(event)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # the asker has gone; what it asked for stays
                    continue
                if isinstance(result, Written):
                    future.set_result(result.value)
                else:
                    future.set_exception(result)


def _check_version(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(
            f"another version of webchat wrote the file (schema {version}, not {SCHEMA_VERSION}): start with a new one"
        )
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _commit(connection: sqlite3.Connection, operations: list[Operation[Any]]) -> list[Written[Any] | Exception]:
    """Run all operations in one SQL transaction. One that raises is undone alone."""
    results: list[Written[Any] | Exception] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for operation in operations:
            connection.execute("SAVEPOINT one")
            try:
                results.append(operation(connection))
            except Exception as error:
                connection.execute("ROLLBACK TO one")
                if not isinstance(error, Refusal):
                    log.exception("a write failed")
                results.append(error)
            connection.execute("RELEASE one")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        log.exception("a commit of %d writes failed", len(operations))
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [Refusal("unavailable", f"the disk failed: {error}") for _ in operations]
    return results
