"""What the runtime needs from the outside, as Protocols. The composition root (`bridgekit.app`) plugs them in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from bridgekit.model.calls import SDPType
from bridgekit.model.entry import (
    Anchor,
    Append,
    Appended,
    Completion,
    DeadLetter,
    Direction,
    Entry,
    Lease,
    NewStaged,
    Repair,
    Repaired,
    Retention,
    Staged,
    Stats,
)
from bridgekit.model.ids import (
    CallID,
    ContentURI,
    DedupeKey,
    EventID,
    LaneKey,
    LegID,
    LoginID,
    Nonce,
    PortalKey,
    RemoteMessageID,
    RemoteUserID,
    RoomAlias,
    RoomID,
    TxnID,
    UserID,
)
from bridgekit.model.media import MediaStream, Reservation, Upload
from bridgekit.model.raw import MemberProfile, MessagesPage, RawEvent
from bridgekit.model.records import (
    CallRecord,
    Fact,
    Ghost,
    LoginRecord,
    MediaJob,
    Membership,
    MessageRecord,
    Picture,
    Portal,
    ReactionRecord,
    UncertainSaved,
)


class Journal(Protocol):
    """The durable, ordered record of what must still be done.

    Every method that writes returns only when the write is on disk (SQLite ``synchronous=FULL``, PostgreSQL
    ``synchronous_commit=on``). Writes that wait together are committed together. A cancelled caller leaves no SQL
    transaction open: its write happens wholly or not at all.

    Every write but those on the lease carries the holder's `epoch`.

    Raises: `StoreUnavailable` (try again; a repeat is harmless), `LeaseLost` (stop).
    """

    async def acquire_lease(self, owner: str, *, now: int, ttl_ms: int, replacing: int | None = None) -> Lease:
        """Become the one process that works here: a free, expired or own lease is taken with the next epoch.

        `replacing`: the epoch of a holder that is known to be dead, whose lease is taken although it has not expired.
        Raises `LeaseHeld` if somebody else holds it.
        """

    async def renew_lease(self, lease: Lease, *, now: int, ttl_ms: int) -> Lease:
        """Raises `LeaseLost` if another holder has taken it; an expired lease that nobody took is renewed."""

    async def release_lease(self, lease: Lease) -> None:
        """Give it up, if it is still ours."""

    async def read_lease(self) -> Lease | None:
        """Whose it is, expired or not; None if nobody has it."""

    async def append(self, append: Append, *, epoch: int) -> Appended:
        """Make new entries durable, in the order given, each with the next number of its lane.

        An entry whose `dedupe` key was seen before (pending, done or dead, within the retention) is left out, also
        within one call. Numbers are given out under the lane's lock: a lower one never appears after a higher one.

        After `StoreUnavailable` the outcome may be unknown. Do it again: if the first try had reached the disk, its
        entries now count as duplicates and are not returned, so look at their lanes with `peek`.

        With `unstage`, and none of these numbers there any more, it was done before: nothing is written, and all its
        entries count as duplicates.
        """

    async def stage(self, staged: NewStaged, *, epoch: int) -> int:
        """Make a pushed transaction durable as it is, to be unpacked later. Returns its number, which is higher than
        any given before; an `Append` that names it in `unstage` ends it.

        After `StoreUnavailable` the outcome may be unknown, and what is there all the same is found by `staged`.
        """

    async def staged(self, *, after: int = 0, limit: int = 100, max_bytes: int = 1 << 20) -> list[Staged]:
        """What is staged with a number above `after`, in order: the first, and as many more as fit into `max_bytes`
        with it. Empty only if there is none."""

    async def lanes(self, *, after: LaneKey | None = None, limit: int = 1000) -> list[LaneKey]:
        """The keys of lanes with pending entries, by key, from behind `after`."""

    async def peek(self, lane: LaneKey, *, after: int = 0, limit: int = 100) -> list[Entry]:
        """The lane's pending entries with a number above `after`, in order."""

    async def waiting(self, lane: LaneKey, dedupe: DedupeKey) -> Entry | None:
        """The pending entry of this key, if it is in this lane. As cheap in a long lane as in a short one."""

    async def complete(self, completions: Collection[Completion], *, epoch: int) -> None:
        """End entries, in one SQL transaction with their facts. One that is not pending only has its facts written."""

    async def defer(
        self, lane: LaneKey, seq: int, *, attempts: int, failed_since: int, not_before: int, epoch: int
    ) -> None:
        """An attempt failed and may be repeated: remember how often and until when to wait."""

    async def mark(
        self,
        lane: LaneKey,
        seq: int,
        *,
        at: int | None,
        progress: bytes | None = None,
        epoch: int,
        facts: Collection[Fact] = (),
    ) -> None:
        """Remember that an outside call may have begun (`at`) or that none has (None), and the handler's progress
        (None leaves what is there: parts that were sent stay sent)."""

    async def cancel(self, lane: LaneKey, event_id: EventID, *, epoch: int) -> DedupeKey | None:
        """Forget the pending entry of an event that was redacted before its turn. Returns its key; None if it was not
        pending, or if something of it may have been sent: it is marked, has progress, or was attempted."""

    async def repair(self, repair: Repair, *, epoch: int) -> Repaired:
        """Write a gap check's result: append what is missing in its place, renumber what is pending behind it, and
        move the anchor, in one SQL transaction.

        Afterwards the lane holds, in this order: what waits from before the old anchor, the timeline's events that are
        not done, and what came in while the check was reading. A repeat changes nothing.
        """

    async def anchor(self, room: RoomID) -> Anchor | None: ...

    async def dead_letters(
        self, *, after: int = 0, limit: int = 100, direction: Direction | None = None
    ) -> list[DeadLetter]: ...

    async def dead_letter(self, id: int) -> DeadLetter | None: ...

    async def retry_dead(self, id: int, *, now: int, epoch: int | None = None) -> Entry | None:
        """Append a dead letter at the end of its lane again. None if there is no such letter or it has no lane.
        It counts as received at `now`, and its kind says that it was retried (`Entry.is_retried`); if the same event
        came again by itself and waits already, that entry is returned. `epoch` None: called by the command line beside
        a running bridge, which learns of it by the value `RETRIED_BESIDE`."""

    async def drop_dead(self, id: int, *, epoch: int | None = None) -> bool: ...

    async def clean(self, retention: Retention, *, now: int, epoch: int) -> int:
        """Delete what is older than its retention; how many rows. Event ids that an anchor still needs are kept."""

    async def stats(self) -> Stats:
        """How much waits, and for how long. Cheap however much that is: it may be asked every few seconds."""


