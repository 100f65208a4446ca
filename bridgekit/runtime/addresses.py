"""Which lane an event from the network goes to, and what makes a repeat of it recognisable.

In a chat that several logins see, the network says everything several times. One login is the chat's *source*: what it
yields goes straight into the portal's lane. What the others yield are copies; they wait in a lane of their own for the
source's to come first, and are bridged only if it does not, because the source is away or cannot see that message.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable

import msgspec

from bridgekit.core.call.route import remote_lane_of
from bridgekit.core.catch_up import OLD_CHANGE_KIND, OLD_KIND, is_old
from bridgekit.core.lane import (
    copy_lane,
    delete_key,
    edit_key,
    login_event_key,
    message_key,
    reaction_key,
    remote_lane,
    user_lane,
)
from bridgekit.core.rooms import clean
from bridgekit.core.txnid import is_our_nonce
from bridgekit.errors import StoreError
from bridgekit.model.calls import RemoteCall
from bridgekit.model.entry import Direction, NewDeadLetter, NewEntry
from bridgekit.model.ids import DedupeKey, LaneKey, LoginID, PortalKey
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import (
    Passing,
    RemoteCaughtUp,
    RemoteChat,
    RemoteChatDeleted,
    RemoteDelete,
    RemoteEdit,
    RemoteEvent,
    RemoteIdentityChanged,
    RemoteMember,
    RemoteMessage,
    RemoteProfile,
    RemoteProgress,
    RemoteReaction,
)
from bridgekit.ports import Clock
from bridgekit.runtime.books import Books
from bridgekit.runtime.echoes import Echoes
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.lease import LeaseKeeper

log = logging.getLogger(__name__)

Copied = RemoteMessage | RemoteEdit | RemoteDelete | RemoteReaction | RemoteChatDeleted
"""What every login's word counts for: only the repeats of others are dropped."""

Bridged = Copied | RemoteChat | RemoteMember | RemoteProfile
"""What becomes an entry of the journal."""

_KINDS: dict[type, str] = {
    RemoteMessage: "message",
    RemoteEdit: "edit",
    RemoteDelete: "delete",
    RemoteReaction: "reaction",
    RemoteChat: "chat",
    RemoteChatDeleted: "chat_deleted",
    RemoteMember: "member",
    RemoteProfile: "profile",
}

_encode_json = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Bridged).decode
"""The event in an entry's payload."""

CALL_KIND = "call"
decode_call = msgspec.json.Decoder(RemoteCall).decode
"""The same of an entry in a call's lane that the network led to."""


def _encode(event: Bridged | RemoteCall) -> bytes:
    try:
        return _encode_json(event)
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can carry into a text and UTF-8 can not.
        return _encode_json(_mended(msgspec.to_builtins(event)))


def content_key(event: Copied) -> DedupeKey | None:
    """The dedupe key that an event has in its chat's lane, whichever login yields it; None if nothing in it tells a
    repeat from a second occurrence."""
    match event:
        case RemoteMessage():
            return DedupeKey(message_key(event.portal, event.id))
        case RemoteEdit():
            return edit_key(event.portal, event.target, event.revision)
        case RemoteDelete():
            return delete_key(event.portal, event.target)
        case RemoteReaction() if event.occurrence:
            return reaction_key(
                event.portal,
                event.target,
                event.sender,
                event.emoji_id or event.emoji,
                added=event.added,
                occurrence=event.occurrence,
            )
    return None


def _mended(value: object) -> object:
    match value:
        case str():
            return clean(value)
        case dict():
            return {_mended(key): _mended(each) for key, each in value.items()}
        case list() | tuple():
            return [_mended(each) for each in value]
    return value


