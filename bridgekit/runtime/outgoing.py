"""Matrix in: the head of a room's lane becomes a call into the adapter."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec

from bridgekit.core.policy import INTERNAL_ERROR
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError, StoreError
from bridgekit.model.entry import Entry
from bridgekit.model.ids import PortalKey, RoomID
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Portal, PortalState
from bridgekit.ports import Homeserver, Journal
from bridgekit.runtime.books import Books
from bridgekit.runtime.changes import redact
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Handled, Lane, Lanes, RetryLater, WaitFor
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.limit import TimeLimit
from bridgekit.runtime.media_out import MediaOut
from bridgekit.runtime.message import Message
from bridgekit.runtime.own_changes import OwnChanges
from bridgekit.runtime.portals import Portals
from bridgekit.runtime.reacting import react
from bridgekit.runtime.relay import Relay
from bridgekit.runtime.restoring import restore
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.room_changes import RoomChanges
from bridgekit.runtime.sending import Attempt
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.speakers import Speakers
from bridgekit.runtime.status import Status
from bridgekit.runtime.targets import Targets
from bridgekit.runtime.upgrades import Upgrades
from bridgekit.runtime.versions import Versions

log = logging.getLogger(__name__)


class Outgoing:
    """Carries out the entries of room lanes."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        journal: Journal,
        lease: LeaseKeeper,
        portals: Portals,
        ghosts: Ghosts,
        sessions: Sessions,
        lanes: Lanes,
        retrying: Retrying,
        status: Status,
        relay: Relay,
        speakers: Speakers,
        own_changes: OwnChanges,
        changes: RoomChanges,
        upgrades: Upgrades,
        files: MediaOut,
        *,
        command: Callable[[Entry, RawEvent, Portal], Awaitable[bool]],
        event: Callable[[Entry], RawEvent],
        elsewhere: Callable[[Entry, RawEvent], Awaitable[Handled]],
        checked: Callable[[PortalKey], Callable[[], Awaitable[None]] | None],
        connection_errors: tuple[type[BaseException], ...],
    ) -> None:
        self.books = books
        self.homeserver = homeserver
        self.journal = journal
        self.lease = lease
        self._portals = portals
        self.ghosts = ghosts
        self.sessions = sessions
        self.retrying = retrying
        self.targets = Targets(
            books, homeserver, lanes, retrying.clock, bot=status.bot, wait_ms=retrying.delivery.confirm_wait_ms
        )
        self.versions = Versions(homeserver)
        self.status = status
        self.limit = TimeLimit(retrying.delivery.send_timeout_ms / 1000)
        self.relay = relay
        self.speakers = speakers
        self.own_changes = own_changes
        self._changes = changes
        self._upgrades = upgrades
        self.files = files
        self._command = command
        self._event = event
        self._elsewhere = elsewhere
        self._checked = checked
        self.connection_errors = connection_errors

    async def handle(self, entry: Entry, lane: Lane) -> Handled:
        """Carry out the head of a room's lane. Raises `RetryLater`, `WaitFor`."""
        event = self._event(entry)
        handled = await self._handle(event, entry, lane)
        if handled.dead is None:
            return handled
        # However it has ended: its file, which may have gone ahead, must not stay behind.
        return msgspec.structs.replace(handled, facts=(*handled.facts, *await self.files.unsent(event.event_id)))

    async def _handle(self, event: RawEvent, entry: Entry, lane: Lane) -> Handled:
        # Asked before the lookup: a room that becomes known between the two must not pass for a stranger's.
        being_made = self._portals.next_made()
        portal = await self.books.portal_by_room(event.room_id)
        if portal is None:
            portal = await self._replaced(entry, event.room_id)
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
        await self.status.know(event.room_id)
        attempt = Attempt(self, entry, lane, event, portal)
        try:
            try:
                return await self._carry_out(attempt)
            except (HomeserverError, StoreError, RetryLater, WaitFor):
                raise
            except Exception:
                log.exception("an event could not be handled", extra={"event_id": entry.event_id})
                return await attempt.end(self.retrying.ending("bug", INTERNAL_ERROR))
        except (HomeserverUnreachable, MatrixRequestError) as error:
            # Only telling people needs the homeserver here; what could not be told is in the log.
            ending = self.retrying.homeserver_failed(entry, error)
            log.error("a room could not be told: %s", error, extra={"room_id": event.room_id})
            return attempt.untold(ending)

    async def _replaced(self, entry: Entry, room: RoomID) -> Portal | None:
        try:
            return await self._upgrades.portal_of(room)
        except (HomeserverUnreachable, MatrixRequestError) as error:
            ending = self.retrying.homeserver_failed(entry, error)
            log.warning("an upgrade could not be followed: %s", ending.reason, extra={"room_id": room})
            return None

    async def _carry_out(self, attempt: Attempt) -> Handled:
        if attempt.progress.ending is not None:
            if attempt.event.state_key is not None:
                return await self._changes.refused(attempt, attempt.progress.ending)
            return await attempt.finish(attempt.progress.ending)
        if attempt.event.state_key is not None:
            return await self._changes.handle(attempt)
        match attempt.event.type:
            case "m.room.redaction":
                handled = await redact(attempt)
                return handled if handled is not None else await restore(attempt)
            case "m.reaction":
                return await react(attempt)
            case _:
                return await Message(attempt).handle()
