"""``/healthz`` and ``/readyz``: whether the process lives, and whether what it needs is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

import msgspec

from bridgekit.errors import BridgekitError
from bridgekit.web.watched import LoginState, Watched

DATABASE_TIMEOUT_S = 2.0
PING_TIMEOUT_S = 5.0
"""A ready homeserver answers in milliseconds, and who asks should not wait long for a no."""

PING_EVERY_S = 15.0
"""A ping that went round proves the way to the homeserver and back for so long, unless a request fails meanwhile."""


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the process should be left alone."""

    alive: bool = msgspec.field()
    reason: str = ""


class DatabasePart(msgspec.Struct, frozen=True):
    """`took_ms`: how long a small read took."""

    ok: bool
    reason: str = ""
    took_ms: float | None = None


class LeasePart(msgspec.Struct, frozen=True):
    """`good_for_s`: how long the lease is certainly ours. It is renewed every few seconds, with a write to the disk."""

    ok: bool
    reason: str = ""
    good_for_s: float | None = None


class HomeserverPart(msgspec.Struct, frozen=True):
    """`*_age_s`: how long ago, None for never. `round_trip_ms`: of the last ping."""

    ok: bool
    reason: str = ""
    ping_age_s: float | None = None
    round_trip_ms: int | None = None
    answer_age_s: float | None = None
    transaction_age_s: float | None = None


class Readiness(msgspec.Struct, frozen=True):
    """The answer of ``/readyz``. `started`: the start-up ping has succeeded once."""

    ready: bool
    started: bool
    database: DatabasePart
    lease: LeasePart
    homeserver: HomeserverPart
    sessions: Sequence[LoginState]


def health(watched: Watched) -> Health:
    """Alive, as long as this code runs and the lease was not lost. Nothing outside the process makes it unhealthy: to
    start it again would not help against a database or a homeserver that is away."""
    if watched.lease_lost():
        return Health(False, "another process has taken over this database; this one ends")
    return Health(True)


class Checks:
    """Answers ``/readyz``. However many ask at once, there is one ping under way at most."""

    def __init__(
        self,
        watched: Watched,
        *,
        database_timeout_s: float = DATABASE_TIMEOUT_S,
        ping_timeout_s: float = PING_TIMEOUT_S,
        ping_every_s: float = PING_EVERY_S,
    ) -> None:
        self._watched = watched
        self._database_timeout_s = database_timeout_s
        self._ping_timeout_s = ping_timeout_s
        self._ping_every_s = ping_every_s
        self._ping: asyncio.Task[str] | None = None

    async def readiness(self) -> Readiness:
        """Look at every part, side by side.

        A login that is not connected is shown, but does not make the process unready: the others' messages cross all
        the same, what comes for this one waits in the journal, and taking the process out of service for one person's
        wrong password would stop everybody's bridge.
        """
        database, homeserver = await asyncio.gather(self._database(), self._homeserver())
        lease, started = self._lease(), self._watched.started()
        return Readiness(
            ready=started and database.ok and lease.ok and homeserver.ok,
            started=started,
            database=database,
            lease=lease,
            homeserver=homeserver,
            sessions=self._watched.sessions(),
        )

    async def stop(self) -> None:
        """End a ping that is under way."""
        if self._ping is not None:
            self._ping.cancel()
            await asyncio.gather(self._ping, return_exceptions=True)

    async def _database(self) -> DatabasePart:
        begin = time.perf_counter()
        reason = await _failure(self._watched.read_database(), self._database_timeout_s, "the database does not answer")
        if reason:
            return DatabasePart(False, reason)
        return DatabasePart(True, took_ms=round((time.perf_counter() - begin) * 1000, 1))

    def _lease(self) -> LeasePart:
        good_for_s = self._watched.lease_good_for_s()
        if good_for_s is None:
            return LeasePart(False, "the lease on the database is not held")
        if good_for_s <= 0:
            reason = "the lease could not be renewed in time; nothing is sent until the database takes writes again"
            return LeasePart(False, reason, round(good_for_s, 1))
        return LeasePart(True, good_for_s=round(good_for_s, 1))

    async def _homeserver(self) -> HomeserverPart:
        age = self._watched.ages().ping
        reason = ""
        if age is None or age >= self._ping_every_s or self._watched.homeserver_fails():
            reason = await self._ping_now()
        ages = self._watched.ages()
        return HomeserverPart(
            ok=not reason,
            reason=reason,
            ping_age_s=_rounded(ages.ping),
            round_trip_ms=ages.round_trip_ms,
            answer_age_s=_rounded(ages.answer),
            transaction_age_s=_rounded(ages.transaction),
        )

    async def _ping_now(self) -> str:
        """Why the ping failed; empty if it did not. One that takes long goes on, and the next who asks waits for it."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(_failure(self._watched.ping()), name="readiness ping")
        done, _ = await asyncio.wait({self._ping}, timeout=self._ping_timeout_s)
        if not done:
            return f"the ping has not come back within {self._ping_timeout_s:g} s"
        return self._ping.result() if not self._ping.cancelled() else "the bridge is stopping"


async def _failure(work: Awaitable[None], timeout_s: float | None = None, too_long: str = "") -> str:
    """Why it failed, in words; empty if it did not."""
    try:
        async with asyncio.timeout(timeout_s):
            await work
    except TimeoutError:
        return f"{too_long} within {timeout_s:g} s"
    except BridgekitError as error:
        return str(error)
    return ""


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
