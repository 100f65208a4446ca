"""What people on Matrix did, as the adapter sees it: frozen values, named ``Matrix*``, without a Matrix id in them."""

from __future__ import annotations

import msgspec

from bridgekit.model.content import MentionTarget, Text
from bridgekit.model.ids import Nonce, PortalKey, RemoteMessageID, RemoteUserID
from bridgekit.model.media import Location, MatrixMedia


class Speaker(msgspec.Struct, frozen=True):
    """Who speaks. `relayed` is True when it is not the login's own person but somebody without a login.

    Then, if the session's `Limits.shows_speaker` says so, show `name` (on one line, unlike anybody else's in the room,
    at most 340 code points) and the picture; otherwise the framework has written the name into the text. `avatar_url`
    is where anybody can fetch the picture, empty if there is none.
    """

    name: str
    relayed: bool = False
    avatar_url: str = ""


class MatrixMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A text, a file or a place to send. One call per part where `Limits` made the framework split it; each part has
    its own `nonce`.

    `portal` is the chat to send it to. `text` fits `Session.limits`; of a file it is the caption. `nonce` stays the
    same over repeats of the same part: give it to the network, and a repeat does no harm. `timestamp` is the
    homeserver's, in ms since the epoch. `speaker` is who wrote it, the login's own person unless `Speaker.relayed`.
    `reply_to` is the message that this one answers, None if it answers none, or one that never crossed; `thread` the
    first message of its thread. `hidden_mentions`: who is to be notified though the text does not name them; only
    where `Limits.hidden_mentions` says that the network can. `media` is the file, where the session has
    `CanUploadMedia`; `location` the place, where `Limits.locations` says that the network can.
    """

    portal: PortalKey
    text: Text
    nonce: Nonce
    timestamp: int
    speaker: Speaker
    reply_to: RemoteMessageID | None = None
    thread: RemoteMessageID | None = None
    hidden_mentions: tuple[MentionTarget, ...] = ()
    media: MatrixMedia | None = None
    location: Location | None = None


class MatrixEdit(msgspec.Struct, frozen=True, kw_only=True):
    """A message says something else now: `text` is all of it.

    `portal` is its chat, `target` the id that the network gave to it; a message of several parts gives one edit per
    part. `nonce` stays the same over repeats. `timestamp` is the homeserver's, in ms since the epoch. `speaker` as in
    `MatrixMessage`; `hidden_mentions` too: people who were not mentioned before.
    """

    portal: PortalKey
    target: RemoteMessageID
    text: Text
    nonce: Nonce
    timestamp: int
    speaker: Speaker
    hidden_mentions: tuple[MentionTarget, ...] = ()


class MatrixDelete(msgspec.Struct, frozen=True, kw_only=True):
    """A message is to be deleted for everybody.

    `portal` is its chat, `target` the id that the network gave to it. `speaker` is who wants that, `timestamp` when,
    in ms since the epoch. `reason` is in the deleter's words, often empty.
    """

    portal: PortalKey
    target: RemoteMessageID
    timestamp: int
    speaker: Speaker
    reason: str = ""


class MatrixReaction(msgspec.Struct, frozen=True, kw_only=True):
    """A reaction of the login's own person to a message. Given to `react`, and to `unreact` when it is taken back.

    `portal` is the chat, `target` the message's id at the network. `emoji` as in `RemoteReaction`, one that
    `Limits.reactions` allows; `emoji_id` is the network's id of a picture of its own. `nonce` stays the same over
    repeats. `timestamp` is the homeserver's, in ms since the epoch.
    """

    portal: PortalKey
    target: RemoteMessageID
    emoji: str
    nonce: Nonce
    timestamp: int
    emoji_id: str = ""


class MatrixReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The login's own person has read the chat `portal` up to the message `up_to`; `timestamp` says when, in ms since
    the epoch."""

    portal: PortalKey
    up_to: RemoteMessageID
    timestamp: int


class MatrixTyping(msgspec.Struct, frozen=True, kw_only=True):
    """The login's own person is writing in the chat `portal` (`typing` is True), or has stopped."""

    portal: PortalKey
    typing: bool


class MatrixMember(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody on Matrix invites the remote person `user` into the chat `portal`, removes or bans them.

    `reason` is in words, often empty.
    """

    portal: PortalKey
    user: RemoteUserID
    reason: str = ""
