-- What only PostgreSQL says this way.

-- lease_check --
-- The lock makes a new holder wait until this SQL transaction has ended; whoever comes after it sees the new epoch.
SELECT epoch FROM lease WHERE owner IS NOT NULL FOR SHARE;

-- message_by_event --
-- An event that the network took in several pieces: the first of them.
SELECT chat, receiver, remote_id, part, room, event_id, sender, timestamp, file
FROM message WHERE event_digest = $1 ORDER BY part, remote_id LIMIT 1;

-- messages_by_event --
SELECT chat, receiver, remote_id, part, room, event_id, sender, timestamp, file
FROM message WHERE event_digest = $1 ORDER BY part, remote_id;

-- schema_version_table --
CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL);

-- migration_lock --
-- A number of our own, the same in every version of this program.
SELECT pg_advisory_xact_lock(7230186153);
