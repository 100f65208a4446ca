"""Which writes go to disk together, and what happens to each of them; with a disk that the test holds in its hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.store import group_commit
from bridgekit.store.group_commit import MAX_OPERATIONS, MAX_WEIGHT, Group, GroupCommit, Operation, group
from bridgekit.store.program import Program


class Disk:
    """Commits when it is let; remembers what was committed together."""

    def __init__(self) -> None:
        self.commits: list[list[list[Any]]] = []
        self.began = asyncio.Event()
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.failure: BaseException | None = None

    async def commit(self, groups: Sequence[Group]) -> list[list[Any]]:
        self.began.set()
        await self.may_go.wait()
        if self.failure is not None:
            raise self.failure
        results = [self._run(part.start()) for part in groups]
        self.commits.append([[operation.argument for operation in part.operations] for part in groups])
        return results

    def _run(self, program: Program[list[Any]]) -> list[Any]:
        try:
            next(program)
        except StopIteration as stop:
            result: list[Any] = stop.value
            return result
        raise AssertionError("these programs ask for nothing")


def echo(arguments: Sequence[Any]) -> Program[list[Any]]:
    if "bad" in arguments:
        raise LeaseLost("bad")
    yield from ()
    return [argument * 2 for argument in arguments]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def writes(disk: Disk) -> AsyncIterator[GroupCommit]:
    writes = GroupCommit(disk.commit)
    writes.start()
    yield writes
    disk.may_go.set()
    await writes.close()


def start(writes: GroupCommit, *arguments: Any, family: str | None = None, weight: int = 1) -> list[asyncio.Task[Any]]:
    operations = [Operation(echo, argument, family=family, weight=weight) for argument in arguments]
    return [asyncio.create_task(writes.write(operation)) for operation in operations]


async def hold(disk: Disk, writes: GroupCommit) -> asyncio.Task[Any]:
    """Begin a commit that does not end yet, so that all that follows has to wait together."""
    disk.may_go.clear()
    (first,) = start(writes, "first")
    await disk.began.wait()
    return first


async def test_writes_that_wait_together_are_committed_together(disk: Disk, writes: GroupCommit) -> None:
    first = await hold(disk, writes)
    rest = start(writes, 1, 2, 3)
    disk.may_go.set()
    assert await asyncio.gather(first, *rest) == ["firstfirst", 2, 4, 6]
    assert disk.commits == [[["first"]], [[1], [2], [3]]]


async def test_no_answer_before_the_commit(disk: Disk, writes: GroupCommit) -> None:
    first = await hold(disk, writes)
    done, waiting = await asyncio.wait([first, *start(writes, 1)], timeout=0.05)
    assert (len(done), len(waiting)) == (0, 2)
    assert disk.commits == []


def test_neighbours_of_one_family_run_as_one() -> None:
    async def families() -> list[list[Any]]:
        named = [("a", 1), ("a", 2), ("b", 3), ("a", 4), (None, 5), (None, 6)]
        operations = [Operation(echo, argument, family=family) for family, argument in named]
        return [[operation.argument for operation in part.operations] for part in group(operations)]

    assert asyncio.run(families()) == [[1, 2], [3], [4], [5], [6]]


@pytest.mark.parametrize("family", [None, "same"])
async def test_one_that_fails_spoils_no_other(family: str | None, disk: Disk, writes: GroupCommit) -> None:
    first = await hold(disk, writes)
    rest = start(writes, 1, "bad", 3, family=family)
    disk.may_go.set()
    results = await asyncio.gather(first, *rest, return_exceptions=True)
    assert results[0] == "firstfirst" and results[1] == 2 and results[3] == 6
    assert isinstance(results[2], LeaseLost)
    assert disk.commits == [[["first"]], [[1]], [[3]]]


async def test_a_database_that_is_away_is_not_asked_again_for_each(disk: Disk, writes: GroupCommit) -> None:
    first = await hold(disk, writes)
    rest = start(writes, 1, 2, 3)
    disk.failure = StoreUnavailable("away")
    disk.may_go.set()
    results = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [str(result) for result in results] == ["away"] * 4
    assert len({id(result) for result in results}) == 4  # a traceback of its own for each caller
    disk.failure = None
    assert await asyncio.gather(*start(writes, 5)) == [10]


async def test_a_batch_is_bounded_by_number(disk: Disk, writes: GroupCommit) -> None:
    first = await hold(disk, writes)
    rest = start(writes, *range(MAX_OPERATIONS + 10))
    disk.may_go.set()
    await asyncio.gather(first, *rest)
    assert [len(commit) for commit in disk.commits] == [1, MAX_OPERATIONS, 10]


async def test_a_batch_is_bounded_by_weight(disk: Disk, writes: GroupCommit) -> None:
    first = await hold(disk, writes)
    rest = start(writes, 1, 2, 3, weight=MAX_WEIGHT // 2) + start(writes, 4, weight=MAX_WEIGHT * 9)
    disk.may_go.set()
    await asyncio.gather(first, *rest)
    assert [len(commit) for commit in disk.commits] == [1, 2, 1, 1]


async def test_a_cancelled_caller_is_left_out_if_its_commit_has_not_begun(disk: Disk, writes: GroupCommit) -> None:
    first = await hold(disk, writes)
    left_out, kept = start(writes, 1, 2)
    await asyncio.wait([first], timeout=0.01)  # both are in the queue now
    first.cancel()
    left_out.cancel()
    disk.may_go.set()
    assert await kept == 4
    assert disk.commits == [[["first"]], [[2]]]
    assert first.cancelled() and left_out.cancelled()


async def test_closing_commits_what_waits(disk: Disk) -> None:
    writes = GroupCommit(disk.commit)
    writes.start()
    first = await hold(disk, writes)
    rest = start(writes, 1, 2)
    await asyncio.wait([first], timeout=0.01)
    closing = asyncio.create_task(writes.close())
    disk.may_go.set()
    await closing
    assert await asyncio.gather(*rest) == [2, 4]
    with pytest.raises(StoreUnavailable, match="closed"):
        await writes.write(Operation(echo, 3))


async def test_an_urgent_write_goes_before_the_others_but_not_twice_in_a_row(
    disk: Disk, writes: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_OPERATIONS", 1)
    first = await hold(disk, writes)
    operations = [Operation(echo, n, urgent=n > 2) for n in (1, 2, 3, 4, 5)]
    rest = [asyncio.create_task(writes.write(operation)) for operation in operations]
    disk.may_go.set()
    assert await asyncio.gather(first, *rest) == ["firstfirst", 2, 4, 6, 8, 10]
    assert [commit[0][0] for commit in disk.commits] == ["first", 3, 1, 4, 2, 5]
