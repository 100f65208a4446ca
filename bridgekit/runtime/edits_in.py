"""Edits and deletions from the network."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bridgekit.adapter.base import Session
from bridgekit.core.catch_up import OLD_CHANGE_KIND
from bridgekit.core.changes import marked_as_edited
from bridgekit.core.media_contents import edited_caption
from bridgekit.core.rooms import known_room
from bridgekit.core.to_matrix import Words, as_notice, edit_contents, message_contents
from bridgekit.core.txnid import event_txn_id
from bridgekit.core.versions import Version, edited_at, is_older, is_outdated, mentioned_before
from bridgekit.model.entry import Entry
from bridgekit.model.ids import TxnID, UserID
from bridgekit.model.records import Fact, Ghost, LoginRecord, MessageDeleted, MessageRecord, PartsDeleted
from bridgekit.model.remote import RemoteDelete, RemoteEdit, RemoteMessage
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Handled, Lane
from bridgekit.runtime.media_in import MediaIn
from bridgekit.runtime.messages_in import MessagesIn
from bridgekit.runtime.own_changes import OwnChanges
from bridgekit.runtime.own_echo import OwnEchoes
from bridgekit.runtime.people import People
from bridgekit.runtime.portals import Portals, describer_of
from bridgekit.runtime.posting import Posting
from bridgekit.runtime.remote_targets import Claim, RemoteTargets
from bridgekit.runtime.saved import saved
from bridgekit.runtime.versions import Versions

log = logging.getLogger(__name__)


class EditsIn:
    """Carries out `RemoteEdit`s and `RemoteDelete`s. Every method may be repeated after a crash, and raises
    `HomeserverError`, `StoreError`, `WaitFor`."""

    def __init__(
        self,
        books: Books,
        portals: Portals,
        ghosts: Ghosts,
        echoes: OwnEchoes,
        changes: OwnChanges,
        targets: RemoteTargets,
        posting: Posting,
        messages: MessagesIn,
        people: People,
        files: MediaIn,
        versions: Versions,
    ) -> None:
        self._files = files
        self._books = books
        self._portals = portals
        self._ghosts = ghosts
        self._echoes = echoes
        self._changes = changes
        self._targets = targets
        self._posting = posting
        self._messages = messages
        self._people = people
        self._versions = versions

    # --- edits ------------------------------------------------------------------------------------------------------
    async def edit(
        self, edit: RemoteEdit, entry: Entry, lane: Lane, record: LoginRecord, session: Session | None
    ) -> Handled:
        """A message says something else now."""
        own = await self._echoes.edit(edit)
        if own is not None:
            return Handled(facts=own)
        portal = await self._books.portal(edit.portal)
        room = portal.room if portal is not None else None
        records = await self._targets.find(edit.portal, edit.target, lane, room=room)
        if not records:
            return await self._unknown(edit, entry, lane, record, session)
        here = [each for each in records if each.room == room]
        if not here:
            log.debug("an edit of a message in a room that the chat has left", extra={"lane": lane.key})
            return Handled()
        if await self._targets.follows(entry, here[0].remote_id, lane):
            return Handled()
        by_ghosts = [each for each in here if self._ghosts.namespace.is_ghost(each.sender)]
        ghost = await self._ghosts.by_user(by_ghosts[0].sender) if by_ghosts else None
        if ghost is not None:
            facts = await self._replace(edit, entry, lane, ghost, by_ghosts, here)
        else:
            facts = await self._beside(edit, entry, lane, session, here)
        # Once it is done: if the homeserver is away, all of this is done again.
        return Handled(facts=(*facts, *await self._changes.edited_elsewhere(edit.portal, records[0].remote_id)))

    async def _replace(
        self,
        edit: RemoteEdit,
        entry: Entry,
        lane: Lane,
        ghost: Ghost,
        parts: Sequence[MessageRecord],
        all_parts: Sequence[MessageRecord],
    ) -> tuple[Fact, ...]:
        """The original's events are edited, whatever edits there were before; in the name of who sent them, as clients
        heed no other edits."""
        if any(each.file for each in parts):
            texts = [each for each in parts if not each.file]
            if not texts:
                return await self._recaption(edit, entry, lane, ghost, parts[0], all_parts)
            parts = texts
        room, remote_id = parts[0].room, parts[0].remote_id
        names = await self._people.named(edit.text)
        found = [await self._versions.of(room, each.event_id) for each in parts]
        known = [each for each in found if each is not None]
        keys = [_key(edit, ghost.user_id, entry, part) for part in range(len(parts))]
        # What is dated after the message itself, an edit has added.
        added = [each.timestamp for each in parts if each.timestamp > all_parts[0].timestamp]
        if entry.is_retried and (
            is_outdated(edit.timestamp, known, keys) or is_older(edit.timestamp, max(added, default=0))
        ):
            log.info("an edit that was retried is older than what the room says", extra={"lane": lane.key})
            return ()
        first = found[0] or Version()
        contents = edit_contents(
            edit.text,
            targets=[each.event_id for each in parts],
            txn_id=lambda part: _key(edit, ghost.user_id, entry, part),
            mention=names.get,
            may_mention_room=await self._people.may_mention_room(edit.text, room, ghost.user_id),
            # Where one is gone from the room, nobody knows whom it mentioned.
            already=mentioned_before(known, keys) if len(known) == len(parts) else None,
            reply_mentions=first.unnamed if first.answers else (),
            thread=first.thread,
        )
        await self._ghosts.ensure_joined(room, ghost)
        words = [*((key, content) for key, _, content in contents.replaced), *contents.added]
        timestamp = edited_at(edit.timestamp, known, keys)
        events = await self._posting.post(room, ghost, words, entry, lane, timestamp=timestamp)
        facts = saved(
            edit.portal,
            remote_id,
            room,
            ghost,
            events[len(contents.replaced) :],
            timestamp=edit.timestamp,
            first_part=all_parts[-1].part + 1,
        )
        for event_id in contents.surplus:
            await self._posting.redact(edit.portal, room, event_id, by=ghost.user_id)
        if contents.surplus:
            facts += (PartsDeleted(edit.portal, remote_id, parts[len(contents.replaced)].part),)
        return facts

    async def _recaption(
        self,
        edit: RemoteEdit,
        entry: Entry,
        lane: Lane,
        ghost: Ghost,
        first: MessageRecord,
        all_parts: Sequence[MessageRecord],
    ) -> tuple[Fact, ...]:
        """The text of a message that is files alone is the first one's caption, or stands behind them where it can be
        none. The files stay."""
        if entry.is_retried and is_older(edit.timestamp, await self._files.captioned_at(first)):
            log.info("an edit that was retried is older than the caption in the room", extra={"lane": lane.key})
            return ()
        names = await self._people.named(edit.text)
        may_mention_room = await self._people.may_mention_room(edit.text, first.room, ghost.user_id)
        caption = edited_caption(edit.text, mention=names.get, may_mention_room=may_mention_room)
        await self._ghosts.ensure_joined(first.room, ghost)
        key = _key(edit, ghost.user_id, entry, 0)
        version = await self._versions.of(first.room, first.event_id)
        already = mentioned_before([version], [key]) if version is not None else None
        done = await self._files.edit_caption(first, ghost, key, caption, already, timestamp=edit.timestamp)
        if not edit.text.body.strip() or (done and caption is not None):
            return ()
        contents = message_contents(
            _as_message(edit, marked=False),
            Words(
                txn_id=lambda part: _key(edit, ghost.user_id, entry, part + 1),
                mention=names.get,
                may_mention_room=may_mention_room,
            ),
        )
        events = await self._posting.post(first.room, ghost, contents, entry, lane, timestamp=edit.timestamp)
        return saved(
            edit.portal,
            first.remote_id,
            first.room,
            ghost,
            events,
            timestamp=edit.timestamp,
            first_part=all_parts[-1].part + 1,
        )

    async def _beside(
        self, edit: RemoteEdit, entry: Entry, lane: Lane, session: Session | None, parts: Sequence[MessageRecord]
    ) -> tuple[Fact, ...]:
        """Only a person on Matrix may edit what that person sent there. Edited on the person's phone, the new text
        stands beside it, as an answer, and as another part of the same message: the next edit changes that."""
        room = parts[-1].room
        ghost = await self._ghosts.ensure(edit.sender, describer_of(session))
        await self._ghosts.ensure_joined(room, ghost)
        names = await self._people.named(edit.text)
        contents = message_contents(
            _as_message(edit),
            Words(
                txn_id=lambda part: _key(edit, ghost.user_id, entry, part),
                mention=names.get,
                reply_to=parts[-1].event_id,
            ),
        )
        quiet = [(key, as_notice(content)) for key, content in contents]
        events = await self._posting.post(room, ghost, quiet, entry, lane, timestamp=edit.timestamp)
        return saved(
            edit.portal,
            parts[0].remote_id,
            room,
            ghost,
            events,
            timestamp=edit.timestamp,
            first_part=parts[-1].part + 1,
        )

    async def _unknown(
        self, edit: RemoteEdit, entry: Entry, lane: Lane, record: LoginRecord, session: Session | None
    ) -> Handled:
        """The edit of a message of which there is no event. It has all of the text: it takes the message's place, and
        the message itself must not follow. But an old one belongs to what was skipped, or is from before the bridge."""
        if entry.first_kind == OLD_CHANGE_KIND:
            log.debug("an old edit of a message that was not bridged", extra={"lane": lane.key})
            return Handled()
        match await self._targets.shut_out(edit.portal, edit.target, entry):
            case Claim.ENDED:
                log.debug("an edit of a message that was skipped, or is gone", extra={"lane": lane.key})
                return Handled()
            case Claim.BEHIND:
                await self._targets.once_more(entry, edit.target, lane)
                return Handled()
            case Claim.SHUT_OUT:
                portal = await self._portals.ensure(edit.portal, record, session)
                message = _as_message(edit)
                return Handled(facts=await self._messages.post(message, known_room(portal.room), entry, lane, session))

    # --- deletions --------------------------------------------------------------------------------------------------
    async def delete(self, delete: RemoteDelete, entry: Entry, lane: Lane) -> Handled:
        """A message was deleted for everybody. Done again, as with the echo of a deletion of ours, it does no harm."""
        portal = await self._books.portal(delete.portal)
        room = portal.room if portal is not None else None
        records = await self._targets.find(delete.portal, delete.target, lane, room=room)
        if not records:
            # It may still come, by another way. Then it must not appear.
            if await self._targets.shut_out(delete.portal, delete.target, entry) is Claim.BEHIND:
                await self._targets.drop_behind(delete.portal, delete.target, entry)
            return Handled()
        await self._files.cancel(delete.portal, records[0].remote_id)
        for record in records:
            await self._redact(delete, record)
        return Handled(facts=(MessageDeleted(delete.portal, records[0].remote_id),))

    async def _redact(self, delete: RemoteDelete, record: MessageRecord) -> None:
        made = await self._books.messages_by_event(record.room, record.event_id)
        if any(each.remote_id != record.remote_id for each in made):
            # The network has the event as several messages; it goes with the last of them.
            return
        by: UserID | None = record.sender
        if delete.sender is not None and self._ghosts.namespace.user_id(delete.sender) != record.sender:
            by = None  # somebody with the right to do that; here it is the bot that has it
        await self._posting.redact(delete.portal, record.room, record.event_id, by=by)


def _key(edit: RemoteEdit, sender: UserID, entry: Entry, part: int) -> TxnID:
    # The entry's key names the message and the revision, and was fixed when the entry was appended.
    return event_txn_id(portal=edit.portal, sender=sender, kind="edit", remote_id=entry.dedupe, occurrence=0, part=part)


def _as_message(edit: RemoteEdit, *, marked: bool = True) -> RemoteMessage:
    return RemoteMessage(
        portal=edit.portal,
        id=edit.target,
        sender=edit.sender,
        timestamp=edit.timestamp,
        text=marked_as_edited(edit.text) if marked else edit.text,
    )
