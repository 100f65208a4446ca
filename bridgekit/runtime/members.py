"""Who is in a portal's room for the network: ghosts come and go as the chat's members do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence

from bridgekit.adapter.capabilities import CanDescribe
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import RemoteUserID, RoomID, UserID
from bridgekit.model.records import Ghost, Membership
from bridgekit.model.remote import RemoteMember
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts

log = logging.getLogger(__name__)

AT_ONCE = 8
"""So many joins and leaves are under way at once, over all rooms: a large group must not hold up what is said."""


class Members:
    """Brings ghosts into rooms and out. `at_most`: how many join a room before they have said anything.

    Every method may be repeated after a crash, and raises `HomeserverError`.
    """

    def __init__(self, books: Books, ghosts: Ghosts, *, at_most: int) -> None:
        self._books = books
        self._ghosts = ghosts
        self._at_most = at_most
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def bring_in(self, room: RoomID, users: Iterable[RemoteUserID], describer: CanDescribe | None) -> None:
        """These are members: the first of them join, the others when they speak. Accounts that are logged in here get
        no ghost."""
        others = [user for user in dict.fromkeys(users) if not self._books.is_own_account(user)]
        await self._all([self._join(room, user, describer) for user in others[: self._at_most]])

    async def follow(self, room: RoomID, users: Sequence[RemoteUserID], describer: CanDescribe | None) -> None:
        """These are the members, and nobody else is."""
        await self.bring_in(room, users, describer)
        root = self._books.identities.root
        members, gone = {root(user) for user in users}, []
        for user_id in await self._books.directory.members(room):
            ghost = await self._books.directory.ghost_by_user(user_id)
            if ghost is not None and root(ghost.remote_id) not in members:
                gone.append(self._leave(room, ghost.remote_id))
        await self._all(gone)

    async def joined(self, room: RoomID, member: RemoteMember, describer: CanDescribe | None) -> None:
        """One more is a member, invited by the ghost of whoever added them."""
        if self._books.is_own_account(member.user):
            return
        if len(await self._books.directory.members(room)) < self._at_most:
            await self._join(room, member.user, describer, by=await self._actor(room, member))

    async def left(self, room: RoomID, member: RemoteMember) -> None:
        """One is no member any more: left, or was removed by the ghost of whoever did it where that has the power."""
        if self._books.is_own_account(member.user):
            return
        is_own_will = member.by is None or self._books.identities.same(member.by, member.user)
        async with self._slots:
            if is_own_will and not member.banned:
                await self._ghosts.leave(room, member.user, reason=member.reason)
                return
            try:
                await self._ghosts.remove(
                    room, member.user, by=await self._actor(room, member), ban=member.banned, reason=member.reason
                )
            except MatrixRequestError as error:
                if not isinstance(judge_homeserver(error), End):
                    raise
                # In a room that a person made the bot may have no power; gone they are all the same.
                log.info("a member could not be removed, so it leaves: %s", error, extra={"room_id": room})
                await self._ghosts.leave(room, member.user, reason=member.reason)

    async def _actor(self, room: RoomID, member: RemoteMember) -> UserID | None:
        """The ghost that acts; None for the bot, which does it for those who have none in the room."""
        if member.by is None or self._books.is_own_account(member.by):
            return None
        ghost: Ghost | None = await self._books.ghost(member.by)
        if ghost is None or await self._books.membership(room, ghost.user_id) is not Membership.JOINED:
            return None
        return ghost.user_id

    async def _join(
        self, room: RoomID, user: RemoteUserID, describer: CanDescribe | None, *, by: UserID | None = None
    ) -> None:
        async with self._slots:
            try:
                ghost = await self._ghosts.ensure(user, describer)
                await self._ghosts.ensure_joined(room, ghost, by=by)
            except MatrixRequestError as error:
                if not isinstance(judge_homeserver(error), End):
                    raise
                # One who may not be in the room, a banned one for instance, must not cost the others their chat.
                log.warning("a member could not be brought in: %s", error, extra={"room_id": room})

    async def _leave(self, room: RoomID, user: RemoteUserID) -> None:
        async with self._slots:
            await self._ghosts.leave(room, user)

    async def _all(self, work: Sequence[Awaitable[None]]) -> None:
        """All of it is tried, also where one fails; then the first failure is raised."""
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
