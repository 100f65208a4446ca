"""What the bridge knows for good: portals, ghosts, logins, and which event is which remote message.

A `Fact` is one thing to write down. Facts are idempotent upserts: writing one twice is writing it once.
All times are milliseconds since the epoch.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

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
from bridgekit.model.remote import Login


class Direction(StrEnum):
    """Where something comes from."""

    MATRIX = "matrix"
    REMOTE = "remote"


class PortalState(StrEnum):
    """How far a portal's room is. It is written before createRoom is called, so that a crash cannot forget it."""

    CREATING = "creating"
    READY = "ready"


class LoginState(StrEnum):
    """Whether a login may be connected."""

    ACTIVE = "active"
    BAD_CREDENTIALS = "bad_credentials"


class Portal(msgspec.Struct, frozen=True, kw_only=True):
    """A portal and what its room looks like now, so that state is compared before it is written.

    `room` is set when createRoom has answered or its alias was resolved. `avatar` is the remote avatar's id that
    `avatar_mxc` was uploaded from. `dm` is whether the remote chat is between two people.
    """

    key: PortalKey
    state: PortalState
    alias_localpart: str
    room: RoomID | None = None
    name: str = ""
    topic: str = ""
    avatar: str = ""
    avatar_mxc: ContentURI | None = None
    dm: bool = False


class Ghost(msgspec.Struct, frozen=True, kw_only=True):
    """A remote user's Matrix user. `registered` is set when the homeserver has it; `device_id` is its device, needed
    so that transaction ids are remembered (MSC3970)."""

    remote_id: RemoteUserID
    user_id: UserID
    registered: bool = False
    device_id: str = ""
    name: str = ""
    avatar: str = ""
    avatar_mxc: ContentURI | None = None


class LoginRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A login and the Matrix user it belongs to."""

    login: Login
    user_id: UserID
    state: LoginState = LoginState.ACTIVE


class MessageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """This event is that remote message. A message of several parts has several records with `part` from 0.

    `sender` is the Matrix user that sent the event, `timestamp` the original one. `file`: the event is a file of the
    network's message, not (only) its text.
    """

    portal: PortalKey
    remote_id: RemoteMessageID
    part: int
    room: RoomID
    event_id: EventID
    sender: UserID
    timestamp: int
    file: bool = False


class MediaJob(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is still to be carried across, so that nothing waits for it.

    `id` is unique in the bridge. `direction` is where the file comes from. It belongs to the message `message` (the
    network's id, or the event's) of `portal`, and goes through `login`. `payload` is what its carrier noted, opaque to
    the store. `attempts` and `failed_since` are of the current row of failures, `not_before` is when it may be tried
    again (0: at once). `number` orders them; the store gives it, with the first write, and it stays.
    """

    id: str
    direction: Direction
    portal: PortalKey
    message: str
    login: LoginID
    payload: bytes
    created_at: int
    attempts: int = 0
    failed_since: int | None = None
    not_before: int = 0
    number: int = 0


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call that goes on, kept so that a restart of the bridge does not end it. `id` is unique in the bridge; `login`
    is the one that it goes through; `memory` is what it needs to go on, opaque to the store; `at` is when it began."""

    id: str
    portal: PortalKey
    login: LoginID
    memory: bytes
    at: int


class ReactionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A reaction that is there on both sides. `target` is the message's id as the bridge knows it (no alias);
    `sender` the Matrix user that sent `event_id`: a ghost for a reaction of the network's people."""

    portal: PortalKey
    target: RemoteMessageID
    sender: UserID
    emoji: str
    room: RoomID
    event_id: EventID
    emoji_id: str = ""
    timestamp: int = 0


class Membership(StrEnum):
    """A ghost's membership, as far as the bridge knows."""

    JOINED = "joined"
    LEFT = "left"


# --- facts ------------------------------------------------------------------------------------------------------
class Picture(msgspec.Struct, frozen=True):
    """Where a picture was put, and when (ms) it was used last, to within a week."""

    uri: ContentURI
    used_at: int


class PortalSaved(msgspec.Struct, frozen=True, tag=True):
    portal: Portal


class PortalRemoved(msgspec.Struct, frozen=True, tag=True):
    """Forgets a portal and which logins see it; its messages stay known."""

    key: PortalKey


class GhostSaved(msgspec.Struct, frozen=True, tag=True):
    ghost: Ghost


class LoginSaved(msgspec.Struct, frozen=True, tag=True):
    """Inserts or replaces a login; `login.state` is not written by this (sessions' batches write it)."""

    record: LoginRecord


