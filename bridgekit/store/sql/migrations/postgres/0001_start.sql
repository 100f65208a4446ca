-- Texts from outside are BYTEA, and keys are digests of them: see bridgekit/store/codec.py.
-- All times are milliseconds since the epoch.

-- Who may work here. There is always exactly this one row; owner is NULL while nobody does. The epoch only grows.
CREATE TABLE lease (
    one        SMALLINT PRIMARY KEY CHECK (one = 1),
    owner      BYTEA,
    epoch      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
INSERT INTO lease (one, owner, epoch, expires_at) VALUES (1, NULL, 0, 0);

-- Made once with the database.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

-- Lanes stay for ever, so that a number is never given twice: some hundred bytes for each room and chat.
CREATE TABLE lane (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest    BYTEA NOT NULL UNIQUE,
    key       BYTEA NOT NULL,
    partition SMALLINT NOT NULL,
    next_seq  BIGINT NOT NULL
);
CREATE INDEX lane_by_key ON lane (substr(key, 1, 200));

-- Transactions as they were pushed, answered and not unpacked into entries yet. A number is never given twice: whoever
-- does not know whether one was unpacked asks for it by its number.
CREATE TABLE intake (
    number      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txn_id      BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    events      BIGINT NOT NULL,
    body        BYTEA NOT NULL
);
-- It is read once and soon: compressing it is not worth the time.
ALTER TABLE intake ALTER COLUMN body SET STORAGE EXTERNAL;

-- What must still be done.
CREATE TABLE entry (
    lane_id      BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    dedupe       BYTEA NOT NULL,
    direction    SMALLINT NOT NULL,
    kind         BYTEA NOT NULL,
    received_at  BIGINT NOT NULL,
    login        BYTEA,
    event_id     BYTEA,
    attempts     BIGINT NOT NULL DEFAULT 0,
    failed_since BIGINT,
    not_before   BIGINT NOT NULL DEFAULT 0,
    marked_at    BIGINT,
    progress     BYTEA,
    payload      BYTEA NOT NULL
);
CREATE UNIQUE INDEX entry_in_lane ON entry (lane_id, seq);
CREATE INDEX entry_by_age ON entry (direction, received_at);

-- Which dedupe keys are known, and the entry that each belongs to (or belonged: it may be done).
CREATE TABLE seen (
    dedupe  BYTEA PRIMARY KEY,
    lane_id BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX seen_by_age ON seen (seen_at, dedupe);

-- A person who drops letter 7 must never drop a newer one that got the same number.
CREATE TABLE dead_letter (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane        BYTEA,
    direction   SMALLINT NOT NULL,
    kind        BYTEA NOT NULL,
    dedupe      BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    code        BYTEA NOT NULL,
    reason      BYTEA NOT NULL,
    login       BYTEA,
    event_id    BYTEA,
    payload     BYTEA NOT NULL
);
CREATE INDEX dead_letter_by_age ON dead_letter (ended_at);

-- lane_seq: entries of the lane with a lower number were covered by the check that moved the anchor.
CREATE TABLE anchor (
    room_digest BYTEA PRIMARY KEY,
    room        BYTEA NOT NULL,
    event_id    BYTEA NOT NULL,
    at          BIGINT NOT NULL,
    lane_id     BIGINT NOT NULL,
    lane_seq    BIGINT NOT NULL
);
CREATE INDEX anchor_by_lane ON anchor (lane_id);

-- receiver: empty for none, else '=' and the login's id.
CREATE TABLE portal (
    digest          BYTEA PRIMARY KEY,
    chat            BYTEA NOT NULL,
    receiver        BYTEA NOT NULL,
    state           TEXT NOT NULL,
    alias_localpart BYTEA NOT NULL,
    room_digest     BYTEA,
    room            BYTEA,
    name            BYTEA NOT NULL,
    topic           BYTEA NOT NULL,
    avatar          BYTEA NOT NULL,
    avatar_mxc      BYTEA,
    dm              SMALLINT NOT NULL
);
CREATE INDEX portal_by_key ON portal (substr(chat, 1, 200));
CREATE INDEX portal_by_room ON portal (room_digest);

CREATE TABLE portal_login (
    portal_digest BYTEA NOT NULL,
    login_digest  BYTEA NOT NULL,
    login         BYTEA NOT NULL,
    PRIMARY KEY (portal_digest, login_digest)
);
CREATE INDEX portal_login_by_login ON portal_login (login_digest);

-- Through which login people without one speak in a portal.
CREATE TABLE relay (
    portal_digest BYTEA PRIMARY KEY,
    chat          BYTEA NOT NULL,
    receiver      BYTEA NOT NULL,
    login_digest  BYTEA NOT NULL,
    login         BYTEA NOT NULL
);
CREATE INDEX relay_by_login ON relay (login_digest);

CREATE TABLE ghost (
    digest      BYTEA PRIMARY KEY,
    remote_id   BYTEA NOT NULL,
    user_digest BYTEA NOT NULL,
    user_id     BYTEA NOT NULL,
    registered  SMALLINT NOT NULL,
    device_id   BYTEA NOT NULL,
    name        BYTEA NOT NULL,
    avatar      BYTEA NOT NULL,
    avatar_mxc  BYTEA
);
CREATE INDEX ghost_by_user ON ghost (user_digest);

CREATE TABLE login (
    digest        BYTEA PRIMARY KEY,
    id            BYTEA NOT NULL,
    user_digest   BYTEA NOT NULL,
    user_id       BYTEA NOT NULL,
    remote_user   BYTEA NOT NULL,
    name          BYTEA NOT NULL,
    secrets       BYTEA NOT NULL,
    state         TEXT NOT NULL,
    session_state BYTEA
);
CREATE INDEX login_by_user ON login (user_digest);

CREATE TABLE cursor (
    login_digest BYTEA NOT NULL,
    scope_digest BYTEA NOT NULL,
    scope        BYTEA NOT NULL,
    value        BYTEA NOT NULL,
    PRIMARY KEY (login_digest, scope_digest)
);

CREATE TABLE member (
    room_digest BYTEA NOT NULL,
    user_digest BYTEA NOT NULL,
    user_id     BYTEA NOT NULL,
    membership  TEXT NOT NULL,
    PRIMARY KEY (room_digest, user_digest)
);

-- A key begins with the chat and the network's id, see bridgekit.store.codec.message_key_of.
CREATE TABLE message (
    key          BYTEA NOT NULL,
    part         BIGINT NOT NULL,
    event_digest BYTEA NOT NULL,
    timestamp    BIGINT NOT NULL,
    chat         BYTEA NOT NULL,
    receiver     BYTEA NOT NULL,
    remote_id    BYTEA NOT NULL,
    room         BYTEA NOT NULL,
    event_id     BYTEA NOT NULL,
    sender       BYTEA NOT NULL,
    file         BIGINT NOT NULL,
    PRIMARY KEY (key, part)
);
CREATE INDEX message_by_event ON message (event_digest);
CREATE INDEX message_by_age ON message (timestamp);

-- target: the key of the message that is called by this other id too.
CREATE TABLE alias (
    key    BYTEA PRIMARY KEY,
    target BYTEA NOT NULL
);
CREATE INDEX alias_by_target ON alias (target);

-- key: the message's, so that what is there on it lies together, near its neighbours'. person: who, and with which emoji.
-- A room's reactions lie together by their event, too, see bridgekit.store.codec.reaction_event_key.
CREATE TABLE reaction (
    key       BYTEA NOT NULL,
    person    BYTEA NOT NULL,
    event_key BYTEA NOT NULL,
    timestamp BIGINT NOT NULL,
    chat      BYTEA NOT NULL,
    receiver  BYTEA NOT NULL,
    target    BYTEA NOT NULL,
    sender    BYTEA NOT NULL,
    emoji     BYTEA NOT NULL,
    emoji_id  BYTEA NOT NULL,
    room      BYTEA NOT NULL,
    event_id  BYTEA NOT NULL,
    PRIMARY KEY (key, person)
);
CREATE INDEX reaction_by_event ON reaction (event_key);

-- Files that are still to be carried, in the order of their numbers. message: of which message of the chat it is.
CREATE TABLE media_job (
    number       BIGSERIAL PRIMARY KEY,
    digest       BYTEA NOT NULL UNIQUE,
    id           BYTEA NOT NULL,
    direction    TEXT NOT NULL,
    chat         BYTEA NOT NULL,
    receiver     BYTEA NOT NULL,
    message      BYTEA NOT NULL,
    login        BYTEA NOT NULL,
    payload      BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    failed_since BIGINT,
    not_before   BIGINT NOT NULL
);
CREATE INDEX media_job_by_age ON media_job (created_at);

-- digest: of a picture's bytes, or of the network's id of it. used_at: forgotten when that is long ago.
CREATE TABLE picture (
    digest  BYTEA PRIMARY KEY,
    uri     BYTEA NOT NULL,
    used_at BIGINT NOT NULL
);
CREATE INDEX picture_by_uri ON picture (uri);
CREATE INDEX picture_by_age ON picture (used_at);

-- Calls that go on.
CREATE TABLE call (
    digest   BYTEA PRIMARY KEY,
    id       BYTEA NOT NULL,
    chat     BYTEA NOT NULL,
    receiver BYTEA NOT NULL,
    login    BYTEA NOT NULL,
    memory   BYTEA NOT NULL,
    at       BIGINT NOT NULL
);

CREATE TABLE uncertain (
    digest   BYTEA PRIMARY KEY,
    nonce    BYTEA NOT NULL,
    chat     BYTEA NOT NULL,
    receiver BYTEA NOT NULL,
    room     BYTEA NOT NULL,
    event_id BYTEA NOT NULL,
    sender   BYTEA NOT NULL,
    part     BIGINT NOT NULL,
    at       BIGINT NOT NULL
);
CREATE INDEX uncertain_by_age ON uncertain (at);

CREATE TABLE management_room (
    user_digest BYTEA PRIMARY KEY,
    user_id     BYTEA NOT NULL,
    room_digest BYTEA NOT NULL,
    room        BYTEA NOT NULL
);
CREATE INDEX management_room_by_room ON management_room (room_digest);

CREATE TABLE value (
    digest BYTEA PRIMARY KEY,
    key    BYTEA NOT NULL,
    value  BYTEA NOT NULL
);
