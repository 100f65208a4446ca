"""Matrix in: the head of a room's lane becomes a call into the adapter."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from bridgekit.core.policy import INTERNAL_ERROR
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError, StoreError
from bridgekit.model.entry import Entry
from bridgekit.model.ids import PortalKey
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Portal, PortalState
from bridgekit.ports import Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Handled, Lane, Lanes, RetryLater, WaitFor
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.limit import TimeLimit
from bridgekit.runtime.message import Message
from bridgekit.runtime.portals import Portals
from bridgekit.runtime.relay import Relay
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.status import Status

log = logging.getLogger(__name__)


class Outgoing:
    """Carries out the entries of room lanes."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        lease: LeaseKeeper,
        portals: Portals,
        ghosts: Ghosts,
        sessions: Sessions,
        lanes: Lanes,
        retrying: Retrying,
        status: Status,
        relay: Relay,
        *,
        command: Callable[[Entry, RawEvent, Portal], Awaitable[bool]],
        event: Callable[[Entry], RawEvent],
        elsewhere: Callable[[Entry, RawEvent], Awaitable[Handled]],
        checked: Callable[[PortalKey], Callable[[], Awaitable[None]] | None],
        connection_errors: tuple[type[BaseException], ...],
    ) -> None:
        self.books = books
        self.journal = journal
        self.lease = lease
        self._portals = portals
        self.ghosts = ghosts
        self.sessions = sessions
        self.lanes = lanes
        self.retrying = retrying
        self.status = status
        self.limit = TimeLimit(retrying.delivery.send_timeout_ms / 1000)
        self.relay = relay
        self._command = command
        self._event = event
        self._elsewhere = elsewhere
        self._checked = checked
        self.connection_errors = connection_errors

    async def handle(self, entry: Entry, lane: Lane) -> Handled:
        """Carry out the head of a room's lane. Raises `RetryLater`, `WaitFor`."""
        event = self._event(entry)
        # Asked before the lookup: a room that becomes known between the two must not pass for a stranger's.
        being_made = self._portals.next_made()
        portal = await self.books.portal_by_room(event.room_id)
        if portal is None:
            if being_made is not None and await self.books.directory.management_user(event.room_id) is None:
                raise WaitFor(being_made)
            return await self._elsewhere(entry, event)
        if event.type == "m.room.member" and portal.state is PortalState.CREATING:
            # An invitation that made this room the portal, and was not carried out to its end.
            return await self._elsewhere(entry, event)
        if (unchecked := self._checked(portal.key)) is not None:
            raise WaitFor(unchecked)
        if await self._command(entry, event, portal):
            return Handled()
        message = Message(self, entry, lane, event, portal)
        try:
            try:
                return await message.handle()
            except (HomeserverError, StoreError, RetryLater, WaitFor):
                raise
            except Exception:
                log.exception("a message could not be handled", extra={"event_id": entry.event_id})
                return await message.end(self.retrying.ending("bug", INTERNAL_ERROR))
        except (HomeserverUnreachable, MatrixRequestError) as error:
            # Only telling people needs the homeserver here; what could not be told is in the log.
            ending = self.retrying.homeserver_failed(entry, error)
            log.error("a room could not be told: %s", error, extra={"room_id": event.room_id})
            return message.untold(ending)
