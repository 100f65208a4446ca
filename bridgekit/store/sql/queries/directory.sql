-- Looking up what is known for good.

-- secret --
SELECT value FROM meta WHERE name = 'secret';

-- value_get --
SELECT value FROM value WHERE digest = $1;

-- portal_get --
SELECT chat, receiver, state, alias_localpart, room, name, topic, avatar, avatar_mxc, dm
FROM portal WHERE digest = $1;

-- portal_by_room --
SELECT chat, receiver, state, alias_localpart, room, name, topic, avatar, avatar_mxc, dm
FROM portal WHERE room_digest = $1 ORDER BY chat, receiver LIMIT 1;

-- portals_first --
SELECT chat, receiver, state, alias_localpart, room, name, topic, avatar, avatar_mxc, dm
FROM portal ORDER BY substr(chat, 1, 200), chat, receiver LIMIT $1;

-- portals_after --
-- $1: the first 200 bytes of $2, which is what the index holds.
SELECT chat, receiver, state, alias_localpart, room, name, topic, avatar, avatar_mxc, dm
FROM portal WHERE substr(chat, 1, 200) >= $1 AND (chat, receiver) > ($2, $3)
ORDER BY substr(chat, 1, 200), chat, receiver LIMIT $4;

-- portal_logins --
SELECT login FROM portal_login WHERE portal_digest = $1 ORDER BY login;

-- relays --
SELECT chat, receiver, login FROM relay;

-- ghost_get --
SELECT remote_id, user_id, registered, device_id, name, avatar, avatar_mxc FROM ghost WHERE digest = $1;

-- ghost_by_user --
SELECT remote_id, user_id, registered, device_id, name, avatar, avatar_mxc
FROM ghost WHERE user_digest = $1 ORDER BY remote_id LIMIT 1;

-- login_get --
SELECT id, remote_user, name, secrets, session_state, user_id, state FROM login WHERE digest = $1;

-- logins --
SELECT id, remote_user, name, secrets, session_state, user_id, state FROM login ORDER BY id;

-- logins_of_user --
SELECT id, remote_user, name, secrets, session_state, user_id, state FROM login WHERE user_digest = $1 ORDER BY id;

-- cursors --
SELECT scope, value FROM cursor WHERE login_digest = $1;

-- membership --
SELECT membership FROM member WHERE room_digest = $1 AND user_digest = $2;

-- members_joined --
SELECT user_id FROM member WHERE room_digest = $1 AND membership = 'joined' ORDER BY user_id;

-- message_parts --
SELECT chat, receiver, remote_id, part, room, event_id, sender, timestamp, file
FROM message WHERE key = $1 ORDER BY part;

-- message_parts_by_alias --
SELECT chat, receiver, remote_id, part, room, event_id, sender, timestamp, file
FROM message WHERE key = (SELECT target FROM alias WHERE key = $1) ORDER BY part;

-- media_jobs --
SELECT id, number, direction, chat, receiver, message, login, payload, created_at, attempts, failed_since, not_before
FROM media_job WHERE number > $1 ORDER BY number LIMIT $2;

-- media_job_get --
SELECT id, number, direction, chat, receiver, message, login, payload, created_at, attempts, failed_since, not_before
FROM media_job WHERE digest = $1;

-- media_job_count --
-- No further than $1.
SELECT count(*) FROM (SELECT 1 FROM media_job ORDER BY created_at LIMIT $1) AS counted;

-- media_job_oldest --
SELECT (SELECT created_at FROM media_job ORDER BY created_at LIMIT 1);

-- picture_get --
SELECT uri, used_at FROM picture WHERE digest = $1;

-- calls --
SELECT id, chat, receiver, login, memory, at FROM call ORDER BY at, id;

-- reactions --
SELECT chat, receiver, target, sender, emoji, room, event_id, emoji_id, timestamp
FROM reaction WHERE key = $1 ORDER BY timestamp, event_id;

-- reactions_by_alias --
-- A message that really has that id comes first, also without any reaction.
SELECT chat, receiver, target, sender, emoji, room, event_id, emoji_id, timestamp
FROM reaction WHERE key = (SELECT target FROM alias WHERE key = $1
                           AND NOT EXISTS (SELECT 1 FROM message WHERE message.key = alias.key))
ORDER BY timestamp, event_id;

-- reaction_by_event --
SELECT chat, receiver, target, sender, emoji, room, event_id, emoji_id, timestamp
FROM reaction WHERE event_key = $1 ORDER BY chat, receiver, target, sender, emoji LIMIT 1;

-- uncertain_get --
SELECT nonce, chat, receiver, room, event_id, sender, part, at FROM uncertain WHERE digest = $1;

-- management_room --
SELECT room FROM management_room WHERE user_digest = $1;

-- management_user --
SELECT user_id FROM management_room WHERE room_digest = $1 ORDER BY user_id LIMIT 1;
