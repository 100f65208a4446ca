"""What the homeserver lost: each portal's timeline is compared with the journal, and what is missing is bridged.

A homeserver that restarts forgets events that it had queued for us in memory; it never sends them again
(notes on Synapse, finding 1).
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence

from bridgekit.core.backoff import Backoff
from bridgekit.core.fresh import without_making
from bridgekit.core.lane import matrix_lane
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.errors import HomeserverError, LeaseLost, MatrixRequestError, StoreUnavailable
from bridgekit.model.entry import Anchor, NewEntry, Repair
from bridgekit.model.ids import PortalKey, RoomID, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Portal
from bridgekit.ports import Clock, Homeserver, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)

EVERY_S = 900.0
"""How often rooms with activity are compared."""

MAX_PAGES = 100
"""How far back an anchor is looked for: so many pages of 100 events."""

CONCURRENCY = 8

RECOVERY_S = 600.0
"""For so long after one side was away, a transaction id that is left out is taken for a transaction left behind."""

SKIP_EVERY_S = 60.0
"""Where bridges share the homeserver's transaction ids, skips mean nothing: at most one comparison in this time."""


REFUSALS = 6
"""So often may the homeserver stumble over a room before the others no longer wait for it."""


def _is_hopeless(error: MatrixRequestError, attempt: int) -> bool:
    verdict = judge_homeserver(error)
    return isinstance(verdict, End) or (not verdict.forever and attempt >= REFUSALS)


