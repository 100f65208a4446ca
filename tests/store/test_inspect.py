"""What `check` sees of a database, and that it leaves no trace there."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import asyncpg
import pytest

from bridgekit.errors import ConfigError
from bridgekit.store import inspect as inspection
from bridgekit.store import open_store
from bridgekit.store.inspect import inspect
from bridgekit.store.statements import migrations
from tests.support.postgres import PostgresServer


async def make(url: str, *, owner: str | None = None) -> int:
    """Make the schema, and take the lease; until when, in ms."""
    store = open_store(url)
    await store.open()
    lease = None
    if owner is not None:
        lease = await store.acquire_lease(owner, now=time.time_ns() // 1_000_000, ttl_ms=60_000)
    await store.close()
    return 0 if lease is None else lease.expires_at


# --- SQLite -----------------------------------------------------------------------------------------------------------


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    found = await inspect(f"sqlite://{path}")
    assert (found.problem, found.schema, found.place) == (None, None, str(path))
    assert list(tmp_path.iterdir()) == []


async def test_a_database_with_and_without_a_bridge(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/bridge.db"
    await make(url)
    found = await inspect(url)
    assert found.problem is None
    assert found.schema == found.known == len(migrations("sqlite"))
    assert found.owner is None
    until = await make(url, owner="box/77\udcff")
    found = await inspect(url)
    assert (found.owner, found.expires_at) == ("box/77\udcff", until)
    # The holder goes on as it was.
    assert await make(url, owner="box/77\udcff") >= until


async def test_an_old_schema_stays_old(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "bridge.db") as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        connection.execute("INSERT INTO schema_version VALUES (0)")
    connection.close()
    for _ in range(2):
        found = await inspect(f"sqlite://{tmp_path}/bridge.db")
        assert (found.problem, found.schema, found.owner) == (None, 0, None)


async def test_what_is_no_database_of_ours(tmp_path: Path) -> None:
    assert (await inspect(f"sqlite://{tmp_path}/none/bridge.db")).problem == "directory"
    (tmp_path / "letter").write_text("Dear aunt,\n" * 200)
    assert (await inspect(f"sqlite://{tmp_path}/letter")).problem == "damaged"
    (tmp_path / "empty").touch()
    assert (await inspect(f"sqlite://{tmp_path}/empty")).problem is None
    (tmp_path / "folder").mkdir()
    assert (await inspect(f"sqlite://{tmp_path}/folder")).problem == "rights"
    with sqlite3.connect(tmp_path / "other") as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")
    connection.close()
    found = await inspect(f"sqlite://{tmp_path}/other")
    assert (found.problem, found.detail) == ("foreign", "recipe")


async def test_a_file_that_somebody_keeps_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "LOCK_TIMEOUT_S", 0.0)
    url = f"sqlite://{tmp_path}/bridge.db"
    await make(url)
    holder = sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert (await inspect(url)).problem == "locked"
    finally:
        holder.close()
    assert (await inspect(url)).problem is None


async def test_a_url_that_is_none() -> None:
    with pytest.raises(ConfigError):
        await inspect("mysql://h/d")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://[half",
        "postgresql://user:pass/word@host/d",
        "postgresql://user:1#word@host/d",
        "postgresql://user:word@host:port/d",
        "postgresql://user:word@[host/d",
    ],
)
async def test_a_url_with_a_slip_gives_no_password_away(url: str) -> None:
    found = await inspect(url)
    assert found.problem == "address"
    assert "word" not in repr(found)
    assert "pass" not in repr(found)


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


async def test_postgresql(postgres_dsn: str) -> None:
    found = await inspect(postgres_dsn)
    assert (found.problem, found.schema, found.encoding, found.read_only) == (None, None, "UTF8", False)
    assert found.server_version >= 130_000
    until = await make(postgres_dsn, owner="box/77")
    found = await inspect(postgres_dsn)
    assert (found.schema, found.owner, found.expires_at) == (len(migrations("postgres")), "box/77", until)


async def test_a_user_without_rights(postgres: PostgresServer, postgres_dsn: str) -> None:
    name = postgres_dsn.rpartition("/")[2]
    stranger = postgres_dsn.replace("bridgekit@", "stranger:secret@")
    admin = await asyncpg.connect(postgres_dsn)
    try:
        await admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'secret'")
        await admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        found = await inspect(stranger)
        assert (found.problem, found.detail) == ("rights", "the user stranger may not make tables there")
        assert found.place == f"127.0.0.1:{postgres.port}/{name}"  # and no password
        await make(postgres_dsn)
        found = await inspect(stranger)
        assert (found.problem, found.detail) == ("rights", "the user stranger may not write there")
        await admin.execute(f"ALTER ROLE stranger IN DATABASE {name} SET default_transaction_read_only = on")
        await admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO stranger")
        assert (await inspect(stranger)).read_only
    finally:
        await admin.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM stranger")
        await admin.execute("DROP OWNED BY stranger")
        await admin.execute("DROP ROLE stranger")
        await admin.close()
    found = await inspect(stranger)
    assert found.problem == "refused"
    assert "stranger" in found.detail


async def test_a_database_in_another_encoding(postgres: PostgresServer, postgres_dsn: str) -> None:
    admin = await asyncpg.connect(postgres_dsn)
    try:
        await admin.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
        assert (await inspect(postgres.dsn("ascii"))).encoding == "SQL_ASCII"
    finally:
        await admin.execute("DROP DATABASE IF EXISTS ascii WITH (FORCE)")
        await admin.close()


async def test_no_postgresql(postgres: PostgresServer) -> None:
    assert (await inspect(postgres.dsn("nothing"))).problem == "missing"
    assert (await inspect("postgresql://a:secret@127.0.0.1:1/b")).problem == "unreachable"
    assert (await inspect("postgresql://a@nowhere.invalid/b")).problem == "unreachable"
