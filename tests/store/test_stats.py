"""Asking how much waits costs the same however much that is: no query of it walks through a table."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from bridgekit.model import entry as entries
from bridgekit.model.entry import Direction
from bridgekit.model.ids import LaneKey
from bridgekit.store import open_store
from bridgekit.store.postgres import READER_SETTINGS
from bridgekit.store.sqlite import SqliteStore
from bridgekit.store.statements import queries
from tests.contract.values import NOW, Opened, new_entry, opened

MANY = 20_000

FILL_ENTRIES = """
INSERT INTO entry (lane_id, seq, dedupe, direction, kind, received_at, payload)
SELECT {number} % 50, {number}, {blob}, {number} % 2, {blob}, {number}, {blob} FROM {numbers}
"""
FILL_DEAD = """
INSERT INTO dead_letter (direction, kind, dedupe, received_at, ended_at, code, reason, payload)
SELECT {number} % 2, {blob}, {blob}, {number}, {number}, {blob}, {blob}, {blob} FROM {numbers}
"""
FILL_MEDIA = """
INSERT INTO media_job
    (digest, id, direction, chat, receiver, message, login, payload, created_at, attempts, not_before)
SELECT {unique}, {blob}, 'remote', {blob}, {blob}, {blob}, {blob}, {blob}, {number}, 0, 0 FROM {numbers}
"""
ASKED: dict[str, tuple[int, ...]] = {
    "entry_oldest": (0,),
    "entry_count": (0, 10),
    "dead_letter_count": (10,),
    "media_job_oldest": (),
    "media_job_count": (10,),
}


async def test_plans_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    async with opened(SqliteStore(path)):
        pass
    words = {"number": "value", "blob": "x'00'", "unique": "value", "numbers": "numbers"}
    numbers = f"WITH RECURSIVE numbers (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM numbers LIMIT {MANY}) "
    with closing(sqlite3.connect(path)) as connection:
        for fill in (FILL_ENTRIES, FILL_DEAD, FILL_MEDIA):
            connection.execute(numbers + fill.format(**words))
        plans = {}
        for name, parameters in ASKED.items():
            rows = connection.execute("EXPLAIN QUERY PLAN " + queries("sqlite")[name], parameters)
            plans[name] = "; ".join(str(row[3]) for row in rows)
    assert "SEARCH entry USING COVERING INDEX entry_by_age (direction=?)" in plans["entry_oldest"]
    assert "SEARCH entry USING COVERING INDEX entry_by_age (direction=?)" in plans["entry_count"]
    assert "dead_letter USING COVERING INDEX dead_letter_by_age" in plans["dead_letter_count"]
    assert "media_job USING COVERING INDEX media_job_by_age" in plans["media_job_count"]
    assert "media_job USING COVERING INDEX media_job_by_age" in plans["media_job_oldest"]
    assert not re.search("TEMP B-TREE", " ".join(plans.values()))


@pytest.mark.parametrize("analysed", [False, True])
async def test_plans_on_postgres(postgres_dsn: str, analysed: bool) -> None:
    async with opened(open_store(postgres_dsn)):
        pass
    words = {
        "number": "value",
        "blob": "'\\x00'::bytea",
        "unique": "int8send(value)",
        "numbers": f"generate_series(1, {MANY}) AS numbers (value)",
    }
    connection = await asyncpg.connect(postgres_dsn, server_settings=READER_SETTINGS)
    try:
        for table, fill in (("entry", FILL_ENTRIES), ("dead_letter", FILL_DEAD), ("media_job", FILL_MEDIA)):
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            await connection.execute(fill.format(**words))
        if analysed:
            await connection.execute("VACUUM ANALYZE")
        plans = {}
        for name, parameters in ASKED.items():
            sql = queries("postgres")[name]
            for number, parameter in enumerate(parameters, start=1):
                sql = sql.replace(f"${number}", str(parameter))
            plans[name] = " ".join(str(row[0]) for row in await connection.fetch("EXPLAIN " + sql))
    finally:
        await connection.close()
    for name, index in {"entry_oldest": "entry_by_age", "entry_count": "entry_by_age"}.items():
        assert re.search(rf"Limit .*Index Only Scan using {index} on entry", plans[name]), plans[name]
    assert re.search("Limit .*Index Only Scan using dead_letter_by_age", plans["dead_letter_count"])
    for name in ("media_job_count", "media_job_oldest"):
        assert re.search("Limit .*Index Only Scan using media_job_by_age", plans[name])
    assert not re.search("Seq Scan|Sort", " ".join(plans.values()))


async def test_counts_no_further_than_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridgekit.store.programs.entries.COUNTED", 3)
    assert entries.COUNTED >= 10_000
    async with opened(SqliteStore(tmp_path / "bridge.db")) as store:
        held = Opened(store, (await store.acquire_lease("first", now=NOW, ttl_ms=15_000)).epoch)
        remote = [
            new_entry(f"r{number}", direction=Direction.REMOTE, lane=LaneKey("r:"), at=NOW - number)
            for number in range(2)
        ]
        await held.add([*(new_entry(str(number), at=NOW + number) for number in range(5)), *remote])
        stats = await store.stats()
    assert (stats.pending_matrix, stats.oldest_matrix_ms) == (3, NOW)
    assert (stats.pending_remote, stats.oldest_remote_ms) == (2, NOW - 1)


async def test_commits_are_timed(tmp_path: Path) -> None:
    async with opened(SqliteStore(tmp_path / "bridge.db")) as store:
        held = Opened(store, (await store.acquire_lease("first", now=NOW, ttl_ms=15_000)).epoch)
        (_, before), total = store.commit_seconds.cumulative()[-1], store.commit_seconds.total
        await held.append("1")
        await held.append("2")
        await held.pending()
        (bound, after) = store.commit_seconds.cumulative()[-1]
        assert (bound, after) == ("+Inf", before + 2)
        assert store.commit_seconds.total > total
