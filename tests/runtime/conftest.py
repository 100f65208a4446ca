from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from bridgekit.runtime import points
from bridgekit.testing.harness import Harness


@pytest.fixture(autouse=True)
def no_hook() -> Iterator[None]:
    yield
    points.hook = None


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """A bridge that has started, Alice logged in."""
    harness = Harness()
    await harness.start()
    yield harness
    await harness.kill()
