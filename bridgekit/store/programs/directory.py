"""Looking up what the bridge knows for good, and recording facts alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bridgekit.model.ids import (
    ContentURI,
    EventID,
    LoginID,
    Nonce,
    PortalKey,
    RemoteMessageID,
    RemoteUserID,
    RoomID,
    UserID,
)
from bridgekit.model.records import (
    CallRecord,
    Direction,
    Fact,
    Ghost,
    LoginRecord,
    LoginState,
    MediaJob,
    Membership,
    MessageRecord,
    Picture,
    Portal,
    PortalState,
    ReactionRecord,
    UncertainSaved,
)
from bridgekit.model.remote import Login
from bridgekit.store.codec import (
    dec,
    dec_map,
    dec_optional,
    dec_portal,
    digest,
    enc_portal,
    event_digest,
    message_key,
    portal_digest,
    reaction_event_key,
)
from bridgekit.store.program import Program, Query, Row
from bridgekit.store.programs import facts, lease
from bridgekit.store.programs.entries import PREFIX


def record(batches: Sequence[Collection[Fact]], epoch: int) -> Program[list[None]]:
    """Several callers' facts as one."""
    yield from lease.check(epoch)
    yield from facts.write([fact for batch in batches for fact in batch])
    return [None] * len(batches)


def secret() -> Program[bytes]:
    ((value,),) = yield Query("secret")
    return bytes(value)  # a driver may hand out Any


def value(key: str) -> Program[str | None]:
    rows = yield Query("value_get", (digest(key),))
    return dec(rows[0][0]) if rows else None


def portal(key: PortalKey) -> Program[Portal | None]:
    rows = yield Query("portal_get", (portal_digest(key),))
    return _portal(rows[0]) if rows else None


def portal_by_room(room: RoomID) -> Program[Portal | None]:
    rows = yield Query("portal_by_room", (digest(room),))
    return _portal(rows[0]) if rows else None


def portals(after: PortalKey | None, limit: int) -> Program[list[Portal]]:
    if after is None:
        rows = yield Query("portals_first", (limit,))
    else:
        chat, receiver = enc_portal(after)
        rows = yield Query("portals_after", (chat[:PREFIX], chat, receiver, limit))
    return [_portal(row) for row in rows]


def portal_logins(key: PortalKey) -> Program[list[LoginID]]:
    rows = yield Query("portal_logins", (portal_digest(key),))
    return [LoginID(dec(row[0])) for row in rows]


def relays() -> Program[dict[PortalKey, LoginID]]:
    rows = yield Query("relays")
    return {dec_portal(chat, receiver): LoginID(dec(login)) for chat, receiver, login in rows}


def ghost(remote_id: RemoteUserID) -> Program[Ghost | None]:
    rows = yield Query("ghost_get", (digest(remote_id),))
    return _ghost(rows[0]) if rows else None


def ghost_by_user(user_id: UserID) -> Program[Ghost | None]:
    rows = yield Query("ghost_by_user", (digest(user_id),))
    return _ghost(rows[0]) if rows else None


def logins(user_id: UserID | None) -> Program[list[LoginRecord]]:
    if user_id is None:
        rows = yield Query("logins")
    else:
        rows = yield Query("logins_of_user", (digest(user_id),))
    return [_login(row) for row in rows]


def login(id: LoginID) -> Program[LoginRecord | None]:
    rows = yield Query("login_get", (digest(id),))
    return _login(rows[0]) if rows else None


def cursors(id: LoginID) -> Program[dict[str, str]]:
    rows = yield Query("cursors", (digest(id),))
    return {dec(scope): dec(position) for scope, position in rows}


def membership(room: RoomID, user_id: UserID) -> Program[Membership | None]:
    rows = yield Query("membership", (digest(room), digest(user_id)))
    return Membership(rows[0][0]) if rows else None


def members(room: RoomID) -> Program[list[UserID]]:
    rows = yield Query("members_joined", (digest(room),))
    return [UserID(dec(row[0])) for row in rows]


def message_by_remote(key: PortalKey, remote_id: RemoteMessageID) -> Program[list[MessageRecord]]:
    named = (message_key(key, remote_id),)
    rows = yield Query("message_parts", named)
    if not rows:
        rows = yield Query("message_parts_by_alias", named)
    return [_message(row) for row in rows]


def message_by_event(room: RoomID, event_id: EventID) -> Program[MessageRecord | None]:
    rows = yield Query("message_by_event", (event_digest(room, event_id),))
    return _message(rows[0]) if rows else None


def messages_by_event(room: RoomID, event_id: EventID) -> Program[list[MessageRecord]]:
    rows = yield Query("messages_by_event", (event_digest(room, event_id),))
    return [_message(row) for row in rows]


def reactions(key: PortalKey, target: RemoteMessageID) -> Program[list[ReactionRecord]]:
    named = (message_key(key, target),)
    rows = yield Query("reactions", named)
    if not rows:
        rows = yield Query("reactions_by_alias", named)
    return [_reaction(row) for row in rows]


