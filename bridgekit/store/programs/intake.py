"""Pushed transactions, kept as they came until they are unpacked; `append.append` ends them."""

from __future__ import annotations

from collections.abc import Sequence

from bridgekit.model.entry import NewStaged, Staged
from bridgekit.store.codec import dec, enc
from bridgekit.store.program import Many, Program, Query
from bridgekit.store.programs import lease


def stage(news: Sequence[NewStaged], epoch: int) -> Program[list[int]]:
    """Several callers' transactions; the order is theirs. Their numbers.

    There is one writer, and the lease's lock keeps a second process from being one: a lower number never becomes
    visible after a higher one.
    """
    yield from lease.check(epoch)
    rows = yield Many("intake_add", [(enc(new.txn_id), new.received_at, new.events, new.body) for new in news])
    return [row[0] for row in rows]


def staged(after: int, limit: int, max_bytes: int) -> Program[list[Staged]]:
    wanted: list[tuple[int]] = []
    total = 0
    for number, size in (yield Query("intake_sizes", (after, limit))):
        total += size
        if wanted and total > max_bytes:
            break
        wanted.append((number,))
    rows = yield Many("intake_get", wanted)
    return [
        Staged(number=number, txn_id=dec(txn_id), received_at=received_at, events=events, body=body)
        for number, txn_id, received_at, events, body in rows
    ]


def take(numbers: Sequence[int]) -> Program[set[int]]:
    """Forget these; those of them that were there."""
    if not numbers:
        return set()
    return {row[0] for row in (yield Many("intake_take", [(number,) for number in numbers]))}
