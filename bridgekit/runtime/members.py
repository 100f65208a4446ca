"""Who is in a portal's room for the network: ghosts come and go as the chat's members do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence

from bridgekit.adapter.capabilities import CanDescribe
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import RemoteUserID, RoomID
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

    async def joined(self, room: RoomID, user: RemoteUserID, describer: CanDescribe | None) -> None:
        """One more is a member."""
        if self._books.is_own_account(user):
            return
        if len(await self._books.directory.members(room)) < self._at_most:
            await self._join(room, user, describer)

    async def left(self, room: RoomID, user: RemoteUserID) -> None:
        """One is no member any more."""
        if not self._books.is_own_account(user):
            await self._leave(room, user)

    async def _join(self, room: RoomID, user: RemoteUserID, describer: CanDescribe | None) -> None:
        async with self._slots:
            try:
                ghost = await self._ghosts.ensure(user, describer)
                await self._ghosts.ensure_joined(room, ghost)
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
