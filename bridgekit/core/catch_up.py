"""Catching up: what becomes of the messages that were said while the bridge was away for long.

Of each chat the newest are replayed and the others skipped, with a notice in their place that says so. The decision is
made at the head of the chat's lane, message by message, from nothing but the lane's own entries: an old message is
skipped as soon as so many old ones wait behind it as are replayed at most. What waits behind only ever grows, so a
repeat after a crash decides the same. The end of it, that nothing more comes and the rest is replayed, is written down
(`Progress`) before anything of it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum

import msgspec

from bridgekit.model.ids import LaneKey

OLD_KIND = "old_message"
"""The journal's kind of a message that was old already when the session brought it; others are ``message``."""

OLD_CHANGE_KIND = "old_change"
"""The same of an edit or a reaction. They follow their message: nothing of one that was skipped is bridged."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a chat's catching up is; on disk, one for each lane.

    `skipped`: how many messages were, said from `first` to `last` (ms). While `tell_at` is 0 more may be skipped. Then
    it is the number of the entry before which the notice stands, and the old entries up to the number `through` are
    decided: replayed, or (`replays` False) the last of the skipped.
    """

    skipped: int = 0
    first: int = 0
    last: int = 0
    tell_at: int = 0
    through: int = 0
    replays: bool = True

    @property
    def is_open(self) -> bool:
        """Whether messages were skipped and nothing tells of it yet."""
        return self.skipped > 0 and self.tell_at == 0

    def is_decided(self, seq: int) -> bool:
        """Whether the old entry with this number was decided upon."""
        return self.tell_at > 0 and seq <= self.through

    def skip(self, timestamp: int) -> Progress:
        """One more is skipped; after a finished catching up this begins the next."""
        if self.tell_at:
            return Progress(skipped=1, first=timestamp, last=timestamp)
        first = min(self.first, timestamp) if self.skipped else timestamp
        return Progress(skipped=self.skipped + 1, first=first, last=max(self.last, timestamp))

    def decide(self, *, tell_at: int, through: int, replays: bool = True) -> Progress:
        """The rest, up to the number `through`, is replayed (or, without `replays`, was skipped just now)."""
        so_far = Progress() if self.tell_at else self
        return msgspec.structs.replace(so_far, tell_at=tell_at, through=through, replays=replays)


class Verdict(Enum):
    """What becomes of the old message at the head."""

    WAIT = "wait"  # more may come
    SKIP = "skip"
    REPLAY = "replay"  # this one and all that wait behind it
    SKIP_LAST = "skip_last"  # nothing is replayed, and nothing more comes


def is_old(timestamp: int, *, connected_at: int, older_than_ms: int) -> bool:
    """Whether a message was old when its session connected. Times in ms; a network that says no time says 0."""
    return 0 < timestamp < connected_at - older_than_ms


def judge(waiting: int, *, at_most: int, complete: bool) -> Verdict:
    """`waiting`: how many old messages wait, the head included. `complete`: no more will come."""
    if waiting > max(at_most, 1):
        return Verdict.SKIP
    if not complete:
        return Verdict.WAIT
    return Verdict.REPLAY if at_most else Verdict.SKIP_LAST


def skip_through(waiting: Sequence[int], *, at_most: int) -> int:
    """The number of the last entry that is surely skipped, of those (in order) that wait; 0 if none is."""
    last = len(waiting) - max(at_most, 1) - 1
    return waiting[last] if last >= 0 else 0


def notice(progress: Progress) -> str:
    """What the room is told in the place of the messages that were skipped."""
    first, last = _words(progress.first), _words(progress.last)
    if progress.skipped == 1:
        return f"1 older message, from {first}, was not bridged. It is still in the network's own app."
    when = f"from {first} to {last}" if first != last else f"from {first}"
    return f"{progress.skipped} older messages, {when}, were not bridged. They are still in the network's own app."


def _words(at: int) -> str:
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):  # what a network says may be no time of this calendar
        return "an unknown time"


def progress_key(lane: LaneKey) -> str:
    """Under which name a lane's `Progress` is on disk."""
    return f"catch_up {lane}"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Progress).decode


def encode(progress: Progress) -> str:
    """As it is put on disk."""
    return _encode(progress).decode()


def decode(stored: str | None) -> Progress:
    """What was on disk, if anything was."""
    return Progress() if not stored else _decode(stored)
