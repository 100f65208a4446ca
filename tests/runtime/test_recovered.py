"""What backed off from the homeserver is tried when that is back."""

from __future__ import annotations

from bridgekit.runtime.recovered import EVERY_S, Recovered
from bridgekit.testing.clock import ManualClock


async def test_at_once_and_then_now_and_then() -> None:
    clock = ManualClock()
    tried: list[float] = []
    recovered = Recovered(clock, lambda: tried.append(clock.monotonic()))
    start = clock.monotonic()
    for _ in range(100):  # with every other answer
        recovered()
        recovered()
        await clock.advance(0.25)
    assert [at - start for at in tried] == [0.0, EVERY_S, 2 * EVERY_S]
    await clock.advance(10 * EVERY_S)
    assert len(tried) == 4  # what it was told last
    recovered()
    assert len(tried) == 5
    await recovered.stop()
    recovered()
    assert len(tried) == 5
