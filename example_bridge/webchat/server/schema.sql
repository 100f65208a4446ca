-- webchat's whole state. Times are milliseconds since 1970.

CREATE TABLE IF NOT EXISTS account (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    avatar_url  TEXT,
    token_hash  BLOB UNIQUE          -- SHA-256; NULL while revoked
);

CREATE TABLE IF NOT EXISTS chat (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    avatar_url  TEXT,
    last_seq    INTEGER NOT NULL     -- raised in the SQL transaction that inserts the event
);

CREATE TABLE IF NOT EXISTS member (
    chat        TEXT NOT NULL REFERENCES chat (id),
    account     TEXT NOT NULL REFERENCES account (id),
    left_seq    INTEGER,             -- NULL: is a member; else its leave event, the last one it may see
    PRIMARY KEY (chat, account)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS member_by_account ON member (account, chat);

CREATE TABLE IF NOT EXISTS event (
    chat        TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    message_id  TEXT UNIQUE,
    nonce       TEXT,                -- kept out of data: only the actor may see it
    data        BLOB NOT NULL,       -- the event as it goes over the wire, JSON
    PRIMARY KEY (chat, seq)
);

-- Nonces that still count; `expires` is when this one no longer does.
CREATE TABLE IF NOT EXISTS nonce (
    account     TEXT NOT NULL,
    nonce       TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    timestamp   INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (account, nonce)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS nonce_by_expiry ON nonce (expires);
