"""Making entries durable: what is new, which number it gets, and what goes to disk with it.

A lane's numbers are handed out by advancing its row, whose lock is then held until the commit. Whoever comes next waits
for that commit, so a lower number never becomes visible after a higher one, and none is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridgekit.core.lane import partition
from bridgekit.model.entry import Append, Appended, Entry, NewDeadLetter, NewEntry
from bridgekit.model.ids import LaneKey
from bridgekit.store.codec import dedupe_digest, digest, enc, enc_optional
from bridgekit.store.program import Many, Program, Query, Row
from bridgekit.store.programs import facts, intake, lease
from bridgekit.store.programs.rows import NUMBER, new_entry_row, numbered

SeenRow = tuple[bytes, int, int, int]
"""For the query ``seen_add``: the key's digest, lane id, number, time."""


def advance(counts: Iterable[tuple[LaneKey, int]]) -> Program[dict[LaneKey, tuple[int, int]]]:
    """Take the lanes' locks and so many numbers of each. Lane -> (its id, the first of its numbers)."""
    # In one order for everybody, so that two processes never wait for each other.
    wanted = sorted((digest(lane), lane, count) for lane, count in counts)
    rows = yield Many("lane_advance", [(key, enc(lane), partition(lane), count) for key, lane, count in wanted])
    return {lane: (row[0], row[1] - count) for (_, lane, count), row in zip(wanted, rows, strict=True)}


def append(appends: Sequence[Append], epoch: int) -> Program[list[Appended]]:
    """Several callers' appends as one: the order is theirs, one after the other."""
    yield from lease.check(epoch)
    taken = yield from intake.take([number for each in appends for number in each.unstage])
    done_before = [bool(each.unstage) and taken.isdisjoint(each.unstage) for each in appends]
    given = appends
    if any(done_before):
        appends = [Append() if done else each for each, done in zip(given, done_before, strict=True)]
    keys = [[dedupe_digest(entry.dedupe) for entry in each.entries] for each in appends]
    dead_keys = [[dedupe_digest(letter.dedupe) for letter in each.dead] for each in appends]
    wanted = [(key,) for part in (*keys, *dead_keys) for key in part]
    known = {row[0] for row in (yield Many("seen_known", wanted))} if wanted else set()

    # What is new, caller by caller; a key that came earlier in this very batch is known, too.
    counts: dict[LaneKey, int] = {}
    new_entries: list[list[tuple[bytes, NewEntry]]] = []
    new_letters: list[tuple[bytes, NewDeadLetter]] = []
    for each, entry_keys, letter_keys in zip(appends, keys, dead_keys, strict=True):
        fresh: list[tuple[bytes, NewEntry]] = []
        for entry, key in zip(each.entries, entry_keys, strict=True):
            if key not in known:
                known.add(key)
                fresh.append((key, entry))
                counts[entry.lane] = counts.get(entry.lane, 0) + 1
        for letter, key in zip(each.dead, letter_keys, strict=True):
            if key not in known:
                known.add(key)
                new_letters.append((key, letter))
                if letter.lane is not None:
                    counts.setdefault(letter.lane, 0)
        new_entries.append(fresh)
    lanes = (yield from advance(counts.items())) if counts else {}

    results = []
    seen: list[SeenRow] = []
    rows: list[Row] = []
    next_seq = {lane: first for lane, (_, first) in lanes.items()}
    for each, fresh in zip(given, new_entries, strict=True):
        appended: list[Entry] = []
        for key, entry in fresh:
            lane_id, seq = lanes[entry.lane][0], next_seq[entry.lane]
            next_seq[entry.lane] = seq + 1
            seen.append((key, lane_id, seq, entry.received_at))
            rows.append(new_entry_row(lane_id, seq, entry))
            appended.append(numbered(entry, entry.lane, seq))
        results.append(Appended(tuple(appended), duplicates=len(each.entries) - len(fresh)))
    if new_letters:
        yield from _add_letters(new_letters, {lane: lane_id for lane, (lane_id, _) in lanes.items()}, seen)
    # By key, so that two processes never wait for each other.
    seen.sort()
    if seen:
        yield Many("seen_add", seen)
    if rows:
        yield Many("entry_add", rows)
    for each in appends:
        yield from _beside(each)
    return results


def _add_letters(
    letters: Sequence[tuple[bytes, NewDeadLetter]], lane_ids: dict[LaneKey, int], seen: list[SeenRow]
) -> Program[None]:
    rows: list[Row] = []
    for key, letter in letters:
        # Number 0 is no entry's; lane 0 is no lane's.
        seen.append((key, lane_ids[letter.lane] if letter.lane is not None else 0, 0, letter.received_at))
        rows.append(
            (
                enc_optional(letter.lane),
                NUMBER[letter.direction],
                enc(letter.kind),
                enc(letter.dedupe),
                letter.received_at,
                letter.received_at,
                enc(letter.code),
                enc(letter.reason),
                None,
                enc_optional(letter.event_id),
                letter.payload,
            )
        )
    yield Many("dead_letter_add", rows)


def _beside(each: Append) -> Program[None]:
    """What one append carries besides entries."""
    if each.login is not None:
        login = digest(each.login)
        if each.cursors:
            rows = [(login, digest(cursor.scope), enc(cursor.scope), enc(cursor.value)) for cursor in each.cursors]
            yield Many("cursor_save", rows)
        if each.state is not None:
            yield Query("session_state_save", (login, each.state))
    if each.facts:
        yield from facts.write(each.facts)
