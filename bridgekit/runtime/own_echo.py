"""Our own messages and edits, as the network shows them to us: recognised, and not bridged a second time."""

from __future__ import annotations

import asyncio
import logging

from bridgekit.adapter.base import Session
from bridgekit.adapter.capabilities import CanSend, capability
from bridgekit.core.txnid import is_our_nonce
from bridgekit.model.ids import Nonce, RemoteMessageID
from bridgekit.model.records import (
    AliasSaved,
    Fact,
    LoginRecord,
    LoginState,
    MessageRecord,
    MessageSaved,
    UncertainResolved,
)
from bridgekit.model.remote import RemoteEdit, RemoteMessage, RemoteReaction
from bridgekit.runtime.books import Books
from bridgekit.runtime.own_changes import OwnChanges, OwnReaction
from bridgekit.runtime.remote_targets import RemoteTargets, named
from bridgekit.runtime.sessions import Sessions
from bridgekit.runtime.status import Status

log = logging.getLogger(__name__)

OWN_COPY_WAIT_S = 5.0
"""How long what a person said in a chat waits for the person's own session to tell whether we have sent it."""


class OwnEchoes:
    """Asked before anything from the network is bridged. Every method may raise `StoreError`."""

    def __init__(
        self, books: Books, sessions: Sessions, targets: RemoteTargets, changes: OwnChanges, status: Status
    ) -> None:
        self._books = books
        self._sessions = sessions
        self._targets = targets
        self._changes = changes
        self._status = status

    def _is_ours(self, said: RemoteMessage | RemoteEdit) -> bool:
        """Whether the network gives back a nonce of ours, with which something was sent into this chat."""
        return said.nonce is not None and is_our_nonce(self._books.secret, said.portal, said.nonce)

    # --- messages ---------------------------------------------------------------------------------------------------
    async def message(
        self, message: RemoteMessage, record: LoginRecord, session: Session | None
    ) -> tuple[Fact, ...] | None:
        """What to write down for the echo of a message that we sent; None if it came from elsewhere (another person, or
        our person's own phone), and has to be bridged."""
        is_own = self._books.is_own_account(message.sender)
        if not is_own and not self._may_be_relayed(message, session):
            return None
        if message.nonce is not None and self._is_ours(message):
            return await self._confirmed(message, message.nonce, is_own=is_own)
        if (names := await self._names(message)) is not None:
            return names
        portal = await self._books.portal(message.portal)
        if message.nonce is None and portal is not None and portal.room is not None:
            # The network does not say which message this echoes: perhaps one whose send has not returned yet.
            await self._targets.sends_in_flight(portal.room)
            if (names := await self._names(message)) is not None:
                return names
            if await self._sender_says_ours(message, record):
                return ()
        return None

    async def _names(self, message: RemoteMessage) -> tuple[AliasSaved, ...] | None:
        """What to write down of the names of a message that is there, under any of them; None if it is not."""
        if records := await self._books.message_by_remote(message.portal, message.id):
            return named(message, records[0].remote_id)
        return await self._targets.renamed(message)

    def _may_be_relayed(self, message: RemoteMessage, session: Session | None) -> bool:
        """Whether it may be the echo of a relayed message, which a network can show under a sender made up for it."""
        if self._is_ours(message):
            return True
        if self._books.relay(message.portal) is None:
            return False
        return session is None or session.limits(message.portal).shows_speaker

    async def _sender_says_ours(self, message: RemoteMessage, record: LoginRecord) -> bool:
        """Whether the copy that the sender's own session gets says that we have sent this message. Where the network
        drops no repeats, a send can have ended as uncertain, and then nothing else can tell."""
        same = self._books.identities.same
        for sender in await self._books.portal_logins(message.portal):
            if not same(sender.login.user, message.sender) or sender.state is not LoginState.ACTIVE:
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

    async def _confirmed(self, message: RemoteMessage, nonce: Nonce, *, is_own: bool) -> tuple[Fact, ...] | None:
        """The same of one with a nonce of ours. None if it is not `is_own`, but of somebody to whom no message of ours
        can be ascribed: who has copied it, nonce and all."""
        portal = await self._books.portal(message.portal)
        names = await self._names(message)
        uncertain = await self._books.directory.uncertain(nonce)
        if names is None and uncertain is None and portal is not None and portal.room is not None:

            async def is_uncertain() -> bool:
                return await self._books.directory.uncertain(nonce) is not None

            # The send has not returned. If it never will, that is written down first, and resolved by this: at once, as
            # what comes behind it in the room may wait for this.
            await self._targets.sends_in_flight(portal.room, unless=is_uncertain)
            uncertain = await self._books.directory.uncertain(nonce)
            names = await self._names(message)
        if not is_own and names is None and uncertain is None:
            return None
        facts: list[Fact] = [*(named(message, message.id) if names is None else names)]
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
            facts += [MessageSaved(record), UncertainResolved(nonce)]
            await self._status.know(uncertain.room)
            facts += self._status.arrived_after_all(uncertain.room, uncertain.event_id)
        return tuple(facts)

    # --- changes ----------------------------------------------------------------------------------------------------
    async def edit(self, edit: RemoteEdit) -> tuple[Fact, ...] | None:
        """What to write down for an edit that we made: it has our nonce, or says what we said last. None for others."""
        ours = self._is_ours(edit)
        # Where the network shows no nonce, it may show somebody made up for whom a relay speaks, too.
        may_be = self._books.is_own_account(edit.sender) or self._books.relay(edit.portal) is not None
        if not ours and not may_be:
            return None
        if not ours:
            await self._in_flight(edit)
        target = await self._target(edit)
        own = await self._changes.own_edit(edit.portal, target, edit.text, edit.nonce)
        if own is None and ours and may_be and edit.nonce is not None:
            self._changes.came_early(edit.nonce)
            return ()
        return own

    async def reaction(self, reaction: RemoteReaction) -> OwnReaction | None:
        """A reaction that we left or took back; None for others."""
        if not self._books.is_own_account(reaction.sender):
            return None
        await self._in_flight(reaction)
        own = OwnReaction(reaction.portal, await self._target(reaction), reaction.emoji, reaction.added)
        return own if await self._changes.is_own_reaction(own) else None

    async def has_more_to_come(self, reaction: OwnReaction, *, other_emoji: bool) -> bool:
        """See `OwnChanges.has_more_to_come`."""
        return await self._changes.has_more_to_come(reaction, other_emoji=other_emoji)

    async def done(self, reaction: OwnReaction) -> tuple[Fact, ...]:
        """The echo of a reaction is carried out: what to write down."""
        return await self._changes.echoed(reaction)

    async def elsewhere(self, reaction: RemoteReaction) -> tuple[Fact, ...]:
        """A reaction that is no echo is carried out: what to write down."""
        if not self._books.is_own_account(reaction.sender):
            return ()
        target = await self._target(reaction)
        return await self._changes.reacted_elsewhere(
            OwnReaction(reaction.portal, target, reaction.emoji, reaction.added)
        )

    async def _target(self, change: RemoteEdit | RemoteReaction) -> RemoteMessageID:
        records = await self._books.message_by_remote(change.portal, change.target)
        return records[0].remote_id if records else change.target

    async def _in_flight(self, change: RemoteEdit | RemoteReaction) -> None:
        """The echo may come before the call that caused it has returned."""
        portal = await self._books.portal(change.portal)
        if portal is not None and portal.room is not None:
            await self._targets.sends_in_flight(portal.room)
