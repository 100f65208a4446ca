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
    """A file of a message by reference, never bytes. `size` is in bytes."""

    id: str
    name: str = ""
    mimetype: str = ""
    size: int | None = None


class ChatKind(StrEnum):
    """What a chat is to its members."""

    DIRECT = "direct"  # two people
    GROUP = "group"


class RemoteMessage(msgspec.Struct, frozen=True, tag="message", omit_defaults=True, kw_only=True):
    """A message in a remote chat, of anybody, ourselves included.

    `id` is unique in the chat; `aliases` are other ids under which the network may speak of it. `nonce` is what the
    network gives back of ours, if it does: then the message is recognised as our own echo.
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
    """What a chat is like now. None means "not said", not "removed"; `name` and `topic` are removed by ``""``.

    `members` lists everybody where the network says so, our own account included.
    """

    portal: PortalKey
    kind: ChatKind = ChatKind.GROUP
    name: str | None = None
    topic: str | None = None
    avatar: Avatar | None = None
    members: tuple[RemoteUserID, ...] | None = None
    cursor: Cursor | None = None


class RemoteMember(msgspec.Struct, frozen=True, tag="member", omit_defaults=True, kw_only=True):
    """Somebody joined (`joined`) or left a chat."""

    portal: PortalKey
    user: RemoteUserID
    joined: bool
    cursor: Cursor | None = None


class RemoteProfile(msgspec.Struct, frozen=True, tag="profile", omit_defaults=True, kw_only=True):
    """What a person is called and looks like. None means "not said"."""

    user: RemoteUserID
    name: str | None = None
    avatar: Avatar | None = None
    cursor: Cursor | None = None


class RemoteProgress(msgspec.Struct, frozen=True, tag="progress", kw_only=True):
    """Nothing to bridge, but the stream went on: remember the cursor."""

    cursor: Cursor


class RemoteCaughtUp(msgspec.Struct, frozen=True, tag="caught_up", omit_defaults=True, kw_only=True):
    """Everything that was there when the connection was opened has been yielded; what follows is live.

    Optional: it lets the bridge see at once how much there was to catch up. Without it that takes some quiet seconds.
    """

    cursor: Cursor | None = None


RemoteEvent = RemoteMessage | RemoteChat | RemoteMember | RemoteProfile | RemoteProgress | RemoteCaughtUp


class Batch(msgspec.Struct, frozen=True):
    """Several events that become durable together, with the session's own state (ratchets, tokens).

    `state` replaces the stored state; None leaves it.
    """

    events: tuple[RemoteEvent, ...] = ()
    state: bytes | None = None


class Login(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One remote account of one Matrix user, as `Adapter.login` returned it.

    `user` is the account's own remote user id (its messages are echoes, it gets no ghost in its own portals);
    `secrets` is what `connect` needs, kept as given; `state` is the last `Batch.state`.
    """

    id: LoginID
    user: RemoteUserID
    name: str = ""
    secrets: dict[str, str] = {}
    state: bytes | None = None


class Sent(msgspec.Struct, frozen=True):
    """The network took a message: the ids it gave to it. `confirmed=False`: only an echo will tell for sure."""

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
