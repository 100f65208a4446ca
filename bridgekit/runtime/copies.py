"""Carries out the entries of copy lanes: what logins that are not a chat's source have said about it."""

from __future__ import annotations

import functools

from bridgekit.core.lane import remote_lane
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.entry import Append, Direction, Entry, NewEntry
from bridgekit.model.ids import DedupeKey
from bridgekit.model.remote import RemoteChat, RemoteChatDeleted, RemoteMember, RemoteProfile
from bridgekit.ports import Journal
from bridgekit.runtime.addresses import Addresses, content_key, decode
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import Handled, Lane, Lanes, WaitFor
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.portals import Portals
from bridgekit.runtime.retrying import Retrying

GRACE_MS = 5_000
"""How long a copy waits for the source's. What only the copy's login can see is late by so much, and in order."""


class Copies:
    """Hands copies to the portal's lane, which drops what is known already."""

    def __init__(
        self,
        addresses: Addresses,
        books: Books,
        journal: Journal,
        lanes: Lanes,
        lease: LeaseKeeper,
        portals: Portals,
        retrying: Retrying,
    ) -> None:
        self._addresses = addresses
        self._books = books
        self._journal = journal
        self._lanes = lanes
        self._lease = lease
        self._portals = portals
        self._retrying = retrying

    async def handle(self, entry: Entry, lane: Lane) -> Handled:
        """Carry out the head of a copy lane. Raises `RetryLater`, `WaitFor`."""
        event = decode(entry.payload)
        assert not isinstance(event, RemoteChat | RemoteMember | RemoteProfile), "of these there are no copies"
        record = self._books.login(entry.login) if entry.login is not None else None
        if record is None:
            return Handled(dead=self._retrying.ending("no_login", "the login that received it has logged out"))
        rest_ms = entry.received_at + GRACE_MS - self._retrying.clock.now()
        if rest_ms > 0 and await self._addresses.source(event.portal, record.login.id) != record.login.id:
            raise WaitFor(functools.partial(self._retrying.clock.sleep, rest_ms / 1000))
        portal = await self._books.portal(event.portal)
        if portal is not None and not isinstance(event, RemoteChatDeleted):
            try:
                # The source's entry made the room; this login's person belongs there too.
                await self._portals.ensure(event.portal, record, None)
            except (HomeserverUnreachable, MatrixRequestError) as error:
                return Handled(dead=self._retrying.homeserver_failed(entry, error))
        target = remote_lane(event.portal)
        copy = NewEntry(
            lane=target,
            dedupe=content_key(event) or DedupeKey(f"{entry.dedupe}\x1fhanded over"),
            direction=Direction.REMOTE,
            kind=entry.kind,
            payload=entry.payload,
            received_at=entry.received_at,
            login=entry.login,
        )
        appended = await self._journal.append(Append(entries=(copy,)), epoch=self._lease.epoch)
        self._lanes.offer(appended.entries)
        if entry.attempts and appended.duplicates:
            # An earlier attempt may have written it without learning so.
            self._lanes.wake(target)
        return Handled()
