"""What the bridge knows, with the parts that every message asks for kept in memory.

One process owns the database (`runtime.lease`), so what was read stays true until it is written here. Facts that are
committed with an entry's completion must not concern what is cached; `save` is for those.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

import msgspec

from bridgekit.core.identities import Identities, page_key
from bridgekit.model.ids import EventID, LoginID, PortalKey, RemoteMessageID, RemoteUserID, RoomID, UserID
from bridgekit.model.records import (
    Fact,
    Ghost,
    GhostSaved,
    LoginRecord,
    LoginRemoved,
    LoginSaved,
    MemberSaved,
    Membership,
    MessageRecord,
    Portal,
    PortalLoginRemoved,
    PortalLoginSaved,
    PortalRemoved,
    PortalSaved,
    ReactionRecord,
    RelayRemoved,
    RelaySaved,
    ValueSaved,
)
from bridgekit.model.remote import Login
from bridgekit.ports import Directory
from bridgekit.runtime.lease import LeaseKeeper

K = TypeVar("K")
V = TypeVar("V")

CACHE_SIZE = 20_000


class _Cache(Generic[K, V]):
    """The most recently used values, so many at most; which those are is watched once there are many."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._values: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None and len(self._values) * 2 > self._size:
            del self._values[key]
            self._values[key] = value
        return value

    def put(self, key: K, value: V) -> None:
        self._values.pop(key, None)
        self._values[key] = value
        if len(self._values) > self._size:
            del self._values[next(iter(self._values))]

    def drop(self, key: K) -> None:
        self._values.pop(key, None)


def _renamed(login: Login, user: RemoteUserID) -> Login:
    return msgspec.structs.replace(login, user=user)


