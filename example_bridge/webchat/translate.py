"""The webchat's words in the framework's, and back. Pure: values in, values out."""

from __future__ import annotations

from bridgekit import adapter as bk
from example_bridge.webchat import calling
from example_bridge.webchat import client as webchat
from example_bridge.webchat.server.checks import check_mimetype
from example_bridge.webchat.server.protocol import MAX_MEASURE, MAX_NAME_LENGTH, MAX_WAVEFORM, Refusal

_STYLES = frozenset(style.value for style in bk.Style)
_KINDS = frozenset(kind.value for kind in bk.MediaKind)


# --- from the network -------------------------------------------------------------------------------------------------
def event(seen: webchat.Event, me: str) -> bk.RemoteEvent | bk.Batch:
    """Anything that the stream of account `me` brings. Each event carries its cursor, also one that is of no interest:
    else it would come again."""
    portal = bk.PortalKey(bk.ChatID(seen.chat))
    cursor = bk.Cursor(seen.chat, str(seen.seq))
    actor = bk.RemoteUserID(seen.actor)
    match seen:
        case webchat.MessageEvent(message=message) if not message.deleted:
            return bk.RemoteMessage(
                portal=portal,
                id=bk.RemoteMessageID(message.id),
                sender=bk.RemoteUserID(message.sender),
                timestamp=message.timestamp,
                text=text(message),
                media=tuple(_media(file) for file in message.files),
                location=_location(message.location),
                reply_to=bk.RemoteMessageID(message.reply_to) if message.reply_to else None,
                nonce=bk.Nonce(message.nonce) if message.nonce else None,  # only our own messages have one
                cursor=cursor,
            )
        case webchat.EditEvent() if not seen.superseded:
            return bk.RemoteEdit(
                portal=portal,
                target=bk.RemoteMessageID(seen.target),
                revision=str(seen.revision),
                sender=actor,
                timestamp=seen.timestamp,
                text=text(seen),
                nonce=bk.Nonce(seen.nonce) if seen.nonce else None,
                cursor=cursor,
            )
        case webchat.DeleteEvent(target=target):
            return bk.RemoteDelete(
                portal=portal, target=bk.RemoteMessageID(target), timestamp=seen.timestamp, sender=actor, cursor=cursor
            )
        case webchat.ReactionEvent():
            return bk.RemoteReaction(
                portal=portal,
                target=bk.RemoteMessageID(seen.target),
                sender=actor,
                timestamp=seen.timestamp,
                emoji=seen.emoji,
                added=seen.added,
                occurrence=str(seen.seq),
                cursor=cursor,
            )
        case webchat.MemberEvent():
            return _member(seen, me, cursor)
        case webchat.RoleEvent(roles=roles):
            return bk.RemoteChat(portal=portal, roles=_roles(roles), cursor=cursor)
        case webchat.ProfileEvent(profile=account):
            return bk.RemoteProfile(user=actor, name=account.name, avatar=_avatar(account.avatar_url), cursor=cursor)
        case webchat.ChatEvent(info=info):
            return bk.RemoteChat(
                portal=portal,
                kind=_kind(info.kind),
                name=info.name,
                topic=info.topic,
                avatar=_avatar(info.avatar_url),
                cursor=cursor,
            )
        case webchat.CallEvent():
            return calling.line(seen, cursor)
        case webchat.ChatDeletedEvent():
            return bk.RemoteChatDeleted(portal=portal, cursor=cursor)
    # A file's bytes have come, for which whoever wants them waits anyway; or of a type that this client does not know;
    # or a message or an edit that was taken back before we came to read it.
    return bk.RemoteProgress(cursor=cursor)


def signal(seen: webchat.Signal) -> bk.RemoteReceipt | bk.RemoteTyping | None:
    """Who has read, who writes; None where somebody has read no message yet."""
    portal, user = bk.PortalKey(bk.ChatID(seen.chat)), bk.RemoteUserID(seen.account)
    match seen:
        case webchat.TypingSignal():
            return bk.RemoteTyping(portal=portal, user=user, typing=seen.typing, expires_s=seen.expires_ms / 1000)
        case webchat.ReadSignal(message=str(message)):
            return bk.RemoteReceipt(portal=portal, user=user, up_to=bk.RemoteMessageID(message))
    return None


def chat(seen: webchat.Chat) -> bk.RemoteChat:
    """A chat as it is now, with everybody who is in it."""
    return bk.RemoteChat(
        portal=bk.PortalKey(bk.ChatID(seen.id)),
        kind=_kind(seen.kind),
        name=seen.name,
        topic=seen.topic,
        avatar=_avatar(seen.avatar_url),
        members=tuple(bk.RemoteUserID(member.id) for member in seen.members),
        roles=_roles(seen.roles),
    )


def profile(account: webchat.Account) -> bk.RemoteProfile:
    """What somebody is called and looks like."""
    return bk.RemoteProfile(user=bk.RemoteUserID(account.id), name=account.name, avatar=_avatar(account.avatar_url))


