"""The ``.sql`` files: every query is understood by its database, and used."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

import bridgekit.store
from bridgekit.errors import ConfigError, MigrationFailed
from bridgekit.store import open_store
from bridgekit.store.migrate import migrate
from bridgekit.store.postgres import PostgresStore
from bridgekit.store.program import Query, Script
from bridgekit.store.sqlite import SqliteStore
from bridgekit.store.statements import Migration, migrations, queries, split

PROGRAMS = "".join(file.read_text() for file in Path(bridgekit.store.__path__[0]).rglob("*.py"))
USED = set(re.findall(r'(?:Query|Many)\(\s*"(\w+)"', PROGRAMS)) | set(re.findall(r'\("(\w+)", _\w+\)', PROGRAMS))

ONLY_SQLITE = set(re.findall(r'_sql\["(\w+)"\]', PROGRAMS))


def test_every_query_is_used_and_there() -> None:
    assert (USED | ONLY_SQLITE) - {"migration_lock"} == set(queries("sqlite"))
    assert set(queries("postgres")) == USED


def test_sqlite_understands_every_query() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(queries("sqlite")["schema_version_table"])
        for step in migrations("sqlite"):
            for statement in step.statements:
                connection.execute(statement)
        for sql in queries("sqlite").values():
            connection.execute(f"EXPLAIN {sql}", (1,) * len(set(re.findall(r"\?\d+", sql))))


async def test_postgres_understands_every_query(postgres_dsn: str) -> None:
    store = open_store(postgres_dsn)
    await store.open()
    await store.close()
    connection = await asyncpg.connect(postgres_dsn)
    for sql in queries("postgres").values():
        await connection.prepare(sql)
    await connection.close()


async def test_postgres_refuses_a_newer_schema(postgres_dsn: str) -> None:
    store = open_store(postgres_dsn)
    await store.open()
    await store.close()
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("UPDATE schema_version SET version = 99")
    await connection.close()
    with pytest.raises(MigrationFailed, match=r"newer bridgekit.*version 99"):
        await store.open()


def test_both_databases_have_the_same_versions() -> None:
    names = [[(step.version, step.name) for step in migrations(dialect)] for dialect in ("sqlite", "postgres")]
    assert names[0] == names[1]


@pytest.mark.parametrize(("present", "taken"), [(None, ["a", "b", "c"]), (1, ["b", "c"]), (2, ["c"]), (3, [])])
def test_only_the_steps_that_are_lacking_are_taken(present: int | None, taken: list[str]) -> None:
    steps = [Migration(number, name, (name,)) for number, name in enumerate("abc", 1)]
    program = migrate("sqlite", steps)
    statements: list[str] = []
    queried: list[Query] = []
    statement = next(program)
    try:
        while True:
            if isinstance(statement, Script):
                statements.append(statement.sql)
            elif isinstance(statement, Query):
                queried.append(statement)
            rows = [(present,)] if queried[-1].name == "schema_version" and present is not None else []
            statement = program.send(rows)
    except StopIteration:
        pass
    assert statements == taken
    versions = [query.parameters for query in queried if query.name == "schema_version_put"]
    assert versions == ([(3,)] if taken else [])


def test_a_script_is_split_at_the_ends_of_its_statements() -> None:
    script = "-- first; of all\nCREATE TABLE a (x); -- a ; comment\nINSERT INTO a VALUES ('1;2');\n\n-- the end\n"
    assert list(split("CREATE TABLE a (\n  x\n);\nINSERT INTO a VALUES ('1;2');\n-- the end; really\n")) == [
        "CREATE TABLE a (\n  x\n)",
        "INSERT INTO a VALUES ('1;2')",
    ]
    assert len(list(split(script))) == 1  # a comment behind a statement is not ours to write


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/bridge.db", "/var/lib/bridge.db"),
        ("sqlite:////var/lib/bridge.db", "/var/lib/bridge.db"),
        ("sqlite:bridge.db", "bridge.db"),
        ("sqlite:///a%20b/%C3%A9.db", "/a b/é.db"),
    ],
)
def test_sqlite_urls(url: str, path: str) -> None:
    store = open_store(url)
    assert isinstance(store, SqliteStore) and store.path == Path(path)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_postgres_urls(scheme: str) -> None:
    assert isinstance(open_store(f"{scheme}://user@host/name"), PostgresStore)


@pytest.mark.parametrize("url", ["", "bridge.db", "mysql://host/name", "sqlite://", "sqlite:///", "sqlite://bridge.db"])
def test_urls_that_name_nothing(url: str) -> None:
    with pytest.raises(ConfigError, match="Write sqlite:"):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://[half",
        "postgresql://u:pass@host:65536/d",
        "postgresql://u:pa/ss@host/d",
        "postgresql://u:1#ss@host/d",
    ],
)
def test_a_url_with_a_slip_gives_no_password_away(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_store(url)
    assert "the URL cannot be read" in str(raised.value)
    assert "ss" not in str(raised.value).replace("password", "")
