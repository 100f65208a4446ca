"""What is skipped and what is replayed: by table, and by simulating every moment of a crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgekit.core.catch_up import (
    Progress,
    Verdict,
    decode,
    encode,
    is_old,
    judge,
    notice,
    progress_key,
    skip_through,
)
from bridgekit.core.lane import remote_lane
from bridgekit.model.ids import ChatID, PortalKey

HOUR = 3_600_000
DAY = 24 * HOUR
NOON = 1_767_268_800_000  # 2026-01-01 12:00 UTC


@pytest.mark.parametrize(
    "timestamp, old",
    [
        (NOON, False),
        (NOON - HOUR, False),
        (NOON - HOUR - 1, True),
        (NOON - 100 * DAY, True),
        (NOON + DAY, False),  # a clock that is ahead
        (0, False),  # the network says no time
        (-5, False),
    ],
)
def test_what_is_old(timestamp: int, old: bool) -> None:
    assert is_old(timestamp, connected_at=NOON, older_than_ms=HOUR) is old


@pytest.mark.parametrize(
    "waiting, at_most, complete, verdict",
    [
        (51, 50, False, Verdict.SKIP),
        (51, 50, True, Verdict.SKIP),
        (50, 50, False, Verdict.WAIT),
        (50, 50, True, Verdict.REPLAY),
        (1, 50, True, Verdict.REPLAY),
        (1, 50, False, Verdict.WAIT),
        (2, 1, False, Verdict.SKIP),
        (1, 1, True, Verdict.REPLAY),
        (2, 0, False, Verdict.SKIP),
        (1, 0, False, Verdict.WAIT),  # the notice belongs behind the last
        (1, 0, True, Verdict.SKIP_LAST),
    ],
)
def test_the_verdict(waiting: int, at_most: int, complete: bool, verdict: Verdict) -> None:
    assert judge(waiting, at_most=at_most, complete=complete) is verdict


@pytest.mark.parametrize(
    "waiting, at_most, through",
    [([3, 4, 7, 9], 2, 4), ([3, 4, 7, 9], 4, 0), ([3], 0, 0), ([3, 4], 0, 3), ([3, 4, 7], 1, 4)],
)
def test_how_far_it_is_surely_skipped(waiting: list[int], at_most: int, through: int) -> None:
    assert skip_through(waiting, at_most=at_most) == through
    for index, seq in enumerate(waiting):
        is_sure = judge(len(waiting) - index, at_most=at_most, complete=False) is Verdict.SKIP
        assert (seq <= through) is is_sure


def test_progress_from_start_to_end() -> None:
    progress = Progress()
    assert not progress.is_open
    progress = progress.skip(200).skip(100).skip(300)
    assert (progress.skipped, progress.first, progress.last) == (3, 100, 300)
    assert progress.is_open
    assert not progress.is_decided(1)
    progress = progress.decide(tell_at=4, through=9)
    assert not progress.is_open
    assert progress.is_decided(4) and progress.is_decided(9) and not progress.is_decided(10)
    assert progress.skipped == 3
    # The next catching up is told of by itself.
    assert progress.skip(500) == Progress(skipped=1, first=500, last=500)
    assert progress.decide(tell_at=11, through=12) == Progress(tell_at=11, through=12)


@pytest.mark.parametrize(
    "progress", [Progress(), Progress(skipped=2, first=1, last=5), Progress(tell_at=3, through=4, replays=False)]
)
def test_on_disk_and_back(progress: Progress) -> None:
    assert decode(encode(progress)) == progress
    assert decode(None) == Progress()


def test_one_key_for_each_lane() -> None:
    lanes = [remote_lane(PortalKey(ChatID(chat))) for chat in ("a", "b")]
    assert len({progress_key(lane) for lane in lanes}) == 2


@pytest.mark.parametrize(
    "progress, words",
    [
        (Progress(skipped=1, first=NOON, last=NOON), "1 older message, from 2026-01-01 12:00 UTC, was not bridged."),
        (
            Progress(skipped=250, first=NOON - DAY, last=NOON),
            "250 older messages, from 2025-12-31 12:00 UTC to 2026-01-01 12:00 UTC, were not bridged.",
        ),
        (Progress(skipped=2, first=NOON, last=NOON + 5), "2 older messages, from 2026-01-01 12:00 UTC, were not"),
        (Progress(skipped=2, first=NOON, last=10**20), "to an unknown time, were not bridged."),
    ],
)
def test_the_notice(progress: Progress, words: str) -> None:
    assert words in notice(progress)


class Lane:
    """A chat's old entries and their one consumer, as the runtime runs it, with what is on disk and what a room has.

    `crash` forgets what is in memory: the heads behind the last commit are carried out again.
    """

    def __init__(self, at_most: int) -> None:
        self.at_most = at_most
        self.pending: list[int] = []
        self.next = 1
        self.disk = self.memory = Progress()
        self.uncommitted: list[tuple[int, Progress]] = []
        self.room: dict[str, None] = {}  # by transaction id, so once each
        self.skipped: set[int] = set()

    def arrive(self, count: int) -> None:
        for _ in range(count):
            self.pending.append(self.next)
            self.next += 1

    def commit(self) -> None:
        for seq, progress in self.uncommitted:
            self.pending.remove(seq)
            self.disk = progress
        self.uncommitted = []

    def crash(self) -> None:
        self.uncommitted = []
        self.memory = self.disk

    def head(self, *, complete: bool, die_before_sending: bool = False) -> None:
        done = {seq for seq, _ in self.uncommitted}
        waiting = [seq for seq in self.pending if seq not in done]
        if not waiting:
            return
        seq = waiting[0]
        if not self.memory.is_decided(seq):
            verdict = judge(len(waiting), at_most=self.at_most, complete=complete)
            if verdict is Verdict.WAIT:
                return
            if verdict is Verdict.SKIP:
                self.memory = self.memory.skip(seq)
                self.skipped.add(seq)
                self.uncommitted.append((seq, self.memory))
                return
            self.commit()
            if verdict is Verdict.SKIP_LAST:
                self.skipped.add(seq)
                self.memory = self.disk = self.memory.skip(seq).decide(tell_at=seq, through=seq, replays=False)
            else:
                self.memory = self.disk = self.memory.decide(tell_at=seq, through=waiting[-1])
        if die_before_sending:
            self.crash()
            return
        if self.memory.tell_at == seq and self.memory.skipped:
            self.room[f"notice {seq}: {self.memory.skipped}"] = None
        if self.memory.replays:
            self.room[f"message {seq}"] = None
        self.uncommitted.append((seq, self.memory))

    def messages(self) -> list[int]:
        return [int(each.split()[1]) for each in self.room if each.startswith("message")]

    def told(self) -> int:
        return sum(int(each.split()[-1]) for each in self.room if each.startswith("notice"))


STEPS = st.lists(
    st.one_of(
        st.integers(1, 12).map(lambda count: ("arrive", count)),
        st.sampled_from([("head", 0), ("head", 0), ("head", 1), ("die", 0), ("commit", 0), ("crash", 0)]),
    ),
    max_size=60,
)


@given(STEPS, st.integers(0, 5))
def test_whatever_happens_nothing_is_lost_doubled_reordered_or_unspoken_of(
    steps: list[tuple[str, int]], at_most: int
) -> None:
    lane = Lane(at_most)
    for what, number in steps:
        match what:
            case "arrive":
                lane.arrive(number)
            case "head":
                lane.head(complete=bool(number))
            case "die":
                lane.head(complete=True, die_before_sending=True)
            case "commit":
                lane.commit()
            case "crash":
                lane.crash()
    for _ in range(lane.next + 1):
        lane.head(complete=True)
    lane.commit()
    messages = lane.messages()
    assert lane.pending == []
    assert messages == sorted(messages)
    assert lane.told() == len(lane.skipped)
    assert sorted([*messages, *lane.skipped]) == list(range(1, lane.next))


@given(st.integers(0, 80), st.integers(0, 20))
def test_what_comes_at_once_leaves_the_newest(count: int, at_most: int) -> None:
    lane = Lane(at_most)
    lane.arrive(count)
    for _ in range(count):
        lane.head(complete=True)
    assert lane.messages() == list(range(1, count + 1))[max(0, count - at_most) :]
    assert lane.told() == max(0, count - at_most)
    if lane.told():
        assert next(iter(lane.room)).startswith("notice")
