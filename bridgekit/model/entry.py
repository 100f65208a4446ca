"""The journal's values: what must still be done, what ended, and what is written down with it.

All times are milliseconds since the epoch.
"""

from __future__ import annotations

import msgspec

from bridgekit.model.ids import DedupeKey, EventID, LaneKey, LoginID, RoomID
from bridgekit.model.records import Direction as Direction
from bridgekit.model.records import Fact
from bridgekit.model.remote import Cursor

PARTITIONS = 64
"""Every lane belongs to one of this many partitions, by a stable hash of its key, stored with the lane."""


_RETRIED = " (retried)"


def retried_kind(kind: str) -> str:
    """The kind of an entry that was a dead letter: what came after it may have been carried out before it."""
    return kind if kind.endswith(_RETRIED) else kind + _RETRIED


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event to be made durable. `payload` is the raw event: bytes, because a ``\\u0000`` must not wedge a column.

    `login` is the session that a remote event came through. `event_id` is set for Matrix events.
    """

    lane: LaneKey
    dedupe: DedupeKey
    direction: Direction
    kind: str
    payload: bytes
    received_at: int
    login: LoginID | None = None
    event_id: EventID | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A pending entry. `seq` orders it in its lane. `attempts` and `failed_since` are of the current row of failures;
    `not_before` is when it may be tried again (0: at once). `marked_at` is set when an outside call that cannot be
    repeated may have begun; `progress` is what its handler noted of parts already done."""

    lane: LaneKey
    seq: int
    dedupe: DedupeKey
    direction: Direction
    kind: str
    payload: bytes
    received_at: int
    login: LoginID | None = None
    event_id: EventID | None = None
    attempts: int = 0
    failed_since: int | None = None
    not_before: int = 0
    marked_at: int | None = None
    progress: bytes | None = None

    @property
    def is_retried(self) -> bool:
        """Whether it was a dead letter, so that it is not in its order any more."""
        return self.kind.endswith(_RETRIED)

    @property
    def first_kind(self) -> str:
        """The kind that it had the first time."""
        return self.kind.removesuffix(_RETRIED)


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """What one SQL transaction makes durable: entries, cursors of a session and its state, facts, and what could not
    even be read (`dead`).

    `unstage`: the numbers of the staged transactions (`Journal.stage`) that all this was unpacked from; they are
    forgotten in the same SQL transaction.
    """

    entries: tuple[NewEntry, ...] = ()
    login: LoginID | None = None
    cursors: tuple[Cursor, ...] = ()
    state: bytes | None = None
    facts: tuple[Fact, ...] = ()
    dead: tuple[NewDeadLetter, ...] = ()
    unstage: tuple[int, ...] = ()


class Appended(msgspec.Struct, frozen=True):
    """`entries`: those that were new, with their numbers, in the order given. `duplicates`: how many were known."""

    entries: tuple[Entry, ...]
    duplicates: int = 0


class NewStaged(msgspec.Struct, frozen=True, kw_only=True):
    """A pushed transaction to be made durable as it came. `body`: its events as a JSON array; `events`: how many."""

    txn_id: str
    received_at: int
    events: int
    body: bytes


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that is on disk and not unpacked yet; they are unpacked in the order of their `number`s."""

    number: int
    txn_id: str
    received_at: int
    events: int
    body: bytes


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an entry: its raw content is deleted, `facts` are written, and with `dead` a dead letter is kept."""

    lane: LaneKey
    seq: int
    facts: tuple[Fact, ...] = ()
    dead: Ending | None = None


class Ending(msgspec.Struct, frozen=True):
    """Why an entry failed for good. `code` is for machines (an errcode, an error's type), `reason` for people."""

    code: str
    reason: str
    at: int


class NewDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Something that never became an entry, such as a malformed event in a good transaction; raw bytes kept."""

    lane: LaneKey | None
    direction: Direction
    kind: str
    payload: bytes
    received_at: int
    code: str
    reason: str
    dedupe: DedupeKey
    event_id: EventID | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that failed for good, kept until a person retries or drops it, or its time is over."""

    id: int
    lane: LaneKey | None
    direction: Direction
    kind: str
    payload: bytes
    dedupe: DedupeKey
    received_at: int
    ended_at: int
    code: str
    reason: str
    login: LoginID | None = None
    event_id: EventID | None = None


WORKING_SINCE = "working_since"
"""The value (`Directory.value`) that says since when the lease's holder works: ``epoch ms``."""

RETRIED_BESIDE = "dead_letter_retried_beside"
"""The value (`Directory.value`) that changes whenever a dead letter is retried beside the running bridge."""


class Anchor(msgspec.Struct, frozen=True):
    """Up to here a portal's timeline was compared with the journal. `at` is when that check finished, in ms."""

    room: RoomID
    event_id: EventID
    at: int


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a gap check, to be written while the lane is held.

    `timeline` is every bridgeable event of the room after the old anchor, oldest first; those that the journal does
    not know are appended in their place before what is pending behind them. Where there is no old anchor it is
    everything, or it is empty: then the anchor is only set, and covers what waits now.
    """

    lane: LaneKey
    timeline: tuple[NewEntry, ...]
    anchor: Anchor


class Repaired(msgspec.Struct, frozen=True):
    """`missing`: appended because the journal did not know them. `late`: those of them that stand before events which
    are already finished, so that they cross late."""

    missing: int
    late: int


class Lease(msgspec.Struct, frozen=True):
    """Who may work on this database. `epoch` grows with every new holder; `expires_at` is in ms."""

    owner: str
    epoch: int
    expires_at: int


class Retention(msgspec.Struct, frozen=True):
    """How long things are kept, in ms. `seen_ms`: event ids (never shorter than an anchor needs them); `dead_ms`: dead
    letters, and sends whose outcome is unknown; `pictures_ms`: where a picture was put, since it was used last;
    `messages_ms`: which event is which remote message, None for ever."""

    seen_ms: int
    dead_ms: int
    pictures_ms: int = 180 * 86_400_000
    messages_ms: int | None = None


COUNTED = 100_000
"""`Stats` counts no further: a number that means "very many" must not cost a walk through a million rows."""


class Stats(msgspec.Struct, frozen=True):
    """Numbers for people, cheap however much waits. `oldest_*_ms`: when the oldest waiting entry of that direction was
    received (ms), None if none waits. `pending_*` and `dead` are counted up to `COUNTED`.

    `staged`: events of pushed transactions that are not unpacked into entries yet. They are not among `pending_matrix`,
    but `oldest_matrix_ms` knows of them. `media`: files that are still to be carried, counted up to `COUNTED`, and when
    the first of them came (ms).
    """

    pending_matrix: int
    pending_remote: int
    oldest_matrix_ms: int | None
    oldest_remote_ms: int | None
    dead: int
    staged: int = 0
    media: int = 0
    oldest_media_ms: int | None = None
