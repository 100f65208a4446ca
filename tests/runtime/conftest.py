from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

# Its plugin imports it at the very end otherwise: CPython 3.11 cannot parse a module while it collects what is left of
# killed bridges ("AST constructor recursion depth mismatch").
import hypothesis  # noqa: F401
import pytest

from bridgekit.core import staging
from bridgekit.runtime import completer, points
from bridgekit.testing.harness import Harness


@pytest.fixture(autouse=True)
def no_hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(completer, "GATHER_S", 0)  # the only real time in the runtime
    monkeypatch.setattr(staging, "QUIET_S", 0)  # tests that are not about it need not wait for quiet
    yield
    points.hook = None


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """A bridge that has started, Alice logged in."""
    harness = Harness()
    await harness.start()
    yield harness
    await harness.kill()
