"""One process at a time: the lease in the database, kept alive, and its epoch."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from pathlib import Path

from bridgekit.errors import LeaseHeld, LeaseLost, StoreUnavailable
from bridgekit.model.entry import Lease
from bridgekit.ports import Clock, Journal

log = logging.getLogger(__name__)

TTL_MS = 15_000
RENEW_EVERY_S = 4.0


def process_name() -> str:
    """``host/boot/pid/start/random``: enough to tell, on the same machine, whether that process still lives."""
    return "/".join((_machine(), str(os.getpid()), _start_time(os.getpid()) or "?", secrets.token_hex(4)))


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Two containers share the kernel and its boot id, but not their process numbers.
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        boot, namespace = "?", "?"
    return f"{socket.gethostname()}:{boot}:{namespace}"


def _start_time(pid: int) -> str | None:
    """When the kernel started that process (clock ticks since boot), or None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    # A killed process whose parent has not looked yet (Z) holds nothing any more.
    return None if fields[0] in "ZX" else fields[19]


def is_dead(owner: str) -> bool:
    """True only if the owner is certainly gone: it ran on this machine, and its process is no more."""
    parts = owner.split("/")
    if len(parts) != 4 or parts[0] != _machine() or "?" in parts[0] or not parts[1].isdigit():
        return False
    return _start_time(int(parts[1])) != parts[2]


class LeaseKeeper:
    """Holds the lease for as long as the bridge runs.

    `lost` is set when another process has taken over: from then on nothing more may be sent.
    """

    def __init__(self, journal: Journal, clock: Clock, *, owner: str | None = None, ttl_ms: int = TTL_MS) -> None:
        self._journal = journal
        self._clock = clock
        self._owner = owner or process_name()
        self._ttl_ms = ttl_ms
        self._lease: Lease | None = None
        self._task: asyncio.Task[None] | None = None
        self._good_until = 0.0
        self._renewed = asyncio.Event()
        self._renewal = asyncio.Event()
        self.lost = asyncio.Event()

    @property
    def epoch(self) -> int:
        """The epoch that every write of this process carries."""
        if self._lease is None:
            raise LeaseLost("this process does not hold the lease")
        return self._lease.epoch

    @property
    def good_for_s(self) -> float | None:
        """For how long the lease is certainly ours, in seconds: not above 0 while the database does not answer. None if
        it is not held."""
        if self._lease is None or self.lost.is_set():
            return None
        return self._good_until - self._clock.monotonic()

    async def acquire(self, *, wait: bool = True) -> None:
        """Take the lease. If another process lives on this database: wait for it, or raise `LeaseHeld`."""
        told = False
        while True:
            start = self._clock.monotonic()
            try:
                self._lease = await self._take()
                break
            except LeaseHeld as held:
                if not wait:
                    raise
                if not told:
                    log.warning(
                        "another bridge process (%s) works on this database; waiting until it ends. "
                        "Stop it, or give this bridge a database of its own.",
                        held.owner,
                    )
                    told = True
                await self._clock.sleep(1.0)
        self._good_until = start + self._ttl_ms / 1000
        self._renewed.set()
        self._task = asyncio.create_task(self._keep(), name="lease")

    async def _take(self) -> Lease:
        now = self._clock.now()
        try:
            return await self._journal.acquire_lease(self._owner, now=now, ttl_ms=self._ttl_ms)
        except LeaseHeld as held:
            if not is_dead(held.owner):
                raise
            log.info("the last process (%s) ended without giving up its lease; taking over", held.owner)
            return await self._journal.acquire_lease(self._owner, now=now, ttl_ms=self._ttl_ms, replacing=held.epoch)

    async def check(self) -> None:
        """Wait until the lease is certainly ours. Called before each call to the outside. Raises `LeaseLost`."""
        while not self.lost.is_set():
            if self._clock.monotonic() < self._good_until:
                return
            # The database did not answer in time, so another process may have taken over. Wait for certainty.
            self._renewed.clear()
            waits = [asyncio.ensure_future(self._renewed.wait()), asyncio.ensure_future(self.lost.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        raise LeaseLost("another process has taken over this database")

    def declare_lost(self) -> None:
        """Somebody found the lease in other hands."""
        if not self.lost.is_set():
            log.error("another process has taken over this database; this one sends nothing more and stops")
            self.lost.set()

    async def renewal(self) -> None:
        """Wait until the lease has been renewed once more."""
        await self._renewal.wait()

    async def release(self) -> None:
        """Give the lease up, so that the next process need not wait."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._lease is not None and not self.lost.is_set():
            try:
                await self._journal.release_lease(self._lease)
            except StoreUnavailable as error:
                log.warning("the lease could not be given up (%s); it expires by itself", error)
        self._lease = None

    async def _keep(self) -> None:
        while True:
            await self._clock.sleep(RENEW_EVERY_S)
            assert self._lease is not None
            start = self._clock.monotonic()
            try:
                self._lease = await self._journal.renew_lease(self._lease, now=self._clock.now(), ttl_ms=self._ttl_ms)
            except StoreUnavailable as error:
                log.warning("the lease could not be renewed: %s", error)
            except LeaseLost:
                self.declare_lost()
                return
            except Exception:
                # A bug of ours. Without this task the bridge would fall silent when the lease runs out.
                log.exception("the lease could not be renewed")
            else:
                self._good_until = start + self._ttl_ms / 1000
                self._renewed.set()
                self._renewal.set()
                self._renewal = asyncio.Event()
