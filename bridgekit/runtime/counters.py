"""What has happened since the process started, in plain numbers: for /metrics, and as cheap as an addition."""

from __future__ import annotations

from collections import Counter

from bridgekit.errors import StoreError
from bridgekit.model.entry import Direction, Ending, Entry
from bridgekit.runtime.lanes import Handled, Handler, Lane, RetryLater, WaitFor

MAX_CODES = 64
"""So many kinds of failure are told apart. Codes may be a homeserver's own words; the rest count as ``other``."""

OTHER = "other"

BUG = "bug"


class Counters:
    """Counts; nothing here is ever read by the bridge itself. `last_transaction_at` is in ms, None before the first."""

    def __init__(self) -> None:
        self.transactions = 0
        self.last_transaction_at: int | None = None
        self.events: Counter[Direction] = Counter()
        """What the homeserver and the network have sent, repeats and malformed ones included."""
        self.duplicates: Counter[Direction] = Counter()
        """Of those, the ones that were known already."""
        self.malformed = 0
        self.done: Counter[Direction] = Counter()
        self.failed: Counter[tuple[Direction, str]] = Counter()
        """Direction and code of the entries that failed for good; ``uncertain`` is one of the codes."""
        self.retries: Counter[Direction] = Counter()
        self.media_bytes: Counter[Direction] = Counter()
        """Bytes of files that were moved, by where they come from; those of attempts that failed included."""
        self.media_done: Counter[Direction] = Counter()
        self.media_failed: Counter[Direction] = Counter()
        """Files that are across, and that will never be."""

    def transaction(self, *, events: int, now: int) -> None:
        """The homeserver has pushed a transaction with so many events; `now` in ms."""
        self.transactions += 1
        self.last_transaction_at = now
        self.events[Direction.MATRIX] += events

    def moved_in(self, size: int) -> None:
        """So many bytes of a file have come from the network."""
        self.media_bytes[Direction.REMOTE] += size

    def fail(self, direction: Direction, code: str) -> None:
        """An entry has failed for good."""
        key = (direction, code)
        if key not in self.failed and len(self.failed) >= MAX_CODES:
            key = (direction, OTHER)
        self.failed[key] += 1

    def ended(self, direction: Direction, ending: Ending | None) -> None:
        """An entry has been carried out (None), or has failed for good."""
        if ending is None:
            self.done[direction] += 1
        else:
            self.fail(direction, ending.code)


def counting(handler: Handler, counters: Counters) -> Handler:
    """The same handler, counted."""

    async def handle(entry: Entry, lane: Lane) -> Handled:
        try:
            handled = await handler(entry, lane)
        except RetryLater:
            counters.retries[entry.direction] += 1
            raise
        except (WaitFor, StoreError):
            raise
        except Exception:
            counters.fail(entry.direction, BUG)  # `Lanes` makes a dead letter of it
            raise
        counters.ended(entry.direction, handled.dead)
        return handled

    return handle
