"""Writing down what a gap check found.

The order of the lane afterwards: pending entries from before the anchor, then the timeline's events that are not done
in the timeline's order, then what came in while the check was reading. Entries whose place is already right keep their
numbers; from the first that is not, all get new ones, greater than any given before. So a second time changes nothing.
"""

from __future__ import annotations

from bridgekit.model.entry import Anchor, NewEntry, Repair, Repaired
from bridgekit.model.ids import EventID, RoomID
from bridgekit.store.codec import dec, dedupe_digest, digest, enc
from bridgekit.store.program import Many, Program, Query
from bridgekit.store.programs import lease
from bridgekit.store.programs.append import SeenRow, advance
from bridgekit.store.programs.rows import new_entry_row


def anchor(room: RoomID) -> Program[Anchor | None]:
    for found, event_id, at in (yield Query("anchor_get", (digest(room),))):
        return Anchor(room=RoomID(dec(found)), event_id=EventID(dec(event_id)), at=at)
    return None


def repair(job: Repair, epoch: int) -> Program[Repaired]:
    yield from lease.check(epoch)
    # The lock first: nobody appends to this lane between what is read here and what is written.
    lanes = yield from advance([(job.lane, 0)])
    lane_id, first_new = lanes[job.lane]
    pending = {dedupe_digest(dec(dedupe)): seq for seq, dedupe in (yield Query("entries_order", (lane_id,)))}
    timeline: dict[bytes, NewEntry] = {}
    for event in job.timeline:
        timeline.setdefault(dedupe_digest(event.dedupe), event)
    known = {row[0] for row in (yield Many("seen_known", [(key,) for key in timeline]))} if timeline else set()

    missing = {key for key in timeline if key not in known}
    finished = [index for index, key in enumerate(timeline) if key in known and key not in pending]
    last_finished = finished[-1] if finished else -1
    late = sum(1 for index, key in enumerate(timeline) if key in missing and index < last_finished)

    boundary_rows = yield Query("anchor_boundary", (digest(job.anchor.room), lane_id))
    boundary: int = boundary_rows[0][0] if boundary_rows else 0
    older = [key for key, seq in pending.items() if key not in timeline and seq < boundary]
    inside = [key for key in timeline if key in missing or key in pending]
    newer = [key for key, seq in pending.items() if key not in timeline and seq >= boundary]

    order = [*older, *inside, *newer]
    right = 0
    for wanted, present in zip(order, pending, strict=False):
        if wanted != present:
            break
        right += 1
    moved = order[right:]
    yield from advance([(job.lane, len(moved))])
    numbers = {key: first_new + index for index, key in enumerate(moved)}
    if stay := [key for key in moved if key in pending]:
        yield Many("entry_renumber", [(lane_id, pending[key], numbers[key]) for key in stay])
        yield Many("seen_move", [(key, numbers[key]) for key in stay])
    if missing:
        seen: list[SeenRow] = [(key, lane_id, numbers[key], timeline[key].received_at) for key in missing]
        yield Many("seen_add", sorted(seen))
        added = [key for key in inside if key in missing]
        yield Many("entry_add", [new_entry_row(lane_id, numbers[key], timeline[key]) for key in added])

    covered = first_new + len(moved)
    if newer and (timeline or boundary_rows):
        # (A first check that only sets the anchor covers all that waits: it has no timeline to compare with.)
        covered = numbers.get(newer[0]) or pending[newer[0]]
    room = job.anchor.room
    yield Query("anchor_put", (digest(room), enc(room), enc(job.anchor.event_id), job.anchor.at, lane_id, covered))
    return Repaired(missing=len(missing), late=late)