def reaction_by_event(room: RoomID, event_id: EventID) -> Program[ReactionRecord | None]:
    rows = yield Query("reaction_by_event", (reaction_event_key(room, event_id),))
    return _reaction(rows[0]) if rows else None


def media_jobs(after: int, limit: int) -> Program[list[MediaJob]]:
    rows = yield Query("media_jobs", (after, limit))
    return [_media_job(row) for row in rows]


def media_job(id: str) -> Program[MediaJob | None]:
    rows = yield Query("media_job_get", (digest(id),))
    return _media_job(rows[0]) if rows else None


def picture(key: str) -> Program[Picture | None]:
    rows = yield Query("picture_get", (digest(key),))
    return Picture(ContentURI(dec(rows[0][0])), rows[0][1]) if rows else None


def calls() -> Program[list[CallRecord]]:
    rows = yield Query("calls")
    return [
        CallRecord(
            id=dec(id), portal=dec_portal(chat, receiver), login=LoginID(dec(login)), memory=bytes(memory), at=at
        )
        for id, chat, receiver, login, memory, at in rows
    ]


def uncertain(nonce: Nonce) -> Program[UncertainSaved | None]:
    for kept, chat, receiver, room, event_id, sender, part, at in (yield Query("uncertain_get", (digest(nonce),))):
        return UncertainSaved(
            nonce=Nonce(dec(kept)),
            portal=dec_portal(chat, receiver),
            room=RoomID(dec(room)),
            event_id=EventID(dec(event_id)),
            sender=UserID(dec(sender)),
            part=part,
            at=at,
        )
    return None


def management_room(user_id: UserID) -> Program[RoomID | None]:
    rows = yield Query("management_room", (digest(user_id),))
    return RoomID(dec(rows[0][0])) if rows else None


def management_user(room: RoomID) -> Program[UserID | None]:
    rows = yield Query("management_user", (digest(room),))
    return UserID(dec(rows[0][0])) if rows else None


def _uri(data: bytes | None) -> ContentURI | None:
    return None if data is None else ContentURI(dec(data))


def _portal(row: Row) -> Portal:
    chat, receiver, state, alias_localpart, room, name, topic, avatar, avatar_mxc, dm = row
    named = dec_optional(room)
    return Portal(
        key=dec_portal(chat, receiver),
        state=PortalState(state),
        alias_localpart=dec(alias_localpart),
        room=None if named is None else RoomID(named),
        name=dec(name),
        topic=dec(topic),
        avatar=dec(avatar),
        avatar_mxc=_uri(avatar_mxc),
        dm=bool(dm),
    )


def _ghost(row: Row) -> Ghost:
    remote_id, user_id, registered, device_id, name, avatar, avatar_mxc = row
    return Ghost(
        remote_id=RemoteUserID(dec(remote_id)),
        user_id=UserID(dec(user_id)),
        registered=bool(registered),
        device_id=dec(device_id),
        name=dec(name),
        avatar=dec(avatar),
        avatar_mxc=_uri(avatar_mxc),
    )


def _login(row: Row) -> LoginRecord:
    id, remote_user, name, secrets, session_state, user_id, state = row
    return LoginRecord(
        login=Login(
            id=LoginID(dec(id)),
            user=RemoteUserID(dec(remote_user)),
            name=dec(name),
            secrets=dec_map(secrets),
            state=session_state,
        ),
        user_id=UserID(dec(user_id)),
        state=LoginState(state),
    )


def _message(row: Row) -> MessageRecord:
    chat, receiver, remote_id, part, room, event_id, sender, timestamp, file = row
    return MessageRecord(
        portal=dec_portal(chat, receiver),
        remote_id=RemoteMessageID(dec(remote_id)),
        part=part,
        room=RoomID(dec(room)),
        event_id=EventID(dec(event_id)),
        sender=UserID(dec(sender)),
        timestamp=timestamp,
        file=bool(file),
    )


def _media_job(row: Row) -> MediaJob:
    id, number, direction, chat, receiver, message, login, payload, created_at, attempts, failed_since, not_before = row
    return MediaJob(
        id=dec(id),
        number=number,
        direction=Direction(direction),
        portal=dec_portal(chat, receiver),
        message=dec(message),
        login=LoginID(dec(login)),
        payload=bytes(payload),
        created_at=created_at,
        attempts=attempts,
        failed_since=failed_since,
        not_before=not_before,
    )


def _reaction(row: Row) -> ReactionRecord:
    chat, receiver, target, sender, emoji, room, event_id, emoji_id, timestamp = row
    return ReactionRecord(
        portal=dec_portal(chat, receiver),
        target=RemoteMessageID(dec(target)),
        sender=UserID(dec(sender)),
        emoji=dec(emoji),
        room=RoomID(dec(room)),
        event_id=EventID(dec(event_id)),
        emoji_id=dec(emoji_id),
        timestamp=timestamp,
    )