class GapCheck:
    """Compares and repairs. `missing` and `late` count what was found: late ones stand before finished events."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        homeserver: Homeserver,
        lanes: Lanes,
        lease: LeaseKeeper,
        clock: Clock,
        *,
        entry: Callable[[RawEvent], NewEntry | None],
        settled: Callable[[], Awaitable[None]],
        append: Callable[[Sequence[NewEntry]], Awaitable[None]],
        is_ours: Callable[[UserID], bool],
        random: Callable[[], float],
    ) -> None:
        self._books = books
        self._journal = journal
        self._homeserver = homeserver
        self._lanes = lanes
        self._lease = lease
        self._clock = clock
        self._entry = entry
        self._settled = settled
        self._append = append
        self._is_ours = is_ours
        self._random = random
        # Each distrust begins a new generation; a portal is trusted again once it was compared in that generation.
        self._generation = 1
        self._trusted = 0
        self._checked: dict[PortalKey, int] = {}
        self._wanted: dict[PortalKey, asyncio.Task[None]] = {}  # whose room must be compared by itself
        self._change = asyncio.Event()
        self._nudge = asyncio.Event()
        self._active: set[RoomID] = set()
        self._all_wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._last_number = -1
        self._recovering_until = 0.0
        self._skip_counts_from = 0.0
        self.missing = 0
        self.late = 0
        self.unknown_anchors = 0
        self.rounds = 0  # how many comparisons of every portal have ended

    # --- when -----------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Compare every portal now, then those with activity from time to time, and all after a failure."""
        self.want_all()
        self._tasks = [
            asyncio.create_task(self._rounds(), name="gap check"),
            asyncio.create_task(self._regular(), name="regular gap check"),
        ]

    async def stop(self) -> None:
        tasks = [*self._tasks, *self._wanted.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def want(self, portal: Portal) -> None:
        """A room that we have not made has become this portal's: what was said there before we came in was not sent to
        us, and crosses before anything else does."""
        if portal.key not in self._wanted:
            self._wanted[portal.key] = asyncio.create_task(self._check_wanted(portal), name=f"gap check {portal.room}")

    async def _check_wanted(self, portal: Portal) -> None:
        await self._until_done(portal)
        del self._wanted[portal.key]
        self._changed()

    def want_all(self) -> None:
        """The homeserver was away: it may have forgotten events of any room."""
        self._recovering_until = self._clock.monotonic() + RECOVERY_S
        self._all_wanted.set()

    def distrust(self) -> None:
        """The homeserver has been restarted with events for us in its memory. What it sends from now on must not
        overtake them: every room waits until it was compared."""
        self._generation += 1
        self.want_all()

    def note_activity(self, room: RoomID) -> None:
        """Something was pushed from this room."""
        self._active.add(room)

    def note_transaction(self, txn_id: str) -> None:
        """Called before a transaction's events are offered to the lanes.

        Transaction ids that start again say that the homeserver was restarted (on SQLite; never drop by them).
        """
        self._nudge.set()  # it is there again
        self._nudge = asyncio.Event()
        if not txn_id.isdecimal() or len(txn_id) > 18:
            return
        number = int(txn_id)
        if number < self._last_number:
            log.info("the homeserver seems to have been restarted; comparing all rooms")
            self.distrust()
        elif self._last_number >= 0 and number > self._last_number + 1:
            self._note_skip()
        self._last_number = number

    def _note_skip(self) -> None:
        # Synapse, at the end of its recovery: a transaction made in the moment in which the last of those that waited
        # was sent stays in its database, unsent, until the next failure. The ids then have a hole.
        now = self._clock.monotonic()
        if self._skip_counts_from <= now < self._recovering_until:
            self._skip_counts_from = now + SKIP_EVERY_S
            log.info("the homeserver has left out a transaction id; comparing all rooms")
            self._all_wanted.set()

    def until_checked(self, key: PortalKey) -> Callable[[], Awaitable[None]] | None:
        """None if the portal's room has been compared since the start, or since the homeserver was last found to have
        been restarted; otherwise what to wait for."""
        return None if self._is_trusted(key) else functools.partial(self._wait, key)

    def _is_trusted(self, key: PortalKey) -> bool:
        return key not in self._wanted and self._generation in (self._trusted, self._checked.get(key))

    async def _wait(self, key: PortalKey) -> None:
        while not self._is_trusted(key):
            await self._change.wait()

    async def _rounds(self) -> None:
        while True:
            await self._all_wanted.wait()
            self._all_wanted.clear()
            generation = self._generation
            after: PortalKey | None = None
            while page := await self._portals(after):
                after = page[-1].key
                await self._check_all(page)
            self.rounds += 1
            self._trusted = generation
            self._checked.clear()
            self._changed()

    async def _portals(self, after: PortalKey | None) -> list[Portal]:
        while True:
            try:
                return await self._books.directory.portals(after=after)
            except StoreUnavailable as error:
                log.warning("%s; the comparison of rooms waits", error)
                await self._clock.sleep(1.0)

    async def _regular(self) -> None:
        while True:
            await self._clock.sleep(EVERY_S)
            rooms, self._active = self._active, set()
            portals = [portal for room in rooms if (portal := await self._books.portal_by_room(room)) is not None]
            await self._check_all(portals)

    async def _check_all(self, portals: list[Portal]) -> None:
        limit = asyncio.Semaphore(CONCURRENCY)

        async def one(portal: Portal) -> None:
            async with limit:
                await self._until_done(portal)

        await asyncio.gather(*(one(portal) for portal in portals))

    async def _until_done(self, portal: Portal) -> None:
        """Compare one portal, however long the homeserver is away; only its refusal of this one room ends it undone."""
        backoff, attempt, generation = Backoff(base_s=0.5, max_s=60.0), 0, self._generation
        while portal.room is not None:
            try:
                await self.check(portal.room)
                break
            except LeaseLost:
                self._lease.declare_lost()
                return
            except (HomeserverError, StoreUnavailable) as error:
                if isinstance(error, MatrixRequestError) and _is_hopeless(error, attempt):
                    log.error("a room cannot be compared: %s", error, extra={"room_id": portal.room})
                    break
                delay = backoff.delay(attempt, self._random())
                attempt += 1
                log.info("a room could not be compared (%s); again in %.1f s", error, delay)
                await self._sleep(delay)
        self._checked[portal.key] = generation
        self._changed()

    async def _sleep(self, delay: float) -> None:
        """Not for longer than until the homeserver shows that it is there."""
        waits = [asyncio.ensure_future(self._clock.sleep(delay)), asyncio.ensure_future(self._nudge.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    # --- how ------------------------------------------------------------------------------------------------------
    async def check(self, room: RoomID) -> None:
        """Compare one room. Raises `HomeserverError`, `StoreError`."""
        lane = matrix_lane(room)
        await self._settled()  # before the lane is held: that may take a while
        async with self._lanes.hold(lane):
            anchor = await self._journal.anchor(room)
            events, newest, found = await self._since(room, anchor)
            # What was pushed meanwhile, and is not unpacked yet, is not missing.
            await self._settled()
            if newest is None:
                return
            if not found:
                self.unknown_anchors += 1
                log.error(
                    "the last compared event of a room was not found within %d events; what the homeserver may have "
                    "lost before now is not replayed",
                    MAX_PAGES * 100,
                    extra={"room_id": room},
                )
                events = []
            if anchor is None:
                events = without_making(events, self._is_ours)
            missing = [entry for event in events if (entry := self._entry(event)) is not None]
            timeline = tuple(entry for entry in missing if entry.lane == lane)
            repaired = await self._journal.repair(
                Repair(
                    lane=lane,
                    timeline=timeline,
                    anchor=Anchor(room=room, event_id=newest.event_id, at=self._clock.now()),
                ),
                epoch=self._lease.epoch,
            )
        # Of calls, most of what is missing is too old by now. But a hang-up is not, while the call goes on.
        await self._append([entry for entry in missing if entry.lane != lane])
        self.missing += repaired.missing
        self.late += repaired.late
        if repaired.missing:
            log.warning(
                "the homeserver had not sent %d events of a room; they are bridged now (%d of them late)",
                repaired.missing,
                repaired.late,
                extra={"room_id": room},
            )

    async def _since(self, room: RoomID, anchor: Anchor | None) -> tuple[list[RawEvent], RawEvent | None, bool]:
        """The room's events behind the anchor, oldest first; the newest of all; and whether the anchor was found.

        A room without an anchor was made by us and is compared from its beginning.
        """
        events: list[RawEvent] = []
        newest: RawEvent | None = None
        start: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._homeserver.messages(room, from_=start)
            for event in page.chunk:
                newest = newest or event
                if anchor is not None and event.event_id == anchor.event_id:
                    return events[::-1], newest, True
                events.append(event)
            if page.end is None:
                return events[::-1], newest, anchor is None
            start = page.end
        return events[::-1], newest, False
