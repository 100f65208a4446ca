"""Notices what the command line did in the database beside the running bridge."""

from __future__ import annotations

import logging

from bridgekit.errors import StoreUnavailable
from bridgekit.model.entry import RETRIED_BESIDE
from bridgekit.model.ids import LaneKey
from bridgekit.ports import Store
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)


class Beside:
    """Wakes the lanes when a dead letter was put back by another process.

    It looks whenever the lease is renewed: one small read every few seconds, and no timer of its own.
    """

    def __init__(self, store: Store, lanes: Lanes, lease: LeaseKeeper) -> None:
        self._store = store
        self._lanes = lanes
        self._lease = lease
        self._known: str | None = None

    async def open(self) -> None:
        """To be called before the lanes are taken up, so that nothing falls between. Raises `StoreUnavailable`."""
        self._known = await self._store.value(RETRIED_BESIDE)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._lease.renewal()
            try:
                await self.look()
            except StoreUnavailable as error:
                log.warning("dead letters that were retried beside the bridge are looked for again: %s", error)

    async def look(self) -> None:
        """Look once. Raises `StoreUnavailable`: then the next look finds it."""
        value = await self._store.value(RETRIED_BESIDE)
        if value == self._known:
            return
        # Which lane it was is not said: two letters may have been put back since. It is rare, so all may look.
        after: LaneKey | None = None
        while page := await self._store.lanes(after=after):
            for key in page:
                self._lanes.wake(key)
            after = page[-1]
        log.info("a dead letter was put back from the command line")
        self._known = value
