"""What `bridgekit.web` shows, read from the parts of a running bridge."""

from __future__ import annotations

import bridgekit
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.ping import Pinger
from bridgekit.model.entry import Direction, Stats
from bridgekit.ports import Clock, Store
from bridgekit.runtime.bridge import Bridge
from bridgekit.web.watched import Ages, LoginState, Numbers

UNCERTAIN = "uncertain"
"""The code of an entry that may have been carried out."""


class WatchedBridge:
    """`bridgekit.web.watched.Watched` for `bridge`."""

    version = bridgekit.__version__

    def __init__(
        self, bridge: Bridge, store: Store, homeserver: Homeserver, pinger: Pinger, clock: Clock, *, network: str
    ) -> None:
        self._bridge = bridge
        self._store = store
        self._homeserver = homeserver
        self._pinger = pinger
        self._clock = clock
        self.network = network

    def now(self) -> int:
        return self._clock.now()

    def started(self) -> bool:
        return self._bridge.ready.is_set()

    def lease_lost(self) -> bool:
        return self._bridge.lease.lost.is_set()

    def lease_good_for_s(self) -> float | None:
        return self._bridge.lease.good_for_s

    async def read_database(self) -> None:
        await self._store.value("readiness")

    async def stats(self) -> Stats:
        return await self._store.stats()

    def homeserver_fails(self) -> bool:
        return self._homeserver.answers.failing

    async def ping(self) -> None:
        await self._pinger.ping()

    def ages(self) -> Ages:
        return Ages(
            ping=self._age(self._pinger.succeeded_at),
            answer=self._age(self._homeserver.answers.last_at),
            transaction=self._age(self._bridge.counters.last_transaction_at),
            round_trip_ms=self._pinger.round_trip_ms,
        )

    def _age(self, at: int | None) -> float | None:
        return None if at is None else max(0.0, (self._clock.now() - at) / 1000)

    def sessions(self) -> list[LoginState]:
        found = []
        for record in self._bridge.books.logins():
            state = self._bridge.sessions.state(record.login.id)
            found.append(LoginState(login=record.login.id, state=state.name, reason=state.reason))
        return sorted(found, key=lambda each: each.login)

    def numbers(self) -> Numbers:
        counters, gaps, answers = self._bridge.counters, self._bridge.gaps, self._homeserver.answers
        completed: dict[tuple[Direction, str, str], int] = {}
        for direction, count in counters.done.items():
            completed[direction, "done", ""] = count
        for (direction, code), count in counters.failed.items():
            completed[direction, UNCERTAIN if code == UNCERTAIN else "dead", "" if code == UNCERTAIN else code] = count
        return Numbers(
            transactions=counters.transactions,
            events=counters.events,
            duplicates=counters.duplicates,
            malformed=counters.malformed,
            completed=completed,
            retries=counters.retries,
            missing=gaps.missing,
            late=gaps.late,
            unknown_anchors=gaps.unknown_anchors,
            skipped=self._bridge.catching_up.skipped,
            calls=self._bridge.calls.live,
            calls_begun=self._bridge.calls.begun,
            media_running=self._bridge.files.jobs.running,
            media_bytes=counters.media_bytes,
            media_done=counters.media_done,
            media_failed=counters.media_failed,
            requests=answers.by_status,
            rate_limited=answers.rate_limited,
            commits=self._store.commit_seconds,
        )
