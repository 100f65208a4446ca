-- A role and a database each for Synapse and for the bridge. PostgreSQL's image runs it when its volume is new; on a
-- server of your own: psql -f databases.sql as its superuser, with the passwords in these two files.
-- Both databases must be UTF8; Synapse insists on the C locale, which keeps indexes valid over updates of the system.
\set ON_ERROR_STOP on
\set synapse_password `cat /run/secrets/synapse_db`
\set bridge_password `cat /run/secrets/bridge_db`

CREATE ROLE synapse LOGIN PASSWORD :'synapse_password';
CREATE DATABASE synapse OWNER synapse TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';

CREATE ROLE bridge LOGIN PASSWORD :'bridge_password';
CREATE DATABASE bridge OWNER bridge TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
