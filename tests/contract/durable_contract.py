"""What a store on a disk promises besides: commits, other processes, cancelled callers."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from bridgekit.errors import StoreUnavailable
from bridgekit.model.entry import Append
from bridgekit.ports import Store
from tests.contract.journal_contract import JournalContract
from tests.contract.values import LANE, NOW, Database, Opened, new_entry, opened

OPEN_IN_A_PROCESS = """
import asyncio, sys
from bridgekit.store import open_store

async def main():
    store = open_store(sys.argv[1])
    sys.stdin.readline()  # everybody starts at once
    await store.open()
    print((await store.secret()).hex())
    await store.close()

print("ready", flush=True)
asyncio.run(main())
"""


APPEND_FOR_EVER = """
import asyncio, itertools, sys
from bridgekit.model.entry import Append
from bridgekit.store import open_store
from tests.contract.values import NOW, new_entry

async def main():
    store = open_store(sys.argv[1])
    await store.open()
    lease = await store.acquire_lease("killed", now=NOW, ttl_ms=15_000)

    async def write(writer):
        for number in itertools.count():
            name = f"{writer} {number:06}"
            await store.append(Append(entries=(new_entry(name),)), epoch=lease.epoch)
            print(name, flush=True)

    await asyncio.gather(*(write(writer) for writer in range(8)))

asyncio.run(main())
"""


class DurableDatabase(Database, Protocol):
    """A database that other programs can reach."""

    @property
    def url(self) -> str: ...

    def blocked(self) -> AbstractAsyncContextManager[None]:
        """While the block runs, no write can be committed, because another program is in the way; reads go on."""


class DurableContract(JournalContract):
    @pytest.fixture
    def database(self) -> DurableDatabase:
        raise NotImplementedError

    async def test_an_append_returns_only_after_its_commit(self, held: Opened, database: DurableDatabase) -> None:
        await held.append("before")
        async with database.blocked():
            appending = asyncio.create_task(held.append("1", "2"))
            for _ in range(20):  # each is a round trip through the store: time enough for a write that does not wait
                assert await held.pending() == ["before"]
            assert not appending.done()
        assert [entry.seq for entry in await appending] == [2, 3]
        assert await held.pending() == ["before", "1", "2"]

    async def test_a_cancelled_caller_leaves_nothing_half_done(self, held: Opened, database: DurableDatabase) -> None:
        """Cancelled in the middle of the commit, or while waiting for the next one."""
        async with database.blocked():
            committing = asyncio.create_task(held.append("committing 1", "committing 2"))
            await held.pending()
            waiting = asyncio.create_task(held.append("waiting 1", "waiting 2"))
            kept = asyncio.create_task(held.append("kept"))
            await held.pending()
            committing.cancel()
            waiting.cancel()
            for task in (committing, waiting):
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                assert task.cancelled()
        await kept
        pending = await held.pending()
        # The first was on its way to the disk and arrived whole; the second was left out whole.
        assert pending == ["committing 1", "committing 2", "kept"]
        # No SQL transaction was left open: somebody else can write, and so can we.
        async with database.blocked():
            pass
        await held.append("after")
        assert await held.pending() == [*pending, "after"]

    async def test_closing_finishes_what_waits(self, held: Opened, database: DurableDatabase) -> None:
        async with database.blocked():
            waiting = [asyncio.create_task(held.append(str(number))) for number in range(5)]
            await held.pending()
            closing = asyncio.create_task(held.store.close())
        await closing
        assert all(task.done() and len(task.result()) == 1 for task in waiting)
        with pytest.raises(StoreUnavailable):
            await held.append("too late")
        with pytest.raises(StoreUnavailable):
            await held.pending()
        async with opened(database.store()) as store:
            assert len(await store.peek(LANE)) == 5

    async def test_a_closed_store_opens_again(self, held: Opened) -> None:
        await held.append("1")
        await held.store.close()
        await held.store.open()
        assert await held.pending() == ["1"]
        await held.append("2")
        assert await held.pending() == ["1", "2"]

    async def test_opening_where_everything_is_there_changes_nothing(self, held: Opened, database: Database) -> None:
        await held.append("1")
        for _ in range(2):
            async with opened(database.store()) as store:
                assert len(await store.peek(LANE)) == 1

    async def test_stores_of_one_process_that_migrate_at_once(self, database: Database) -> None:
        stores = [database.store() for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        assert len({await store.secret() for store in stores}) == 1
        for store in stores:
            await store.close()

    async def test_processes_that_migrate_at_once(self, database: DurableDatabase) -> None:
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                OPEN_IN_A_PROCESS,
                database.url,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
        assert [process.returncode for process in processes] == [0, 0, 0, 0]
        assert len({output for output, _ in outputs}) == 1

    async def test_what_was_answered_survives_a_kill(self, database: DurableDatabase) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", APPEND_FOR_EVER, database.url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(100)]
        process.kill()
        rest, _ = await process.communicate()
        # The last line may be cut off: then it was not answered.
        answered = {line.decode().strip() for line in [*lines, *rest.splitlines(keepends=True)] if line.endswith(b"\n")}
        async with opened(database.store()) as store:
            entries = await store.peek(LANE, limit=1_000_000)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        names = [entry.dedupe for entry in entries]
        assert answered <= set(names)
        for writer in range(8):
            own = [name for name in names if name.startswith(f"{writer} ")]
            assert own == [f"{writer} {number:06}" for number in range(len(own))]

    async def test_the_holder_writes_on_while_a_second_process_does(self, held: Opened, second: Store) -> None:
        """A command line that retries dead letters beside a busy bridge."""
        entries = await held.append(*(str(number) for number in range(20)))
        ids = [await held.bury(entry) for entry in entries]
        busy = [held.append(f"new {number}") for number in range(50)]
        retries = [second.retry_dead(id, now=NOW) for id in ids]
        await asyncio.gather(*busy, *retries)
        pending = await held.pending()
        assert sorted(pending) == sorted([f"new {n}" for n in range(50)] + [str(n) for n in range(20)])
        assert [entry.seq for entry in await held.store.peek(LANE, limit=1000)] == list(range(21, 91))

    async def test_a_repeat_after_an_unknown_outcome_is_harmless(self, held: Opened) -> None:
        """Callers who do not know whether their append was committed do it again, and find all of it with `peek`."""
        append = Append(entries=(new_entry("1"), new_entry("2")))
        await held.store.append(append, epoch=held.epoch)
        again = await held.store.append(append, epoch=held.epoch)
        assert (again.entries, again.duplicates) == ((), 2)
        assert await held.pending() == ["1", "2"]
