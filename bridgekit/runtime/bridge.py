"""The bridge: its parts, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging

from bridgekit.core.lane import remote_lane
from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.model.entry import WORKING_SINCE
from bridgekit.model.ids import UserID
from bridgekit.model.raw import Transaction
from bridgekit.model.records import ValueSaved
from bridgekit.runtime import points
from bridgekit.runtime.parts import Parts

log = logging.getLogger(__name__)

CLEAN_EVERY_S = 3600.0


class Bridge(Parts):
    """One running bridge. What it is made with, `Parts` says."""

    # --- the application service API's handler --------------------------------------------------------------------
    async def transaction(self, txn_id: str, transaction: Transaction) -> None:
        """Make a transaction durable. Raises `StoreError`."""
        await self.inbox.transaction(txn_id, transaction)
        points.reach(points.ANSWER_BEFORE)

    async def user_exists(self, user_id: str) -> bool:
        """Whether this ghost, or the bot, is registered."""
        return user_id == self._identity.bot or await self._ghosts.is_registered(UserID(user_id))

    async def alias_exists(self, alias: str) -> bool:
        """Whether a room has this alias: only the homeserver knows, and it asks because it knows of none."""
        return False

    # --- starting and stopping ------------------------------------------------------------------------------------
    async def open(self, *, wait: bool = True) -> None:
        """Open the database and take the lease. Raises `StoreError`, and `LeaseHeld` unless `wait`."""
        await self._store.open()
        await self.lease.acquire(wait=wait)
        await self.books.open()
        await self._beside.open()
        await self.calls.open()
        await self._lanes.recover()
        await self.files.jobs.load()
        self._completer.start()

    def start(self) -> None:
        """Begin to work. The application service API must be listening by now."""
        self.inbox.intake.start()
        self._ephemeral.start()
        self._tasks = [
            asyncio.create_task(self._start(), name="start"),
            asyncio.create_task(self._clean(), name="clean"),
            asyncio.create_task(self._beside.run(), name="beside"),
        ]

    async def stop(self) -> None:
        """Finish what has begun, for so long as is configured, then let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._recovered.stop()
        await self._ephemeral.stop()
        await self.logins.stop()
        await self.gaps.stop()
        if not await self._lanes.stop(drain_s=self._times.drain_s):
            log.info("not everything was finished in time; it goes on at the next start")
        await self.calls.stop()
        await self.files.stop()
        await self.sessions.stop()
        await self._status.stop()
        await self.inbox.stop()
        await self._completer.stop(within_s=self._times.drain_s)
        await self.lease.release()
        await self._store.close()

    async def _start(self) -> None:
        await self._reach.until("the bridge's bot could not be set up", self._set_up)
        # What an earlier process had answered and not unpacked comes before whatever is sent or compared now.
        await self.inbox.intake.settled()
        self.calls.start()
        self.files.ahead.start()
        self._lanes.start()
        self.gaps.start()
        self.sessions.start()
        self.files.jobs.start()
        await self._reach.until_pinged()
        self.ready.set()
        await self._reach.until("the first event could not be sent", self._reach.wake_homeserver)
        await self._reach.watch_canary()

    async def _set_up(self) -> None:
        await self.books.save(ValueSaved(WORKING_SINCE, f"{self.lease.epoch} {self._clock.now()}"))
        await self._reach.set_up_bot()
        await self.portals.finish_begun(lambda key: self._lanes.is_busy(remote_lane(key)))

    async def _clean(self) -> None:
        while True:
            await self._clock.sleep(CLEAN_EVERY_S)
            try:
                rows = await self._store.clean(self._times.retention, now=self._clock.now(), epoch=self.lease.epoch)
            except StoreUnavailable as error:
                log.warning("old rows could not be cleaned up: %s", error)
            except LeaseLost:
                self.lease.declare_lost()
                return
            else:
                log.info("cleaned up %d old rows", rows)
