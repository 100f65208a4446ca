-- What is written down for good. Every query is an upsert or a delete, so that a repeat changes nothing.

-- portal_save --
INSERT INTO portal
    (digest, chat, receiver, state, alias_localpart, room_digest, room, name, topic, avatar, avatar_mxc, dm)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (digest) DO UPDATE SET
    state = excluded.state, alias_localpart = excluded.alias_localpart, room_digest = excluded.room_digest,
    room = excluded.room, name = excluded.name, topic = excluded.topic, avatar = excluded.avatar,
    avatar_mxc = excluded.avatar_mxc, dm = excluded.dm;

-- portal_remove --
DELETE FROM portal WHERE digest = $1;

-- portal_logins_remove --
DELETE FROM portal_login WHERE portal_digest = $1;

-- ghost_save --
INSERT INTO ghost (digest, remote_id, user_digest, user_id, registered, device_id, name, avatar, avatar_mxc)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (digest) DO UPDATE SET
    user_digest = excluded.user_digest, user_id = excluded.user_id, registered = excluded.registered,
    device_id = excluded.device_id, name = excluded.name, avatar = excluded.avatar, avatar_mxc = excluded.avatar_mxc;

-- login_save --
-- The session's own state is not touched: batches write it.
INSERT INTO login (digest, id, user_digest, user_id, remote_user, name, secrets, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (digest) DO UPDATE SET
    user_digest = excluded.user_digest, user_id = excluded.user_id, remote_user = excluded.remote_user,
    name = excluded.name, secrets = excluded.secrets, state = excluded.state;

-- login_remove --
DELETE FROM login WHERE digest = $1;

-- cursors_remove --
DELETE FROM cursor WHERE login_digest = $1;

-- login_portals_remove --
DELETE FROM portal_login WHERE login_digest = $1;

-- session_state_save --
UPDATE login SET session_state = $2 WHERE digest = $1;

-- cursor_save --
INSERT INTO cursor (login_digest, scope_digest, scope, value) VALUES ($1, $2, $3, $4)
ON CONFLICT (login_digest, scope_digest) DO UPDATE SET value = excluded.value;

-- portal_login_save --
INSERT INTO portal_login (portal_digest, login_digest, login) VALUES ($1, $2, $3)
ON CONFLICT (portal_digest, login_digest) DO NOTHING;

-- portal_login_remove --
DELETE FROM portal_login WHERE portal_digest = $1 AND login_digest = $2;

-- relay_save --
INSERT INTO relay (portal_digest, chat, receiver, login_digest, login) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (portal_digest) DO UPDATE SET login_digest = excluded.login_digest, login = excluded.login;

-- relay_remove --
DELETE FROM relay WHERE portal_digest = $1;

-- login_relays_remove --
DELETE FROM relay WHERE login_digest = $1;

-- member_save --
INSERT INTO member (room_digest, user_digest, user_id, membership) VALUES ($1, $2, $3, $4)
ON CONFLICT (room_digest, user_digest) DO UPDATE SET membership = excluded.membership;

-- message_save --
INSERT INTO message (key, part, event_digest, timestamp, chat, receiver, remote_id, room, event_id, sender, file)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (key, part) DO UPDATE SET
    event_digest = excluded.event_digest, timestamp = excluded.timestamp, room = excluded.room,
    event_id = excluded.event_id, sender = excluded.sender, file = excluded.file;

-- message_delete --
DELETE FROM message WHERE key = $1;

-- parts_delete --
DELETE FROM message WHERE key = $1 AND part >= $2;

-- media_job_save --
INSERT INTO media_job
    (digest, id, direction, chat, receiver, message, login, payload, created_at, attempts, failed_since, not_before)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (digest) DO UPDATE SET
    login = excluded.login, payload = excluded.payload, attempts = excluded.attempts,
    failed_since = excluded.failed_since, not_before = excluded.not_before;

-- media_job_end --
DELETE FROM media_job WHERE digest = $1;

-- picture_save --
INSERT INTO picture (digest, uri, used_at) VALUES ($1, $2, $3)
ON CONFLICT (digest) DO UPDATE SET uri = excluded.uri, used_at = excluded.used_at;

-- picture_use --
UPDATE picture SET used_at = $2 WHERE uri = $1;

-- call_save --
INSERT INTO call (digest, id, chat, receiver, login, memory, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (digest) DO UPDATE SET login = excluded.login, memory = excluded.memory;

-- call_forget --
DELETE FROM call WHERE digest = $1;

-- reaction_save --
INSERT INTO reaction
    (key, person, event_key, timestamp, chat, receiver, target, sender, emoji, emoji_id, room, event_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (key, person) DO UPDATE SET
    event_key = excluded.event_key, timestamp = excluded.timestamp, emoji_id = excluded.emoji_id,
    room = excluded.room, event_id = excluded.event_id;

-- reaction_remove --
DELETE FROM reaction WHERE key = $1 AND person = $2;

-- alias_save --
INSERT INTO alias (key, target) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET target = excluded.target;

-- uncertain_save --
INSERT INTO uncertain (digest, nonce, chat, receiver, room, event_id, sender, part, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (digest) DO UPDATE SET
    chat = excluded.chat, receiver = excluded.receiver, room = excluded.room, event_id = excluded.event_id,
    sender = excluded.sender, part = excluded.part, at = excluded.at;

-- uncertain_resolve --
DELETE FROM uncertain WHERE digest = $1;

-- management_room_save --
INSERT INTO management_room (user_digest, user_id, room_digest, room) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_digest) DO UPDATE SET room_digest = excluded.room_digest, room = excluded.room;

-- value_save --
INSERT INTO value (digest, key, value) VALUES ($1, $2, $3)
ON CONFLICT (digest) DO UPDATE SET value = excluded.value;
