"""How fast the store is: ``python -m benchmarks.store [URL]``. Without a URL: SQLite in a directory of its own.

Every write that is counted is on disk, and was answered after that.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from bridgekit.model.entry import Append, Completion, Direction, Entry, NewEntry
from bridgekit.model.ids import ChatID, DedupeKey, EventID, LaneKey, PortalKey, RemoteMessageID, RoomID, UserID
from bridgekit.model.records import MessageRecord, MessageSaved
from bridgekit.ports import Store
from bridgekit.store import open_store

PAYLOAD = b'{"type":"m.room.message","content":{"msgtype":"m.text","body":"' + b"x" * 400 + b'"}}'
LANES = 50


def new_entry(number: int) -> NewEntry:
    event_id = f"${number:043d}"
    return NewEntry(
        lane=LaneKey(f"m:!room{number % LANES}:example.org"),
        dedupe=DedupeKey(event_id),
        direction=Direction.MATRIX,
        kind="m.room.message",
        payload=PAYLOAD,
        received_at=1_700_000_000_000 + number,
        event_id=EventID(event_id),
    )


def completion(entry: Entry) -> Completion:
    fact = MessageSaved(
        MessageRecord(
            portal=PortalKey(ChatID(entry.lane)),
            remote_id=RemoteMessageID(f"remote {entry.dedupe}"),
            part=0,
            room=RoomID(entry.lane[2:]),
            event_id=entry.event_id or EventID(""),
            sender=UserID("@someone:example.org"),
            timestamp=entry.received_at,
        )
    )
    return Completion(lane=entry.lane, seq=entry.seq, facts=(fact,))


class Numbers:
    """Event numbers that are never used twice."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> Sequence[NewEntry]:
        self._next += count
        return [new_entry(number) for number in range(self._next - count, self._next)]


async def measure(name: str, count: int, work: Callable[[], Awaitable[object]]) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    await work()
    took, busy = time.perf_counter() - start, time.process_time() - cpu
    print(f"{name:<58} {count / took:>9,.0f}/s   ({count:,} in {took:.2f} s, {busy:.2f} s CPU)", flush=True)


async def together(jobs: Sequence[Sequence[Callable[[], Awaitable[object]]]]) -> None:
    """Each row of jobs by a task of its own, one after the other."""

    async def work(row: Sequence[Callable[[], Awaitable[object]]]) -> None:
        for job in row:
            await job()

    async with asyncio.TaskGroup() as group:
        for row in jobs:
            group.create_task(work(row))


async def run(store: Store) -> None:
    lease = await store.acquire_lease("benchmark", now=0, ttl_ms=10**15)
    epoch = lease.epoch
    numbers = Numbers()
    appended: list[Entry] = []

    def append(entries: Sequence[NewEntry]) -> Callable[[], Awaitable[object]]:
        async def job() -> None:
            appended.extend((await store.append(Append(entries=tuple(entries)), epoch=epoch)).entries)

        return job

    def complete(entries: Sequence[Entry], facts: bool) -> Callable[[], Awaitable[object]]:
        ends = [completion(entry) if facts else Completion(lane=entry.lane, seq=entry.seq) for entry in entries]
        return lambda: store.complete(ends, epoch=epoch)

    async def measure_append(name: str, tasks: int, rounds: int, size: int) -> None:
        jobs = [[append(numbers.take(size)) for _ in range(rounds)] for _ in range(tasks)]
        await measure(name, tasks * rounds * size, lambda: together(jobs))

    async def measure_complete(name: str, tasks: int, size: int, *, facts: bool) -> None:
        chunks = [complete(appended[at : at + size], facts) for at in range(0, len(appended), size)]
        jobs = [chunks[number::tasks] for number in range(tasks)]
        count = len(appended)
        appended.clear()
        await measure(name, count, lambda: together(jobs))

    await measure_append("append, 100 events each, one caller", 1, 300, 100)
    await measure_complete("complete, 100 each, one caller", 1, 100, facts=False)
    await measure_append("append, 100 events each, 4 callers", 4, 100, 100)
    await measure_complete("complete with message record, 100 each, one caller", 1, 100, facts=True)
    await measure_append("append, one event each, 100 callers", 100, 200, 1)
    await measure_complete("complete with message record, one each, 100 callers", 100, 1, facts=True)
    await measure_append("append, one event each, one caller", 1, 1000, 1)
    lane = appended[0].lane
    await measure("peek of 20, one caller", 2000, lambda: together([[lambda: store.peek(lane, limit=20)] * 2000]))
    await measure("stats, one caller", 200, lambda: together([[store.stats] * 200]))


def file_size(path: Path) -> int:
    return path.stat().st_size


async def main(url: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        store = open_store(url or f"sqlite:///{directory}/bench.db")
        await store.open()
        try:
            await run(store)
        finally:
            await store.close()
        if url is None:
            print(f"{file_size(Path(directory, 'bench.db')) / 2**20:.0f} MiB on disk")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
