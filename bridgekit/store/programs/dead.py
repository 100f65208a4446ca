"""Dead letters: looking at them, trying again, letting go."""

from __future__ import annotations

from bridgekit.model.entry import RETRIED_BESIDE, DeadLetter, Direction, Entry, NewEntry, retried_kind
from bridgekit.store.codec import dedupe_digest, digest, enc
from bridgekit.store.program import Program, Query
from bridgekit.store.programs import lease
from bridgekit.store.programs.append import advance
from bridgekit.store.programs.entries import waiting
from bridgekit.store.programs.rows import NUMBER, new_entry_row, numbered, read_dead_letter


def dead_letters(after: int, limit: int, direction: Direction | None) -> Program[list[DeadLetter]]:
    if direction is None:
        rows = yield Query("dead_letters", (after, limit))
    else:
        rows = yield Query("dead_letters_of_direction", (after, limit, NUMBER[direction]))
    return [read_dead_letter(row) for row in rows]


def dead_letter(id: int) -> Program[DeadLetter | None]:
    rows = yield Query("dead_letter_get", (id,))
    return read_dead_letter(rows[0]) if rows else None


def drop(id: int, epoch: int | None) -> Program[bool]:
    yield from lease.check(epoch)
    return bool((yield Query("dead_letter_drop", (id,))))


def retry(id: int, now: int, epoch: int | None) -> Program[Entry | None]:
    yield from lease.check(epoch)
    letter = yield from dead_letter(id)
    if letter is None or letter.lane is None:
        return None
    if not (yield Query("dead_letter_take", (id,))):
        return None  # somebody else took it this moment
    if epoch is None:
        # A number is never given twice, so neither is this value.
        yield Query("value_save", (digest(RETRIED_BESIDE), enc(RETRIED_BESIDE), enc(str(id))))
    yield from advance([(letter.lane, 0)])
    # The same event may have come once more after its key was forgotten, and wait: it must not wait twice.
    pending = yield from waiting(letter.lane, letter.dedupe)
    if pending is not None:
        return pending
    lanes = yield from advance([(letter.lane, 1)])
    lane_id, seq = lanes[letter.lane]
    entry = NewEntry(
        lane=letter.lane,
        dedupe=letter.dedupe,
        direction=letter.direction,
        kind=retried_kind(letter.kind),
        payload=letter.payload,
        received_at=now,
        login=letter.login,
        event_id=letter.event_id,
    )
    yield Query("seen_again", (dedupe_digest(letter.dedupe), lane_id, seq, now))
    yield Query("entry_add", new_entry_row(lane_id, seq, entry))
    return numbered(entry, letter.lane, seq)
