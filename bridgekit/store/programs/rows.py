"""Entries and dead letters as rows, and back."""

from __future__ import annotations

from bridgekit.model.entry import DeadLetter, Direction, Entry, NewEntry
from bridgekit.model.ids import DedupeKey, EventID, LaneKey, LoginID
from bridgekit.store.codec import dec, enc, enc_optional
from bridgekit.store.program import Row

DIRECTIONS = (Direction.MATRIX, Direction.REMOTE)
"""As they are numbered in the database."""

NUMBER = {Direction.MATRIX: 0, Direction.REMOTE: 1}


def new_entry_row(lane_id: int, seq: int, entry: NewEntry) -> Row:
    """For the query ``entry_add``."""
    return (
        lane_id,
        seq,
        enc(entry.dedupe),
        NUMBER[entry.direction],
        enc(entry.kind),
        entry.received_at,
        enc_optional(entry.login),
        enc_optional(entry.event_id),
        entry.payload,
    )


def numbered(entry: NewEntry, lane: LaneKey, seq: int) -> Entry:
    """The entry as it is right after it was appended."""
    return Entry(
        lane=lane,
        seq=seq,
        dedupe=entry.dedupe,
        direction=entry.direction,
        kind=entry.kind,
        payload=entry.payload,
        received_at=entry.received_at,
        login=entry.login,
        event_id=entry.event_id,
    )


def read_entry(lane: LaneKey, row: Row) -> Entry:
    seq, dedupe, direction, kind, payload, received_at, login, event_id, *state = row
    attempts, failed_since, not_before, marked_at, progress = state
    return Entry(
        lane=lane,
        seq=seq,
        dedupe=DedupeKey(dec(dedupe)),
        direction=DIRECTIONS[direction],
        kind=dec(kind),
        payload=payload,
        received_at=received_at,
        login=None if login is None else LoginID(dec(login)),
        event_id=None if event_id is None else EventID(dec(event_id)),
        attempts=attempts,
        failed_since=failed_since,
        not_before=not_before,
        marked_at=marked_at,
        progress=progress,
    )


def read_dead_letter(row: Row) -> DeadLetter:
    id, lane, direction, kind, payload, dedupe, received_at, ended_at, code, reason, login, event_id = row
    return DeadLetter(
        id=id,
        lane=None if lane is None else LaneKey(dec(lane)),
        direction=DIRECTIONS[direction],
        kind=dec(kind),
        payload=payload,
        dedupe=DedupeKey(dec(dedupe)),
        received_at=received_at,
        ended_at=ended_at,
        code=dec(code),
        reason=dec(reason),
        login=None if login is None else LoginID(dec(login)),
        event_id=None if event_id is None else EventID(dec(event_id)),
    )
