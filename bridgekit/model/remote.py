"""What the remote network tells us: frozen values, named ``Remote*``. The adapter makes them, the framework reads them.

Timestamps are milliseconds since the epoch, as the network says them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from bridgekit.model.content import Text
from bridgekit.model.ids import ChatID, LoginID, Nonce, PortalKey, RemoteMessageID, RemoteUserID

Cursors = Mapping[str, str]
"""Where a session has got to: scope -> value, exactly as the adapter yielded them."""


class Cursor(msgspec.Struct, frozen=True):
    """A position in the network's stream. `scope` is ``""`` for one stream, or for instance a chat id where the
    network counts per chat; `value` is opaque to the framework."""

    scope: str
    value: str


class Avatar(msgspec.Struct, frozen=True):
    """A picture by reference. `id` changes when the picture does (a URL, a hash); `open_avatar` is given it."""

    id: str


class MediaRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of a message by reference, never its bytes: `id`, by which the network finds it again, `name` and
    `mimetype` (``""``: not known), and `size` in bytes (None: not known).

    Files do not cross yet; the message says that there was one.
    """

    id: str
    name: str = ""
    mimetype: str = ""
    size: int | None = None


class ChatKind(StrEnum):
    """What a chat is to its members."""

    DIRECT = "direct"  #: two people
    GROUP = "group"


class RemoteMessage(msgspec.Struct, frozen=True, tag="message", omit_defaults=True, kw_only=True):
    """A message in a remote chat, of anybody, ourselves included.

    `portal` says in which chat, `sender` who wrote it, `timestamp` when, in ms since the epoch. `id` is unique in the
    chat; `aliases` are other ids under which the network may speak of it. `text` is what it says, `media` its files,
    `reply_to` the message that it answers. `nonce` is what the network gives back of ours, if it does: then the message
    is recognised as our own echo. `cursor` is where the stream has got to with it.
    """

    portal: PortalKey
    id: RemoteMessageID
    sender: RemoteUserID
    timestamp: int
    text: Text = Text()
    media: tuple[MediaRef, ...] = ()
    reply_to: RemoteMessageID | None = None
    aliases: tuple[RemoteMessageID, ...] = ()
    nonce: Nonce | None = None
    cursor: Cursor | None = None


class RemoteChat(msgspec.Struct, frozen=True, tag="chat", omit_defaults=True, kw_only=True):
    """What a chat is like now. None means "not said", not "removed"; `name` and `topic` are removed by ``""``, `avatar`
    by an empty `Avatar.id`.

    `portal` says which chat, `kind` whether it is between two people or a group. `members` lists everybody where the
    network says so, our own account included. `cursor` is where the stream has got to with it.
    """

    portal: PortalKey
    kind: ChatKind = ChatKind.GROUP
    name: str | None = None
    topic: str | None = None
    avatar: Avatar | None = None
    members: tuple[RemoteUserID, ...] | None = None
    cursor: Cursor | None = None


class RemoteMember(msgspec.Struct, frozen=True, tag="member", omit_defaults=True, kw_only=True):
    """Somebody, `user`, joined the chat `portal` (`joined` is True) or left it.

    `cursor` is where the stream has got to with it.
    """

    portal: PortalKey
    user: RemoteUserID
    joined: bool
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


RemoteEvent = RemoteMessage | RemoteChat | RemoteMember | RemoteProfile | RemoteProgress | RemoteCaughtUp
"""What `Session.events` yields, alone or in a `Batch`."""


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

    `ids` are those that it gave it, several where it made several messages of it, none where it does not say.
    `timestamp` is the network's, in ms since the epoch, None if it says none. `confirmed` is False where only an echo
    will tell for sure; no difference is made by it yet.
    """

    ids: tuple[RemoteMessageID, ...]
    timestamp: int | None = None
    confirmed: bool = True


__all__ = [
    "Avatar",
    "Batch",
    "ChatID",
    "ChatKind",
    "Cursor",
    "Cursors",
    "Login",
    "LoginID",
    "MediaRef",
    "Nonce",
    "PortalKey",
    "RemoteCaughtUp",
    "RemoteChat",
    "RemoteEvent",
    "RemoteMember",
    "RemoteMessage",
    "RemoteMessageID",
    "RemoteProfile",
    "RemoteProgress",
    "RemoteUserID",
    "Sent",
]
