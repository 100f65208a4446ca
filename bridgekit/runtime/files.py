"""Files: the parts that carry them, put together."""

from __future__ import annotations

from collections.abc import Callable

from bridgekit.core.backoff import Backoff
from bridgekit.errors import HomeserverError
from bridgekit.model.entry import Entry
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Direction
from bridgekit.ports import Homeserver, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.counters import Counters
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.media_ahead import Ahead
from bridgekit.runtime.media_carry import FileCarrier
from bridgekit.runtime.media_event import FileEvents
from bridgekit.runtime.media_fetch import Fetcher
from bridgekit.runtime.media_in import MediaIn
from bridgekit.runtime.media_jobs import MediaJobs
from bridgekit.runtime.media_orphans import Orphans
from bridgekit.runtime.media_out import MediaOut
from bridgekit.runtime.media_rules import MediaRules
from bridgekit.runtime.media_stream import Transfers
from bridgekit.runtime.media_waiting import Waiting
from bridgekit.runtime.posting import Posting
from bridgekit.runtime.relay import Relay
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.status import Status


class Files:
    """`jobs` are the files still to be carried, of both directions; `incoming` puts the network's into rooms,
    `outgoing` gives Matrix's to the network, and `ahead` sees to it that they go ahead."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        lease: LeaseKeeper,
        homeserver: Homeserver,
        sessions: Sessions,
        ghosts: Ghosts,
        posting: Posting,
        retrying: Retrying,
        status: Status,
        relay: Relay,
        lanes: Lanes,
        counters: Counters,
        rules: MediaRules,
        *,
        event: Callable[[Entry], RawEvent],
        connection_errors: tuple[type[BaseException], ...],
    ) -> None:
        clock, random = retrying.clock, retrying.random

        async def is_away() -> bool:
            try:
                await homeserver.capabilities()
            except HomeserverError:
                return True
            return False

        self.jobs = MediaJobs(
            books,
            journal,
            lease,
            clock,
            sessions,
            rules,
            retry_for_ms=retrying.delivery.retry_for_ms,
            random=random,
            is_away=is_away,
        )
        transfers = Transfers(clock, rules, moved=counters.moved_in)
        fetcher = Fetcher(books, homeserver, sessions, transfers, connection_errors=connection_errors)
        events = FileEvents(books, ghosts, self.jobs, posting)
        carrier = FileCarrier(books, homeserver, sessions, self.jobs, fetcher, events, clock, counters)
        self.jobs.carriers[Direction.REMOTE] = carrier
        orphans = Orphans(
            books, homeserver, sessions, self.jobs, status, clock, rules, connection_errors=connection_errors
        )
        self.outgoing = MediaOut(
            books,
            homeserver,
            sessions,
            self.jobs,
            orphans,
            clock,
            rules,
            counters,
            connection_errors=connection_errors,
        )
        self.jobs.carriers[Direction.MATRIX] = self.outgoing
        self.ahead = Ahead(books, sessions, lanes, relay, self.outgoing, event=event)
        self._waiting = Waiting(fetcher, sessions, retrying, rules, Backoff(), is_away=is_away)
        self.incoming = MediaIn(
            books,
            journal,
            lease,
            homeserver,
            posting,
            self.jobs,
            carrier,
            self._waiting,
            clock,
            rules,
            is_away=is_away,
        )

    async def stop(self) -> None:
        """Break off what is being carried."""
        await self.ahead.stop()
        await self.jobs.stop()
        await self._waiting.stop()
