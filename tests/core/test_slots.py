from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.slots import Lasting, Latest


def first(key: str) -> str:
    return key[0]


# --- Latest -----------------------------------------------------------------------------------------------------------
def latest(*, size: int = 100) -> Latest[str, int]:
    return Latest(every_ms=1000, size=size)


def test_only_the_latest_is_told() -> None:
    table = latest()
    table.offer("a", 1)
    table.offer("a", 2)
    table.offer("b", 9)
    assert table.due(0, 10) == [("a", 2), ("b", 9)]
    assert table.due(0, 10) == []


def test_one_at_a_time_and_not_too_often() -> None:
    table = latest()
    table.offer("a", 1)
    assert table.due(0, 10) == [("a", 1)]
    table.offer("a", 2)
    assert table.next_at(2000) is None  # it is being carried out
    assert table.due(2000, 10) == []
    table.ended("a", 2000, done=True)
    assert table.next_at(2000) == 2000
    assert table.due(2000, 10) == [("a", 2)]
    table.ended("a", 2000, done=False)
    table.offer("a", 3)
    assert table.next_at(2001) == 3000
    assert table.due(2999, 10) == []
    assert table.due(3000, 10) == [("a", 3)]


def test_at_most_so_many_the_longest_waiting_first() -> None:
    table = latest(size=3)
    for number, key in enumerate("abcd"):
        table.offer(key, number)
    assert len(table) == 3
    assert table.due(0, 2) == [("b", 1), ("c", 2)]
    assert table.due(0, 2) == [("d", 3)]


def test_a_group_does_not_take_all() -> None:
    table: Latest[str, int] = Latest(every_ms=0, size=100, group=first, per_group=2)
    for number, key in enumerate(["a1", "a2", "a3", "b1"]):
        table.offer(key, number)
    assert [key for key, _ in table.due(0, 10)] == ["a1", "a2", "b1"]
    assert table.next_at(0) is None
    table.ended("a1", 0, done=True)
    assert table.due(0, 10) == [("a3", 2)]


def test_cleared() -> None:
    table = latest()
    table.offer("a", 1)
    table.clear()
    assert (table.due(0, 10), table.next_at(0)) == ([], None)


# --- Lasting ----------------------------------------------------------------------------------------------------------
def lasting(*, size: int = 100) -> Lasting[str]:
    return Lasting(repeat_ms=4000, gap_ms=1000, size=size)


def told(table: Lasting[str], now: int) -> list[tuple[str, int]]:
    """What is due, carried out at once."""
    found = table.due(now, 10)
    for key, _ in found:
        table.ended(key, now, done=True)
    return found


def test_repeated_while_it_lasts_then_ended() -> None:
    table = lasting()
    assert table.offer("a", 10_000, 0)
    seen: list[tuple[int, int]] = []
    now: int | None = 0
    while now is not None:
        seen += [(now, rest) for _, rest in told(table, now)]
        now = table.next_at(now)
    assert seen == [(0, 10_000), (4000, 6000), (8000, 2000), (10_000, 0)]


def test_stops_at_once_and_begins_again_after_the_gap() -> None:
    table = lasting()
    table.offer("a", 10_000, 0)
    assert told(table, 0) == [("a", 10_000)]
    table.offer("a", 0, 300)
    assert told(table, 300) == [("a", 0)]
    table.offer("a", 10_000, 400)
    assert told(table, 400) == []
    assert table.next_at(400) == 1000
    assert told(table, 1000) == [("a", 9400)]


def test_renewed_before_it_ends() -> None:
    table = lasting()
    for now in range(0, 12_000, 500):
        table.offer("a", 5000, now)
    assert table.due(0, 10) == [("a", 16_500)]


def test_what_ends_before_it_was_told_is_not_told() -> None:
    table = lasting()
    table.offer("a", 5000, 0)
    table.offer("a", 0, 0)
    assert not lasting().offer("a", 0, 0)
    assert told(table, 0) == []
    assert len(table) == 0


