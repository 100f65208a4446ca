"""One process at a time: the lease and its epoch."""

from __future__ import annotations

from bridgekit.errors import LeaseHeld, LeaseLost
from bridgekit.model.entry import Lease
from bridgekit.store.codec import dec, enc
from bridgekit.store.program import Program, Query


def check(epoch: int | None) -> Program[None]:
    """Raises `LeaseLost` unless `epoch` is the holder's. None: whoever writes beside the holder (the command line)."""
    if epoch is None:
        return
    rows = yield Query("lease_check")
    if not rows or rows[0][0] != epoch:
        raise LeaseLost("another process has taken over this database, or the lease was given up")


def acquire(owner: str, now: int, ttl_ms: int, replacing: int | None) -> Program[Lease]:
    # No epoch is negative: -1 replaces nobody.
    rows = yield Query("lease_take", (enc(owner), now, now + ttl_ms, -1 if replacing is None else replacing))
    if rows:
        return Lease(owner=owner, epoch=rows[0][0], expires_at=now + ttl_ms)
    ((holder, epoch, expires_at),) = yield Query("lease_read")
    raise LeaseHeld(dec(holder), expires_at, epoch)


def renew(lease: Lease, now: int, ttl_ms: int) -> Program[Lease]:
    rows = yield Query("lease_renew", (enc(lease.owner), lease.epoch, now + ttl_ms))
    if not rows:
        raise LeaseLost("another process has taken over this database, or the lease was given up")
    return Lease(owner=lease.owner, epoch=lease.epoch, expires_at=now + ttl_ms)


def read() -> Program[Lease | None]:
    ((holder, epoch, expires_at),) = yield Query("lease_read")
    return None if holder is None else Lease(owner=dec(holder), epoch=epoch, expires_at=expires_at)


def release(lease: Lease) -> Program[None]:
    yield Query("lease_release", (enc(lease.owner), lease.epoch))
