"""For how long the lease is certainly ours, as those who watch are told."""

from __future__ import annotations

from bridgekit.runtime.lease import TTL_MS
from bridgekit.testing.harness import Harness


async def test_it_is_renewed_until_the_database_refuses(harness: Harness) -> None:
    lease = harness.bridge.lease
    await harness.settle(60)
    assert lease.good_for_s is not None
    assert 0 < lease.good_for_s <= TTL_MS / 1000
    harness.door.refused.add("renew_lease")
    await harness.settle(TTL_MS / 1000 + 1)
    assert lease.good_for_s < 0
    harness.door.refused.clear()
    await harness.settle(10)
    assert lease.good_for_s > 0


async def test_it_is_nobodys_once_it_is_lost() -> None:
    harness = Harness()
    await harness.start()
    lease = harness.bridge.lease
    lease.declare_lost()
    assert lease.good_for_s is None
    await harness.stop()
    assert lease.good_for_s is None
