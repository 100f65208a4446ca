"""What only SQLite can do wrong: the file, its rights, its settings, its disk."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from bridgekit.errors import MigrationFailed, StoreUnavailable
from bridgekit.model.entry import Retention
from bridgekit.model.ids import ChatID, EventID, PortalKey, RemoteMessageID, RoomID, UserID
from bridgekit.model.records import MessageRecord, MessageSaved
from bridgekit.store import sqlite
from bridgekit.store.sqlite import SqliteStore
from tests.contract.values import LANE, NOW, Opened, new_entry, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bridge.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    async with opened(store):
        yield store


@pytest.fixture
async def held(store: SqliteStore) -> Opened:
    return Opened(store, (await store.acquire_lease("first", now=NOW, ttl_ms=15_000)).epoch)


def pragma(store: SqliteStore, name: str) -> object:
    assert store._write_connection is not None
    return store._write_connection.execute(f"PRAGMA {name}").fetchone()[0]


async def test_only_the_owner_may_read(held: Opened, path: Path) -> None:
    await held.append("1")
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["bridge.db", "bridge.db-shm", "bridge.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_the_rights_of_a_file_that_is_there_are_the_admins(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    async with opened(SqliteStore(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_a_commit_survives_a_power_failure(store: SqliteStore) -> None:
    assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 2)
    assert pragma(store, "foreign_keys") == 1


async def test_raw_content_is_gone_when_the_entry_is_done(held: Opened, path: Path) -> None:
    secret = b"the raw content of a message"
    (entry,) = (await held.add([new_entry("1", payload=secret)])).entries
    await held.append("2")
    await held.finish(entry)
    await held.store.close()
    assert secret not in path.read_bytes()


async def test_a_newer_schema_is_refused(store: SqliteStore, path: Path) -> None:
    await store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(MigrationFailed, match=r"newer bridgekit.*version 99"):
        await store.open()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(99,)]


async def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.write_bytes(b"a letter to my mother " * 100)
    with pytest.raises(MigrationFailed, match="is no database"):
        await SqliteStore(path).open()
    assert path.read_bytes().startswith(b"a letter")


async def test_a_database_of_something_else_is_refused_and_left_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE entry (mine)")
    with pytest.raises(MigrationFailed, match="entry already exists"):
        await SqliteStore(path).open()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("entry",)]


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "missing" / "bridge.db")
    with pytest.raises(StoreUnavailable, match=r"missing/bridge\.db.*directory"):
        await store.open()
    (tmp_path / "missing").mkdir()
    async with opened(store):
        assert len(await store.secret()) == 32


async def test_a_full_disk_passes(held: Opened, store: SqliteStore) -> None:
    await held.append("before")
    pages = pragma(store, "page_count")
    pragma(store, f"max_page_count = {pages}")
    big = new_entry("big", payload=os.urandom(100_000))
    with pytest.raises(StoreUnavailable, match="disk is full; make room"):
        await held.add([big])
    assert await held.pending() == ["before"]
    pragma(store, "max_page_count = 1000000")
    await held.add([big])
    assert await held.pending() == ["before", "big"]


async def test_a_lock_that_stays(held: Opened, store: SqliteStore, path: Path) -> None:
    pragma(store, "busy_timeout = 1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await held.append("1")
        other.execute("ROLLBACK")
    await held.append("1")
    assert [entry.seq for entry in await store.peek(LANE)] == [1]


async def test_a_mistake_of_ours_stays_a_mistake(held: Opened) -> None:
    """It is not "try again later", and it leaves no SQL transaction open."""
    with pytest.raises(OverflowError):
        await held.append("1", at=2**70)
    await held.append("2")
    assert await held.pending() == ["2"]


async def test_hot_queries_read_no_whole_table(store: SqliteStore) -> None:
    assert store._write_connection is not None
    allowed = {
        "SCAN lease",  # one row
        "SCAN message_events",  # one row
        "SCAN schema_version",  # one row
        "SCAN dead_letter",  # counted, or paged by number
        "SCAN login",  # all of them are asked for
        "SCAN relay",  # the same
        "SCAN call",  # the same, once
        "SCAN intake",  # its first thousand rows, by number
        "SCAN oldest",  # these
        "SCAN counted",  # as many as are counted
    }
    for name, sql in store._sql.items():
        parameters = (1,) * len(set(re.findall(r"\?\d+", sql)))
        plan = store._write_connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        for *_, step in plan:
            whole = step.startswith("SCAN") and " INDEX " not in step and "CONSTANT" not in step
            assert not whole or step in allowed, f"{name}: {step}"


async def test_the_index_by_event_is_filled_by_and_by(held: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is found before and after, also when its event becomes another, and no more when it is forgotten."""
    monkeypatch.setattr(sqlite, "MESSAGES_UNINDEXED", 4)
    monkeypatch.setattr(sqlite, "COMMITS_PER_LOOK", 1)
    store = held.store
    assert isinstance(store, SqliteStore)

    def message(number: int, event: str) -> MessageSaved:
        return MessageSaved(
            MessageRecord(
                portal=PortalKey(ChatID("chat")),
                remote_id=RemoteMessageID(f"m{number}"),
                part=0,
                room=RoomID("!r"),
                event_id=EventID(event),
                sender=UserID("@s:x"),
                timestamp=number,
            )
        )

    async def found(event: str) -> str | None:
        record = await store.message_by_event(RoomID("!r"), EventID(event))
        return None if record is None else record.remote_id

    indexed: set[int] = set()
    for number in range(10):
        await held.know(message(number, f"$e{number}"))
        assert store._indexing is not None
        await store._indexing
        assert store._write_connection is not None
        ((until,),) = store._write_connection.execute("SELECT until FROM message_events")
        indexed.add(until)
        assert [await found(f"$e{each}") for each in range(number + 1)] == [f"m{each}" for each in range(number + 1)]
    assert indexed == {0, 4, 8}
    for number in (1, 9):  # one that is in the index, one that is not
        await held.know(message(number, f"$other{number}"))
        assert await found(f"$e{number}") is None
        assert await found(f"$other{number}") == f"m{number}"
    await store.clean(Retention(seen_ms=10, dead_ms=10, messages_ms=5), now=10, epoch=held.epoch)
    assert [await found(f"$e{each}") for each in (0, 4, 5, 8)] == [None, None, "m5", "m8"]
    assert await found("$other1") is None
    assert store._write_connection is not None
    ((rows,),) = store._write_connection.execute("SELECT count(*) FROM message_event")
    assert rows == 3  # 5, 6 and 7: the index forgets with the table
