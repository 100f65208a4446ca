"""What is counted while the bridge works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from bridgekit.errors import Rejected, StoreUnavailable, Transient, Uncertain
from bridgekit.model.entry import Direction, Ending, Entry
from bridgekit.model.ids import DedupeKey, LaneKey
from bridgekit.model.raw import Transaction
from bridgekit.runtime.counters import BUG, MAX_CODES, OTHER, Counters, counting
from bridgekit.runtime.lanes import Handled, Lane, RetryLater, WaitFor
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.homeserver import raw

M, R = Direction.MATRIX, Direction.REMOTE

ENTRY = Entry(lane=LaneKey("m:!room"), seq=1, dedupe=DedupeKey("1"), direction=M, kind="", payload=b"", received_at=0)


async def forever() -> None: ...


def handler(outcome: Handled | Exception) -> Callable[[Entry, Lane], Awaitable[Handled]]:
    async def handle(entry: Entry, lane: Lane) -> Handled:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return handle


@pytest.mark.parametrize(
    ("outcome", "done", "failed", "retries"),
    [
        (Handled(), {M: 1}, {}, {}),
        (Handled(dead=Ending("rejected", "", 0)), {}, {(M, "rejected"): 1}, {}),
        (Handled(dead=Ending("uncertain", "", 0)), {}, {(M, "uncertain"): 1}, {}),
        (RetryLater(1.0, since=0), {}, {}, {M: 1}),
        (ZeroDivisionError(), {}, {(M, BUG): 1}, {}),
        (WaitFor(forever), {}, {}, {}),
        (StoreUnavailable("away"), {}, {}, {}),
    ],
    ids=["done", "dead", "uncertain", "retry", "bug", "wait", "database"],
)
async def test_each_outcome_is_counted_and_passed_on(
    outcome: Handled | Exception, done: Any, failed: Any, retries: Any
) -> None:
    counters = Counters()
    counted = counting(handler(outcome), counters)
    lane = cast(Lane, object())  # it is passed on, no more
    if isinstance(outcome, Exception):
        with pytest.raises(type(outcome)) as raised:
            await counted(ENTRY, lane)
        assert raised.value is outcome
    else:
        assert await counted(ENTRY, lane) is outcome
    assert (dict(counters.done), dict(counters.failed), dict(counters.retries)) == (done, failed, retries)


def test_a_server_that_makes_up_codes_makes_no_more_labels() -> None:
    counters = Counters()
    for number in range(MAX_CODES + 50):
        counters.fail(M, f"M_{number}")
        counters.fail(R, f"M_{number}")
    assert len(counters.failed) <= MAX_CODES + 2
    assert counters.failed[M, OTHER] + counters.failed[R, OTHER] == 2 * (MAX_CODES + 50) - MAX_CODES
    counters.fail(M, "M_0")
    assert counters.failed[M, "M_0"] == 2


async def test_a_conversation(harness: Harness) -> None:
    room = await harness.portal()
    counters = harness.bridge.counters
    await harness.settle()
    assert counters.events[R] == counters.done[R] == 1
    done, transactions = counters.done[M], counters.transactions
    harness.network.next_sends(Transient("later"), Rejected("no"), Uncertain("perhaps"))
    for body in ("refused", "lost", "taken"):
        harness.homeserver.say(room, ALICE, body)
    last = harness.homeserver.outbox[-1]
    await harness.until(lambda: harness.network.texts("chat") == ["taken"])
    await harness.settle()
    assert counters.transactions > transactions
    assert counters.last_transaction_at is not None
    assert counters.retries == {M: 1}
    assert counters.failed == {(M, "rejected"): 1, (M, "uncertain"): 1}
    assert counters.done[M] == done + 1

    # What comes again is counted among what came, and as known. So is what cannot be read.
    events = counters.events[M]
    await harness.bridge.transaction("again", Transaction(events=[raw(last).raw, b'"nonsense"']))
    await harness.settle()
    assert counters.events[M] == events + 2
    assert (counters.duplicates[M], counters.duplicates[R]) == (1, 0)
    assert counters.malformed == 1
    assert counters.done[M] == done + 1