class LoginRemoved(msgspec.Struct, frozen=True, tag=True):
    """Forgets a login with its cursors, its state and its places in portals."""

    id: LoginID


class PortalLoginSaved(msgspec.Struct, frozen=True, tag=True):
    """This login sees that portal."""

    portal: PortalKey
    login: LoginID


class PortalLoginRemoved(msgspec.Struct, frozen=True, tag=True):
    portal: PortalKey
    login: LoginID


class RelaySaved(msgspec.Struct, frozen=True, tag=True):
    """Through this login people without one speak in that portal. Forgotten with the login, and with the portal."""

    portal: PortalKey
    login: LoginID


class RelayRemoved(msgspec.Struct, frozen=True, tag=True):
    """People without a login do not speak in that portal any more."""

    portal: PortalKey


class MemberSaved(msgspec.Struct, frozen=True, tag=True):
    room: RoomID
    user_id: UserID
    membership: Membership


class MessageSaved(msgspec.Struct, frozen=True, tag=True):
    message: MessageRecord


class MessageDeleted(msgspec.Struct, frozen=True, tag=True):
    """The message was deleted on both sides: its parts, aliases and reactions are forgotten. Its dedupe key is not."""

    portal: PortalKey
    remote_id: RemoteMessageID


class PartsDeleted(msgspec.Struct, frozen=True, tag=True):
    """Of a message the parts from number `first` on are no more; the others, its aliases and reactions stay."""

    portal: PortalKey
    remote_id: RemoteMessageID
    first: int


class MediaJobSaved(msgspec.Struct, frozen=True, tag=True):
    """Inserts or replaces a file's job; its `number` and `created_at` stay what they were."""

    job: MediaJob


class MediaJobEnded(msgspec.Struct, frozen=True, tag=True):
    """The file is across, or will never be; or its message was deleted."""

    id: str


class PictureSaved(msgspec.Struct, frozen=True, tag=True):
    """A picture (an avatar) is on the homeserver: `key` says which, by its bytes or by the network's id of it; it was
    used `at` (ms)."""

    key: str
    uri: ContentURI
    at: int


class PictureUsed(msgspec.Struct, frozen=True, tag=True):
    """The picture was used again, by whichever of its keys: all of them are kept for longer. `at` in ms."""

    uri: ContentURI
    at: int


class CallSaved(msgspec.Struct, frozen=True, tag=True):
    """Inserts or replaces a call that goes on."""

    call: CallRecord


class CallForgotten(msgspec.Struct, frozen=True, tag=True):
    """The call is over, and nothing of it is left to be done."""

    id: str


class ReactionSaved(msgspec.Struct, frozen=True, tag=True):
    """Inserts or replaces the reaction of this sender with this emoji to that message."""

    reaction: ReactionRecord


class ReactionRemoved(msgspec.Struct, frozen=True, tag=True):
    portal: PortalKey
    target: RemoteMessageID
    sender: UserID
    emoji: str


class AliasSaved(msgspec.Struct, frozen=True, tag=True):
    """The network also calls this message by another id."""

    portal: PortalKey
    alias: RemoteMessageID
    remote_id: RemoteMessageID


class UncertainSaved(msgspec.Struct, frozen=True, tag=True):
    """A send whose outcome is unknown; an echo with this nonce turns it into done."""

    nonce: Nonce
    portal: PortalKey
    room: RoomID
    event_id: EventID
    sender: UserID
    part: int
    at: int


class UncertainResolved(msgspec.Struct, frozen=True, tag=True):
    nonce: Nonce


class ManagementRoomSaved(msgspec.Struct, frozen=True, tag=True):
    """The room in which this user talks to the bridge bot."""

    user_id: UserID
    room: RoomID


class ValueSaved(msgspec.Struct, frozen=True, tag=True):
    """A small named value of the bridge itself (the bot's own room, for instance)."""

    key: str
    value: str


Fact = (
    PortalSaved
    | PortalRemoved
    | GhostSaved
    | LoginSaved
    | LoginRemoved
    | PortalLoginSaved
    | PortalLoginRemoved
    | RelaySaved
    | RelayRemoved
    | MemberSaved
    | MessageSaved
    | MessageDeleted
    | PartsDeleted
    | MediaJobSaved
    | MediaJobEnded
    | PictureSaved
    | PictureUsed
    | CallSaved
    | CallForgotten
    | ReactionSaved
    | ReactionRemoved
    | AliasSaved
    | UncertainSaved
    | UncertainResolved
    | ManagementRoomSaved
    | ValueSaved
)
