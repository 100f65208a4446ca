"""Webchat's values and the framework's, one for the other. Pure, and without a word of Matrix."""

from __future__ import annotations

from bridgekit.adapter import (
    Avatar,
    Batch,
    ChatID,
    ChatKind,
    Cursor,
    Mention,
    MentionRole,
    MentionRoom,
    MentionTarget,
    MentionUser,
    Nonce,
    PortalKey,
    RemoteChat,
    RemoteChatDeleted,
    RemoteDelete,
    RemoteEdit,
    RemoteEvent,
    RemoteMember,
    RemoteMessage,
    RemoteMessageID,
    RemoteProfile,
    RemoteProgress,
    RemoteReaction,
    RemoteReceipt,
    RemoteTyping,
    RemoteUserID,
    Role,
    Run,
    Style,
    Text,
    Utf16Offsets,
)
from example_bridge.webchat import client as webchat

_STYLES = frozenset(style.value for style in Style)


def remote_chat(chat: webchat.Chat) -> RemoteChat:
    return RemoteChat(
        portal=_portal(chat.id),
        kind=_kind(chat.kind),
        name=chat.name,
        topic=chat.topic,
        avatar=Avatar(chat.avatar_url or ""),
        members=tuple(RemoteUserID(member.id) for member in chat.members),
        roles=_roles(chat.roles),
    )


def remote_profile(account: webchat.Account) -> RemoteProfile:
    return RemoteProfile(user=RemoteUserID(account.id), name=account.name, avatar=Avatar(account.avatar_url or ""))


def remote_signal(signal: webchat.Signal) -> RemoteEvent | None:
    match signal:
        case webchat.TypingSignal():
            return RemoteTyping(
                portal=_portal(signal.chat),
                user=RemoteUserID(signal.account),
                typing=signal.typing,
                expires_s=signal.expires_ms / 1000,
            )
        case webchat.ReadSignal(message=str(message)):
            return RemoteReceipt(
                portal=_portal(signal.chat), user=RemoteUserID(signal.account), up_to=RemoteMessageID(message)
            )
    return None  # read before the first message


def remote_event(event: webchat.Event, me: str) -> RemoteEvent | Batch:
    """`me` is the account whose stream it is."""
    portal = _portal(event.chat)
    cursor = Cursor(event.chat, str(event.seq))
    actor = RemoteUserID(event.actor)
    match event:
        case webchat.MessageEvent(message=message) if not message.deleted:
            return RemoteMessage(
                portal=portal,
                id=RemoteMessageID(message.id),
                sender=RemoteUserID(message.sender),
                timestamp=message.timestamp,
                text=_text(message),
                reply_to=RemoteMessageID(message.reply_to) if message.reply_to else None,
                nonce=Nonce(message.nonce) if message.nonce else None,
                cursor=cursor,
            )
        case webchat.EditEvent() if not event.superseded:
            return RemoteEdit(
                portal=portal,
                target=RemoteMessageID(event.target),
                revision=str(event.revision),
                sender=actor,
                timestamp=event.timestamp,
                text=_text(event),
                nonce=Nonce(event.nonce) if event.nonce else None,
                cursor=cursor,
            )
        case webchat.DeleteEvent(target=target):
            return RemoteDelete(
                portal=portal, target=RemoteMessageID(target), timestamp=event.timestamp, sender=actor, cursor=cursor
            )
        case webchat.ReactionEvent():
            return RemoteReaction(
                portal=portal,
                target=RemoteMessageID(event.target),
                sender=actor,
                timestamp=event.timestamp,
                emoji=event.emoji,
                added=event.added,
                occurrence=str(event.seq),
                cursor=cursor,
            )
        case webchat.MemberEvent():
            return _member(event, me, cursor)
        case webchat.RoleEvent(roles=roles):
            return RemoteChat(portal=portal, roles=_roles(roles), cursor=cursor)
        case webchat.ProfileEvent(profile=profile):
            return RemoteProfile(user=actor, name=profile.name, avatar=Avatar(profile.avatar_url or ""), cursor=cursor)
        case webchat.ChatEvent(info=info):
            return RemoteChat(
                portal=portal,
                kind=_kind(info.kind),
                name=info.name,
                topic=info.topic,
                avatar=Avatar(info.avatar_url or ""),
                cursor=cursor,
            )
        case webchat.ChatDeletedEvent():
            return RemoteChatDeleted(portal=portal, cursor=cursor)
    # Of a type that we do not know; or a message or an edit that was deleted or replaced before we came to read it.
    return RemoteProgress(cursor=cursor)


def webchat_format(text: Text) -> tuple[webchat.Span, ...]:
    units = Utf16Offsets(text.body)
    return tuple(
        webchat.Span(
            units.to_utf16(run.start), units.to_utf16(run.end), run.style.value, run.value, run.level, run.ordinal
        )
        for run in text.runs
    )


def webchat_mentions(text: Text) -> tuple[webchat.Mention, ...]:
    units = Utf16Offsets(text.body)
    return tuple(
        _webchat_mention(units.to_utf16(mention.start), units.to_utf16(mention.end), mention.target)
        for mention in text.mentions
    )


def _webchat_mention(start: int, end: int, target: MentionTarget) -> webchat.Mention:
    match target:
        case MentionUser(id=user):
            return webchat.Mention(start, end, user=user)
        case MentionRole(id=role):
            return webchat.Mention(start, end, role=role)
    return webchat.Mention(start, end, room=True)


def _text(said: webchat.Message | webchat.EditEvent) -> Text:
    points = Utf16Offsets(said.text)
    return Text(
        said.text,
        runs=tuple(
            Run(
                points.from_utf16(span.start),
                points.from_utf16(span.end),
                Style(span.style),
                span.value,
                span.level,
                span.ordinal,
            )
            for span in said.format
            if span.style in _STYLES
        ),
        mentions=tuple(
            Mention(points.from_utf16(mention.start), points.from_utf16(mention.end), _target(mention))
            for mention in said.mentions
        ),
    )


def _target(mention: webchat.Mention) -> MentionTarget:
    if mention.user is not None:
        return MentionUser(RemoteUserID(mention.user))
    return MentionRole(mention.role) if mention.role is not None else MentionRoom()


def _member(event: webchat.MemberEvent, me: str, cursor: Cursor) -> RemoteEvent | Batch:
    portal = _portal(event.chat)
    joined = event.membership == "join"
    change = RemoteMember(
        portal=portal,
        user=RemoteUserID(event.member.id),
        joined=joined,
        by=None if event.actor == event.member.id else RemoteUserID(event.actor),
        banned=event.membership == "ban",
        reason=event.reason,
        cursor=cursor,
    )
    if event.member.id != me or event.membership not in ("leave", "ban"):
        return change
    return Batch(events=(change, RemoteChatDeleted(portal=portal, reason=event.reason, cursor=cursor)))


def _portal(chat: str) -> PortalKey:
    return PortalKey(ChatID(chat))


def _kind(kind: str) -> ChatKind:
    return ChatKind.DIRECT if kind == "direct" else ChatKind.GROUP


def _roles(roles: dict[str, webchat.Role]) -> dict[RemoteUserID, Role]:
    return {RemoteUserID(account): Role(role) for account, role in roles.items()}
