-- Entries from their first commit to their last. Numbers and locks: see bridgekit/store/programs/entries.py.

-- lease_take --
-- A holder that waits for this row's lock sees the newer row afterwards, so two never take the same epoch.
UPDATE lease SET owner = $1, epoch = epoch + 1, expires_at = $3
WHERE owner IS NULL OR owner = $1 OR expires_at <= $2 OR epoch = $4
RETURNING epoch;

-- lease_read --
SELECT owner, epoch, expires_at FROM lease;

-- lease_renew --
UPDATE lease SET expires_at = $3 WHERE owner = $1 AND epoch = $2 RETURNING epoch;

-- lease_release --
-- The epoch stays: it only ever grows.
UPDATE lease SET owner = NULL, expires_at = 0 WHERE owner = $1 AND epoch = $2;

-- seen_known --
SELECT dedupe FROM seen WHERE dedupe = $1;

-- seen_add --
-- Not ON CONFLICT DO NOTHING: if somebody else added it meanwhile, the whole SQL transaction must be done again.
INSERT INTO seen (dedupe, lane_id, seq, seen_at) VALUES ($1, $2, $3, $4);

-- seen_move --
UPDATE seen SET seq = $2 WHERE dedupe = $1;

-- seen_again --
INSERT INTO seen (dedupe, lane_id, seq, seen_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (dedupe) DO UPDATE SET lane_id = excluded.lane_id, seq = excluded.seq, seen_at = excluded.seen_at;

-- lane_advance --
-- Takes the lane's lock and hands out $4 numbers; next_seq is the first number behind them.
INSERT INTO lane (digest, key, partition, next_seq) VALUES ($1, $2, $3, CAST($4 AS BIGINT) + 1)
ON CONFLICT (digest) DO UPDATE SET next_seq = lane.next_seq + CAST($4 AS BIGINT)
RETURNING id, next_seq;

-- lane_id --
SELECT digest, id FROM lane WHERE digest = $1;

-- lanes_pending --
-- $1, $2: the last key of the page before and its first 200 bytes, which is what the index holds.
SELECT key FROM lane
WHERE substr(key, 1, 200) >= $2 AND key > $1 AND EXISTS (SELECT 1 FROM entry WHERE entry.lane_id = lane.id)
ORDER BY substr(key, 1, 200), key LIMIT $3;

-- entry_add --
INSERT INTO entry (lane_id, seq, dedupe, direction, kind, received_at, login, event_id, payload)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- entries_of_lane --
SELECT seq, dedupe, direction, kind, payload, received_at, login, event_id,
       attempts, failed_since, not_before, marked_at, progress
FROM entry WHERE lane_id = (SELECT id FROM lane WHERE digest = $1) AND seq > $2
ORDER BY seq LIMIT $3;

-- entry_waiting --
SELECT entry.seq, entry.dedupe, direction, kind, payload, received_at, login, event_id,
       attempts, failed_since, not_before, marked_at, progress
FROM seen JOIN entry ON entry.lane_id = seen.lane_id AND entry.seq = seen.seq
WHERE seen.dedupe = $2 AND seen.lane_id = (SELECT id FROM lane WHERE digest = $1);

-- entries_order --
SELECT seq, dedupe FROM entry WHERE lane_id = $1 ORDER BY seq;

-- entry_renumber --
UPDATE entry SET seq = $3 WHERE lane_id = $1 AND seq = $2;

-- entry_end --
DELETE FROM entry WHERE lane_id = $1 AND seq = $2;

-- entry_take --
DELETE FROM entry WHERE lane_id = $1 AND seq = $2
RETURNING seq, dedupe, direction, kind, payload, received_at, login, event_id,
          attempts, failed_since, not_before, marked_at, progress;

-- entry_defer --
UPDATE entry SET attempts = $3, failed_since = $4, not_before = $5
WHERE lane_id = (SELECT id FROM lane WHERE digest = $1) AND seq = $2;

-- entry_mark --
UPDATE entry SET marked_at = $3, progress = coalesce($4, progress)
WHERE lane_id = (SELECT id FROM lane WHERE digest = $1) AND seq = $2;

-- entry_cancel --
-- Only while nothing can have been sent of it.
DELETE FROM entry
WHERE lane_id = (SELECT id FROM lane WHERE digest = $1) AND event_id = $2
    AND marked_at IS NULL AND attempts = 0 AND progress IS NULL
RETURNING dedupe;

-- entry_oldest --
-- One look into entry_by_age, however many wait.
SELECT min(received_at) FROM entry WHERE direction = $1;

-- entry_count --
-- Up to $2: counting more would be a walk through the whole index. The order keeps the planner on that index.
SELECT count(*) FROM (SELECT 1 FROM entry WHERE direction = $1 ORDER BY received_at LIMIT $2) AS counted;

-- dead_letter_count --
SELECT count(*) FROM (SELECT 1 FROM dead_letter ORDER BY ended_at LIMIT $1) AS counted;

-- anchor_get --
SELECT room, event_id, at FROM anchor WHERE room_digest = $1;

-- anchor_boundary --
SELECT lane_seq FROM anchor WHERE room_digest = $1 AND lane_id = $2;

-- anchor_put --
INSERT INTO anchor (room_digest, room, event_id, at, lane_id, lane_seq) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (room_digest) DO UPDATE SET
    event_id = excluded.event_id, at = excluded.at, lane_id = excluded.lane_id, lane_seq = excluded.lane_seq;
