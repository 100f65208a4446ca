"""Sessions: one live connection per login, pulled into the journal, opened again when it breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

import msgspec

from bridgekit.adapter.base import Adapter, Session
from bridgekit.core.backoff import Backoff
from bridgekit.core.catch_up import OLD_KIND
from bridgekit.errors import AuthFailed, LeaseLost, StoreUnavailable, Transient
from bridgekit.model.entry import Append, Direction
from bridgekit.model.ids import LoginID
from bridgekit.model.records import LoginRecord, LoginSaved, LoginState
from bridgekit.model.remote import Batch, Cursor, Passing, RemoteCaughtUp, RemoteEvent
from bridgekit.ports import Clock, Journal
from bridgekit.runtime import points
from bridgekit.runtime.addresses import Addresses
from bridgekit.runtime.books import Books
from bridgekit.runtime.counters import Counters
from bridgekit.runtime.lanes import Lanes, is_being_cancelled
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)

STEADY_S = 60.0
"""A connection that held so long was a good one: the next failure starts the backoff anew."""

QUIET_S = 5.0
"""A connected session that has brought no old message for so long has caught up, whether it says so or not."""

AWAY_S = 30.0
"""A session that has been away for so long is not waited for before what it has brought is dealt with."""


class SessionState(msgspec.Struct, frozen=True):
    """What a login's connection is doing: ``connecting``, ``connected``, ``waiting`` (with the reason), ``stopped``."""

    name: str
    reason: str = ""


