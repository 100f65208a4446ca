-- What only SQLite says this way.

-- lease_check --
-- Inside BEGIN IMMEDIATE nobody else can write, so reading is enough.
SELECT epoch FROM lease WHERE owner IS NOT NULL;

-- The next three are what journal.sql says, for many rows at once.

-- seen_known --
SELECT dedupe FROM seen WHERE dedupe IN (VALUES ($1));

-- lane_id --
SELECT digest, id FROM lane WHERE digest IN (VALUES ($1));

-- entry_end --
DELETE FROM entry WHERE (lane_id, seq) IN (VALUES ($1, $2));

-- message_by_event --
-- An event that the network took in several pieces: the first of them. What the index does not hold yet is looked through.
SELECT chat, receiver, remote_id, part, room, event_id, sender, timestamp, file
FROM (SELECT * FROM message WHERE id IN (SELECT id FROM message_event WHERE event_digest = $1)
      UNION ALL
      SELECT * FROM message WHERE id > (SELECT until FROM message_events) AND event_digest = $1)
ORDER BY part, remote_id LIMIT 1;

-- messages_by_event --
-- The same, all pieces.
SELECT chat, receiver, remote_id, part, room, event_id, sender, timestamp, file
FROM (SELECT * FROM message WHERE id IN (SELECT id FROM message_event WHERE event_digest = $1)
      UNION ALL
      SELECT * FROM message WHERE id > (SELECT until FROM message_events) AND event_digest = $1)
ORDER BY part, remote_id;

-- message_events_behind --
-- How many of the last messages the index by event does not hold, at most, and the last one's number.
SELECT (SELECT coalesce(max(id), 0) FROM message) - until, (SELECT max(id) FROM message) FROM message_events;

-- message_events_add --
-- In the order of the index, so that each of its pages is touched once.
INSERT INTO message_event (event_digest, id)
SELECT event_digest, id FROM message
WHERE id > (SELECT until FROM message_events) AND id <= $1 ORDER BY event_digest;

-- message_events_until --
UPDATE message_events SET until = $1;

-- schema_version_table --
CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL);
