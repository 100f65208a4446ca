-- Dead letters, and what is cleaned away when its time is over.

-- dead_letter_add --
INSERT INTO dead_letter (lane, direction, kind, dedupe, received_at, ended_at, code, reason, login, event_id, payload)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- dead_letters --
SELECT id, lane, direction, kind, payload, dedupe, received_at, ended_at, code, reason, login, event_id
FROM dead_letter WHERE id > $1 ORDER BY id LIMIT $2;

-- dead_letters_of_direction --
SELECT id, lane, direction, kind, payload, dedupe, received_at, ended_at, code, reason, login, event_id
FROM dead_letter WHERE id > $1 AND direction = $3 ORDER BY id LIMIT $2;

-- dead_letter_get --
SELECT id, lane, direction, kind, payload, dedupe, received_at, ended_at, code, reason, login, event_id
FROM dead_letter WHERE id = $1;

-- dead_letter_take --
-- Deleting first takes the row's lock: of two people who retry the same letter, one gets it.
DELETE FROM dead_letter WHERE id = $1
RETURNING id, lane, direction, kind, payload, dedupe, received_at, ended_at, code, reason, login, event_id;

-- dead_letter_drop --
DELETE FROM dead_letter WHERE id = $1 RETURNING id;

-- seen_old --
-- The next keys older than $1, from behind ($2, $3), and whether each is still needed: by its entry, which is pending,
-- or by an anchor, because the next check will read that event again. (Below lane_seq
-- is what the last check covered.)
SELECT seen.dedupe, seen.seen_at,
    CASE WHEN EXISTS (SELECT 1 FROM entry WHERE entry.lane_id = seen.lane_id AND entry.seq = seen.seq)
           OR EXISTS (SELECT 1 FROM anchor WHERE anchor.lane_id = seen.lane_id
                      AND (anchor.at <= seen.seen_at OR anchor.lane_seq <= seen.seq))
         THEN 1 ELSE 0 END
FROM seen
WHERE seen.seen_at < $1 AND (seen.seen_at, seen.dedupe) > ($2, $3)
ORDER BY seen.seen_at, seen.dedupe LIMIT $4;

-- seen_forget --
-- Its age is looked at again: a person may have retried the dead letter this very moment.
DELETE FROM seen WHERE dedupe = $1 AND seen_at < $2;

-- dead_letters_forget --
DELETE FROM dead_letter
WHERE id IN (SELECT id FROM dead_letter WHERE ended_at < $1 ORDER BY ended_at LIMIT $2) RETURNING id;

-- uncertain_forget --
DELETE FROM uncertain
WHERE digest IN (SELECT digest FROM uncertain WHERE at < $1 ORDER BY at LIMIT $2) RETURNING digest;

-- pictures_forget --
DELETE FROM picture
WHERE digest IN (SELECT digest FROM picture WHERE used_at < $1 ORDER BY used_at LIMIT $2) RETURNING digest;

-- messages_old --
SELECT key, part FROM message WHERE timestamp < $1 ORDER BY timestamp LIMIT $2;

-- message_forget --
DELETE FROM message WHERE key = $1 AND part = $2;

-- reactions_forget --
-- As with the other names.
DELETE FROM reaction WHERE key = $1 AND NOT EXISTS (SELECT 1 FROM message WHERE message.key = reaction.key);

-- aliases_forget --
-- Once the last part of their message is gone.
DELETE FROM alias WHERE target = $1 AND NOT EXISTS (SELECT 1 FROM message WHERE message.key = alias.target);