def text(said: webchat.Message | webchat.EditEvent) -> bk.Text:
    """What a message says. The webchat counts UTF-16 code units, the framework code points. A style that the framework
    does not know is left out; the text under it stays."""
    point = bk.Utf16Offsets(said.text).from_utf16
    return bk.Text(
        said.text,
        runs=tuple(
            bk.Run(point(span.start), point(span.end), bk.Style(span.style), span.value, span.level, span.ordinal)
            for span in said.format
            if span.style in _STYLES
        ),
        mentions=tuple(bk.Mention(point(each.start), point(each.end), _target(each)) for each in said.mentions),
    )


def _media(file: webchat.File) -> bk.MediaRef:
    return bk.MediaRef(
        id=file.id,
        name=file.name,
        mimetype=file.mimetype,
        size=file.size,
        kind=bk.MediaKind(file.kind) if file.kind in _KINDS else None,
        width=file.width,
        height=file.height,
        duration_ms=file.duration_ms,
        blurhash=file.blurhash,
        waveform=file.waveform,
    )


def _location(place: webchat.Location | None) -> bk.Location | None:
    return None if place is None else bk.Location(place.latitude, place.longitude, place.uncertainty_m)


def _member(seen: webchat.MemberEvent, me: str, cursor: bk.Cursor) -> bk.RemoteEvent | bk.Batch:
    portal = bk.PortalKey(bk.ChatID(seen.chat))
    change = bk.RemoteMember(
        portal=portal,
        user=bk.RemoteUserID(seen.member.id),
        joined=seen.membership == "join",
        by=None if seen.actor == seen.member.id else bk.RemoteUserID(seen.actor),
        banned=seen.membership == "ban",
        reason=seen.reason,
        cursor=cursor,
    )
    if seen.member.id != me or seen.membership not in ("leave", "ban"):
        return change
    # For this account the chat is over.
    return bk.Batch(events=(change, bk.RemoteChatDeleted(portal=portal, reason=seen.reason, cursor=cursor)))


def _roles(roles: dict[str, webchat.Role]) -> dict[bk.RemoteUserID, bk.Role]:
    return {bk.RemoteUserID(account): bk.Role(role) for account, role in roles.items()}


def _kind(kind: str) -> bk.ChatKind:
    return bk.ChatKind.DIRECT if kind == "direct" else bk.ChatKind.GROUP


def _avatar(url: str | None) -> bk.Avatar:
    """The picture's address is its id; an empty one says that there is none."""
    return bk.Avatar(url or "")


def _target(mention: webchat.Mention) -> bk.MentionTarget:
    if mention.user is not None:
        return bk.MentionUser(bk.RemoteUserID(mention.user))
    return bk.MentionRole(mention.role) if mention.role is not None else bk.MentionRoom()


# --- to the network ---------------------------------------------------------------------------------------------------
def spans(said: bk.Text) -> tuple[webchat.Span, ...]:
    """A text's formatting."""
    unit = bk.Utf16Offsets(said.body).to_utf16
    return tuple(
        webchat.Span(unit(run.start), unit(run.end), run.style.value, run.value, run.level, run.ordinal)
        for run in said.runs
    )


def mentions(said: bk.Text) -> tuple[webchat.Mention, ...]:
    """Whom a text mentions."""
    unit = bk.Utf16Offsets(said.body).to_utf16
    return tuple(_mention(unit(each.start), unit(each.end), each.target) for each in said.mentions)


def _mention(start: int, end: int, target: bk.MentionTarget) -> webchat.Mention:
    match target:
        case bk.MentionUser(id=user):
            return webchat.Mention(start, end, user=user)
        case bk.MentionRole(id=role):
            return webchat.Mention(start, end, role=role)
    return webchat.Mention(start, end, room=True)


def files(message: bk.MatrixMessage) -> tuple[webchat.File, ...]:
    """The file of a message, by the id that the webchat gave it."""
    media = message.media
    if media is None:
        return ()
    file = webchat.File(
        id=media.remote,
        name=media.name[:MAX_NAME_LENGTH],
        mimetype=_mimetype(media),
        size=_measure(media.size),
        kind=media.kind.value,
        width=_measure(media.width),
        height=_measure(media.height),
        duration_ms=_measure(media.duration_ms),
        waveform=_shortened(tuple(min(max(value, 0), 1024) for value in media.waveform)),
    )
    return (file,)


def announcement(media: bk.MatrixMedia) -> tuple[str, str, int | None]:
    """Name, type and size of a file whose bytes will come."""
    return media.name[:MAX_NAME_LENGTH], _mimetype(media), _measure(media.size)


def _mimetype(media: bk.MatrixMedia) -> str:
    """A file's type, ``""`` if the sender's client said what the webchat would not take for one."""
    try:
        check_mimetype(media.mimetype)
    except Refusal:
        return ""
    return media.mimetype


def location(place: bk.Location | None) -> webchat.Location | None:
    """A place."""
    return None if place is None else webchat.Location(place.latitude, place.longitude, place.uncertainty_m)


def _measure(value: int | None) -> int | None:
    """What a client said, unless the webchat would refuse the message for it."""
    return value if value is not None and 0 <= value <= MAX_MEASURE else None


def _shortened(waveform: tuple[int, ...]) -> tuple[int, ...]:
    step = -(-len(waveform) // MAX_WAVEFORM) or 1
    return tuple(max(waveform[at : at + step]) for at in range(0, len(waveform), step))
