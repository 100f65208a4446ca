"""The webchat's words in the framework's, and back. Pure: values in, values out."""

from __future__ import annotations

from bridgekit import adapter as bk
from example_bridge.webchat import client as webchat

_STYLES = frozenset(style.value for style in bk.Style)


# --- from the network -------------------------------------------------------------------------------------------------
def event(seen: webchat.Event) -> bk.RemoteEvent:
    """Anything that the stream brings. Each event carries its cursor, also one that is of no interest: else it would
    come again."""
    portal = bk.PortalKey(bk.ChatID(seen.chat))
    cursor = bk.Cursor(seen.chat, str(seen.seq))
    match seen:
        case webchat.MessageEvent(message=message):
            return bk.RemoteMessage(
                portal=portal,
                id=bk.RemoteMessageID(message.id),
                sender=bk.RemoteUserID(message.sender),
                timestamp=message.timestamp,
                text=text(message),
                reply_to=bk.RemoteMessageID(message.reply_to) if message.reply_to else None,
                nonce=bk.Nonce(message.nonce) if message.nonce else None,  # only our own messages have one
                cursor=cursor,
            )
        case webchat.MemberEvent(member=member, membership=membership):
            return bk.RemoteMember(
                portal=portal, user=bk.RemoteUserID(member.id), joined=membership == "join", cursor=cursor
            )
        case webchat.ProfileEvent(profile=account):
            return bk.RemoteProfile(
                user=bk.RemoteUserID(seen.actor), name=account.name, avatar=_avatar(account.avatar_url), cursor=cursor
            )
        case webchat.ChatEvent(info=info):
            return bk.RemoteChat(
                portal=portal, kind=_kind(info.kind), name=info.name, avatar=_avatar(info.avatar_url), cursor=cursor
            )
    return bk.RemoteProgress(cursor=cursor)


def chat(seen: webchat.Chat) -> bk.RemoteChat:
    """A chat as it is now, with everybody who is in it."""
    return bk.RemoteChat(
        portal=bk.PortalKey(bk.ChatID(seen.id)),
        kind=_kind(seen.kind),
        name=seen.name,
        avatar=_avatar(seen.avatar_url),
        members=tuple(bk.RemoteUserID(member.id) for member in seen.members),
    )


def profile(account: webchat.Account) -> bk.RemoteProfile:
    """What somebody is called and looks like."""
    return bk.RemoteProfile(user=bk.RemoteUserID(account.id), name=account.name, avatar=_avatar(account.avatar_url))


def text(message: webchat.Message) -> bk.Text:
    """What a message says. A style that the framework does not know is left out; the text under it stays."""
    return bk.Text(
        message.text,
        runs=tuple(
            bk.Run(span.start, span.end, bk.Style(span.style), span.value, span.level, span.ordinal)
            for span in message.format
            if span.style in _STYLES
        ),
        mentions=tuple(bk.Mention(each.start, each.end, _target(each)) for each in message.mentions),
    )


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
    """A text's formatting: both sides count code points, so the offsets stay."""
    return tuple(
        webchat.Span(run.start, run.end, run.style.value, run.value, run.level, run.ordinal) for run in said.runs
    )


def mentions(said: bk.Text) -> tuple[webchat.Mention, ...]:
    """Whom a text mentions."""
    return tuple(_mention(each) for each in said.mentions)


def _mention(mention: bk.Mention) -> webchat.Mention:
    match mention.target:
        case bk.MentionUser(id=user):
            return webchat.Mention(mention.start, mention.end, user=user)
        case bk.MentionRole(id=role):
            return webchat.Mention(mention.start, mention.end, role=role)
    return webchat.Mention(mention.start, mention.end, room=True)
