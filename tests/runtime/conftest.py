from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from bridgekit.core import staging
from bridgekit.model.ids import RoomID
from bridgekit.runtime import completer, points
from bridgekit.testing.harness import Harness, Killed
from bridgekit.testing.network import FakeNetwork

Start = Callable[..., Any]


@pytest_asyncio.fixture(scope="session", autouse=True)
async def nobody_asks_what_a_killed_task_died_of() -> None:
    """And nobody is to be told, when it is collected. Telling formats a traceback, for which CPython 3.11 parses
    source; where another parse was interrupted by the collection, that one fails ("AST constructor recursion depth
    mismatch")."""

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), Killed):
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(handle)


@pytest_asyncio.fixture(scope="module", autouse=True, loop_scope="session")
async def what_was_killed_is_collected_here() -> AsyncIterator[None]:
    """A bridge that was killed leaves tasks that nobody ends. Collected in another file's test, where perhaps no loop
    runs, they would be taken for that one's."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def no_hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(completer, "GATHER_S", 0)  # the only real time in the runtime
    monkeypatch.setattr(staging, "QUIET_S", 0)  # tests that are not about it need not wait for quiet
    yield
    points.hook = None


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """`harness, room = await start(network, **options)`: a bridge with one portal, ended with the test."""
    harnesses = []

    async def begin(network: FakeNetwork | None = None, **options: Any) -> tuple[Harness, RoomID]:
        harness = Harness(network, **options)
        harnesses.append(harness)
        await harness.start()
        return harness, await harness.portal()

    yield begin
    for harness in harnesses:
        await harness.kill()


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """A bridge that has started, Alice logged in."""
    harness = Harness()
    await harness.start()
    yield harness
    await harness.kill()
