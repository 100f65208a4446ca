"""Who may do what, asked at every door; and what people are told there, once."""

from __future__ import annotations

import msgspec

from bridgekit.core.permissions import Level, Permissions
from bridgekit.errors import StoreError
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.records import LoginRecord, ValueSaved
from bridgekit.runtime.books import CACHE_SIZE, Books

BY_LEVEL = {
    Level.RELAY: "you may not use this bridge; its admin can allow it",
    Level.USER: "you may not log in to this bridge; its admin can allow it",
    Level.ADMIN: "only admins of the bridge may do that",
}
"""Why something is refused that takes this level, to follow "not: " or to be a sentence of its own."""

TALKING = RoomID("")
"""The place of what is told not in a portal but wherever somebody talks to the bot."""


class Doors:
    """The levels of the configuration. `may` is what every door asks."""

    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions

    def level(self, user: UserID) -> Level:
        """What this user may do."""
        return self._permissions.level(user)

    def may(self, user: UserID, level: Level) -> bool:
        """Whether this user has at least this level."""
        return self._permissions.level(user) >= level

    def may_connect(self, record: LoginRecord) -> bool:
        """Whether a login's person may (still) use it. One that may not is kept, but not connected."""
        return self.may(record.user_id, Level.USER)


class _Mark(msgspec.Struct, frozen=True, array_like=True):
    code: str
    event_id: EventID


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[RoomID, _Mark]).decode


class Told:
    """What was said to somebody in some room that is to be said once. On disk, so that a restart repeats nothing."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._marks: dict[UserID, dict[RoomID, _Mark]] = {}

    async def is_first(self, user: UserID, room: RoomID, code: str, event_id: EventID) -> bool:
        """Whether this person is to be told this now, because of this event; if so, it is on disk when this returns.

        True again for the same event, since a crash may have come before the words. Raises `StoreError`.
        """
        marks = await self._of(user)
        mark = marks.get(room)
        if mark is not None and mark.code == code:
            return mark.event_id == event_id
        await self._save(user, {**marks, room: _Mark(code, event_id)})
        return True

    async def forget(self, user: UserID, room: RoomID) -> None:
        """It is no longer so: the next time the person is told again. Raises `StoreError`."""
        marks = await self._of(user)
        if room in marks:
            await self._save(user, {place: mark for place, mark in marks.items() if place != room})

    async def _of(self, user: UserID) -> dict[RoomID, _Mark]:
        marks = self._marks.get(user)
        if marks is None:
            stored = await self._books.directory.value(_key(user))
            # Another room's lane may have read, and written, meanwhile.
            marks = self._marks.setdefault(user, _decode(stored) if stored else {})
        return marks

    async def _save(self, user: UserID, marks: dict[RoomID, _Mark]) -> None:
        before = self._marks[user]
        self._marks[user] = marks  # at once: another lane must not write what it read before
        try:
            await self._books.save(ValueSaved(_key(user), _encode(marks).decode()))
        except StoreError:
            # What another lane has written since then stays; so this may be said twice rather than never.
            if self._marks.get(user) is marks:
                self._marks[user] = before
            raise
        if len(self._marks) > CACHE_SIZE:
            del self._marks[next(iter(self._marks))]


def _key(user: UserID) -> str:
    return f"told {user}"
