"""Remote in: the head of a remote lane becomes events in a portal's room, by kind (`messages_in`, `edits_in`,
`reactions_in`, `chats`, `chat_gone`)."""

from __future__ import annotations

import functools
import logging

import msgspec

from bridgekit.adapter.base import Session
from bridgekit.core.policy import Retry
from bridgekit.core.to_matrix import notice_content
from bridgekit.core.txnid import event_txn_id
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError
from bridgekit.model.entry import Ending, Entry
from bridgekit.model.ids import RemoteUserID, UserID
from bridgekit.model.records import LoginRecord, LoginState, MediaJobSaved, PortalState
from bridgekit.model.remote import (
    RemoteChat,
    RemoteChatDeleted,
    RemoteDelete,
    RemoteEdit,
    RemoteMember,
    RemoteMessage,
    RemoteProfile,
    RemoteReaction,
)
from bridgekit.ports import Homeserver, Journal
from bridgekit.runtime.addresses import Bridged, decode
from bridgekit.runtime.books import Books
from bridgekit.runtime.catching_up import CatchingUp
from bridgekit.runtime.chat_gone import ChatGone
from bridgekit.runtime.chats import Chats
from bridgekit.runtime.edits_in import EditsIn
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Handled, Lane, Lanes, WaitFor
from bridgekit.runtime.lease import LeaseKeeper
from bridgekit.runtime.lost import GONE, Lost
from bridgekit.runtime.media_in import MediaIn
from bridgekit.runtime.messages_in import MessagesIn
from bridgekit.runtime.own_changes import OwnChanges
from bridgekit.runtime.own_echo import OwnEchoes
from bridgekit.runtime.people import People
from bridgekit.runtime.portals import Portals, describer_of
from bridgekit.runtime.posting import Posting
from bridgekit.runtime.reactions_in import ReactionsIn
from bridgekit.runtime.remote_targets import SHUT_OUT, RemoteTargets
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.status import Status
from bridgekit.runtime.upgrades import Upgrades
from bridgekit.runtime.versions import Versions

log = logging.getLogger(__name__)

UPGRADE_MS = 120_000
"""So long the bridge waits to be let into the room that replaces a portal's, before it makes one of its own."""

_MISSING = {
    RemoteMessage: "A message from the network could not be shown here",
    RemoteEdit: "A message was edited on the network, which could not be shown here",
    RemoteDelete: "A message was deleted on the network, which could not be done here",
}
"""What a room is told of; the others are in the log, and among the dead letters, too."""


