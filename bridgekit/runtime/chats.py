"""Chats and their members, as the network lists them: which of them become rooms before anything is said there."""

from __future__ import annotations

import asyncio
import functools
from collections import deque

import msgspec

from bridgekit.adapter.base import Session
from bridgekit.model.records import LoginRecord, PortalState
from bridgekit.model.remote import RemoteChat, RemoteMember
from bridgekit.ports import Clock
from bridgekit.runtime.books import Books
from bridgekit.runtime.lane import WaitFor
from bridgekit.runtime.members import Members
from bridgekit.runtime.portals import Portals, describer_of

EAGER_AT_ONCE = 4
"""So many rooms that nobody has spoken in are made at once: a list of a thousand chats must not hold up a message."""

LOOK_AGAIN_S = 30.0


class ChatRules(msgspec.Struct, frozen=True, kw_only=True):
    """`eagerly`: a chat that the network lists becomes a room at once, not with its first message. `max_members`: how
    many members of a chat join its room before they have said anything. `leave_with_room`: a person who leaves the room
    of a group leaves the group."""

    eagerly: bool = False
    max_members: int = 100
    leave_with_room: bool = True


class Chats:
    """Carries out what the network says of chats. Every method may be repeated after a crash."""

    def __init__(self, books: Books, portals: Portals, members: Members, rules: ChatRules, clock: Clock) -> None:
        self._books = books
        self._portals = portals
        self._members = members
        self._rules = rules
        self._clock = clock
        self._making = 0
        self._waiting: deque[asyncio.Event] = deque()

    async def chat(self, chat: RemoteChat, record: LoginRecord, session: Session | None) -> None:
        """A chat is like this now. Raises `HomeserverError`, `WaitFor`."""
        portal = await self._books.portal(chat.portal)
        if portal is not None and portal.state is PortalState.READY:
            await self._portals.update(chat, record, session)
        elif portal is not None or self._rules.eagerly:
            await self._make(chat, record, session)
        elif session is not None and describer_of(session) is None:
            # The first message makes the room. Where the network cannot be asked then what the chat is called, what it
            # says now would be lost, so the room is made at once.
            await self._portals.update(chat, record, session)

    async def _make(self, chat: RemoteChat, record: LoginRecord, session: Session | None) -> None:
        if self._making >= EAGER_AT_ONCE:
            turn = asyncio.Event()
            self._waiting.append(turn)
            # The lane's place among those at work is for others meanwhile.
            raise WaitFor(functools.partial(self._until, turn))
        self._making += 1
        try:
            described = await self._portals.describe(chat.portal, session, chat) or chat
            if described.members is None or record.login.user in described.members:
                await self._portals.update(described, record, session)
            # else: a chat that our account has left, or is not in yet
        finally:
            self._making -= 1
            for _ in range(min(EAGER_AT_ONCE, len(self._waiting))):
                self._waiting.popleft().set()

    async def _until(self, turn: asyncio.Event) -> None:
        # Who is woken may not need the place any more, and wakes nobody: then the others look by themselves.
        rest = asyncio.ensure_future(self._clock.sleep(LOOK_AGAIN_S))
        wake = asyncio.ensure_future(turn.wait())
        try:
            await asyncio.wait((rest, wake), return_when=asyncio.FIRST_COMPLETED)
        finally:
            rest.cancel()
            wake.cancel()

    async def member(self, member: RemoteMember, session: Session | None) -> None:
        """Somebody came or left. Raises `HomeserverError`."""
        portal = await self._books.portal(member.portal)
        if portal is None or portal.room is None:
            return
        if member.joined:
            await self._members.joined(portal.room, member, describer_of(session))
        else:
            await self._members.left(portal.room, member)
