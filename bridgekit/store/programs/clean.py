"""Deleting what is older than its time, in pieces small enough that nobody waits long behind one."""

from __future__ import annotations

from typing import NamedTuple

from bridgekit.store.codec import MAX_INTEGER
from bridgekit.store.program import Many, Program, Query
from bridgekit.store.programs import lease


class SeenCursor(NamedTuple):
    """How far a walk through the known keys has got."""

    seen_at: int = -MAX_INTEGER
    dedupe: bytes = b""


def seen(before: int, after: SeenCursor, limit: int, epoch: int) -> Program[tuple[int, SeenCursor | None]]:
    """How many keys were forgotten, and where to go on; None at the end."""
    yield from lease.check(epoch)
    rows = yield Query("seen_old", (before, *after, limit))
    forgotten = [(dedupe, before) for dedupe, _, needed in rows if not needed]
    if forgotten:
        yield Many("seen_forget", forgotten)
    return len(forgotten), SeenCursor(rows[-1][1], rows[-1][0]) if len(rows) == limit else None


def dead_letters(before: int, limit: int, epoch: int) -> Program[int]:
    yield from lease.check(epoch)
    return len((yield Query("dead_letters_forget", (before, limit))))


def uncertain(before: int, limit: int, epoch: int) -> Program[int]:
    yield from lease.check(epoch)
    return len((yield Query("uncertain_forget", (before, limit))))


def pictures(before: int, limit: int, epoch: int) -> Program[int]:
    yield from lease.check(epoch)
    return len((yield Query("pictures_forget", (before, limit))))


def messages(before: int, limit: int, epoch: int) -> Program[int]:
    yield from lease.check(epoch)
    rows = yield Query("messages_old", (before, limit))
    if rows:
        yield Many("message_forget", [(key, part) for key, part in rows])
        keys = [(key,) for key in dict.fromkeys(row[0] for row in rows)]
        yield Many("aliases_forget", keys)
        yield Many("reactions_forget", keys)
    return len(rows)