class Books:
    """Reads and writes of the directory, cached."""

    def __init__(self, directory: Directory, lease: LeaseKeeper) -> None:
        self.directory = directory
        self._lease = lease
        self._portals: _Cache[PortalKey, Portal] = _Cache()
        self._rooms: _Cache[RoomID, PortalKey] = _Cache()
        self._ghosts: _Cache[RemoteUserID, Ghost] = _Cache()
        self._members: _Cache[tuple[RoomID, UserID], Membership] = _Cache()
        self._portal_logins: _Cache[PortalKey, tuple[LoginRecord, ...]] = _Cache()
        self._logins: dict[LoginID, LoginRecord] = {}
        self._relays: dict[PortalKey, LoginID] = {}
        self.identities = Identities()
        self._renaming = asyncio.Lock()
        self._writes = 0  # what was read while this grew may be out of date, and is not kept

    async def open(self) -> None:
        """Read what is always needed. Call once the lease is held."""
        self._logins = {record.login.id: record for record in await self.directory.logins()}
        self._relays = await self.directory.relays()
        self.secret = await self.directory.secret()
        number = 0
        while (page := await self.directory.value(page_key(number))) is not None:
            self.identities.load(page)
            number += 1

    async def save(self, *facts: Fact) -> None:
        """Write facts to disk, then to the cache."""
        await self.directory.record(facts, epoch=self._lease.epoch)
        self._writes += 1
        for fact in facts:
            self._apply(fact)

    def _apply(self, fact: Fact) -> None:
        match fact:
            case PortalSaved(portal):
                self._portals.put(portal.key, portal)
                if portal.room is not None:
                    self._rooms.put(portal.room, portal.key)
            case PortalRemoved(key):
                portal_before = self._portals.get(key)
                if portal_before is not None and portal_before.room is not None:
                    self._rooms.drop(portal_before.room)
                self._portals.drop(key)
                self._portal_logins.drop(key)
                self._relays.pop(key, None)
            case GhostSaved(ghost):
                self._ghosts.put(ghost.remote_id, ghost)
            case MemberSaved(room, user_id, membership):
                self._members.put((room, user_id), membership)
            case PortalLoginSaved(key, _) | PortalLoginRemoved(key, _):
                self._portal_logins.drop(key)
            case LoginSaved(record):
                self._logins[record.login.id] = record
                self._portal_logins = _Cache()
            case LoginRemoved(id):
                self._logins.pop(id, None)
                self._portal_logins = _Cache()
                self._relays = {key: login for key, login in self._relays.items() if login != id}
            case RelaySaved(key, login):
                self._relays[key] = login
            case RelayRemoved(key):
                self._relays.pop(key, None)
            case _:
                pass

    # --- portals --------------------------------------------------------------------------------------------------
    async def portal(self, key: PortalKey) -> Portal | None:
        portal, writes = self._portals.get(key), self._writes
        if portal is None and (portal := await self.directory.portal(key)) is not None and writes == self._writes:
            self._portals.put(key, portal)
        return portal

    async def portal_by_room(self, room: RoomID) -> Portal | None:
        key = self._rooms.get(room)
        if key is not None and (known := await self.portal(key)) is not None and known.room == room:
            return known
        writes = self._writes
        portal = await self.directory.portal_by_room(room)
        if portal is not None and writes == self._writes:
            self._rooms.put(room, portal.key)
            self._portals.put(portal.key, portal)
        return portal

    async def portal_logins(self, key: PortalKey) -> tuple[LoginRecord, ...]:
        """The logins that see this portal."""
        records = self._portal_logins.get(key)
        if records is None:
            writes = self._writes
            ids = await self.directory.portal_logins(key)
            records = tuple(record for id in ids if (record := self._logins.get(id)) is not None)
            if writes == self._writes:
                self._portal_logins.put(key, records)
        return records

    def relay(self, key: PortalKey) -> LoginRecord | None:
        """The login through which people without one speak in this portal."""
        login = self._relays.get(key)
        return self._logins.get(login) if login is not None else None

    # --- people ---------------------------------------------------------------------------------------------------
    async def ghost(self, remote_id: RemoteUserID) -> Ghost | None:
        """The ghost of a person, by any of their ids."""
        remote_id = self.identities.root(remote_id)
        ghost, writes = self._ghosts.get(remote_id), self._writes
        if ghost is None and (ghost := await self.directory.ghost(remote_id)) is not None and writes == self._writes:
            self._ghosts.put(remote_id, ghost)
        return ghost

    async def membership(self, room: RoomID, user_id: UserID) -> Membership | None:
        known, writes = self._members.get((room, user_id)), self._writes
        if known is not None:
            return known
        membership = await self.directory.membership(room, user_id)
        if membership is not None and writes == self._writes:
            self._members.put((room, user_id), membership)
        return membership

    def logins(self, user_id: UserID | None = None) -> list[LoginRecord]:
        """All logins, or one Matrix user's."""
        return [record for record in self._logins.values() if user_id is None or record.user_id == user_id]

    def login(self, id: LoginID) -> LoginRecord | None:
        return self._logins.get(id)

    def is_own_account(self, user: RemoteUserID) -> bool:
        """Whether a remote user is an account that somebody has logged in through this bridge."""
        return any(self.identities.same(record.login.user, user) for record in self._logins.values())

    async def identity_changed(self, old: RemoteUserID, new: RemoteUserID) -> None:
        """The network calls a person `new` now: one ghost stands for both, and a login of theirs is of `new`.

        All of it is on disk together, and a repeat does nothing. Raises `StoreError`.
        """
        async with self._renaming:
            if self.identities.is_known(old, new):
                return
            key, page = self.identities.page_with(old, new)
            logins = [
                LoginSaved(msgspec.structs.replace(record, login=_renamed(record.login, new)))
                for record in self._logins.values()
                if self.identities.same(record.login.user, old)
            ]
            await self.save(ValueSaved(key, page), *logins)
            self.identities.change(old, new)

    # --- messages -------------------------------------------------------------------------------------------------
    async def message_by_remote(self, portal: PortalKey, remote_id: RemoteMessageID) -> list[MessageRecord]:
        return await self.directory.message_by_remote(portal, remote_id)

    async def message_by_event(self, room: RoomID, event_id: EventID) -> MessageRecord | None:
        return await self.directory.message_by_event(room, event_id)

    async def messages_by_event(self, room: RoomID, event_id: EventID) -> list[MessageRecord]:
        return await self.directory.messages_by_event(room, event_id)

    # --- reactions ------------------------------------------------------------------------------------------------
    async def reactions(self, portal: PortalKey, target: RemoteMessageID) -> list[ReactionRecord]:
        return await self.directory.reactions(portal, target)

    async def reaction_by_event(self, room: RoomID, event_id: EventID) -> ReactionRecord | None:
        return await self.directory.reaction_by_event(room, event_id)
