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
    topic       TEXT NOT NULL,
    deleted     INTEGER NOT NULL DEFAULT 0,
    last_seq    INTEGER NOT NULL     -- raised in the SQL transaction that inserts the event
);

CREATE TABLE IF NOT EXISTS member (
    chat        TEXT NOT NULL REFERENCES chat (id),
    account     TEXT NOT NULL REFERENCES account (id),
    left_seq    INTEGER,             -- NULL: is a member; else its leave event, the last one it may see
    role        TEXT NOT NULL DEFAULT 'member',
    read_seq    INTEGER NOT NULL DEFAULT 0,
    read_at     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (chat, account)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS member_by_account ON member (account, chat);

-- Who may not be brought in; apart from member, as it may be somebody who never was.
CREATE TABLE IF NOT EXISTS ban (
    chat        TEXT NOT NULL REFERENCES chat (id),
    account     TEXT NOT NULL REFERENCES account (id),
    PRIMARY KEY (chat, account)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS event (
    chat        TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    message_id  TEXT UNIQUE,
    edit_of     TEXT,                -- of an edit: the message
    nonce       TEXT,                -- kept out of data: only the actor may see it
    data        BLOB NOT NULL,       -- the event as it goes over the wire, JSON
    PRIMARY KEY (chat, seq)
);
CREATE INDEX IF NOT EXISTS event_by_edited ON event (edit_of, seq) WHERE edit_of IS NOT NULL;

-- What stands at the messages now; how it came about is in the events.
CREATE TABLE IF NOT EXISTS reaction (
    message_id  TEXT NOT NULL,
    account     TEXT NOT NULL,
    emoji       TEXT NOT NULL,
    PRIMARY KEY (message_id, account, emoji)
) WITHOUT ROWID;

-- Files of messages; the bytes are beside the database, each under its id.
CREATE TABLE IF NOT EXISTS media (
    id          TEXT PRIMARY KEY,
    owner       TEXT NOT NULL REFERENCES account (id),
    name        TEXT NOT NULL,
    mimetype    TEXT NOT NULL,
    size        INTEGER,             -- as announced, and once it is there as counted
    sha256      BLOB,                -- NULL until it is there
    state       TEXT NOT NULL,       -- arriving, there, failed, gone: see media.py
    created     INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS media_arriving ON media (created) WHERE state = 'arriving';
CREATE INDEX IF NOT EXISTS media_gone ON media (id) WHERE state = 'gone';

CREATE TABLE IF NOT EXISTS attachment (
    message_id  TEXT NOT NULL,
    media_id    TEXT NOT NULL REFERENCES media (id),
    PRIMARY KEY (message_id, media_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attachment_by_media ON attachment (media_id);

-- Nonces that still count; `expires` is when this one no longer does.
CREATE TABLE IF NOT EXISTS nonce (
    account     TEXT NOT NULL,
    nonce       TEXT NOT NULL,
    id          TEXT NOT NULL,       -- this and the next two: the receipt
    seq         INTEGER NOT NULL,
    timestamp   INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (account, nonce)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS nonce_by_expiry ON nonce (expires);
