-- What only PostgreSQL says this way.

-- lease_check --
-- The lock makes a new holder wait until this SQL transaction has ended; whoever comes after it sees the new epoch.
SELECT epoch FROM lease WHERE owner IS NOT NULL FOR SHARE;

-- schema_version_table --
CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL);

-- migration_lock --
-- A number of our own, the same in every version of this program.
SELECT pg_advisory_xact_lock(7230186153);
