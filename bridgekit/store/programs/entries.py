"""What happens to an entry between its append and its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bridgekit.model.entry import COUNTED, Completion, Direction, Ending, Entry, Stats
from bridgekit.model.ids import DedupeKey, EventID, LaneKey
from bridgekit.model.records import Fact
from bridgekit.store.codec import dec, dedupe_digest, digest, enc
from bridgekit.store.program import Many, Program, Query
from bridgekit.store.programs import facts, lease
from bridgekit.store.programs.rows import NUMBER, read_entry

PREFIX = 200
"""So many bytes of a key are indexed: see ``lane_by_key`` and ``portal_by_key`` in the schema."""


def lanes(after: LaneKey | None, limit: int) -> Program[list[LaneKey]]:
    key = b"" if after is None else enc(after)
    rows = yield Query("lanes_pending", (key, key[:PREFIX], limit))
    return [LaneKey(dec(row[0])) for row in rows]


def peek(lane: LaneKey, after: int, limit: int) -> Program[list[Entry]]:
    rows = yield Query("entries_of_lane", (digest(lane), after, limit))
    return [read_entry(lane, row) for row in rows]


def waiting(lane: LaneKey, dedupe: DedupeKey) -> Program[Entry | None]:
    rows = yield Query("entry_waiting", (digest(lane), dedupe_digest(dedupe)))
    return read_entry(lane, rows[0]) if rows else None


def complete(batches: Sequence[Collection[Completion]], epoch: int) -> Program[list[None]]:
    """Several callers' completions as one."""
    yield from lease.check(epoch)
    completions = [completion for batch in batches for completion in batch]
    keys = {completion.lane: digest(completion.lane) for completion in completions}
    found = yield Many("lane_id", [(key,) for key in keys.values()])
    lane_ids: dict[bytes, int] = {row[0]: row[1] for row in found}
    ended: list[tuple[int, int]] = []
    for completion in completions:
        lane_id = lane_ids.get(keys[completion.lane])
        if lane_id is None:
            continue
        if completion.dead is None:
            ended.append((lane_id, completion.seq))
        else:
            yield from _bury(lane_id, completion, completion.dead)
    if ended:
        yield Many("entry_end", ended)
    if written := [fact for completion in completions for fact in completion.facts]:
        yield from facts.write(written)
    return [None] * len(batches)


def _bury(lane_id: int, completion: Completion, ending: Ending) -> Program[None]:
    """Turn an entry into a dead letter, raw content and all."""
    for row in (yield Query("entry_take", (lane_id, completion.seq))):
        _, dedupe, direction, kind, payload, received_at, login, event_id, *_ = row
        yield Query(
            "dead_letter_add",
            (
                enc(completion.lane),
                direction,
                kind,
                dedupe,
                received_at,
                ending.at,
                enc(ending.code),
                enc(ending.reason),
                login,
                event_id,
                payload,
            ),
        )


def defer(lane: LaneKey, seq: int, attempts: int, failed_since: int, not_before: int, epoch: int) -> Program[None]:
    yield from lease.check(epoch)
    yield Query("entry_defer", (digest(lane), seq, attempts, failed_since, not_before))


def mark(
    lane: LaneKey, seq: int, at: int | None, progress: bytes | None, epoch: int, written: Collection[Fact]
) -> Program[None]:
    yield from lease.check(epoch)
    yield Query("entry_mark", (digest(lane), seq, at, progress))
    yield from facts.write(written)


def cancel(lane: LaneKey, event_id: EventID, epoch: int) -> Program[DedupeKey | None]:
    yield from lease.check(epoch)
    rows = yield Query("entry_cancel", (digest(lane), enc(event_id)))
    return DedupeKey(dec(rows[0][0])) if rows else None


def stats() -> Program[Stats]:
    pending: dict[Direction, int] = {}
    oldest: dict[Direction, int | None] = {}
    for direction, number in NUMBER.items():
        ((oldest[direction],),) = yield Query("entry_oldest", (number,))
        ((pending[direction],),) = yield Query("entry_count", (number, COUNTED))
    ((staged, staged_at),) = yield Query("intake_stats")
    if staged_at is not None:
        first = oldest[Direction.MATRIX]
        oldest[Direction.MATRIX] = staged_at if first is None else min(first, staged_at)
    ((dead,),) = yield Query("dead_letter_count", (COUNTED,))
    ((media,),) = yield Query("media_job_count", (COUNTED,))
    ((media_at,),) = yield Query("media_job_oldest")
    return Stats(
        pending_matrix=pending[Direction.MATRIX],
        pending_remote=pending[Direction.REMOTE],
        oldest_matrix_ms=oldest[Direction.MATRIX],
        oldest_remote_ms=oldest[Direction.REMOTE],
        dead=dead,
        staged=staged,
        media=media,
        oldest_media_ms=media_at,
    )
