"""Typing and receipts as the homeserver pushes them: read leniently, with bounded work, and nothing of it kept."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bridgekit.model.ids import EventID, RoomID, UserID

MAX_EDUS = 1_000
"""So many of one transaction are looked at; homeservers send a hundred at most."""

MAX_BYTES = 1024 * 1024
"""So much of one transaction is decoded; what lies behind that is dropped."""

MAX_ROOMS = 5_000
"""Of so many rooms it is remembered who is writing."""


class Read(msgspec.Struct, frozen=True):
    """A person has read a room up to an event. `ts`: when, in ms since the epoch, 0 where nobody says."""

    room: RoomID
    user: UserID
    event_id: EventID
    ts: int = 0


class Writing(msgspec.Struct, frozen=True):
    """Who of those we care for is writing in a room now; all others there are not."""

    room: RoomID
    users: frozenset[UserID]


class Ephemeral(msgspec.Struct, frozen=True):
    """What a transaction's ephemeral data says: one receipt per person and room, and per room who is writing.
    `dropped`: so many could not be read, or were too many."""

    reads: tuple[Read, ...] = ()
    writing: tuple[Writing, ...] = ()
    dropped: int = 0


class _EDU(msgspec.Struct):
    room_id: str = ""
    type: str = ""
    content: msgspec.Raw = msgspec.Raw()


class _Writers(msgspec.Struct):
    user_ids: list[str]


class _Data(msgspec.Struct):
    ts: int = 0
    thread_id: str | None = None


_decode_edu = msgspec.json.Decoder(_EDU).decode
_decode_writers = msgspec.json.Decoder(_Writers).decode
_decode_receipts = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]]).decode
_decode_readers = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_data = msgspec.json.Decoder(_Data).decode

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse(raws: Iterable[bytes], wanted: frozenset[UserID]) -> Ephemeral:
    """Read what was pushed about these people, in its order; everybody else (our ghosts, too, whose own come back to
    us) is ignored. Never raises: what is malformed is dropped."""
    reads: dict[tuple[RoomID, UserID], Read] = {}
    writing: dict[RoomID, Writing] = {}
    dropped, left = 0, MAX_BYTES
    for number, raw in enumerate(raws):
        left -= len(raw)
        if number >= MAX_EDUS or left < 0:
            dropped += 1
            continue
        try:
            edu = _decode_edu(raw)
            room = RoomID(edu.room_id)
            match edu.type:
                case "m.typing":
                    # The last one of a room says all that is true now.
                    users = wanted.intersection(map(UserID, _decode_writers(edu.content).user_ids))
                    writing[room] = Writing(room, users)
                case "m.receipt":
                    for read in _reads(room, edu.content, wanted):
                        before = reads.get((room, read.user))
                        if before is None or read.ts >= before.ts:
                            reads[room, read.user] = read
        except _UNREADABLE:
            dropped += 1
    return Ephemeral(tuple(reads.values()), tuple(writing.values()), dropped)


def _reads(room: RoomID, content: msgspec.Raw, wanted: frozenset[UserID]) -> Iterable[Read]:
    for event_id, kinds in _decode_receipts(content).items():
        # Spec, "Private read receipts": m.read.private is nobody else's business, least of all another network's.
        readers = kinds.get("m.read")
        if readers is None:
            continue
        for user, raw in _decode_readers(readers).items():
            if user not in wanted:
                continue
            data = _data(raw)
            # Spec, "Threaded read receipts": one in a thread says nothing about the rest of the room.
            if data.thread_id in (None, "main"):
                yield Read(room, UserID(user), EventID(event_id), max(data.ts, 0))


def _data(raw: msgspec.Raw) -> _Data:
    try:
        return _decode_data(raw)
    except _UNREADABLE:
        return _Data()


class Writers:
    """Who is writing where, so that it is seen who has stopped. `m.typing` only says who is writing now."""

    def __init__(self, *, size: int = MAX_ROOMS) -> None:
        self._size = size
        self._rooms: dict[RoomID, frozenset[UserID]] = {}

    def stopped(self, now: Writing) -> frozenset[UserID]:
        """Who was writing in that room before and is not any more."""
        before = self._rooms.pop(now.room, frozenset())
        if now.users:
            self._rooms[now.room] = now.users
            if len(self._rooms) > self._size:
                del self._rooms[next(iter(self._rooms))]  # what is told there ends by its time
        return before - now.users

    def __len__(self) -> int:
        return len(self._rooms)
