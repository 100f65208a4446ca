"""The files that are still to be carried: which of them is carried now. Fair between portals, bounded, durable."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable

import msgspec

from bridgekit.core.backoff import Backoff
from bridgekit.core.policy import INTERNAL_ERROR, Retry, expired
from bridgekit.errors import LeaseLost, StoreUnavailable
from bridgekit.model.entry import Append, NewDeadLetter
from bridgekit.model.ids import DedupeKey, LoginID, PortalKey
from bridgekit.model.records import Direction, LoginState, MediaJob, MediaJobEnded, MediaJobSaved
from bridgekit.ports import Clock, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.media_carrier import Carrier, JobLater, JobWaits, is_forever
from bridgekit.runtime.media_locks import MessageLocks
from bridgekit.runtime.media_order import Order, Pending
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""How long a job rests whose login was lost under it, or that the database could not write down."""

FAR_MS = 2 * 3_600_000
"""No job waits so long: where it seems so, the clock was set back."""


UNREADABLE = (
    "what the database says of a file that was still to be carried cannot be read: the file will not come, and its "
    "message stays as it is"
)


class MediaJobs:
    """All jobs of the bridge."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        lease: LeaseKeeper,
        clock: Clock,
        sessions: Sessions,
        rules: MediaRules,
        *,
        retry_for_ms: int,
        random: Callable[[], float],
        is_away: Callable[[], Awaitable[bool]],
    ) -> None:
        """`is_away`: whether the homeserver answers nothing at all now."""
        self._books = books
        self._journal = journal
        self._lease = lease
        self._clock = clock
        self._sessions = sessions
        self._retry_for_ms = retry_for_ms
        self._random = random
        self._is_away = is_away
        self._backoff = Backoff()
        self.carriers: dict[Direction, Carrier] = {}
        self._order = Order(rules)
        self._running: dict[str, tuple[PortalKey, Pending, asyncio.Task[None]]] = {}
        self.locked = MessageLocks().of
        self._timer: asyncio.Task[None] | None = None
        self._watched: dict[LoginID, asyncio.Task[None]] = {}
        self._started = False

    # --- feeding ----------------------------------------------------------------------------------------------------
    async def load(self) -> None:
        """Take up what an earlier process has left."""
        after = 0
        while page := await self._books.directory.media_jobs(after=after):
            for job in page:
                carrier = self.carriers.get(job.direction)
                if carrier is not None and not carrier.can_read(job):
                    await self._set_aside(job)
                    continue
                if carrier is not None:
                    carrier.reserved(job)
                self._add(job)
            after = page[-1].number

    async def _set_aside(self, job: MediaJob) -> None:
        """One that cannot be read must not keep the bridge from starting, and is kept for whoever can read it."""
        log.error("%s (%s)", UNREADABLE, job.id, extra={"lane": job.portal.chat})
        letter = NewDeadLetter(
            lane=None,
            direction=job.direction,
            kind="file",
            payload=job.payload,
            received_at=job.created_at,
            code="unreadable",
            reason=UNREADABLE,
            dedupe=DedupeKey(f"file:{job.id}"),
        )
        await self._journal.append(Append(dead=(letter,), facts=(MediaJobEnded(job.id),)), epoch=self._lease.epoch)

    def start(self) -> None:
        """Begin to carry."""
        self._started = True
        self._pump()

    async def stop(self) -> None:
        """Break off what is being carried; it is on disk, and goes on at the next start."""
        self._started = False
        tasks = [task for _, _, task in self._running.values()]
        tasks += [task for task in (self._timer, *self._watched.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def offer(self, job: MediaJob) -> None:
        """A job that is on disk by now."""
        if job.id not in self._running:
            self._add(job)
            self._pump()

    def _add(self, job: MediaJob) -> None:
        carrier = self.carriers.get(job.direction)
        if carrier is None:
            return
        waiting = Pending(
            id=job.id,
            direction=job.direction,
            login=job.login,
            message=job.message,
            not_before=job.not_before,
            urgent_at=carrier.urgent_at(job),
        )
        self._order.put(job.portal, waiting)

    @property
    def running(self) -> int:
        """How many are being carried now."""
        return len(self._running)

    async def cancel(self, portal: PortalKey, message: str, *, only: str | None = None) -> None:
        """The message was deleted: carry its files (`only`: the one of that job) no further, and end their jobs on
        disk, at once: whatever goes wrong behind this, a repeat need not find them. Raises `StoreError`."""

        def meant(each: Pending) -> bool:
            return each.message == message and only in (None, each.id)

        held = [each for each in self._order.of(portal) if meant(each)]
        for each in held:
            self._order.take(portal, each)
        running = [(each, task) for where, each, task in self._running.values() if where == portal and meant(each)]
        for _, task in running:
            task.cancel()
        try:
            await asyncio.gather(*(task for _, task in running), return_exceptions=True)
            held += [each for each, _ in running]
            for each in held:
                self._order.take(portal, each)  # one that was just putting itself back
            async with self.locked(portal, message):  # or who edits the caption would write one down once more
                found = [await self._books.directory.media_job(each.id) for each in held]
                jobs = [job for job in found if job is not None]
                if jobs:
                    await self._books.save(*(MediaJobEnded(job.id) for job in jobs))
        except BaseException:
            for each in held:
                if each.id not in self._running:
                    self._order.put(portal, each)
            self._pump()
            raise
        for job in jobs:
            self.carriers[job.direction].ended(job)

    # --- whose turn it is -------------------------------------------------------------------------------------------
    def _pump(self) -> None:
        if not self._started:
            return
        while True:
            now = self._clock.now()
            turn, next_at = self._order.next(now, functools.partial(self._ready_at, now=now))
            if turn is None:
                break
            self._begin(*turn)
        self._wake_at(next_at)

    def _ready_at(self, job: Pending, now: int) -> int | None:
        """When (ms) it may be carried; None: when something else has happened."""
        if job.not_before - now > FAR_MS:
            job.not_before = now
        if self._sessions.session(job.login) is not None and self._is_active(job.login):
            return job.not_before if job.urgent_at is None else min(job.not_before, job.urgent_at)
        if self._books.login(job.login) is None:
            return job.not_before  # that it will never come has to be said
        self._watch(job.login)
        return job.urgent_at

    def _is_active(self, login: LoginID) -> bool:
        record = self._books.login(login)
        return record is not None and record.state is LoginState.ACTIVE

    def _begin(self, portal: PortalKey, job: Pending) -> None:
        self._order.take(portal, job)
        self._order.begun(job)
        task = asyncio.create_task(self._run(job), name=f"file {job.id}")
        self._running[job.id] = (portal, job, task)
        login = job.login  # the next time it may be another
        task.add_done_callback(lambda task: self._over(portal, job, login, task))

    def _over(self, portal: PortalKey, job: Pending, login: LoginID, task: asyncio.Task[None]) -> None:
        del self._running[job.id]
        self._order.ended(job.direction, login)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LeaseLost):
            self._lease.declare_lost()
            return
        if error is not None:
            log.error("a file's job failed; it is tried again", exc_info=error)
            self._rest(job, self._clock.now() + int(self._backoff.max_s * 1000), job.urgent_at)
            self._order.put(portal, job)
        self._pump()

    def _wake_at(self, at: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = asyncio.create_task(self._later(at), name="files: the next")

    async def _later(self, at: int) -> None:
        await self._clock.sleep(max((at - self._clock.now()) / 1000, 0.001))
        self._timer = None
        self._pump()

    def _watch(self, login: LoginID) -> None:
        """Look again when it is connected."""
        if login not in self._watched:
            self._watched[login] = asyncio.create_task(self._until_connected(login), name=f"files of {login}")

    async def _until_connected(self, login: LoginID) -> None:
        try:
            await self._sessions.until_connected(login)
            while self._sessions.session(login) is not None and not self._is_active(login):
                await self._clock.sleep(AGAIN_S)  # refused, and about to be disconnected
        finally:
            del self._watched[login]
        self._pump()

    # --- carrying ---------------------------------------------------------------------------------------------------
    async def _run(self, waiting: Pending) -> None:
        job = await self._books.directory.media_job(waiting.id)
        if job is None:
            return
        carrier = self.carriers[job.direction]
        await self._lease.check()
        try:
            await carrier.carry(job)
        except JobWaits:
            await self._again(job, self._clock.now() + int(AGAIN_S * 1000), carrier)
            return
        except JobLater as later:
            if not await self._later_or_never(job, later, carrier):
                return
        except StoreUnavailable as error:
            log.warning("%s; a file waits", error)
            await self._again(job, self._clock.now() + int(AGAIN_S * 1000), carrier)
            return
        except LeaseLost:
            raise
        except Exception:
            # A bug, or a disk that is full. It counts as a failure: what fails each time must end some day.
            log.exception("a file's job failed; it is tried again")
            if not await self._later_or_never(job, JobLater(Retry(code="bug", reason=INTERNAL_ERROR)), carrier):
                return
        else:
            carrier.ended(job)

    async def _later_or_never(self, job: MediaJob, later: JobLater, carrier: Carrier) -> bool:
        now, verdict = self._clock.now(), later.verdict
        with contextlib.suppress(StoreUnavailable):
            job = await self._books.directory.media_job(job.id) or job  # what fails may be another thing than before
        since = job.failed_since if job.failed_since is not None else now
        over = expired(now=now, failed_since=job.failed_since, retry_for_ms=self._retry_for_ms)
        try:
            if over and not await is_forever(verdict, self._is_away):
                await carrier.give_up(job, verdict.reason)
                carrier.ended(job)
                return False
        except JobLater as again:
            verdict, since = again.verdict, now  # to give it up is another thing, too
        except StoreUnavailable as error:
            log.warning("%s; a file waits", error)
        delay = self._backoff.delay(job.attempts, self._random(), verdict.retry_after_s)
        log.info("a file is tried again in %.1f s: %s", delay, verdict.reason, extra={"lane": job.portal.chat})
        not_before = now + int(delay * 1000)
        try:
            async with self.locked(job.portal, job.message):
                stored = await self._books.directory.media_job(job.id)
                if stored is None:
                    return False
                job = msgspec.structs.replace(
                    stored, attempts=job.attempts + 1, failed_since=since, not_before=not_before
                )
                await self._books.save(MediaJobSaved(job))
        except StoreUnavailable as error:
            log.warning("%s; a file waits", error)
        await self._again(job, not_before, carrier)
        return True

    async def _again(self, job: MediaJob, not_before: int, carrier: Carrier) -> None:
        """Its next turn is not before that time (ms)."""
        stored = job
        try:
            stored = await self._books.directory.media_job(job.id) or job
        except StoreUnavailable:
            pass  # what is known of it is good enough to look again
        portal, waiting, _ = self._running[job.id]
        waiting.login = stored.login
        self._rest(waiting, not_before, carrier.urgent_at(stored))
        self._order.put(portal, waiting)

    def _rest(self, waiting: Pending, not_before: int, urgent_at: int | None) -> None:
        """Not before that time (ms), but for what becomes urgent sooner; what is urgent already was just tried."""
        if urgent_at is not None and urgent_at <= self._clock.now():
            urgent_at = max(urgent_at, not_before)
        waiting.not_before, waiting.urgent_at = not_before, urgent_at