class Addresses:
    """Makes journal entries of what sessions yield. `is_connected` tells whether a login has a live session."""

    def __init__(
        self,
        books: Books,
        lanes: Lanes,
        lease: LeaseKeeper,
        clock: Clock,
        is_connected: Callable[[LoginID], bool],
        *,
        older_than_ms: int,
    ) -> None:
        self._books = books
        self._lanes = lanes
        self._lease = lease
        self._clock = clock
        self._is_connected = is_connected
        self._older_than_ms = older_than_ms
        self._count = 0
        self.echoes = Echoes()

    async def entries(
        self, events: Iterable[RemoteEvent], record: LoginRecord, connected_at: int
    ) -> tuple[tuple[NewEntry, ...], tuple[NewDeadLetter, ...]]:
        """The entries for what a session, connected since `connected_at` (ms), yielded at once. What cannot even be
        written down becomes a dead letter: it must not come back for ever and hold up all that follows. Raises
        `StoreError`."""
        entries: list[NewEntry] = []
        dead: list[NewDeadLetter] = []
        for event in events:
            if isinstance(event, RemoteIdentityChanged):
                # Before all that follows it is written down, or some of that could still make a second ghost.
                await self._books.identity_changed(event.old, event.new)
                continue
            if isinstance(event, RemoteProgress | RemoteCaughtUp | Passing):
                continue
            try:
                if isinstance(event, RemoteCall):
                    entries.append(self._call_entry(event, record.login.id))
                    continue
                entry = await self.entry(event, record)
                if entry is not None:
                    entry = self._aged(entry, event, connected_at)
            except StoreError:
                raise
            except Exception:
                log.exception("an adapter yielded something malformed; it is kept as a dead letter")
                dead.append(self._malformed(event, record.login.id))
            else:
                if entry is not None:
                    entries.append(entry)
        return tuple(entries), tuple(dead)

    def _aged(self, entry: NewEntry, event: Bridged, connected_at: int) -> NewEntry:
        """Decided now and kept with the entry: a message grows no older by waiting here."""
        if not isinstance(event, RemoteMessage | RemoteEdit | RemoteReaction) or entry.lane == user_lane(event.sender):
            return entry  # what we sent ourselves says nothing in the room
        if not is_old(event.timestamp, connected_at=connected_at, older_than_ms=self._older_than_ms):
            return entry
        return msgspec.structs.replace(entry, kind=OLD_KIND if isinstance(event, RemoteMessage) else OLD_CHANGE_KIND)

    def _malformed(self, event: object, login: LoginID) -> NewDeadLetter:
        payload = repr(event).encode("utf-8", "replace")
        digest = hashlib.sha256(payload).hexdigest()
        return NewDeadLetter(
            lane=None,
            direction=Direction.REMOTE,
            kind=_KINDS.get(type(event), "malformed"),
            payload=payload,
            received_at=self._clock.now(),
            code="malformed",
            reason="the adapter yielded something that is no valid event",
            dedupe=DedupeKey(login_event_key(login, "\x00malformed", digest, "")),
        )

    async def entry(self, event: Bridged, record: LoginRecord) -> NewEntry | None:
        """The entry for an event; None for one that the source says too, and whose repeat would do harm."""
        login, payload = record.login.id, _encode(event)
        if isinstance(event, RemoteProfile):
            return self._entry(event, login, user_lane(event.user), self._stateful_key(event, login, payload), payload)
        lane = remote_lane(event.portal)
        source = await self.source(event.portal, login)
        if isinstance(event, RemoteChat | RemoteMember):
            if source != login:
                # A late copy of "joined" after "left" would bring somebody back.
                return None
            return self._entry(event, login, lane, self._stateful_key(event, login, payload), payload)
        key = content_key(event)
        if key is None:
            if isinstance(event, RemoteReaction) and source != login:
                return None  # as with members
            # Of a chat that is gone every login speaks for itself.
            key = DedupeKey(self._stateful_key(event, login, payload))
        if isinstance(event, RemoteMessage) and self._books.identities.same(event.sender, record.login.user):
            ours = event.nonce is not None and is_our_nonce(self._books.secret, event.portal, event.nonce)
            self.echoes.note(event.portal, event.id, ours=ours)
            if ours:
                # The echo of what this login sent: only this login's copy has the nonce, and it says nothing in the
                # room. In a lane apart, because the source's copy may wait in the room's for what this one tells.
                echo = message_key(event.portal, event.id, "echo")
                return self._entry(event, login, user_lane(event.sender), echo, payload)
        copies = copy_lane(event.portal, login)
        if source != login or self._lanes.is_busy(copies):
            # A login that has just become the source goes on behind its own copies, or it would overtake them.
            return self._entry(event, login, copies, f"copy\x1f{login_event_key(login, lane, key, '')}", payload)
        return self._entry(event, login, lane, key, payload)

    def _call_entry(self, event: RemoteCall, login: LoginID) -> NewEntry:
        payload = _encode(event)
        lane = remote_lane_of(event.call)
        return self._entry(event, login, lane, self._stateful_key(event, login, payload), payload)

    async def source(self, portal: PortalKey, login: LoginID) -> LoginID:
        """Whose word counts for a chat, when `login` has something to say: the first connected login that sees it."""
        if portal.receiver is not None:
            return login
        for record in await self._books.portal_logins(portal):
            if record.login.id == login or self._is_connected(record.login.id):
                return record.login.id
        return login

    def _stateful_key(self, event: Bridged | RemoteCall, login: LoginID, payload: bytes) -> str:
        if event.cursor is not None:
            digest = hashlib.sha256(payload).hexdigest()[:32]
            return login_event_key(login, event.cursor.scope, event.cursor.value, digest)
        # No id and no cursor: nothing tells a repeat from a second occurrence, and carrying it out twice does no harm.
        self._count += 1
        return login_event_key(login, "\x00", f"{self._lease.epoch}/{self._clock.now()}/{self._count}", "")

    def _entry(
        self, event: Bridged | RemoteCall, login: LoginID, lane: LaneKey, dedupe: str, payload: bytes
    ) -> NewEntry:
        return NewEntry(
            lane=lane,
            dedupe=DedupeKey(dedupe),
            direction=Direction.REMOTE,
            kind=CALL_KIND if isinstance(event, RemoteCall) else _KINDS[type(event)],
            payload=payload,
            received_at=self._clock.now(),
            login=login,
        )
