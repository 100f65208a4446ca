"""How a pushed transaction is kept until it is unpacked, and when that is done.

A transaction of many events is first written down as it came, which costs the disk one row, and answered; taking it
apart into entries costs many rows, and can wait until the homeserver has nothing more to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bridgekit.core import rawjson

DIRECT_EVENTS = 10
"""A transaction of so few events is written as entries at once: that costs no more than staging it, and less later."""

QUIET_S = 0.005
"""Between the answer to one transaction and the next that the homeserver has ready, less time than this passes."""

LONGEST_S = 0.5
"""However busy the homeserver is: what was staged so long ago is unpacked."""

LEAST_WAIT_S = 0.001
"""While a transaction is being taken in, it is looked at again after so long at the earliest."""

UNPACK_EVENTS = 250
"""So many events are unpacked in one SQL transaction: a transaction that arrives meanwhile waits for its end."""

UNPACK_BYTES = 4 * 1024 * 1024
"""The same bound in bytes."""


def join(events: Iterable[bytes | msgspec.Raw]) -> bytes:
    """The events' JSON as one array. What `part` makes of it are the same bytes, event by event."""
    return b"[" + b",".join(events) + b"]"


def part(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The events of an array that `join` made. Raises ValueError if it is none: what was written is damaged."""
    try:
        return rawjson.decode_elements(body)
    except RecursionError:
        return rawjson.deep_elements(body)


def pause(*, now: float, serving: bool, served_at: float, oldest: float) -> float:
    """How many seconds unpacking waits before it looks again, 0 or less if it is time; all times are monotonic, in s.

    `serving`: a transaction is being taken in right now. `served_at` is when the last one was answered, `oldest` when
    the oldest one that waits was staged.
    """
    longest = oldest + LONGEST_S - now
    if serving:
        return min(longest, max(QUIET_S, LEAST_WAIT_S))
    return min(longest, served_at + QUIET_S - now)


def batch(sizes: Iterable[tuple[int, int]]) -> int:
    """How many of the staged transactions, given as (events, bytes), are unpacked together: one at least."""
    count = events = size = 0
    for more_events, more_bytes in sizes:
        events += more_events
        size += more_bytes
        if count and (events > UNPACK_EVENTS or size > UNPACK_BYTES):
            break
        count += 1
    return count
