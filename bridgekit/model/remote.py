"""What the remote network tells us: frozen values, named ``Remote*``. The adapter makes them, the framework reads them.

Timestamps are milliseconds since the epoch, as the network says them.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from bridgekit.model.calls import RemoteCall
from bridgekit.model.content import Text
from bridgekit.model.ids import ChatID, LoginID, Nonce, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.media import Location, MediaRef
from bridgekit.model.position import Cursor, Cursors


class Avatar(msgspec.Struct, frozen=True):
    """A picture by reference. `id` changes when the picture does (a URL, a hash); `open_avatar` is given it."""

    id: str


class ChatKind(StrEnum):
    """What a chat is to its members."""

    DIRECT = "direct"  # two people
    GROUP = "group"


class RemoteMessage(msgspec.Struct, frozen=True, tag="message", omit_defaults=True, kw_only=True):
    """A message in a remote chat, of anybody, ourselves included.

    `portal` says in which chat, `sender` who wrote it, `timestamp` when, in ms since the epoch. `id` is unique in the
    chat; `aliases` are other ids under which the network may speak of it. `text` is what it says (the caption, of
    files), `media` its files, `location` a place that it shows, `reply_to` the message that it answers, `thread` the
    first message of the thread that it belongs to, where the network has threads. `nonce` is what the network gives
    back of ours, if it does: then the message is recognised as our own echo. `cursor` is where the stream has got to
    with it.
    """

    portal: PortalKey
    id: RemoteMessageID
    sender: RemoteUserID
    timestamp: int
    text: Text = Text()
    media: tuple[MediaRef, ...] = ()
    location: Location | None = None
    reply_to: RemoteMessageID | None = None
    thread: RemoteMessageID | None = None
    aliases: tuple[RemoteMessageID, ...] = ()
    nonce: Nonce | None = None
    cursor: Cursor | None = None


class RemoteEdit(msgspec.Struct, frozen=True, tag="edit", omit_defaults=True, kw_only=True):
    """A message says something else now: `text` is all of it, not the difference.

    `portal` says in which chat, `target` which message (its id or an alias), `sender` who edited, `timestamp` when, in
    ms since the epoch. `revision` is different for each edit of one message and the same when the network repeats one:
    its own id, a counter, a time. `nonce` as in `RemoteMessage`. `cursor` is where the stream has got to with it.
    """

    portal: PortalKey
    target: RemoteMessageID
    revision: str
    sender: RemoteUserID
    timestamp: int
    text: Text = Text()
    nonce: Nonce | None = None
    cursor: Cursor | None = None


class RemoteDelete(msgspec.Struct, frozen=True, tag="delete", omit_defaults=True, kw_only=True):
    """A message was deleted for everybody.

    `portal` says in which chat, `target` which message (its id or an alias), `timestamp` when, in ms since the epoch.
    `sender` is who did it, None where the network does not say. `cursor` is where the stream has got to with it.
    """

    portal: PortalKey
    target: RemoteMessageID
    timestamp: int
    sender: RemoteUserID | None = None
    cursor: Cursor | None = None


class RemoteReaction(msgspec.Struct, frozen=True, tag="reaction", omit_defaults=True, kw_only=True):
    """Somebody reacted to a message (`added`), or took that reaction back.

    `portal` says in which chat, `target` which message (its id or an alias), `sender` who, `timestamp` when, in ms
    since the epoch. `emoji` is the character itself, or ``:name:`` for a picture that only the network has;
    `emoji_id` is the network's id of such a picture. `occurrence` tells react, unreact, react from a repeat of the
    first: different for each of them and the same when the network says one again (its own id, a time); "" where the
    network cannot tell, then the state at its last word counts. `cursor` is where the stream has got to with it.
    """

    portal: PortalKey
    target: RemoteMessageID
    sender: RemoteUserID
    timestamp: int
    emoji: str
    emoji_id: str = ""
    added: bool = True
    occurrence: str = ""
    cursor: Cursor | None = None


class RemoteReceipt(msgspec.Struct, frozen=True, tag="receipt", omit_defaults=True, kw_only=True):
    """Somebody, `user`, has read the chat `portal` up to the message `up_to`. Never written down: only the latest
    counts."""

    portal: PortalKey
    user: RemoteUserID
    up_to: RemoteMessageID


class RemoteTyping(msgspec.Struct, frozen=True, tag="typing", omit_defaults=True, kw_only=True):
    """Somebody, `user`, is writing in the chat `portal` (`typing` is True), or has stopped.

    Never written down; ends by itself after `expires_s` seconds.
    """

    portal: PortalKey
    user: RemoteUserID
    typing: bool = True
    expires_s: float = 15.0


class RemoteChatDeleted(msgspec.Struct, frozen=True, tag="chat_deleted", omit_defaults=True, kw_only=True):
    """The chat `portal` is gone at the network, or this login has left it or was removed. What was said stays on
    Matrix.

    `reason` is in words, where the network has one. `cursor` is where the stream has got to with it.
    """

    portal: PortalKey
    reason: str = ""
    cursor: Cursor | None = None


class RemoteIdentityChanged(msgspec.Struct, frozen=True, tag="identity", omit_defaults=True, kw_only=True):
    """The network calls the person that was `old` by the id `new` from now on (a new phone number): the same ghost
    stands for both.

    `cursor` is where the stream has got to with it.
    """

    old: RemoteUserID
    new: RemoteUserID
    cursor: Cursor | None = None


class Role(StrEnum):
    """What somebody may do in a chat, from least to most."""

    MEMBER = "member"
    MODERATOR = "moderator"  # may remove messages and people
    ADMIN = "admin"  # may change the chat


class RemoteChat(msgspec.Struct, frozen=True, tag="chat", omit_defaults=True, kw_only=True):
    """What a chat is like now. None means "not said", not "removed"; `name` and `topic` are removed by ``""``, `avatar`
    by an empty `Avatar.id`.

    `portal` says which chat, `kind` whether it is between two people or a group. `members` lists everybody where the
    network says so, our own account included; `roles` what they may do, everybody else being a `Role.MEMBER`.
    `cursor` is where the stream has got to with it.
    """

    portal: PortalKey
    kind: ChatKind = ChatKind.GROUP
    name: str | None = None
    topic: str | None = None
    avatar: Avatar | None = None
    members: tuple[RemoteUserID, ...] | None = None
    roles: dict[RemoteUserID, Role] | None = None
    cursor: Cursor | None = None


class RemoteMember(msgspec.Struct, frozen=True, tag="member", omit_defaults=True, kw_only=True):
    """Somebody, `user`, joined the chat `portal` (`joined` is True) or left it.

    `cursor` is where the stream has got to with it. `by` is who added or removed them, None for themselves or
    unknown; `banned`: they may not come back; `reason` in words, where the network has one.
    """

    portal: PortalKey
    user: RemoteUserID
    joined: bool
    by: RemoteUserID | None = None
    banned: bool = False
    reason: str = ""
    cursor: Cursor | None = None


class RemoteProfile(msgspec.Struct, frozen=True, tag="profile", omit_defaults=True, kw_only=True):
    """What a person, `user`, is called (`name`) and looks like (`avatar`). None means "not said".

    `cursor` is where the stream has got to with it.
    """

    user: RemoteUserID
    name: str | None = None
    avatar: Avatar | None = None
    cursor: Cursor | None = None


class RemoteProgress(msgspec.Struct, frozen=True, tag="progress", kw_only=True):
    """Nothing to bridge, but the stream went on: remember the `cursor`."""

    cursor: Cursor


class RemoteCaughtUp(msgspec.Struct, frozen=True, tag="caught_up", omit_defaults=True, kw_only=True):
    """Everything that was there when the connection was opened has been yielded; what follows is live.

    Optional: it lets the bridge see at once how much there was to catch up. Without it that takes some quiet seconds.
    `cursor` is where the stream has got to, None if an event has said it.
    """

    cursor: Cursor | None = None


RemoteEvent = (
    RemoteMessage
    | RemoteEdit
    | RemoteDelete
    | RemoteReaction
    | RemoteChat
    | RemoteChatDeleted
    | RemoteMember
    | RemoteProfile
    | RemoteIdentityChanged
    | RemoteReceipt
    | RemoteTyping
    | RemoteProgress
    | RemoteCaughtUp
    | RemoteCall
)


Passing = RemoteReceipt | RemoteTyping
"""What is never written down: it has no cursor, and only the latest counts."""


class Batch(msgspec.Struct, frozen=True):
    """Several `events` that become durable together, with the session's own state (ratchets, tokens).

    `state` replaces the stored state, which comes back as `Login.state`; None leaves it.
    """

    events: tuple[RemoteEvent, ...] = ()
    state: bytes | None = None


class Login(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One remote account of one Matrix user, as `Adapter.login` returned it.

    `id` names the login in the bridge; it is the same when the same account logs in again. `user` is the account's own
    remote user id (its messages are echoes, it gets no ghost in its own portals); `name` is for people; `secrets` is
    what `connect` needs, kept as given, and never logged; `state` is the last `Batch.state`.
    """

    id: LoginID
    user: RemoteUserID
    name: str = ""
    secrets: dict[str, str] = {}
    state: bytes | None = None


class Sent(msgspec.Struct, frozen=True):
    """The network took a message.

    `ids` are those that it gave it, several where it made several messages of it, none where it does not say: then only
    an echo with the message's nonce does, and until it comes nothing can change the message on either side.
    `timestamp` is the network's, in ms since the epoch, None if it says none.
    """

    ids: tuple[RemoteMessageID, ...]
    timestamp: int | None = None


__all__ = [
    "Avatar",
    "Batch",
    "ChatID",
    "ChatKind",
    "Cursor",
    "Cursors",
    "Login",
    "LoginID",
    "Nonce",
    "Passing",
    "PortalKey",
    "RemoteCaughtUp",
    "RemoteChat",
    "RemoteChatDeleted",
    "RemoteDelete",
    "RemoteEdit",
    "RemoteEvent",
    "RemoteIdentityChanged",
    "RemoteMember",
    "RemoteMessage",
    "RemoteMessageID",
    "RemoteProfile",
    "RemoteProgress",
    "RemoteReaction",
    "RemoteReceipt",
    "RemoteTyping",
    "RemoteUserID",
    "Role",
    "Sent",
]