class Directory(Protocol):
    """What the bridge knows for good. Same promises as `Journal`."""

    async def record(self, facts: Collection[Fact], *, epoch: int) -> None: ...

    async def secret(self) -> bytes:
        """32 random bytes, made once with the database; keys for aliases and nonces."""

    async def value(self, key: str) -> str | None: ...

    async def portal(self, key: PortalKey) -> Portal | None: ...

    async def portal_by_room(self, room: RoomID) -> Portal | None: ...

    async def portals(self, *, after: PortalKey | None = None, limit: int = 1000) -> list[Portal]:
        """By key (chat, then receiver with None first), from behind `after`."""

    async def portal_logins(self, key: PortalKey) -> list[LoginID]:
        """Which logins see this portal, by id."""

    async def relays(self) -> dict[PortalKey, LoginID]:
        """The portals that have a relay, and through which login."""

    async def ghost(self, remote_id: RemoteUserID) -> Ghost | None: ...

    async def ghost_by_user(self, user_id: UserID) -> Ghost | None: ...

    async def logins(self, *, user_id: UserID | None = None) -> list[LoginRecord]:
        """All logins, or one Matrix user's, by id; with their stored state."""

    async def login(self, id: LoginID) -> LoginRecord | None: ...

    async def cursors(self, login: LoginID) -> dict[str, str]:
        """Scope -> value."""

    async def membership(self, room: RoomID, user_id: UserID) -> Membership | None: ...

    async def members(self, room: RoomID) -> list[UserID]:
        """Who is known to be joined, by id."""

    async def message_by_remote(self, portal: PortalKey, remote_id: RemoteMessageID) -> list[MessageRecord]:
        """The parts of a remote message in order, found by its id or an alias."""

    async def message_by_event(self, room: RoomID, event_id: EventID) -> MessageRecord | None: ...

    async def messages_by_event(self, room: RoomID, event_id: EventID) -> list[MessageRecord]:
        """All that the network made of an event, in order of their parts."""

    async def reactions(self, portal: PortalKey, target: RemoteMessageID) -> list[ReactionRecord]:
        """What is there on a message, oldest first."""

    async def reaction_by_event(self, room: RoomID, event_id: EventID) -> ReactionRecord | None: ...

    async def media_jobs(self, *, after: int = 0, limit: int = 1000) -> list[MediaJob]:
        """The files that are still to be carried with a number above `after`, in order."""

    async def media_job(self, id: str) -> MediaJob | None: ...

    async def picture(self, key: str) -> Picture | None:
        """Where a picture was put (`PictureSaved`)."""

    async def ongoing_calls(self) -> list[CallRecord]:
        """All calls that go on, by when they began."""

    async def uncertain(self, nonce: Nonce) -> UncertainSaved | None: ...

    async def management_room(self, user_id: UserID) -> RoomID | None: ...

    async def management_user(self, room: RoomID) -> UserID | None: ...


