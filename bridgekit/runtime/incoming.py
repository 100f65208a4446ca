"""Remote in: the head of a remote lane becomes events in a portal's room."""

from __future__ import annotations

import asyncio
import functools
import logging

import msgspec

from bridgekit.adapter.base import Session
from bridgekit.adapter.capabilities import CanSend, capability
from bridgekit.core.lane import matrix_lane
from bridgekit.core.rooms import known_room
from bridgekit.core.to_matrix import JSON, KEY, as_notice, message_contents, notice_content
from bridgekit.core.txnid import event_txn_id, is_our_nonce
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError
from bridgekit.model.content import MentionTarget, MentionUser
from bridgekit.model.entry import Ending, Entry
from bridgekit.model.ids import EventID, PortalKey, RemoteMessageID, RoomID, TxnID, UserID
from bridgekit.model.records import (
    AliasSaved,
    Fact,
    Ghost,
    LoginRecord,
    LoginState,
    MessageRecord,
    MessageSaved,
    Portal,
    PortalState,
    UncertainResolved,
)
from bridgekit.model.remote import RemoteChat, RemoteMember, RemoteMessage, RemoteProfile
from bridgekit.ports import Homeserver
from bridgekit.runtime import points
from bridgekit.runtime.books import Books
from bridgekit.runtime.catching_up import CatchingUp
from bridgekit.runtime.chats import Chats
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Handled, Lane, Lanes, WaitFor
from bridgekit.runtime.portals import Portals, describer_of
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

LOOK_BACK_PAGES = 20
"""How far back an event is looked for whose transaction id the homeserver has forgotten: so many pages of 100."""

OWN_COPY_WAIT_S = 5.0
"""How long what a person said in a chat waits for the person's own session to tell whether we have sent it."""

_decode = msgspec.json.Decoder(RemoteMessage | RemoteChat | RemoteMember | RemoteProfile).decode


class _Content(msgspec.Struct):
    content: dict[str, object] = {}


_decode_content = msgspec.json.Decoder(_Content).decode


