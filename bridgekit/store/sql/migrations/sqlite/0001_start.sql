-- Texts from outside are BLOBs, and keys are digests of them: see bridgekit/store/codec.py.
-- All times are milliseconds since the epoch.

-- Who may work here. There is always exactly this one row; owner is NULL while nobody does. The epoch only grows.
CREATE TABLE lease (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    owner      BLOB,
    epoch      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
INSERT INTO lease (one, owner, epoch, expires_at) VALUES (1, NULL, 0, 0);

-- Made once with the database.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- Lanes stay for ever, so that a number is never given twice: some hundred bytes for each room and chat.
CREATE TABLE lane (
    id        INTEGER PRIMARY KEY,
    digest    BLOB NOT NULL UNIQUE,
    key       BLOB NOT NULL,
    partition INTEGER NOT NULL,
    next_seq  INTEGER NOT NULL
);
CREATE INDEX lane_by_key ON lane (substr(key, 1, 200));

-- Transactions as they were pushed, answered and not unpacked into entries yet. A number is never given twice: whoever
-- does not know whether one was unpacked asks for it by its number.
CREATE TABLE intake (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    txn_id      BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    events      INTEGER NOT NULL,
    body        BLOB NOT NULL
);

-- What must still be done. With a rowid: payloads are written one after the other, however many lanes they belong to.
CREATE TABLE entry (
    lane_id      INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    dedupe       BLOB NOT NULL,
    direction    INTEGER NOT NULL,
    kind         BLOB NOT NULL,
    received_at  INTEGER NOT NULL,
    login        BLOB,
    event_id     BLOB,
    attempts     INTEGER NOT NULL DEFAULT 0,
    failed_since INTEGER,
    not_before   INTEGER NOT NULL DEFAULT 0,
    marked_at    INTEGER,
    progress     BLOB,
    payload      BLOB NOT NULL
);
CREATE UNIQUE INDEX entry_in_lane ON entry (lane_id, seq);
CREATE INDEX entry_by_age ON entry (direction, received_at);

-- Which dedupe keys are known, and the entry that each belongs to (or belonged: it may be done).
CREATE TABLE seen (
    dedupe  BLOB PRIMARY KEY,
    lane_id INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX seen_by_age ON seen (seen_at);

-- AUTOINCREMENT: a person who drops letter 7 must never drop a newer one that got the same number.
CREATE TABLE dead_letter (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    lane        BLOB,
    direction   INTEGER NOT NULL,
    kind        BLOB NOT NULL,
    dedupe      BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    code        BLOB NOT NULL,
    reason      BLOB NOT NULL,
    login       BLOB,
    event_id    BLOB,
    payload     BLOB NOT NULL
);
CREATE INDEX dead_letter_by_age ON dead_letter (ended_at);

-- lane_seq: entries of the lane with a lower number were covered by the check that moved the anchor.
CREATE TABLE anchor (
    room_digest BLOB PRIMARY KEY,
    room        BLOB NOT NULL,
    event_id    BLOB NOT NULL,
    at          INTEGER NOT NULL,
    lane_id     INTEGER NOT NULL,
    lane_seq    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX anchor_by_lane ON anchor (lane_id);

-- receiver: empty for none, else '=' and the login's id.
CREATE TABLE portal (
    digest          BLOB PRIMARY KEY,
    chat            BLOB NOT NULL,
    receiver        BLOB NOT NULL,
    state           TEXT NOT NULL,
    alias_localpart BLOB NOT NULL,
    room_digest     BLOB,
    room            BLOB,
    name            BLOB NOT NULL,
    topic           BLOB NOT NULL,
    avatar          BLOB NOT NULL,
    avatar_mxc      BLOB,
    dm              INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX portal_by_key ON portal (substr(chat, 1, 200));
CREATE INDEX portal_by_room ON portal (room_digest);

CREATE TABLE portal_login (
    portal_digest BLOB NOT NULL,
    login_digest  BLOB NOT NULL,
    login         BLOB NOT NULL,
    PRIMARY KEY (portal_digest, login_digest)
) WITHOUT ROWID;
CREATE INDEX portal_login_by_login ON portal_login (login_digest);

-- Through which login people without one speak in a portal.
CREATE TABLE relay (
    portal_digest BLOB PRIMARY KEY,
    chat          BLOB NOT NULL,
    receiver      BLOB NOT NULL,
    login_digest  BLOB NOT NULL,
    login         BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX relay_by_login ON relay (login_digest);

CREATE TABLE ghost (
    digest      BLOB PRIMARY KEY,
    remote_id   BLOB NOT NULL,
    user_digest BLOB NOT NULL,
    user_id     BLOB NOT NULL,
    registered  INTEGER NOT NULL,
    device_id   BLOB NOT NULL,
    name        BLOB NOT NULL,
    avatar      BLOB NOT NULL,
    avatar_mxc  BLOB
) WITHOUT ROWID;
CREATE INDEX ghost_by_user ON ghost (user_digest);

CREATE TABLE login (
    digest        BLOB PRIMARY KEY,
    id            BLOB NOT NULL,
    user_digest   BLOB NOT NULL,
    user_id       BLOB NOT NULL,
    remote_user   BLOB NOT NULL,
    name          BLOB NOT NULL,
    secrets       BLOB NOT NULL,
    state         TEXT NOT NULL,
    session_state BLOB
) WITHOUT ROWID;
CREATE INDEX login_by_user ON login (user_digest);

CREATE TABLE cursor (
    login_digest BLOB NOT NULL,
    scope_digest BLOB NOT NULL,
    scope        BLOB NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (login_digest, scope_digest)
) WITHOUT ROWID;

CREATE TABLE member (
    room_digest BLOB NOT NULL,
    user_digest BLOB NOT NULL,
    user_id     BLOB NOT NULL,
    membership  TEXT NOT NULL,
    PRIMARY KEY (room_digest, user_digest)
) WITHOUT ROWID;

-- With a rowid: rows are written one after the other. A key begins with the chat and the network's id, see
-- bridgekit.store.codec.message_key_of.
CREATE TABLE message (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    key          BLOB NOT NULL,
    part         INTEGER NOT NULL,
    event_digest BLOB NOT NULL,
    timestamp    INTEGER NOT NULL,
    chat         BLOB NOT NULL,
    receiver     BLOB NOT NULL,
    remote_id    BLOB NOT NULL,
    room         BLOB NOT NULL,
    event_id     BLOB NOT NULL,
    sender       BLOB NOT NULL,
    file         INTEGER NOT NULL
);
CREATE UNIQUE INDEX message_by_key ON message (key, part);
CREATE INDEX message_by_age ON message (timestamp);

-- The messages up to number `until` by their event. Event ids come in no order, so a row here costs the disk a page of its
-- own; therefore rows are added many at a time (bridgekit/store/sqlite.py), and the last messages are looked through.
CREATE TABLE message_event (
    event_digest BLOB NOT NULL,
    id           INTEGER NOT NULL,
    PRIMARY KEY (event_digest, id)
) WITHOUT ROWID;
CREATE TABLE message_events (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    until INTEGER NOT NULL
);
INSERT INTO message_events (one, until) VALUES (1, 0);
CREATE TRIGGER message_event_forgotten AFTER DELETE ON message BEGIN
    DELETE FROM message_event WHERE event_digest = old.event_digest AND id = old.id; END;
CREATE TRIGGER message_event_changed AFTER UPDATE OF event_digest ON message
WHEN old.event_digest <> new.event_digest BEGIN
    UPDATE message_event SET event_digest = new.event_digest WHERE event_digest = old.event_digest AND id = old.id; END;

-- target: the key of the message that is called by this other id too.
CREATE TABLE alias (
    key    BLOB PRIMARY KEY,
    target BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX alias_by_target ON alias (target);

-- key: the message's, so that what is there on it lies together, near its neighbours'. person: who, and with which emoji.
-- A room's reactions lie together by their event, too, see bridgekit.store.codec.reaction_event_key.
CREATE TABLE reaction (
    key       BLOB NOT NULL,
    person    BLOB NOT NULL,
    event_key BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    chat      BLOB NOT NULL,
    receiver  BLOB NOT NULL,
    target    BLOB NOT NULL,
    sender    BLOB NOT NULL,
    emoji     BLOB NOT NULL,
    emoji_id  BLOB NOT NULL,
    room      BLOB NOT NULL,
    event_id  BLOB NOT NULL,
    PRIMARY KEY (key, person)
) WITHOUT ROWID;
CREATE INDEX reaction_by_event ON reaction (event_key);

-- Files that are still to be carried, in the order of their numbers. message: of which message of the chat it is.
CREATE TABLE media_job (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    digest       BLOB NOT NULL UNIQUE,
    id           BLOB NOT NULL,
    direction    TEXT NOT NULL,
    chat         BLOB NOT NULL,
    receiver     BLOB NOT NULL,
    message      BLOB NOT NULL,
    login        BLOB NOT NULL,
    payload      BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    failed_since INTEGER,
    not_before   INTEGER NOT NULL
);
CREATE INDEX media_job_by_age ON media_job (created_at);

-- digest: of a picture's bytes, or of the network's id of it. used_at: forgotten when that is long ago.
CREATE TABLE picture (
    digest  BLOB PRIMARY KEY,
    uri     BLOB NOT NULL,
    used_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX picture_by_uri ON picture (uri);
CREATE INDEX picture_by_age ON picture (used_at);

-- Calls that go on.
CREATE TABLE call (
    digest   BLOB PRIMARY KEY,
    id       BLOB NOT NULL,
    chat     BLOB NOT NULL,
    receiver BLOB NOT NULL,
    login    BLOB NOT NULL,
    memory   BLOB NOT NULL,
    at       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE uncertain (
    digest   BLOB PRIMARY KEY,
    nonce    BLOB NOT NULL,
    chat     BLOB NOT NULL,
    receiver BLOB NOT NULL,
    room     BLOB NOT NULL,
    event_id BLOB NOT NULL,
    sender   BLOB NOT NULL,
    part     INTEGER NOT NULL,
    at       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX uncertain_by_age ON uncertain (at);

CREATE TABLE management_room (
    user_digest BLOB PRIMARY KEY,
    user_id     BLOB NOT NULL,
    room_digest BLOB NOT NULL,
    room        BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX management_room_by_room ON management_room (room_digest);

CREATE TABLE value (
    digest BLOB PRIMARY KEY,
    key    BLOB NOT NULL,
    value  BLOB NOT NULL
) WITHOUT ROWID;