def test_the_end_waits_for_the_call_of_the_beginning() -> None:
    table = lasting()
    table.offer("a", 5000, 0)
    assert table.due(0, 10) == [("a", 5000)]
    table.offer("a", 0, 10)
    assert table.due(10, 10) == []
    assert table.next_at(10) is None
    table.ended("a", 20, done=True)
    assert table.next_at(20) == 20
    assert table.due(20, 10) == [("a", 0)]


def test_what_failed_is_forgotten() -> None:
    table = lasting()
    table.offer("a", 60_000, 0)
    assert table.due(0, 10) == [("a", 60_000)]
    table.ended("a", 10, done=False)
    assert (table.next_at(10), len(table)) == (None, 0)


def test_others_are_not_begun_when_it_is_full() -> None:
    table = lasting(size=2)
    assert [table.offer(key, 5000, 0) for key in "abc"] == [True, True, False]
    assert told(table, 0) == [("a", 5000), ("b", 5000)]
    assert told(table, 5000) == [("a", 0), ("b", 0)]
    assert table.offer("c", 5000, 5000)  # nobody waits for their places any more


def test_cleared_but_for_what_is_being_told() -> None:
    table = lasting()
    table.offer("a", 5000, 0)
    assert table.due(0, 10) == [("a", 5000)]
    table.offer("b", 5000, 0)
    table.clear()
    table.ended("a", 0, done=True)
    assert told(table, 5000) == [("a", 0)]


# --- whatever happens -------------------------------------------------------------------------------------------------
Step = tuple[str, str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "stop", "begin", "end", "fail", "wait"]), st.sampled_from("abc"), st.integers(0, 3000)
    ),
    max_size=60,
)


@given(STEPS)
def test_lasting_is_never_stuck(steps: list[Step]) -> None:
    table = lasting(size=2)
    now, busy, begun, shown = 0, dict[str, int](), dict[str, int](), dict[str, bool]()

    def begin() -> None:
        for key, rest in table.due(now, 2):
            assert key not in busy
            if rest:
                assert now - begun.get(key, -1000) >= 1000
                begun[key] = now
            else:
                assert shown[key]  # no end without a beginning
            busy[key] = rest

    def end(key: str, *, done: bool) -> None:
        if key in busy:
            rest = busy.pop(key)
            if done:
                shown[key] = rest > 0
            else:
                shown[key] = False  # its own time ends it there
                begun.pop(key, None)
            table.ended(key, now, done=done)

    actions: dict[str, Callable[[str, int], object]] = {
        "offer": lambda key, ms: table.offer(key, ms, now),
        "stop": lambda key, ms: table.offer(key, 0, now),
        "begin": lambda key, ms: begin(),
        "end": lambda key, ms: end(key, done=True),
        "fail": lambda key, ms: end(key, done=False),
    }
    for what, key, ms in steps:
        if what == "wait":
            now += ms
        else:
            actions[what](key, ms)
        assert len(table) <= 2
    # Left alone, everything comes to its end, and is told.
    for _ in range(100):
        begin()
        for key in list(busy):
            end(key, done=True)
        at = table.next_at(now)
        if at is None:
            break
        assert at >= now
        now = at
    assert table.next_at(now) is None
    assert not any(shown.values())


@given(STEPS)
def test_latest_tells_each_last_value(steps: list[Step]) -> None:
    table = latest()
    now, busy, begun = 0, set[str](), dict[str, int]()
    offered: dict[str, int] = {}
    seen: dict[str, int] = {}

    def begin() -> None:
        for key, value in table.due(now, 2):
            assert key not in busy
            assert now - begun.get(key, -1000) >= 1000
            busy.add(key)
            begun[key] = now
            seen[key] = value

    for number, (what, key, ms) in enumerate(steps):
        match what:
            case "offer" | "stop":
                offered[key] = number
                table.offer(key, number)
            case "begin":
                begin()
            case "wait":
                now += ms
            case _ if key in busy:
                busy.remove(key)
                table.ended(key, now, done=what == "end")
    for _ in range(100):
        begin()
        for key in list(busy):
            busy.remove(key)
            table.ended(key, now, done=True)
        at = table.next_at(now)
        if at is None:
            break
        assert at >= now
        now = at
    assert seen == offered
    assert len(table) == 0
