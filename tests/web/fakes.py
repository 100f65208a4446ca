"""A bridge to watch that is whatever a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bridgekit.core.histogram import Histogram
from bridgekit.model.entry import Stats
from bridgekit.web.watched import Ages, LoginState, Numbers

NOW = 1_700_000_000_000

EMPTY = Stats(0, 0, None, None, 0)


async def well() -> None:
    """What goes well."""


async def for_ever() -> None:
    """What never answers."""
    await asyncio.Event().wait()


def failing(error: Exception) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


@dataclass
class FakeBridge:
    """`bridgekit.web.watched.Watched`; well in every way unless told otherwise."""

    version: str = "1.2.3"
    network: str = "fake"
    is_started: bool = True
    is_lease_lost: bool = False
    lease_s: float | None = 11.26
    read: Callable[[], Awaitable[None]] = well
    pinging: Callable[[], Awaitable[None]] = well
    fails: bool = False
    seen: Ages = field(default_factory=lambda: Ages(ping=3.04, answer=0.5, transaction=None, round_trip_ms=7))
    found: Stats | Exception = EMPTY
    logins: list[LoginState] = field(default_factory=list)
    counted: Numbers = field(default_factory=lambda: Numbers(commits=Histogram()))
    pings: int = 0

    def now(self) -> int:
        return NOW

    def started(self) -> bool:
        return self.is_started

    def lease_lost(self) -> bool:
        return self.is_lease_lost

    def lease_good_for_s(self) -> float | None:
        return self.lease_s

    async def read_database(self) -> None:
        await self.read()

    async def stats(self) -> Stats:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def homeserver_fails(self) -> bool:
        return self.fails

    async def ping(self) -> None:
        self.pings += 1
        await self.pinging()

    def ages(self) -> Ages:
        return self.seen

    def sessions(self) -> list[LoginState]:
        return self.logins

    def numbers(self) -> Numbers:
        return self.counted
