"""One lane: its entries in memory, and what is known about those that have been begun."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec

from bridgekit.model.entry import Ending, Entry
from bridgekit.model.ids import DedupeKey, LaneKey, RemoteMessageID
from bridgekit.model.records import Fact

AHEAD_OF_COMMIT = 64
"""Finished entries of one lane that may wait for their commit while the lane goes on: after a crash these are carried
out again, so this is for entries whose repeat is harmless (see `Handled.barrier`)."""


class Handled(msgspec.Struct, frozen=True):
    """How an entry ended: what to write down with it, and why it failed, if it failed. `barrier`: this must be on disk
    before the lane's next entry begins, because a repeat would do harm. `then` is called when it is on disk."""

    facts: tuple[Fact, ...] = ()
    dead: Ending | None = None
    barrier: bool = False
    then: Callable[[], None] | None = None


class RetryLater(Exception):
    """The head stays; try it again in `delay_s` seconds. `since` is when this row of failures began (ms). `asked`: the
    other side said how long to wait (Retry-After), so nothing makes the wait shorter."""

    def __init__(self, delay_s: float, *, since: int, asked: bool = False) -> None:
        super().__init__(delay_s)
        self.delay_s = delay_s
        self.since = since
        self.asked = asked


class WaitFor(Exception):
    """The head stays until `ready()` has returned: a session is connected, a room has been made. No failure."""

    def __init__(self, ready: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.ready = ready


class Lane:
    """The state of one strictly ordered queue. Handlers get it to ask about their lane."""

    def __init__(self, key: LaneKey, *, recovered: bool, hurry: Callable[[], None]) -> None:
        self.key = key
        self.hurry = hurry  # somebody waits for what this lane has finished to be on disk
        self.buffer: deque[Entry] = deque()
        self.behind = recovered  # whether the journal may have entries that are not in the buffer
        self.offers = 0  # grows with each offer that was not taken, so that a fetch knows it may have missed one
        self.rewrites = 0  # grows with each hold, so that a fetch knows it may have read the past
        self.taken = 0  # the highest number that went into the buffer
        self.current: Entry | None = None
        self.uncommitted = 0
        self.barrier = False
        self.committed = _set_event()
        self.holds = 0
        self.released = _set_event()
        self.between = _set_event()  # cleared while a head is being carried out
        self.kick = asyncio.Event()  # ends a wait early
        self.task: asyncio.Task[None] | None = None
        self.rest_s = 0.0  # after an unforeseen failure
        self.asked_to_wait = False  # the head backs off for as long as the other side said
        self.recovered = recovered  # left behind by an earlier process, and not looked at yet
        # What was put behind something that it had to wait for: None until an earlier process's are looked up.
        self.put_behind: dict[DedupeKey, RemoteMessageID] | None = None if recovered else {}
        self._suspects: frozenset[DedupeKey] = frozenset()
        self._open: set[DedupeKey] = set()
        self._step: asyncio.Event | None = None  # made by who waits: few do, and every entry steps
        self._resolving: list[asyncio.Task[object] | None] = []  # who waits for this lane (`waited_for`)
        self._asked: asyncio.Event | None = None

    def may_have_been_tried(self, entry: Entry) -> bool:
        """Whether an earlier process may have begun this entry without leaving a mark: it was among those that a lane
        carries out ahead of their commit when that process ended."""
        return entry.dedupe in self._suspects  # not by number: a gap check may give it another

    @property
    def has_suspects(self) -> bool:
        """Whether there is anything of which that may be true."""
        return bool(self._suspects)

    def noted(self, entry: Entry) -> None:
        """What is on disk about the head has changed: its next attempt, after whatever it waits for, must know."""
        if self.buffer and self.buffer[0].seq == entry.seq:
            self.buffer[0] = entry

    # --- what may be at the far end already ---------------------------------------------------------------------------
    def begin(self, key: DedupeKey) -> bool:
        """This entry is about to be carried out. Returns whether it may have been before."""
        before = key in self._open
        self._open.add(key)
        return before

    def close(self, key: DedupeKey) -> None:
        """This entry has ended, and that is on disk; or it has certainly not reached the far end."""
        self._open.discard(key)
        self._stepped()

    async def resolve(self) -> None:
        """Wait until every entry that may have reached the far end by now, if only in an earlier process, has ended and
        is on disk."""
        with self.waited_for():
            while self.recovered:
                await self._next_step()
            doubtful = set(self._open)
            while doubtful & self._open:
                await self._next_step()

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """For the time of the block the present task waits for this lane, if only by way of another."""
        me = asyncio.current_task()
        self._resolving.append(me)
        if self._asked is not None:
            self._asked.set()
            self._asked = None
        try:
            yield
        finally:
            self._resolving.remove(me)

    async def waited_for_by(self, other: Lane) -> None:
        """Wait until the head of another lane waits for this one (`waited_for`)."""
        while other.task is None or other.task not in self._resolving:
            if self._asked is None:
                self._asked = asyncio.Event()
            await self._asked.wait()

    async def _next_step(self) -> None:
        await self.next_step().wait()

    def next_step(self) -> asyncio.Event:
        """Set when the next entry has ended, and that is on disk (or it will be tried again)."""
        if self._step is None:
            self._step = asyncio.Event()
        return self._step

    def _stepped(self) -> None:
        if self._step is not None:
            self._step.set()
            self._step = None

    async def settle(self) -> None:
        """Wait until every entry of this lane that was carried out is also on disk."""
        if self.uncommitted:
            self.hurry()
            await self.committed.wait()

    def note_recovered(self, entries: list[Entry]) -> None:
        """The first entries that this process sees of a lane which an earlier process left behind."""
        if self.recovered and entries:
            self._suspects = frozenset(entry.dedupe for entry in entries[:AHEAD_OF_COMMIT])
            self._open |= self._suspects
        self.recovered = False
        self._stepped()


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