class Incoming:
    """Carries out the entries of remote lanes."""

    def __init__(
        self,
        books: Books,
        homeserver: Homeserver,
        portals: Portals,
        ghosts: Ghosts,
        sessions: Sessions,
        lanes: Lanes,
        retrying: Retrying,
        chats: Chats,
        catching_up: CatchingUp,
        *,
        bot: UserID,
    ) -> None:
        self._books = books
        self._homeserver = homeserver
        self._portals = portals
        self._ghosts = ghosts
        self._sessions = sessions
        self._lanes = lanes
        self._retrying = retrying
        self._chats = chats
        self._catching_up = catching_up
        self._bot = bot

    async def handle(self, entry: Entry, lane: Lane) -> Handled:
        """Carry out the head of a remote lane. Raises `RetryLater`, `WaitFor`."""
        event = _decode(entry.payload)
        handled = await self._handle(event, entry, lane)
        if handled.dead is not None and not isinstance(event, RemoteProfile):
            self._portals.gave_up(event.portal)
        return handled

    async def _handle(
        self, event: RemoteMessage | RemoteChat | RemoteMember | RemoteProfile, entry: Entry, lane: Lane
    ) -> Handled:
        record = self._books.login(entry.login) if entry.login is not None else None
        if record is None:
            return Handled(dead=self._retrying.ending("no_login", "the login that received it has logged out"))
        if not self._sessions.may_connect(record) and not await self._has_room(event):
            # Nobody is invited who may not use the bridge any more; rooms that are there go on for the others.
            return Handled(dead=self._retrying.ending("forbidden", f"{record.user_id} may not use this bridge"))
        session = await self._session(record, event)
        try:
            match event:
                case RemoteMessage():
                    return await self._message(event, entry, lane, record, session)
                case RemoteChat():
                    await self._chats.chat(event, record, session)
                case RemoteMember():
                    await self._chats.member(event, session)
                case RemoteProfile():
                    await self._ghosts.update(event, describer_of(session))
        except (HomeserverUnreachable, MatrixRequestError) as error:
            ending = self._retrying.homeserver_failed(entry, error)
            log.error("an event from the network could not be bridged: %s", error, extra={"lane": entry.lane})
            if isinstance(event, RemoteMessage):
                await self._tell(event, ending)
            return Handled(dead=ending)
        return Handled()

    async def _has_room(self, event: RemoteMessage | RemoteChat | RemoteMember | RemoteProfile) -> bool:
        """Whether carrying this out makes no room."""
        if not isinstance(event, RemoteMessage | RemoteChat):
            return True
        portal = await self._books.portal(event.portal)
        return portal is not None and portal.state is PortalState.READY

    async def _session(
        self, record: LoginRecord, event: RemoteMessage | RemoteChat | RemoteMember | RemoteProfile
    ) -> Session | None:
        """The session to ask for names. A room or ghost that is still to be made waits for it, or it would be made
        without its name; everything else goes on without."""
        session = self._sessions.session(record.login.id)
        if session is not None or record.state is not LoginState.ACTIVE or not self._sessions.may_connect(record):
            return session
        if (isinstance(event, RemoteMessage | RemoteChat) and await self._books.portal(event.portal) is None) or (
            isinstance(event, RemoteMessage) and await self._books.ghost(event.sender) is None
        ):
            raise WaitFor(functools.partial(self._sessions.until_connected, record.login.id))
        return None

    # --- messages -------------------------------------------------------------------------------------------------
    async def _message(
        self, message: RemoteMessage, entry: Entry, lane: Lane, record: LoginRecord, session: Session | None
    ) -> Handled:
        if self._books.is_own_account(message.sender) or self._may_be_relayed(message, session):
            facts = await self._own_echo(message, record)
            if facts is not None:
                return Handled(facts=tuple(facts))
        turn = await self._catching_up.turn(message, entry, lane)
        if turn.ended is not None and turn.told is None:
            return turn.ended
        portal = await self._portals.ensure(message.portal, record, session)
        room = known_room(portal.room)
        if turn.told is not None:
            await self._catching_up.tell(room, message, turn.told)
        if turn.ended is not None:
            return turn.ended
        ghost = await self._ghosts.ensure(message.sender, describer_of(session))
        await self._ghosts.ensure_joined(room, ghost)
        contents = await self._contents(message, portal, ghost, lane)
        looked_up: dict[str, EventID] = {}
        old = self._retrying.clock.now() - entry.received_at > self._retrying.delivery.txn_memory_ms
        if old and (entry.attempts or lane.may_have_been_tried(entry)):
            looked_up = await self._already_there(room, ghost, {txn_id for txn_id, _ in contents})
        saved: list[Fact] = [AliasSaved(message.portal, alias, message.id) for alias in message.aliases]
        for part, (txn_id, content) in enumerate(contents):
            event_id = looked_up.get(txn_id)
            if event_id is None:
                words = as_notice(content) if turn.quiet else content
                event_id = await self._send(room, ghost, words, txn_id, message.timestamp)
            points.reach(points.MATRIX_SENT)
            saved.append(
                MessageSaved(
                    MessageRecord(
                        portal=message.portal,
                        remote_id=message.id,
                        part=part,
                        room=room,
                        event_id=event_id,
                        sender=ghost.user_id,
                        timestamp=message.timestamp,
                    )
                )
            )
        return Handled(facts=tuple(saved))

    def _may_be_relayed(self, message: RemoteMessage, session: Session | None) -> bool:
        """Whether it may be the echo of a relayed message, which a network can show under a sender made up for it."""
        if message.nonce is not None and is_our_nonce(self._books.secret, message.nonce):
            return True
        if self._books.relay(message.portal) is None:
            return False
        return session is None or session.limits(message.portal).shows_speaker

    async def _own_echo(self, message: RemoteMessage, record: LoginRecord) -> list[Fact] | None:
        """What to write down for the echo of a message that we sent; None if it came from elsewhere (the person's own
        phone), and has to be bridged."""
        if message.nonce is not None and is_our_nonce(self._books.secret, message.nonce):
            return await self._confirmed(message)
        if await self._books.message_by_remote(message.portal, message.id):
            return []
        portal = await self._books.portal(message.portal)
        if message.nonce is None and portal is not None and portal.room is not None:
            # The network does not say which message this echoes: perhaps one whose send has not returned yet.
            await self._sends_in_flight(portal.room)
            if await self._books.message_by_remote(message.portal, message.id):
                return []
            if await self._sender_says_ours(message, record):
                return []
        return None

    async def _sender_says_ours(self, message: RemoteMessage, record: LoginRecord) -> bool:
        """Whether the copy that the sender's own session gets says that we have sent this message. Where the network
        drops no repeats, a send can have ended as uncertain, and then nothing else can tell."""
        for sender in await self._books.portal_logins(message.portal):
            if sender.login.user != message.sender or sender.state is not LoginState.ACTIVE:
                continue
            can_send = capability(self._sessions.session(sender.login.id), CanSend)
            if sender.login.id == record.login.id or (can_send is not None and can_send.dedupes_for is not None):
                continue
            try:
                async with asyncio.timeout(OWN_COPY_WAIT_S):
                    return await self._sessions.addresses.echoes.is_ours(message.portal, message.id)
            except TimeoutError:
                log.info("the sender's own session does not show a message", extra={"login": sender.login.id})
            # An earlier process may have got that copy, and learnt from it.
            return bool(await self._books.message_by_remote(message.portal, message.id))
        return False

    async def _confirmed(self, message: RemoteMessage) -> list[Fact]:
        assert message.nonce is not None
        facts: list[Fact] = [AliasSaved(message.portal, alias, message.id) for alias in message.aliases]
        portal = await self._books.portal(message.portal)
        known = await self._books.message_by_remote(message.portal, message.id)
        if not known and portal is not None and portal.room is not None:
            # The send has not returned. If it never will, that is written down first, and resolved by this.
            await self._sends_in_flight(portal.room)
        uncertain = await self._books.directory.uncertain(message.nonce)
        if uncertain is not None:
            log.info("a message with an unknown outcome has arrived after all", extra={"event_id": uncertain.event_id})
            record = MessageRecord(
                portal=uncertain.portal,
                remote_id=message.id,
                part=uncertain.part,
                room=uncertain.room,
                event_id=uncertain.event_id,
                sender=uncertain.sender,
                timestamp=message.timestamp,
            )
            facts += [MessageSaved(record), UncertainResolved(message.nonce)]
        return facts

    async def _sends_in_flight(self, room: RoomID) -> None:
        """Wait, bounded, until what may have been sent to the network from this room is known under its remote id."""
        try:
            async with asyncio.timeout(self._retrying.delivery.confirm_wait_ms / 1000):
                await self._lanes.resolved(matrix_lane(room))
        except TimeoutError:
            log.info("sends to the network take long; going on without them", extra={"room_id": room})

    async def _contents(
        self, message: RemoteMessage, portal: Portal, ghost: Ghost, lane: Lane
    ) -> list[tuple[TxnID, JSON]]:
        names = {
            mention.target: found
            for mention in message.text.mentions
            if (found := await self._person(mention.target)) is not None
        }
        reply_to = None
        if message.reply_to is not None:
            reply_to = await self._event_of(message.portal, message.reply_to, known_room(portal.room), lane)
        return message_contents(
            message,
            txn_id=lambda part: event_txn_id(
                portal=message.portal,
                sender=ghost.user_id,
                kind="message",
                remote_id=message.id,
                occurrence=0,
                part=part,
            ),
            mention=names.get,
            reply_to=reply_to,
        )

    async def _person(self, target: MentionTarget) -> tuple[UserID, str] | None:
        """The Matrix user that stands for a remote person, and the name to show."""
        if not isinstance(target, MentionUser):
            return None
        for record in self._books.logins():
            if record.login.user == target.id:
                return record.user_id, record.login.name or record.user_id
        ghost = await self._books.ghost(target.id)
        return (ghost.user_id, ghost.name) if ghost is not None else None

    async def _event_of(
        self, portal: PortalKey, remote_id: RemoteMessageID, room: RoomID, lane: Lane
    ) -> EventID | None:
        """The event that a remote message is, waiting for the sends in flight if it is not known yet."""
        await lane.settle()
        records = await self._books.message_by_remote(portal, remote_id)
        if not records:
            await self._sends_in_flight(room)
            records = await self._books.message_by_remote(portal, remote_id)
        return records[-1].event_id if records else None

    async def _send(self, room: RoomID, ghost: Ghost, content: JSON, txn_id: TxnID, timestamp: int) -> EventID:
        send = functools.partial(
            self._homeserver.send_event,
            room,
            "m.room.message",
            content,
            txn_id=txn_id,
            user=ghost.user_id,
            device_id=ghost.device_id,
            timestamp=timestamp if timestamp > 0 else None,
        )
        try:
            return await send()
        except MatrixRequestError as error:
            if error.status != 403:
                raise
        # The ghost was removed without our knowing: bring it back, once.
        await self._ghosts.ensure_joined(room, ghost, again=True)
        return await send()

    async def _already_there(self, room: RoomID, ghost: Ghost, keys: set[TxnID]) -> dict[str, EventID]:
        """Which of our events are in the room already: the homeserver may have forgotten their transaction ids."""
        found: dict[str, EventID] = {}
        start: str | None = None
        for _ in range(LOOK_BACK_PAGES):
            page = await self._homeserver.messages(room, from_=start)
            for event in page.chunk:
                if event.sender != ghost.user_id:
                    continue
                key = _decode_content(event.raw).content.get(KEY)
                if isinstance(key, str) and key in keys:
                    found[key] = event.event_id
            if len(found) == len(keys) or page.end is None:
                break
            start = page.end
        return found

    async def _tell(self, message: RemoteMessage, ending: Ending) -> None:
        """Say in the portal that something from the network is missing there. Best effort: it is in the log, too."""
        portal = await self._books.portal(message.portal)
        if portal is None or portal.room is None:
            return
        key = event_txn_id(
            portal=message.portal, sender=self._bot, kind="lost", remote_id=message.id, occurrence=0, part=0
        )
        text = f"A message from the network could not be shown here ({ending.code}). The admin can see and retry it."
        try:
            await self._homeserver.send_event(
                portal.room, "m.room.message", notice_content(text, key), txn_id=key, user=self._bot
            )
        except HomeserverError as error:
            log.warning("the room could not be told: %s", error, extra={"room_id": portal.room})