class Incoming:
    """Carries out the entries of remote lanes."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        lease: LeaseKeeper,
        homeserver: Homeserver,
        portals: Portals,
        ghosts: Ghosts,
        sessions: Sessions,
        lanes: Lanes,
        retrying: Retrying,
        chats: Chats,
        catching_up: CatchingUp,
        changes: OwnChanges,
        status: Status,
        lost: Lost,
        upgrades: Upgrades,
        posting: Posting,
        files: MediaIn,
        *,
        bot: UserID,
        network: str,
        server_name: str,
    ) -> None:
        """`network`: its name."""
        self._books = books
        self._homeserver = homeserver
        self._portals = portals
        self._ghosts = ghosts
        self._sessions = sessions
        self._retrying = retrying
        self._chats = chats
        self._lost = lost
        self._upgrades = upgrades
        self._bot = bot
        self._targets = targets = RemoteTargets(books, journal, lanes, lease, retrying)
        self._files = files
        people = People(books, homeserver, ghosts.namespace)
        versions = Versions(homeserver)
        echoes = OwnEchoes(books, sessions, targets, changes, status)
        self._messages = MessagesIn(
            books, portals, ghosts, echoes, targets, posting, catching_up, people, files, versions
        )
        self._edits = EditsIn(
            books, portals, ghosts, echoes, changes, targets, posting, self._messages, people, files, versions
        )
        self._reactions = ReactionsIn(books, ghosts, echoes, targets, posting, sessions)
        self._chat_gone = ChatGone(books, homeserver, ghosts, bot=bot, network=network, server_name=server_name)

    async def handle(self, entry: Entry, lane: Lane) -> Handled:
        """Carry out the head of a remote lane. Raises `RetryLater`, `WaitFor`."""
        if entry.kind == SHUT_OUT or self._targets.was_dropped(entry):
            return Handled()
        self._targets.has_its_turn(entry, lane)
        event = decode(entry.payload)
        handled = await self._handle(event, entry, lane)
        if handled.dead is not None and not isinstance(event, RemoteProfile):
            self._portals.gave_up(event.portal)
        if jobs := [fact.job for fact in handled.facts if isinstance(fact, MediaJobSaved)]:
            return msgspec.structs.replace(handled, then=functools.partial(self._files.begun, jobs))
        return handled

    async def _handle(self, event: Bridged, entry: Entry, lane: Lane, *, again: bool = False) -> Handled:
        """`again`: the portal had lost its room, and gets a new one."""
        record = self._books.login(entry.login) if entry.login is not None else None
        if record is None:
            return Handled(dead=self._retrying.ending("no_login", "the login that received it has logged out"))
        if not self._sessions.may_connect(record) and not await self._has_room(event):
            # Nobody is invited who may not use the bridge any more; rooms that are there go on for the others.
            return Handled(dead=self._retrying.ending("forbidden", f"{record.user_id} may not use this bridge"))
        session = await self._session(record, event)
        try:
            return await self._carry_out(event, entry, lane, record, session)
        except (HomeserverUnreachable, MatrixRequestError) as error:
            if not again and await self._lost_room(event, entry, error):
                return await self._handle(event, entry, lane, again=True)
            ending = self._retrying.homeserver_failed(entry, error)
            log.error("an event from the network could not be bridged: %s", error, extra={"lane": entry.lane})
            if isinstance(event, RemoteMessage | RemoteEdit | RemoteDelete):
                await self._tell(event, entry, ending)
            return Handled(dead=ending)

    async def _carry_out(
        self, event: Bridged, entry: Entry, lane: Lane, record: LoginRecord, session: Session | None
    ) -> Handled:
        match event:
            case RemoteMessage():
                return await self._messages.handle(event, entry, lane, record, session)
            case RemoteEdit():
                return await self._edits.edit(event, entry, lane, record, session)
            case RemoteDelete():
                return await self._edits.delete(event, entry, lane)
            case RemoteReaction():
                return await self._reactions.handle(event, entry, lane, record, session)
            case RemoteChat():
                await self._chats.chat(event, record, session)
            case RemoteChatDeleted():
                await self._chat_gone.handle(event, entry, record)
            case RemoteMember():
                await self._chats.member(event, session)
            case RemoteProfile():
                await self._ghosts.update(event, describer_of(session))
        return Handled()

    async def _lost_room(self, event: Bridged, entry: Entry, error: HomeserverUnreachable | MatrixRequestError) -> bool:
        """Whether it failed because the portal's room was replaced or lost, and the portal has moved, or is forgotten,
        by now. Raises `RetryLater` while it may still move, `StoreError`."""
        if isinstance(event, RemoteProfile) or not isinstance(error, MatrixRequestError) or error.status not in GONE:
            return False
        try:
            if await self._upgrades.follow_if_replaced(event.portal):
                return True
            portal = await self._books.portal(event.portal)
            if portal is None or portal.room is None or await self._upgrades.replacement(portal.room) is None:
                return await self._lost.look(event.portal)
            if self._retrying.clock.now() - self._retrying.waits_since(entry) < UPGRADE_MS:
                raise self._retrying.later(entry, Retry(code="replaced", reason="the bot is not in the new room yet"))
            log.warning("nobody let the bot into the room that replaces a portal's", extra={"room_id": portal.room})
            await self._lost.forget(portal)
        except (HomeserverUnreachable, MatrixRequestError) as stumbled:
            log.info("a portal's room could not be looked at: %s", stumbled, extra={"lane": entry.lane})
            return False
        return True

    async def _has_room(self, event: Bridged) -> bool:
        """Whether carrying this out makes no room."""
        if not isinstance(event, RemoteMessage | RemoteEdit | RemoteChat):
            return True
        portal = await self._books.portal(event.portal)
        return portal is not None and portal.state is PortalState.READY

    async def _session(self, record: LoginRecord, event: Bridged) -> Session | None:
        """The session to ask for names. A room or ghost that is still to be made waits for it, or it would be made
        without its name; everything else goes on without."""
        session = self._sessions.session(record.login.id)
        if session is not None or record.state is not LoginState.ACTIVE or not self._sessions.may_connect(record):
            return session
        if not await self._has_portal(event) or not await self._has_ghost(event):
            raise WaitFor(functools.partial(self._sessions.until_connected, record.login.id))
        return None

    async def _has_portal(self, event: Bridged) -> bool:
        if not isinstance(event, RemoteMessage | RemoteEdit | RemoteChat):
            return True
        return await self._books.portal(event.portal) is not None

    async def _has_ghost(self, event: Bridged) -> bool:
        sender: RemoteUserID | None = None
        if isinstance(event, RemoteMessage) or (isinstance(event, RemoteReaction) and event.added):
            sender = event.sender
        return sender is None or await self._books.ghost(sender) is not None

    async def _tell(self, event: RemoteMessage | RemoteEdit | RemoteDelete, entry: Entry, ending: Ending) -> None:
        """Say in the portal that something from the network is missing there. Best effort: it is in the log, too."""
        portal = await self._books.portal(event.portal)
        if portal is None or portal.room is None:
            return
        remote_id = event.id if isinstance(event, RemoteMessage) else entry.dedupe
        key = event_txn_id(
            portal=event.portal, sender=self._bot, kind="lost", remote_id=remote_id, occurrence=0, part=0
        )
        text = f"{_MISSING[type(event)]} ({ending.code}). The admin can see and retry it."
        try:
            await self._homeserver.send_event(
                portal.room, "m.room.message", notice_content(text, key), txn_id=key, user=self._bot
            )
        except HomeserverError as error:
            log.warning("the room could not be told: %s", error, extra={"room_id": portal.room})
