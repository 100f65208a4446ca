"""Whose turn it is among the files that are still to be carried: fair between portals, bounded each way."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator

import msgspec

from bridgekit.model.ids import LoginID, PortalKey
from bridgekit.model.records import Direction
from bridgekit.runtime.media_rules import MediaRules


class Pending(msgspec.Struct):
    """What is kept in memory of a job: little, because a flood fills the disk."""

    id: str
    direction: Direction
    login: LoginID
    message: str
    not_before: int
    urgent_at: int | None


class Order:
    """The jobs that wait, and how many are carried. The two directions know nothing of each other: a file from Matrix
    does not wait until a thousand from the network have come, nor the other way round."""

    def __init__(self, rules: MediaRules) -> None:
        self._rules = rules
        self._pending: dict[tuple[Direction, PortalKey], dict[str, Pending]] = {}
        self._turns: deque[tuple[Direction, PortalKey]] = deque()
        self._begun: Counter[Direction] = Counter()
        self._of_login: Counter[tuple[Direction, LoginID]] = Counter()

    def put(self, portal: PortalKey, job: Pending) -> None:
        """It waits, behind those of its portal that wait already."""
        key = (job.direction, portal)
        if key not in self._pending:
            self._pending[key] = {}
            self._turns.append(key)
        self._pending[key][job.id] = job

    def take(self, portal: PortalKey, job: Pending) -> None:
        """It waits no more, if it did."""
        self._pending.get((job.direction, portal), {}).pop(job.id, None)

    def of(self, portal: PortalKey) -> Iterator[Pending]:
        """Those that wait in this portal."""
        for direction in Direction:
            yield from self._pending.get((direction, portal), {}).values()

    def begun(self, job: Pending) -> None:
        """It is carried now. Tell `ended` what its direction and login were."""
        self._begun[job.direction] += 1
        self._of_login[job.direction, job.login] += 1

    def ended(self, direction: Direction, login: LoginID) -> None:
        """One is carried no more."""
        self._begun[direction] -= 1
        self._of_login[direction, login] -= 1
        if not self._of_login[direction, login]:
            del self._of_login[direction, login]

    def next(
        self, now: int, ready_at: Callable[[Pending], int | None]
    ) -> tuple[tuple[PortalKey, Pending] | None, int | None]:
        """The job whose turn it is; else when (ms) one's time comes. `ready_at`: when (ms) a job may be carried; None:
        when something else has happened."""
        next_at: int | None = None
        for _ in range(len(self._turns)):
            key = self._turns[0]
            self._turns.rotate(-1)
            direction, portal = key
            jobs = self._pending[key]
            if not jobs:
                self._turns.pop()
                del self._pending[key]
                continue
            if self._begun[direction] >= self._rules.at_once:
                continue
            for job in jobs.values():
                if self._of_login[direction, job.login] >= self._rules.per_login:
                    continue
                at = ready_at(job)
                if at is not None and at <= now:
                    return (portal, job), None
                if at is not None and (next_at is None or at < next_at):
                    next_at = at
        return None, next_at
