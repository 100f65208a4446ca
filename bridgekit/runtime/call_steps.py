"""What calls want, begun in its order, and how they stand, on disk; and what is due in them by time alone.

Who is told what happens (`Calls`) hands over the calls that it changed; what ends an errand, or comes due, changes them
here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

import msgspec

from bridgekit.core.call import memory
from bridgekit.core.call.book import Book
from bridgekit.core.call.effects import CallRemote, Effect, Ended, Failed, Note
from bridgekit.core.call.machine import Call
from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.model.calls import MatrixCallAnswer, MatrixCallOffer
from bridgekit.model.ids import LoginID, PortalKey
from bridgekit.model.records import CallForgotten, CallRecord, CallSaved
from bridgekit.ports import Clock
from bridgekit.runtime import call_kept
from bridgekit.runtime.books import Books
from bridgekit.runtime.call_deeds import CallDeeds
from bridgekit.runtime.errands import CallKey, Errand, Errands, GiveUp, Refused, either
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)

MATRIX_MS = 60_000
"""So long an event of a call is tried to be sent, and that a call is over is told."""

STORE_AGAIN_S = 1.0
"""After so long it is tried again to write down how calls stand."""


class CallSteps:
    """Of every call of a bridge. `book` and `logins` are `Calls`' own: the calls, and whose they are."""

    def __init__(
        self,
        book: Book,
        logins: dict[CallKey, LoginID],
        books: Books,
        deeds: CallDeeds,
        clock: Clock,
        lease: LeaseKeeper,
        *,
        notices: bool,
    ) -> None:
        self._book = book
        self._logins = logins
        self._books = books
        self._deeds = deeds
        self._clock = clock
        self._lease = lease
        self._notices = notices
        self._queues: dict[tuple[str, PortalKey], Errands] = {}
        self._open: dict[CallKey, list[Errand]] = {}
        """What is not done yet, of each call, in order."""
        self._held: dict[CallKey, list[Errand]] = {}
        """Of that, what goes to Matrix and is not on disk yet. Sent before, it could use up a transaction id that after
        a crash belongs to another content, which the homeserver would then drop."""
        self._saved: set[CallKey] = set()
        self._unsaved: dict[CallKey, None] = {}
        """In the order in which they want something: of two that meet, one has to be seen first."""
        self._again_at = 0.0
        self._saving: dict[CallKey, asyncio.Lock] = {}
        self._timer: asyncio.Task[None] | None = None
        self._timer_changed = asyncio.Event()
        self._errand_done = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- starting and stopping ------------------------------------------------------------------------------------
    async def open(self) -> None:
        """Read the calls that went on when the last process ended. Raises `StoreError`."""
        snapshots = []
        for record in await self._books.directory.ongoing_calls():
            try:
                snapshot = call_kept.snapshot_of(record.memory)
                setup = memory.load(snapshot).setup
                key = (setup.portal, setup.call)
                errands = call_kept.errands_of(record.memory, key, again_until=self._clock.now() + MATRIX_MS)
            except msgspec.DecodeError:
                log.exception("what is kept of a call cannot be read; the call is forgotten")
                await self._books.save(CallForgotten(record.id))
                continue
            snapshots.append(snapshot)
            self._saved.add(key)
            self._logins[key] = record.login
            self._open[key] = errands
        self._book.restore(snapshots)

    def start(self) -> None:
        """Go on with them, and watch their times."""
        for errands in list(self._open.values()):
            for errand in list(errands):
                self._put(errand)
        self._timer = asyncio.create_task(self._watch(), name="calls' timers")

    async def stop(self) -> None:
        """Leave everything as it is: it goes on at the next start."""
        tasks = [*self._tasks, *([self._timer] if self._timer is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(queue.stop() for queue in list(self._queues.values())))

    def beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do this, until `stop`; nobody waits for it."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what is wanted -------------------------------------------------------------------------------------------
    async def step(self, calls: Iterable[Call]) -> None:
        """What these calls want is begun, and is on disk afterwards. Raises `StoreError`."""
        calls = list(dict.fromkeys(calls))
        if not self._unsaved:
            self._again_at = self._clock.monotonic() + STORE_AGAIN_S
        for call in calls:
            self._unsaved[key_of(call)] = None
            for effect in call.effects():
                self._begin(call, effect)
        self._timer_changed.set()
        for call in calls:
            await self._save(key_of(call))

    async def done(self, calls: Iterable[Call], *, within_s: float) -> None:
        """Wait, but not for longer, until nothing is left to do of these calls."""
        calls = list(calls)
        until = self._clock.monotonic() + within_s
        while any(self._open.get(key_of(call)) for call in calls) and (left := until - self._clock.monotonic()) > 0:
            self._errand_done.clear()
            await either(self._clock.sleep(left), self._errand_done.wait())

    def _begin(self, call: Call, effect: Effect) -> None:
        key = key_of(call)
        if isinstance(effect, Ended):
            self.beside(self._deeds.ended(key), "call ended")
            return
        if isinstance(effect, Note) and not self._notices:
            return
        errand = Errand(key, effect, self._until(call, effect))
        self._open.setdefault(key, []).append(errand)
        if isinstance(effect, CallRemote):
            self._put(errand)  # the network knows what it is about by the call itself
        else:
            self._held.setdefault(key, []).append(errand)

    def _until(self, call: Call, effect: Effect) -> int:
        value = effect.value if isinstance(effect, CallRemote) else None
        if isinstance(value, MatrixCallOffer | MatrixCallAnswer):
            return max(call.setup.expires_at, self._clock.now() + 1000)
        return self._clock.now() + MATRIX_MS

    def _put(self, errand: Errand) -> None:
        side = "network" if isinstance(errand.task, CallRemote) else "matrix"
        name = (side, errand.key[0])
        queue = self._queues.get(name)
        if queue is None:
            do = self._deeds.on_network if side == "network" else self._deeds.on_matrix
            queue = self._queues[name] = Errands(
                do,
                self._done,
                self._clock,
                name=f"calls to {side}",
                empty=lambda: self._forget_queue(name),
                # What a homeserver was given and then left may come behind the hangup, and ring.
                overtakes=side == "network",
            )
        queue.put(errand)

    def _forget_queue(self, name: tuple[str, PortalKey]) -> None:
        self._queues.pop(name, None)

    def _done(self, errand: Errand, ended: GiveUp | None) -> None:
        self.beside(self._after(errand, ended), "after a call's errand")

    async def _after(self, errand: Errand, ended: GiveUp | None) -> None:
        left = self._open.get(errand.key, [])
        if errand in left:
            left.remove(errand)
        self._errand_done.set()
        try:
            if isinstance(ended, Refused):
                await self._refused(errand.key, ended)
            call = self._book.get(*errand.key)
            if ended is not None:
                log.warning("a call: %s", ended)
                if call is not None and errand.vital:
                    await self.step(self._book.tell(call, Failed(ended.reason), self._clock.now()))
                    return
            if not left:
                await self._save(errand.key)
        except StoreUnavailable as error:
            log.warning("%s; what a call has done is not written down yet", error)
        except LeaseLost:
            self._lease.declare_lost()

    async def _refused(self, key: CallKey, why: Refused) -> None:
        try:
            await self._deeds.refused(key, why)
        except StoreUnavailable as error:
            log.warning("%s; that a login was refused is not written down, until it is refused again", error)

    # --- what is kept ---------------------------------------------------------------------------------------------
    async def _save(self, key: CallKey) -> None:
        """Write down how a call stands now, then begin what had to wait for that. Raises `StoreError`."""
        async with self._saving.setdefault(key, asyncio.Lock()):
            held = self._held.pop(key, [])
            self._unsaved.pop(key, None)
            try:
                await self._write(key)
            except BaseException:
                self._held[key] = [*held, *self._held.get(key, [])]
                self._unsaved = {key: None, **self._unsaved}
                raise
            finally:
                self._timer_changed.set()
            for errand in held:
                self._put(errand)

    async def _write(self, key: CallKey) -> None:
        call, left = self._book.get(*key), self._open.get(key, [])
        id = call_kept.record_id(key)
        if call is None:
            if left:
                return
            self._open.pop(key, None)
            self._logins.pop(key, None)
            if key in self._saved:
                await self._books.save(CallForgotten(id))
                self._saved.discard(key)
            self._saving.pop(key, None)
            return
        login = self._logins.get(key, LoginID(""))
        kept = call_kept.dump(call.snapshot(), left)
        self._saved.add(key)
        record = CallRecord(id=id, portal=key[0], login=login, memory=kept, at=call.setup.began_at)
        await self._books.save(CallSaved(record))

    # --- time -----------------------------------------------------------------------------------------------------
    async def _watch(self) -> None:
        while True:
            self._timer_changed.clear()
            now, waits = self._clock.now(), []
            if (due := self._book.next_timer()) is not None:
                waits.append((due - now) / 1000)
            if self._unsaved:
                waits.append(self._again_at - self._clock.monotonic())
            if not waits:
                await self._timer_changed.wait()
            elif (wait := min(waits)) > 0:
                await either(self._clock.sleep(wait), self._timer_changed.wait())
            else:
                await self._fire()

    async def _fire(self) -> None:
        calls = self._book.fire(self._clock.now(), on_bug=lambda error: log.error("a call failed", exc_info=error))
        try:
            await self.step(calls)
            forgotten = [key for key in self._saved if self._book.get(*key) is None]
            for key in dict.fromkeys([*self._unsaved, *forgotten]):
                await self._save(key)
        except LeaseLost:
            self._lease.declare_lost()
            raise
        except StoreUnavailable as error:
            log.warning("%s; how calls stand is not written down", error)
            await self._clock.sleep(STORE_AGAIN_S)
        except Exception:
            # A bug of ours must not leave the others ringing.
            log.exception("what was due in calls could not be done")
            await self._clock.sleep(STORE_AGAIN_S)


def key_of(call: Call) -> CallKey:
    """The call's name in the bridge."""
    return call.setup.portal, call.setup.call
