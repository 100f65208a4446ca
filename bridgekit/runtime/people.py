"""Who is meant by the mentions of a remote text, and whether they may be notified."""

from __future__ import annotations

import logging

from bridgekit.core.namespace import GhostNamespace
from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.room_power import may_mention_room, raised
from bridgekit.errors import MatrixRequestError
from bridgekit.model.content import MentionRoom, MentionTarget, MentionUser, Text
from bridgekit.model.ids import RemoteUserID, RoomID, UserID
from bridgekit.model.records import LoginRecord
from bridgekit.ports import Homeserver
from bridgekit.runtime.books import Books

log = logging.getLogger(__name__)


class People:
    """Every method may be repeated after a crash, and raises `HomeserverError`, `StoreError`."""

    def __init__(self, books: Books, homeserver: Homeserver, namespace: GhostNamespace) -> None:
        self._books = books
        self._namespace = namespace
        self._homeserver = homeserver

    async def named(self, text: Text) -> dict[MentionTarget, tuple[UserID, str]]:
        """The Matrix users that stand for the people whom a text names, and the names to show."""
        return {
            mention.target: found
            for mention in text.mentions
            if (found := await self._person(mention.target)) is not None
        }

    async def _person(self, target: MentionTarget) -> tuple[UserID, str] | None:
        if not isinstance(target, MentionUser):
            return None
        record = self._logged_in(target.id)
        if record is not None:
            return record.user_id, record.login.name or record.user_id
        ghost = await self._books.ghost(target.id)
        return (ghost.user_id, ghost.name) if ghost is not None else None

    def standing(self, user: UserID) -> UserID:
        """The person, where the ghost is of somebody who is logged in here; otherwise the same user."""
        if self._namespace.is_ghost(user):
            for record in self._books.logins():
                if self._namespace.user_id(record.login.user) == user:
                    return record.user_id
        return user

    def _logged_in(self, remote: RemoteUserID) -> LoginRecord | None:
        same = self._books.identities.same
        return next((record for record in self._books.logins() if same(record.login.user, remote)), None)

    async def may_mention_room(self, text: Text, room: RoomID, ghost: UserID) -> bool:
        """Whether the ghost notifies everybody with this text. The network has let its person do that, so the ghost is
        given the power if it lacks it; where the bot cannot give it, the words stay text."""
        if not any(isinstance(mention.target, MentionRoom) for mention in text.mentions):
            return False  # the usual case, in which nobody has to be asked
        try:
            levels = await self._homeserver.get_state(room, "m.room.power_levels") or {}
            if not may_mention_room(levels, ghost):
                await self._homeserver.send_state(room, "m.room.power_levels", "", raised(levels, ghost))
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            log.info("a ghost may not notify its room: %s", error, extra={"room_id": room})
            return False
        return True
