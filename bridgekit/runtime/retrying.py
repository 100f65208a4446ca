"""When an entry is tried again, and when it ends: the tables of `core.policy` with the clock's time."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bridgekit.core.backoff import Backoff
from bridgekit.core.policy import End, Retry, expired, judge_homeserver
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.entry import Ending, Entry
from bridgekit.ports import Clock
from bridgekit.runtime.lanes import RetryLater


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the bridge is. All times in ms.

    `retry_for_ms`: how long a network's or homeserver's refusals are retried before the entry becomes a dead letter.
    `tell_after_ms`: when the sender of a waiting message is told that it waits. `send_timeout_ms`: how long one call
    into the adapter may take. `confirm_wait_ms`: how long an echo without nonce, or a reply, waits for the sends in
    flight. `txn_memory_ms`: for how long the homeserver surely remembers a transaction id.
    """

    retry_for_ms: int = 24 * 3_600_000
    tell_after_ms: int = 60_000
    send_timeout_ms: int = 60_000
    confirm_wait_ms: int = 30_000
    txn_memory_ms: int = 20 * 3_600_000


class Retrying:
    """Turns a verdict into "later" (raises `RetryLater`) or "never" (returns the `Ending`)."""

    def __init__(self, clock: Clock, delivery: Delivery, random: Callable[[], float]) -> None:
        self.clock = clock
        self.delivery = delivery
        self.random = random
        self._backoff = Backoff()

    def waits_since(self, entry: Entry) -> int:
        """When the entry's present row of failures began (ms); now, if this is the first."""
        return entry.failed_since if entry.failed_since is not None else self.clock.now()

    def is_over(self, entry: Entry, verdict: Retry) -> bool:
        """Whether the entry has been retried for as long as it may be."""
        return not verdict.forever and expired(
            now=self.clock.now(), failed_since=entry.failed_since, retry_for_ms=self.delivery.retry_for_ms
        )

    def later(self, entry: Entry, verdict: Retry) -> RetryLater:
        """The decision to try the entry again."""
        delay = self._backoff.delay(entry.attempts, self.random(), verdict.retry_after_s)
        return RetryLater(delay, since=self.waits_since(entry), asked=verdict.retry_after_s is not None)

    def ending(self, code: str, reason: str) -> Ending:
        """The decision to end an entry, now."""
        return Ending(code=code, reason=reason, at=self.clock.now())

    def homeserver_failed(self, entry: Entry, error: HomeserverUnreachable | MatrixRequestError) -> Ending:
        """What follows from a failed request: raises `RetryLater`, or returns how the entry ends."""
        match judge_homeserver(error):
            case Retry() as verdict:
                if not self.is_over(entry, verdict):
                    raise self.later(entry, verdict) from error
                return self.ending(verdict.code, verdict.reason)
            case End() as verdict:
                return self.ending(verdict.code, verdict.reason)
