"""Transactions that were written down as they came, and answered: unpacked into entries, strictly in their order.

The homeserver sends its next transaction when the last one was answered, and takes a slow answer for a dead bridge; so
while it keeps sending, intake goes first and unpacking waits, for a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

from bridgekit.core import staging
from bridgekit.core.backoff import Backoff
from bridgekit.core.policy import INTERNAL_ERROR
from bridgekit.errors import LeaseLost, StoreError
from bridgekit.model.entry import NewDeadLetter, NewStaged
from bridgekit.ports import Clock, Journal
from bridgekit.runtime import points
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.pushed import Pushed, together

log = logging.getLogger(__name__)

MEMORY_BYTES = 16 * 1024 * 1024
"""So much of what is staged stays in memory until it is unpacked; the rest is read back from the journal."""

READ_BYTES = 2 * 1024 * 1024
"""So much is read back at a time, or one transaction, if that is larger."""

LOOK_AGAIN_S = (1.0, 10.0, 60.0)
"""After a commit whose outcome is unknown, the journal is looked at again after these times: it may appear late."""


LONG_AGO = -math.inf


class Unpacker(Protocol):
    """Takes pushed events apart and writes them as entries: see `bridgekit.runtime.inbox.Inbox`."""

    def read(self, raws: Iterable[bytes | msgspec.Raw], *, received_at: int) -> Pushed: ...

    async def append(self, pushed: Pushed, *, unstage: tuple[int, ...] = ()) -> None: ...

    def letter(self, raw: bytes, *, received_at: int, code: str, reason: str) -> NewDeadLetter: ...


class _Waiting(NamedTuple):
    """A staged transaction in memory. `at`: when it was staged (monotonic, s)."""

    number: int
    received_at: int
    events: int
    size: int
    at: float
    content: bytes | Sequence[bytes | msgspec.Raw]


class Intake:
    """Stages transactions and unpacks them. `busy` is true from the moment in which one is being staged until the last
    was unpacked; until then no event may be written past it."""

    def __init__(self, journal: Journal, lease: LeaseKeeper, clock: Clock, inbox: Unpacker) -> None:
        self._journal = journal
        self._lease = lease
        self._clock = clock
        self._inbox = inbox
        self._waiting: deque[_Waiting] = deque()
        self.bytes = 0
        """So much of what is staged is in memory."""
        # As in a lane: whether the journal has, or may have, more than is in memory; then it says what comes next.
        self._behind = True
        self._unknown = True  # nobody knows how much: an earlier process staged it, or a commit's answer was lost
        self._staged = 0  # grows with each that did not go into memory, so that a read knows it may have missed one
        self._taken = 0  # the highest number that went into memory
        self._highest = 0  # the highest number that is known to be staged
        self._done = 0  # the highest number that was unpacked
        self._staging = 0
        self._serving = 0
        self._served_at = LONG_AGO
        self._late = False  # the homeserver leaves no quiet moment: unpacking and intake take turns
        self._look_again: list[float] = []  # at these times (monotonic, s)
        self._wakeup = asyncio.Event()
        self._step = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return bool(self._staging or self._waiting or self._behind)

    def start(self) -> None:
        """Begin to unpack, first of all what an earlier process left behind. The lease is held by now."""
        self._task = asyncio.create_task(self._run(), name="intake")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until everything that was staged before this call was unpacked."""
        goal = self._highest
        while self._unknown or self._done < goal:
            await self._step.wait()

    # --- staging --------------------------------------------------------------------------------------------------
    @contextmanager
    def serving(self) -> Iterator[None]:
        """In this block a transaction is taken in."""
        self._serving += 1
        try:
            yield
        finally:
            self._serving -= 1
            self._served_at = self._clock.monotonic()

    async def stage(self, txn_id: str, events: Sequence[bytes | msgspec.Raw]) -> None:
        """Make them durable as they are. Raises `StoreError`; then it may be unknown whether that was done."""
        body, received_at = staging.join(events), self._clock.now()
        new = NewStaged(txn_id=txn_id, received_at=received_at, events=len(events), body=body)
        self._staging += 1
        try:
            number = await self._journal.stage(new, epoch=self._lease.epoch)
        except LeaseLost:
            self._lease.declare_lost()
            raise
        except BaseException:  # also when it was cancelled
            self._doubt()
            raise
        finally:
            self._staging -= 1
        points.reach(points.INTAKE_STAGED)
        self._highest = max(self._highest, number)
        # A number was left out: its caller's answer was lost, or comes late. The journal knows the order.
        if self._behind or number != self._taken + 1 or (self._waiting and self.bytes + len(body) > MEMORY_BYTES):
            self._behind = True
            self._staged += 1
        else:
            self._put(_Waiting(number, received_at, len(events), len(body), self._clock.monotonic(), events))
        self._wakeup.set()

    def _doubt(self) -> None:
        self._behind = self._unknown = True
        self._staged += 1
        now = self._clock.monotonic()
        self._look_again = [now + after for after in LOOK_AGAIN_S]
        self._wakeup.set()

    def _put(self, one: _Waiting) -> None:
        self._waiting.append(one)
        self.bytes += one.size
        self._taken = max(self._taken, one.number)

    # --- unpacking ------------------------------------------------------------------------------------------------
    async def _run(self) -> None:
        backoff, attempt = Backoff(base_s=0.1, max_s=5.0), 0
        while True:
            try:
                await self._next()
                attempt = 0
                continue
            except LeaseLost:
                self._lease.declare_lost()
                return
            except StoreError as error:
                log.warning("%s; %d pushed transactions wait to be unpacked", error, len(self._waiting))
            except Exception:
                # A bug of ours. They are on disk, and giving up would leave them there in silence: say so, try again.
                log.exception("pushed transactions could not be unpacked")
            await self._clock.sleep(backoff.delay(attempt, 0.5))
            attempt += 1

    async def _next(self) -> None:
        if self._waiting:
            await self._until_quiet()
            count = staging.batch((one.events, one.size) for one in self._waiting)
            await self._unpack(list(islice(self._waiting, count)))
        elif self._behind:
            await self._read()
        else:
            self._late = False
            self._wakeup.clear()
            await self._until_woken()

    async def _until_woken(self) -> None:
        if not self._look_again:
            await self._wakeup.wait()
            return
        again = self._look_again[0] - self._clock.monotonic()
        if again <= 0:
            del self._look_again[0]
            self._behind = True
            return
        # What is pushed meanwhile uses no look up: they are for what appears late.
        waits = [asyncio.ensure_future(self._clock.sleep(again)), asyncio.ensure_future(self._wakeup.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _read(self) -> None:
        staged = self._staged
        # From the beginning: what was unpacked is not there any more, and a commit whose answer was lost may appear
        # after one with a higher number.
        found = await self._journal.staged(max_bytes=READ_BYTES)
        for row in found:
            self._highest = max(self._highest, row.number)
            self._put(_Waiting(row.number, row.received_at, row.events, len(row.body), LONG_AGO, row.body))
        if not found and staged == self._staged:
            self._behind = self._unknown = False
            self._stepped()

    async def _until_quiet(self) -> None:
        while not self._late:
            now, oldest = self._clock.monotonic(), self._waiting[0].at
            wait = staging.pause(now=now, serving=self._serving > 0, served_at=self._served_at, oldest=oldest)
            if wait <= 0:
                # Once it is late, a moment of quiet comes no sooner by waiting for it.
                self._late = now >= oldest + staging.LONGEST_S
                return
            await self._clock.sleep(wait)

    async def _unpack(self, several: Sequence[_Waiting]) -> None:
        """Write their events as entries and forget the transactions, all in one SQL transaction. Raises `StoreError`:
        then it is done again."""
        try:
            pushed = [self._inbox.read(_events(one), received_at=one.received_at) for one in several]
            await self._inbox.append(together(pushed), unstage=tuple(one.number for one in several))
        except StoreError:
            raise
        except Exception as error:
            if len(several) > 1:
                for one in several:
                    await self._unpack([one])
                return
            log.exception("a pushed transaction could not be unpacked; its events are looked at one by one")
            await self._unpack_slowly(several[0], error)
        self._forget(several)

    async def _unpack_slowly(self, one: _Waiting, error: Exception) -> None:
        """One event must not hold up the others, nor may it be lost: it becomes a dead letter with its raw content."""
        letters: list[NewDeadLetter] = []
        raws: Iterable[bytes | msgspec.Raw] = ()
        try:
            raws = _events(one)
        except ValueError:
            body = one.content if isinstance(one.content, bytes) else staging.join(one.content)
            letters.append(self._letter(one, body, "malformed", f"the journal's copy cannot be read: {error}"))
        for raw in raws:
            try:
                await self._inbox.append(self._inbox.read([raw], received_at=one.received_at))
            except StoreError:
                raise
            except Exception:
                log.exception("a pushed event could not be taken in; it is kept as a dead letter")
                letters.append(self._letter(one, bytes(raw), "bug", INTERNAL_ERROR))
        await self._inbox.append(Pushed(dead=letters), unstage=(one.number,))

    def _letter(self, one: _Waiting, raw: bytes, code: str, reason: str) -> NewDeadLetter:
        return self._inbox.letter(raw, received_at=one.received_at, code=code, reason=reason)

    def _forget(self, several: Sequence[_Waiting]) -> None:
        for one in several:
            assert self._waiting.popleft() is one
            self.bytes -= one.size
            self._done = max(self._done, one.number)
        self._stepped()

    def _stepped(self) -> None:
        self._step.set()
        self._step = asyncio.Event()


def _events(one: _Waiting) -> Sequence[bytes | msgspec.Raw]:
    return staging.part(one.content) if isinstance(one.content, bytes) else one.content
