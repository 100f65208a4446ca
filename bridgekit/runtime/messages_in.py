"""Messages from the network become events in their chat's room."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bridgekit.adapter.base import Session
from bridgekit.core.mentions import Mentions, reply_mentions
from bridgekit.core.rooms import known_room
from bridgekit.core.to_matrix import Words, as_notice, message_contents
from bridgekit.core.txnid import event_txn_id
from bridgekit.model.entry import Entry
from bridgekit.model.ids import EventID, PortalKey, RemoteMessageID, RoomID, UserID
from bridgekit.model.records import AliasSaved, Fact, Ghost, LoginRecord, MessageRecord
from bridgekit.model.remote import RemoteMessage
from bridgekit.runtime.books import Books
from bridgekit.runtime.catching_up import CatchingUp
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Handled, Lane
from bridgekit.runtime.media_in import MediaIn, is_with_files
from bridgekit.runtime.own_echo import OwnEchoes
from bridgekit.runtime.people import People
from bridgekit.runtime.portals import Portals, describer_of
from bridgekit.runtime.posting import Posting
from bridgekit.runtime.remote_targets import RemoteTargets
from bridgekit.runtime.saved import saved
from bridgekit.runtime.versions import Versions

log = logging.getLogger(__name__)


class MessagesIn:
    """Carries out `RemoteMessage`s. Every method may be repeated after a crash."""

    def __init__(
        self,
        books: Books,
        portals: Portals,
        ghosts: Ghosts,
        echoes: OwnEchoes,
        targets: RemoteTargets,
        posting: Posting,
        catching_up: CatchingUp,
        people: People,
        files: MediaIn,
        versions: Versions,
    ) -> None:
        self._files = files
        self._books = books
        self._portals = portals
        self._ghosts = ghosts
        self._echoes = echoes
        self._targets = targets
        self._posting = posting
        self._catching_up = catching_up
        self._people = people
        self._versions = versions

    async def handle(
        self, message: RemoteMessage, entry: Entry, lane: Lane, record: LoginRecord, session: Session | None
    ) -> Handled:
        """Carry it out. Raises `HomeserverError`, `StoreError`, `WaitFor`."""
        if not await self._is_begun(message, entry):
            facts = await self._echoes.message(message, record, session)
            if facts is None and message.aliases:
                facts = await self._under_another_name(message, entry, lane)
            if facts is not None:
                return Handled(facts=facts)
        turn = await self._catching_up.turn(message, entry, lane)
        if turn.ended is not None and turn.told is None:
            return turn.ended
        portal = await self._portals.ensure(message.portal, record, session)
        room = known_room(portal.room)
        if turn.told is not None:
            await self._catching_up.tell(room, message, turn.told)
        if turn.ended is not None:
            return turn.ended
        return Handled(facts=await self.post(message, room, entry, lane, session, quiet=turn.quiet))

    async def _under_another_name(self, message: RemoteMessage, entry: Entry, lane: Lane) -> tuple[Fact, ...] | None:
        """What to write down of a message that has come before, by another of its names; None if it has not."""
        await lane.settle()
        names = await self._targets.renamed(message)
        if names is None and await self._targets.is_ended(message, entry, lane):
            log.debug("a message that was ended under another name", extra={"lane": lane.key})
            return ()
        return names

    async def _is_begun(self, message: RemoteMessage, entry: Entry) -> bool:
        """Whether an earlier attempt has put a part of it into the room, so that its rest is due."""
        if entry.progress is None:
            return False
        ghost = self._ghosts.namespace.user_id(message.sender)
        return any(each.sender == ghost for each in await self._books.message_by_remote(message.portal, message.id))

    async def post(
        self,
        message: RemoteMessage,
        room: RoomID,
        entry: Entry,
        lane: Lane,
        session: Session | None,
        *,
        quiet: bool = False,
    ) -> tuple[Fact, ...]:
        """Put a message into its room in its sender's name: what to write down. `quiet`: without notifying anybody."""
        ghost = await self._ghosts.ensure(message.sender, describer_of(session))
        await self._ghosts.ensure_joined(room, ghost)
        words = await self._words(message, room, ghost, lane)
        if is_with_files(message, session):
            return await self._files.post(message, room, ghost, entry, lane, words, quiet=quiet)
        contents = message_contents(message, words)
        if quiet:
            contents = [(txn_id, as_notice(content)) for txn_id, content in contents]
        aliases = [AliasSaved(message.portal, alias, message.id) for alias in message.aliases]

        def facts(events: Sequence[EventID]) -> tuple[Fact, ...]:
            return (*aliases, *saved(message.portal, message.id, room, ghost, events, timestamp=message.timestamp))

        return facts(
            await self._posting.post(room, ghost, contents, entry, lane, timestamp=message.timestamp, facts=facts)
        )

    async def _words(self, message: RemoteMessage, room: RoomID, ghost: Ghost, lane: Lane) -> Words:
        names = await self._people.named(message.text)
        answered = await self._event_of(message.portal, message.reply_to, room, lane)
        thread = await self._event_of(message.portal, message.thread, room, lane, first=True)
        return Words(
            txn_id=lambda part: event_txn_id(
                portal=message.portal,
                sender=ghost.user_id,
                kind="message",
                remote_id=message.id,
                occurrence=0,
                part=part,
            ),
            mention=names.get,
            may_mention_room=await self._people.may_mention_room(message.text, room, ghost.user_id),
            reply_to=answered.event_id if answered is not None else None,
            reply_mentions=await self._notified(answered, ghost) if answered is not None else (),
            thread=thread.event_id if thread is not None else None,
            thread_latest=await self._latest(thread) if thread is not None and answered is None else None,
        )

    async def _notified(self, answered: MessageRecord, replier: Ghost) -> tuple[UserID, ...]:
        """Whom a reply to this event notifies: the people, where they are on Matrix themselves, not their ghosts."""
        version = await self._versions.of(answered.room, answered.event_id)
        standing = self._people.standing
        mentions = version.mentions if version is not None else Mentions()
        meant = Mentions(tuple(standing(user) for user in mentions.users))
        return reply_mentions(standing(answered.sender), meant, replier=standing(replier.user_id))

    async def _latest(self, root: MessageRecord) -> EventID | None:
        """The last event of a thread: the homeserver tells it with the root, and knows what was said on Matrix, too."""
        version = await self._versions.of(root.room, root.event_id)
        return version.thread_latest if version is not None else None

    async def _event_of(
        self, portal: PortalKey, remote_id: RemoteMessageID | None, room: RoomID, lane: Lane, *, first: bool = False
    ) -> MessageRecord | None:
        """The last event (or the first) that a remote message is in this room, waiting for the sends in flight if it is
        not known yet. There is none of an earlier room, or of another chat: a relation would lead nowhere."""
        if remote_id is None:
            return None
        records = await self._targets.find(portal, remote_id, lane, room=room)
        records = [record for record in records if record.room == room]
        return records[0 if first else -1] if records else None
