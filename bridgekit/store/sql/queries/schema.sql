-- Which version of the schema this database has.

-- schema_version --
SELECT version FROM schema_version;

-- schema_version_clear --
DELETE FROM schema_version;

-- schema_version_put --
INSERT INTO schema_version (version) VALUES ($1);

-- secret_put --
INSERT INTO meta (name, value) VALUES ('secret', $1) ON CONFLICT (name) DO NOTHING;
