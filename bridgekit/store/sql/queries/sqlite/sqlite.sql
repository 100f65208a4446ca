-- What only SQLite says this way.

-- lease_check --
-- Inside BEGIN IMMEDIATE nobody else can write, so reading is enough.
SELECT epoch FROM lease WHERE owner IS NOT NULL;

-- schema_version_table --
CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL);