class Durations(Protocol):
    """How long something took, counted (`bridgekit.core.histogram`)."""

    total: float
    """The sum, in seconds."""

    def cumulative(self) -> list[tuple[str, int]]:
        """(upper bound in seconds, how many took at most that); the last bound is ``+Inf``."""


class Store(Journal, Directory, Protocol):
    """Both, on one database."""

    @property
    def commit_seconds(self) -> Durations:
        """How long commits took; stays empty where nothing is written to a disk."""

    async def open(self) -> None:
        """Connect and migrate. Safe when two processes start at once. Raises `MigrationFailed`, `StoreUnavailable`."""

    async def close(self) -> None:
        """Finish the writes that wait, then close."""


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> int:
        """Milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    async def sleep(self, seconds: float) -> None: ...


class Homeserver(Protocol):
    """The client-server API, as far as the runtime needs it. `user` None is the bridge's bot.

    Every method raises `HomeserverUnreachable` or `MatrixRequestError`, and no other error.
    `on_recovered` listeners are called at the first answer that follows a failure.
    """

    on_recovered: list[Callable[[], None]]

    async def capabilities(self) -> dict[str, Any]: ...

    async def register(self, localpart: str) -> UserID:
        """Register a user of our namespace. Already registered is success."""

    async def ensure_device(self, user: UserID, device_id: str | None = None) -> str:
        """Give a user a device (MSC4190), so that its transaction ids are remembered (MSC3970). Returns its id."""

    async def send_event(
        self,
        room: RoomID,
        type: str,
        content: Mapping[str, Any],
        *,
        txn_id: TxnID,
        user: UserID | None = None,
        device_id: str | None = None,
        timestamp: int | None = None,
    ) -> EventID: ...

    async def send_state(
        self, room: RoomID, type: str, state_key: str, content: Mapping[str, Any], *, user: UserID | None = None
    ) -> EventID: ...

    async def get_state(
        self, room: RoomID, type: str, state_key: str = "", *, user: UserID | None = None
    ) -> dict[str, Any] | None: ...

    async def redact(
        self,
        room: RoomID,
        event_id: EventID,
        *,
        txn_id: TxnID,
        reason: str | None = None,
        user: UserID | None = None,
        device_id: str | None = None,
    ) -> EventID: ...

    async def create_room(self, **body: Any) -> RoomID:
        """Never repeated by itself: a repeat would make a second room."""

    async def resolve_alias(self, alias: RoomAlias) -> RoomID | None: ...

    async def create_alias(self, alias: RoomAlias, room: RoomID) -> None: ...

    async def delete_alias(self, alias: RoomAlias) -> None: ...

    async def join(self, room: RoomID, *, user: UserID | None = None) -> None: ...

    async def invite(
        self, room: RoomID, target: UserID, *, by: UserID | None = None, is_direct: bool = False
    ) -> None: ...

    async def leave(self, room: RoomID, *, user: UserID | None = None, reason: str | None = None) -> None: ...

    async def joined_members(self, room: RoomID, *, user: UserID | None = None) -> list[UserID]: ...

    async def member_profiles(self, room: RoomID) -> dict[UserID, MemberProfile]:
        """Who is in the room, and what each is called there."""

    async def messages(
        self, room: RoomID, *, from_: str | None = None, dir: Literal["b", "f"] = "b", limit: int = 100
    ) -> MessagesPage: ...

    async def set_displayname(self, user: UserID | None, name: str) -> None: ...

    async def set_avatar_url(self, user: UserID | None, mxc: ContentURI | Literal[""]) -> None: ...

    async def set_typing(self, room: RoomID, user: UserID, timeout_ms: int) -> None:
        """Say that a user of ours is writing; 0: has stopped."""

    async def send_receipt(self, room: RoomID, event_id: EventID, *, user: UserID | None = None) -> None:
        """Say that a user of ours (None: the bot) has read up to an event (``m.read``)."""

    async def kick(
        self, room: RoomID, target: UserID, *, by: UserID | None = None, reason: str | None = None
    ) -> None: ...

    async def ban(
        self, room: RoomID, target: UserID, *, by: UserID | None = None, reason: str | None = None
    ) -> None: ...

    async def unban(self, room: RoomID, target: UserID, *, by: UserID | None = None) -> None: ...

    async def upload(self, data: bytes, *, mimetype: str, filename: str | None = None) -> ContentURI: ...

    async def get_event(self, room: RoomID, event_id: EventID) -> RawEvent | None:
        """An event of a room that the bot is in, as it is now (edited events as they were sent); None if it is not
        there."""

    async def media_limit(self) -> int | None:
        """The largest file that the server takes, in bytes (``m.upload.size``); None if it does not say. Asked of the
        server once an hour at most."""

    async def reserve_media(self, *, user: UserID | None = None) -> Reservation:
        """A place for a file that comes later (MSC2246). 404 M_UNRECOGNIZED: the server cannot. A 429 is not waited
        for: it may ask for a day."""

    async def fill_media(self, uri: ContentURI, chunks: AsyncIterator[bytes], upload: Upload) -> None:
        """Put the bytes into a place that the same user reserved; never repeated by itself. 409
        M_CANNOT_OVERWRITE_MEDIA: it is filled already. 403: another user reserved it. 404: it has expired. 413, or
        `HomeserverUnreachable` where the server hangs up instead: larger than `media_limit`. Raises `WrongSize` where
        `chunks` yield more or fewer bytes than was said; then nothing was taken. What `chunks` raises comes out as it
        is."""

    async def upload_media(self, chunks: AsyncIterator[bytes], upload: Upload) -> ContentURI:
        """Upload a file the old way, without a reservation; otherwise as `fill_media`."""

    def open_media(self, uri: str, *, timeout_ms: int = 20_000) -> AbstractAsyncContextManager[MediaStream]:
        """A file on Matrix as a stream, its redirects followed (MSC3860, MSC3916). Raises `MatrixRequestError` on
        entering: 400 M_INVALID_PARAM for what is no ``mxc://`` URI, 404, 504 M_NOT_YET_UPLOADED after `timeout_ms`;
        `HomeserverUnreachable` also while reading, when the connection breaks or the stream ends early."""


class MediaGateway(Protocol):
    """A relay of media for networks whose calls are not WebRTC: it stands between the two ends, and each description
    that crosses is rewritten by it. bridgekit ships none; without one, media flow straight between the ends.

    Each method is called once for each description, in the call's order; a repeat after a crash must give the same.
    Raises anything: the call ends with `CallEnd.MEDIA_FAILED`. Longer than 5 s is a failure.
    """

    async def to_remote(self, portal: PortalKey, call: CallID, leg: LegID, type: SDPType, sdp: str) -> str:
        """What the network's end is told of Matrix's: `sdp` is what Matrix's end said."""

    async def to_matrix(self, portal: PortalKey, call: CallID, leg: LegID, type: SDPType, sdp: str) -> str:
        """What Matrix's end is told of the network's: `sdp` is what the network's end said."""

    async def ended(self, portal: PortalKey, call: CallID) -> None:
        """The call is over: let go of it. One that is unknown is success."""