class _Runner:
    """One login's connection."""

    def __init__(self, sessions: Sessions, login: LoginID) -> None:
        self._sessions = sessions
        self.login = login
        self._record: LoginRecord
        self.session: Session | None = None
        self.state = SessionState("connecting")
        self._away_since = sessions.clock.monotonic()
        self._old_at = 0.0  # when it was connected, or last brought an old message
        self._connected_at = 0  # ms
        self._has_caught_up = False
        self.task = asyncio.create_task(self._run(), name=f"session {login}")

    async def _run(self) -> None:
        clock, backoff, attempt = self._sessions.clock, Backoff(), 0
        while True:
            record = self._sessions.books.login(self.login)
            if record is None or record.state is LoginState.BAD_CREDENTIALS:
                self.state = SessionState("stopped", "log in again")
                return
            began = clock.monotonic()
            retry_after: float | None = None
            try:
                await self._connected(record)
                reason = "the network closed the connection"
            except AuthFailed as error:
                reason = error.reason or "the login is no longer valid"
                if await self._refused(error):
                    self.state = SessionState("stopped", reason)
                    return
            except LeaseLost:
                self._sessions.lease.declare_lost()
                return
            except Transient as error:
                reason, retry_after = error.reason or "the network is not available", error.retry_after
            except self._sessions.connection_errors as error:
                reason = f"no connection ({type(error).__name__}: {error})"
            except asyncio.CancelledError:
                if is_being_cancelled():
                    raise
                # Libraries cancel what waits for their connection when it breaks, and let that escape.
                reason = "the connection broke"
            except StoreUnavailable as error:
                reason = str(error)
            except Exception as error:
                # A bug in an adapter must not end the session for good: say so, and connect again.
                log.exception("a session failed", extra={"login": self.login})
                reason = f"internal error ({type(error).__name__})"
            if clock.monotonic() - began >= STEADY_S:
                attempt = 0
            delay = backoff.delay(attempt, self._sessions.random(), retry_after)
            attempt += 1
            self.state = SessionState("waiting", reason)
            log.info("session of %s: %s; connecting again in %.1f s", self.login, reason, delay)
            await clock.sleep(delay)

    async def _refused(self, error: AuthFailed) -> bool:
        """The network does not take our credentials. False if that could not be written down."""
        try:
            await self._sessions.auth_failed(self.login, error.reason)
        except StoreUnavailable as unavailable:
            log.warning("%s; the session is opened again", unavailable, extra={"login": self.login})
            return False
        except LeaseLost:
            self._sessions.lease.declare_lost()
        return True

    async def _connected(self, record: LoginRecord) -> None:
        self.state = SessionState("connecting")
        cursors = await self._sessions.books.directory.cursors(self.login)
        stored = await self._sessions.books.directory.login(self.login)
        async with self._sessions.adapter.connect((stored or record).login) as session:
            self.session = session
            self.state = SessionState("connected")
            clock = self._sessions.clock
            self._has_caught_up, self._old_at, self._connected_at = False, clock.monotonic(), clock.now()
            self._sessions.changed()
            log.info("session of %s is connected", self.login)
            self._record = record
            stream = session.events(cursors)
            try:
                async for item in stream:
                    await self._store(item if isinstance(item, Batch) else Batch(events=(item,)))
            finally:
                self.session = None
                self._away_since = clock.monotonic()
                if isinstance(stream, AsyncGenerator):
                    # Its own clean-up belongs inside the connection's context, not to the garbage collector.
                    await stream.aclose()

    async def _store(self, batch: Batch) -> None:
        """Make a batch durable, but for what passes; only then is the iterator resumed."""
        if batch.state is not None or not all(isinstance(event, Passing) for event in batch.events):
            await self._write(batch)
        else:
            await asyncio.sleep(0)  # there is no disk to wait for, and the others must have their turn
        self._sessions.on_stored(batch.events, self._record)

    async def _write(self, batch: Batch) -> None:
        self._sessions.counters.events[Direction.REMOTE] += len(batch.events)
        entries, dead = await self._sessions.addresses.entries(batch.events, self._record, self._connected_at)
        append = Append(entries=entries, dead=dead, login=self.login, cursors=_last_cursors(batch), state=batch.state)
        points.reach(points.PULL_BEFORE)
        attempt = 0
        while True:
            writing = asyncio.ensure_future(self._append(append, again=attempt > 0))
            try:
                await asyncio.shield(writing)
                self._note_progress(batch, append)
                return
            except StoreUnavailable as error:
                # The network waits meanwhile: what it has shown us is not lost by our not having taken it.
                delay = Backoff(base_s=0.2, max_s=10.0).delay(attempt, self._sessions.random())
                attempt += 1
                log.warning("%s; the session waits", error, extra={"login": self.login})
                await self._sessions.clock.sleep(delay)
            except asyncio.CancelledError:
                # What has begun may take effect, with the cursor behind it: then it is offered to the lanes as ever.
                writing.add_done_callback(_look)
                raise

    def _note_progress(self, batch: Batch, append: Append) -> None:
        if any(entry.kind == OLD_KIND for entry in append.entries):
            self._old_at = self._sessions.clock.monotonic()
        if any(isinstance(event, RemoteCaughtUp) for event in batch.events):
            self._has_caught_up = True
            self._sessions.changed()

    def catches_up_s(self) -> float:
        """See `Sessions.catches_up_s`."""
        now = self._sessions.clock.monotonic()
        if self.session is None:
            return 0.0 if self.state.name == "stopped" else max(0.0, self._away_since + AWAY_S - now)
        return 0.0 if self._has_caught_up else max(0.0, self._old_at + QUIET_S - now)

    async def _append(self, append: Append, *, again: bool) -> None:
        appended = await self._sessions.journal.append(append, epoch=self._sessions.lease.epoch)
        points.reach(points.PULL_AFTER)
        self._sessions.counters.duplicates[Direction.REMOTE] += appended.duplicates
        if again:
            # An append whose answer was lost may have been written: the journal knows, the return value does not.
            for lane in {entry.lane for entry in append.entries}:
                self._sessions.lanes.wake(lane)
        self._sessions.lanes.offer(appended.entries)


def _look(writing: asyncio.Future[None]) -> None:
    if not writing.cancelled() and (error := writing.exception()) is not None:
        log.info("a session ended while its events were being written down: %s", error)


def _last_cursors(batch: Batch) -> tuple[Cursor, ...]:
    """The last cursor of each scope."""
    last: dict[str, Cursor] = {}
    for event in batch.events:
        if not isinstance(event, Passing) and event.cursor is not None:
            last[event.cursor.scope] = event.cursor
    return tuple(last.values())


