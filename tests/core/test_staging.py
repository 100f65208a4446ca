"""When staged transactions are unpacked, and how many together."""

from __future__ import annotations

import pytest

from bridgekit.core.staging import LONGEST_S, QUIET_S, UNPACK_BYTES, UNPACK_EVENTS, batch, join, part, pause

NEVER = float("-inf")


@pytest.mark.parametrize(
    "serving, served_at, oldest, expected",
    [
        (False, NEVER, 100.0, NEVER),  # nobody is there: at once
        (False, 100.0, 100.0, QUIET_S),  # just answered: the next one may be on its way
        (False, 100.0 - QUIET_S, 100.0 - QUIET_S, 0),  # it is not
        (True, NEVER, 100.0, QUIET_S),  # one is being taken in
        (True, 99.0, 100.0, QUIET_S),
        (True, 100.0, 100.0 - LONGEST_S, 0),  # but not for ever
        (False, 100.0, 100.0 - LONGEST_S, 0),
        (False, 100.0, 100.0 - LONGEST_S + QUIET_S / 2, QUIET_S / 2),
        (True, 100.0, NEVER, NEVER),  # left behind by an earlier process
    ],
)
def test_unpacking_waits_for_quiet_but_not_long(
    serving: bool, served_at: float, oldest: float, expected: float
) -> None:
    assert pause(now=100.0, serving=serving, served_at=served_at, oldest=oldest) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "sizes, expected",
    [
        ([(1, 10)], 1),
        ([(100, 10), (100, 10), (50, 10), (1, 10)], 3),
        ([(UNPACK_EVENTS + 1, 10), (1, 10)], 1),  # one at least
        ([(1, UNPACK_BYTES + 1), (1, 10)], 1),
        ([(1, 10), (1, UNPACK_BYTES), (1, 10)], 1),
        ([(0, 2), (0, 2)], 2),
    ],
)
def test_a_batch_is_bounded(sizes: list[tuple[int, int]], expected: int) -> None:
    assert batch(iter(sizes)) == expected


@pytest.mark.parametrize("events", [[], [b"{}"], [b'{"a": "\\ud83d\\ude00"}', b"5", '"é"'.encode()]])
def test_what_is_joined_is_told_apart_again(events: list[bytes]) -> None:
    assert [bytes(event) for event in part(join(events))] == events


@pytest.mark.parametrize("body", [b"", b"{}", b"[1", b"[1]]", b"\xff"])
def test_what_is_no_array_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        part(body)
