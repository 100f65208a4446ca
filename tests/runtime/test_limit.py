"""One time limit for many calls."""

from __future__ import annotations

import asyncio

import pytest

from bridgekit.runtime.limit import TimeLimit

LONG = TimeLimit(3600)


async def _never() -> None:
    await asyncio.Event().wait()


async def test_a_call_that_answers() -> None:
    async def answers() -> int:
        return 7

    assert await LONG.on(answers()) == 7


async def test_a_call_that_fails() -> None:
    async def fails() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await LONG.on(fails())


async def test_a_call_that_takes_too_long_is_cancelled() -> None:
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await _never()
        finally:
            ended.set()

    with pytest.raises(TimeoutError, match=r"no answer within 0\.02 s"):
        await TimeLimit(0.02).on(waits())
    assert ended.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0  # nobody wanted this task to end


async def test_only_the_call_that_is_late() -> None:
    limit = TimeLimit(0.02)
    release = asyncio.Event()

    async def second() -> str:
        # Begins when the first is over, and ends by itself.
        await release.wait()
        return await limit.on(_quick())

    other = asyncio.create_task(second())
    with pytest.raises(TimeoutError):
        await limit.on(_never())
    release.set()
    assert await other == "quick"


async def _quick() -> str:
    return "quick"


async def test_a_cancellation_from_outside_stays_one() -> None:
    begun = asyncio.Event()

    async def waits() -> None:
        begun.set()
        await _never()

    task = asyncio.create_task(LONG.on(waits()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_answers_although_it_is_late() -> None:
    """It may finish what cannot be cut off: what it says counts."""

    async def stubborn() -> str:
        try:
            await _never()
        except asyncio.CancelledError:
            return "done all the same"
        raise AssertionError

    assert await TimeLimit(0.02).on(stubborn()) == "done all the same"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_cancelled_and_late_at_once() -> None:
    """Somebody wants the task to end: that is not taken for a late answer."""
    limit = TimeLimit(0.02)

    async def waits() -> None:
        try:
            await _never()
        except asyncio.CancelledError:
            task.cancel()  # a second wish, while the first is being obeyed
            raise

    task = asyncio.create_task(limit.on(waits()))
    with pytest.raises(asyncio.CancelledError):
        await task