class Sessions:
    """All logins' connections."""

    def __init__(
        self,
        adapter: Adapter,
        books: Books,
        journal: Journal,
        lanes: Lanes,
        lease: LeaseKeeper,
        clock: Clock,
        *,
        random: Callable[[], float],
        connection_errors: tuple[type[BaseException], ...],
        on_auth_failed: Callable[[LoginRecord, str], Awaitable[None]],
        older_than_ms: int,
    ) -> None:
        self.adapter = adapter
        self.books = books
        self.journal = journal
        self.lanes = lanes
        self.lease = lease
        self.clock = clock
        self.random = random
        self.connection_errors = connection_errors
        self._on_auth_failed = on_auth_failed
        self._runners: dict[LoginID, _Runner] = {}
        self._changed = asyncio.Event()
        self.may_connect: Callable[[LoginRecord], bool] = lambda record: True
        self.on_stored: Callable[[Iterable[RemoteEvent], LoginRecord], None] = lambda events, record: None
        self.counters = Counters()
        self.addresses = Addresses(
            books, lanes, lease, clock, lambda login: self.session(login) is not None, older_than_ms=older_than_ms
        )

    def start(self) -> None:
        """Connect every login that may be connected."""
        for record in self.books.logins():
            self.connect(record.login.id)

    def connect(self, login: LoginID) -> None:
        """Connect a login, unless it is connected, or its person may not use the bridge."""
        record = self.books.login(login)
        if record is not None and not self.may_connect(record):
            log.warning("%s is not connected: %s may not use this bridge (permissions)", login, record.user_id)
            return
        runner = self._runners.get(login)
        if runner is None or runner.task.done():
            self._runners[login] = _Runner(self, login)

    async def disconnect(self, login: LoginID) -> None:
        """Close a login's connection."""
        runner = self._runners.pop(login, None)
        if runner is not None:
            runner.task.cancel()
            await asyncio.gather(runner.task, return_exceptions=True)

    async def stop(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(self.disconnect(login) for login in list(self._runners)))

    def session(self, login: LoginID) -> Session | None:
        """The login's live session, None while it is not connected."""
        runner = self._runners.get(login)
        return runner.session if runner is not None else None

    def state(self, login: LoginID) -> SessionState:
        """What the login's connection is doing."""
        runner = self._runners.get(login)
        return runner.state if runner is not None else SessionState("stopped")

    async def until_connected(self, login: LoginID) -> None:
        """Wait until the login is connected, or is no more; for ever if its person has to log in again first."""
        while self.session(login) is None and self.books.login(login) is not None:
            await self._changed.wait()

    def catches_up_s(self, login: LoginID | None) -> float:
        """For how many seconds yet, if nothing happens, older messages may come from this login; 0: all have come."""
        runner = self._runners.get(login) if login is not None else None
        return runner.catches_up_s() if runner is not None else 0.0

    async def until_caught_up(self, login: LoginID | None) -> None:
        """Wait until what was said while the login was away has come, as far as can be known."""
        while (rest := self.catches_up_s(login)) > 0:
            waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(self.clock.sleep(rest))]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def changed(self) -> None:
        """A session was opened or has caught up, or a login is no more."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def refused(self, login: LoginID, session: object, reason: str) -> None:
        """The network refused the login's credentials to what was asked through this session, which is closed. Nothing
        happens to another one, of a new login. Raises `StoreError`."""
        if self.session(login) is session:
            await self.auth_failed(login, reason)
        if self.session(login) is session:
            await self.disconnect(login)

    async def auth_failed(self, login: LoginID, reason: str) -> None:
        """The network does not take the login's credentials any more: remember that, and tell its person."""
        record = self.books.login(login)
        if record is None or record.state is LoginState.BAD_CREDENTIALS:
            return
        record = msgspec.structs.replace(record, state=LoginState.BAD_CREDENTIALS)
        await self.books.save(LoginSaved(record))
        await self._on_auth_failed(record, reason)
