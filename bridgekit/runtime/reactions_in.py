"""Reactions from the network."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

import msgspec

from bridgekit.adapter.base import Session
from bridgekit.core.reactions import same_emoji
from bridgekit.core.to_matrix import reaction_content
from bridgekit.core.txnid import event_txn_id
from bridgekit.errors import MatrixRequestError
from bridgekit.model.entry import Entry
from bridgekit.model.ids import EventID, TxnID, UserID
from bridgekit.model.records import (
    Fact,
    LoginRecord,
    LoginState,
    MessageRecord,
    ReactionRecord,
    ReactionRemoved,
    ReactionSaved,
)
from bridgekit.model.remote import RemoteReaction
from bridgekit.runtime.books import Books
from bridgekit.runtime.ghosts import Ghosts
from bridgekit.runtime.lanes import Handled, Lane, WaitFor
from bridgekit.runtime.own_echo import OwnEchoes
from bridgekit.runtime.portals import describer_of
from bridgekit.runtime.posting import Posting
from bridgekit.runtime.remote_targets import RemoteTargets
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

REACTION = "m.reaction"


class ReactionsIn:
    """Carries out `RemoteReaction`s: what is there is compared with what shall be, so that a repeat changes nothing."""

    def __init__(
        self,
        books: Books,
        ghosts: Ghosts,
        echoes: OwnEchoes,
        targets: RemoteTargets,
        posting: Posting,
        sessions: Sessions,
    ) -> None:
        self._books = books
        self._ghosts = ghosts
        self._echoes = echoes
        self._targets = targets
        self._posting = posting
        self._sessions = sessions

    async def handle(
        self, reaction: RemoteReaction, entry: Entry, lane: Lane, record: LoginRecord, session: Session | None
    ) -> Handled:
        """Somebody reacted, or took that back. Raises `HomeserverError`, `StoreError`, `WaitFor`."""
        own = await self._echoes.reaction(reaction)
        if own is not None:
            facts = await self._mistaken(reaction, entry, lane, session)
            one_counts = _limit(reaction, session) is not None
            if reaction.added and not await self._echoes.has_more_to_come(own, other_emoji=one_counts):
                # It is there, unless an echo before it passed for one from a phone, and took it away: that of a repeat
                # after a crash, where the network drops none.
                handled = await self._others(reaction, entry, lane, record, session)
            else:
                handled = Handled()
            return msgspec.structs.replace(handled, facts=(*facts, *handled.facts, *await self._echoes.done(own)))
        handled = await self._others(reaction, entry, lane, record, session)
        return msgspec.structs.replace(handled, facts=(*handled.facts, *await self._echoes.elsewhere(reaction)))

    async def _others(
        self, reaction: RemoteReaction, entry: Entry, lane: Lane, record: LoginRecord, session: Session | None
    ) -> Handled:
        portal = await self._books.portal(reaction.portal)
        room = portal.room if portal is not None else None
        records = await self._targets.find(reaction.portal, reaction.target, lane, room=room)
        if not records:
            if await self._targets.is_behind(reaction.portal, reaction.target, entry):
                await self._targets.once_more(entry, reaction.target, lane)
            else:
                log.debug("a reaction to a message that was not bridged", extra={"lane": lane.key})
            return Handled()
        target = records[0]
        if target.room != room:
            log.debug("a reaction in a room that the chat has left", extra={"lane": lane.key})
            return Handled()
        if await self._targets.follows(entry, target.remote_id, lane):
            return Handled()
        theirs = await self._of_sender(reaction, target)
        same = [each for each in theirs if _is_same(each, reaction)]
        if not reaction.added:
            # A network that allows one reaction need not say which it was.
            gone = same if reaction.emoji or reaction.emoji_id else theirs
            return Handled(facts=await self._remove(gone))
        if same:
            await self._show_once(reaction, target, theirs, entry, lane)
            return Handled()
        if theirs and session is None and record.state is LoginState.ACTIVE and self._sessions.may_connect(record):
            # Whether the new one replaces those, only the session knows.
            raise WaitFor(functools.partial(self._sessions.until_connected, record.login.id))
        limit = _limit(reaction, session)
        replaced = theirs[: max(0, len(theirs) - limit + 1)] if limit is not None else []
        facts = await self._remove(replaced)
        return Handled(facts=(*facts, *await self._add(reaction, target, entry, lane, session)))

    async def _mistaken(
        self, reaction: RemoteReaction, entry: Entry, lane: Lane, session: Session | None
    ) -> tuple[Fact, ...]:
        """What the room may not keep of ghosts now that this change of ours has shown itself: the echo of a reaction
        may have passed for one from a phone, after a crash."""
        records = await self._targets.find(reaction.portal, reaction.target, lane, room=None)
        if not records:
            return ()
        theirs = await self._of_sender(reaction, records[0])
        by_ghosts = [each for each in theirs if self._ghosts.namespace.is_ghost(each.sender)]
        if not reaction.added:
            return await self._remove([each for each in by_ghosts if _is_same(each, reaction)])
        await self._show_once(reaction, records[0], theirs, entry, lane)
        others, limit = [each for each in by_ghosts if not _is_same(each, reaction)], _limit(reaction, session)
        return await self._remove(others[: max(0, len(others) + 1 - limit)] if limit is not None else [])

    async def _show_once(
        self,
        reaction: RemoteReaction,
        target: MessageRecord,
        there: Sequence[ReactionRecord],
        entry: Entry,
        lane: Lane,
    ) -> None:
        """An attempt that was cut short may have shown the same before somebody left it on Matrix, too: nothing would
        take that away again."""
        if not (entry.attempts or lane.may_have_been_tried(entry)) or not self._books.is_own_account(reaction.sender):
            return
        ghost = self._ghosts.namespace.user_id(reaction.sender)
        content = reaction_content(target.event_id, reaction.emoji, TxnID(""), emoji_id=reaction.emoji_id)
        event_id = await self._posting.annotation(target.room, ghost, target.event_id, content)
        if event_id is not None and all(each.event_id != event_id for each in there):
            await self._posting.redact(reaction.portal, target.room, event_id, by=ghost)

    async def _of_sender(self, reaction: RemoteReaction, target: MessageRecord) -> list[ReactionRecord]:
        """What the sender has left on the message, oldest first: with the ghost or, if it is an account that is logged
        in here, from Matrix."""
        senders = {self._ghosts.namespace.user_id(reaction.sender)}
        same = self._books.identities.same
        senders |= {each.user_id for each in self._books.logins() if same(each.login.user, reaction.sender)}
        there = await self._books.reactions(reaction.portal, target.remote_id)
        return [each for each in there if each.sender in senders]

    async def _add(
        self, reaction: RemoteReaction, target: MessageRecord, entry: Entry, lane: Lane, session: Session | None
    ) -> tuple[Fact, ...]:
        ghost = await self._ghosts.ensure(reaction.sender, describer_of(session))
        await self._ghosts.ensure_joined(target.room, ghost)
        key = event_txn_id(
            portal=reaction.portal,
            sender=ghost.user_id,
            kind="reaction",
            remote_id=entry.dedupe,  # has the occurrence, and was fixed when the entry was appended
            occurrence=0,
            part=0,
        )
        content = reaction_content(target.event_id, reaction.emoji, key, emoji_id=reaction.emoji_id)
        try:
            (event_id,) = await self._posting.post(
                target.room, ghost, [(key, content)], entry, lane, timestamp=reaction.timestamp, type=REACTION
            )
        except MatrixRequestError as error:
            if error.errcode != "M_DUPLICATE_ANNOTATION":
                raise
            found = await self._posting.already_there(target.room, ghost.user_id, {key})
            if key in found:
                event_id = found[key]
            elif (
                other := await self._posting.annotation(target.room, ghost.user_id, target.event_id, content)
            ) is None:
                # Further back than anybody looks: nothing could take it back, so it may not pass for known.
                log.warning("a reaction is there already, and was not found: %s", error, extra={"room_id": target.room})
                return ()
            else:
                event_id = other  # of an earlier transaction id
        return (ReactionSaved(_record(reaction, target, ghost.user_id, event_id)),)

    async def _remove(self, gone: Sequence[ReactionRecord]) -> tuple[Fact, ...]:
        for each in gone:
            await self._posting.redact(each.portal, each.room, each.event_id, by=each.sender)
        return tuple(ReactionRemoved(each.portal, each.target, each.sender, each.emoji) for each in gone)


def _limit(reaction: RemoteReaction, session: Session | None) -> int | None:
    return session.limits(reaction.portal).reactions_per_person if session is not None else None


def _is_same(there: ReactionRecord, reaction: RemoteReaction) -> bool:
    if there.emoji_id and reaction.emoji_id:
        return there.emoji_id == reaction.emoji_id
    return same_emoji(there.emoji, reaction.emoji)


def _record(reaction: RemoteReaction, target: MessageRecord, sender: UserID, event_id: EventID) -> ReactionRecord:
    return ReactionRecord(
        portal=reaction.portal,
        target=target.remote_id,
        sender=sender,
        emoji=reaction.emoji,
        room=target.room,
        event_id=event_id,
        emoji_id=reaction.emoji_id,
        timestamp=reaction.timestamp,
    )
