"""One message on its way to the network: what is on disk about it, and how it ends."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING

import msgspec

from bridgekit.adapter.base import Session
from bridgekit.adapter.capabilities import CanConfirm, CanSend, capability
from bridgekit.core.from_matrix import ReadText, Unreadable, read_message
from bridgekit.core.lane import remote_lane
from bridgekit.core.policy import End, Pause, Retry, judge_network
from bridgekit.core.text import downgrade, split_text
from bridgekit.core.transaction import read_event
from bridgekit.core.txnid import outgoing_nonce
from bridgekit.errors import LeaseLost, StoreError
from bridgekit.model.content import MentionTarget, MentionUser, Text
from bridgekit.model.entry import Ending, Entry
from bridgekit.model.ids import EventID, Nonce, RemoteMessageID, UserID
from bridgekit.model.matrix import MatrixMessage
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import (
    Fact,
    LoginRecord,
    LoginState,
    MessageRecord,
    MessageSaved,
    Portal,
    UncertainSaved,
)
from bridgekit.model.remote import Sent
from bridgekit.runtime import points
from bridgekit.runtime.lanes import Handled, Lane, WaitFor, is_being_cancelled
from bridgekit.runtime.relay import Ignored, Refusal, Voice

log = logging.getLogger(__name__)

DEDUPE_MARGIN = 0.9
"""A network that says it drops repeats for a day is believed for a little less: its clock is not ours."""


if TYPE_CHECKING:
    from bridgekit.runtime.outgoing import Outgoing


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is on disk about a message under way: how many parts the network has, how it ended if its sender is still to
    be told, what its sender was told meanwhile, and for a relayed one who speaks."""

    parts: int = 0
    voice: Voice | None = None
    ending: Ending | None = None
    facts: tuple[Fact, ...] = ()
    told: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Progress).decode


class Message:
    """One entry at the head of its lane, once."""

    def __init__(self, outgoing: Outgoing, entry: Entry, lane: Lane, event: RawEvent, portal: Portal) -> None:
        self._o = outgoing
        self._entry = entry
        self._lane = lane
        self._event = event
        self._portal = portal
        self._progress = _decode(entry.progress) if entry.progress else Progress()
        self._marked_now = False  # the mark is of the present attempt, and says nothing of earlier ones

    async def handle(self) -> Handled:
        if self._progress.ending is not None:
            return await self._finish(self._progress.ending)
        if self._event.type == "m.room.member":
            return Handled()
        if self._event.type == "m.room.redaction":
            return await self._redaction()
        read = read_message(self._event.raw, resolve=self._resolve)
        if isinstance(read, Unreadable) and read.code == "redacted":
            return Handled()
        if await self._deleted_meanwhile():
            return Handled()
        voice = await self._voice(read)
        if not isinstance(voice, Voice):
            return await self._unheard(voice)
        if isinstance(read, Unreadable):
            return await self.end(self._o.retrying.ending(read.code, read.reason))
        record = self._o.books.login(voice.login)
        if record is None:
            return await self.end(self._o.retrying.ending("no_login", "the login has just logged out"))
        session = self._o.sessions.session(record.login.id)
        if session is None:
            return await self._not_connected(record, relayed=voice.speaker.relayed)
        sender = capability(session, CanSend)
        if sender is None:
            return await self.end(self._o.retrying.ending("not_supported", "this network cannot be written to"))
        return await self._send(read, voice, record, session, sender)

    # --- what to send, and as whom --------------------------------------------------------------------------------
    def _resolve(self, user: str) -> MentionTarget | None:
        for record in self._o.books.logins(UserID(user)):
            return MentionUser(record.login.user)
        remote = self._o.ghosts.namespace.remote(UserID(user))
        return MentionUser(remote) if remote is not None else None

    async def _voice(self, read: ReadText | Unreadable) -> Voice | Refusal | Ignored:
        tried = self._entry.marked_at is not None or bool(self._progress.parts)
        return await self._o.relay.voice(
            self._event,
            self._portal,
            read.text if isinstance(read, ReadText) else None,
            begun=self._progress.voice,
            tried=tried,
            may_be_sent=tried or self._lane.may_have_been_tried(self._entry),
        )

    async def _unheard(self, why: Refusal | Ignored) -> Handled:
        """Nobody speaks for the sender, who is told so once."""
        if isinstance(why, Refusal) and not await self._o.relay.is_told(why, self._event):
            return await self.end(self._o.retrying.ending(why.code, why.reason))
        code = why.code if isinstance(why, Refusal) else why.why
        log.info("not bridged, without a word (%s)", code, extra={"event_id": self._event.event_id})
        return Handled()

    async def _deleted_meanwhile(self) -> bool:
        """Whether the message waited, was deleted by its sender meanwhile, and nothing of it has crossed.

        A message that never had its turn is cancelled in the journal (`Inbox`); this is for one that has tried.
        """
        waited = self._entry.attempts > 0 or self._progress.told
        if not waited or self._entry.marked_at is not None or self._progress.parts:
            return False
        for later in await self._o.journal.peek(self._entry.lane, after=self._entry.seq):
            event = read_event(later.payload)
            if isinstance(event, RawEvent) and event.redacts == self._event.event_id:
                return event.type == "m.room.redaction"
        return False

    async def _redaction(self) -> Handled:
        assert self._event.redacts is not None
        await self._lane.settle()
        if await self._o.books.message_by_event(self._event.room_id, self._event.redacts) is None:
            return Handled()  # it never crossed, so there is nothing to delete
        return await self.end(self._o.retrying.ending("not_supported", "deleting messages is not bridged yet"))

    async def _reply_to(self, read: ReadText) -> RemoteMessageID | None:
        if read.reply_to is None:
            return None
        await self._lane.settle()
        found = await self._o.books.message_by_event(self._event.room_id, read.reply_to)
        if found is None:
            # Perhaps the answered message is just being put into the room.
            try:
                async with asyncio.timeout(self._o.retrying.delivery.confirm_wait_ms / 1000):
                    await self._o.lanes.settled(remote_lane(self._portal.key))
            except TimeoutError:
                log.info("the network's messages take long; going on", extra={"room_id": self._event.room_id})
            found = await self._o.books.message_by_event(self._event.room_id, read.reply_to)
        return found.remote_id if found is not None else None

    # --- sending --------------------------------------------------------------------------------------------------
    async def _send(
        self, read: ReadText, voice: Voice, record: LoginRecord, session: Session, sender: CanSend
    ) -> Handled:
        limits = session.limits(self._portal.key)
        text = self._o.relay.spoken(self._event, read.text, voice.speaker, limits)
        text = downgrade(text, limits.formatting)
        parts: tuple[Text, ...] = (text,)
        if limits.max_text_length is not None:
            parts = split_text(text, limits.max_text_length, unit=limits.text_unit)
        reply_to = await self._reply_to(read)
        if self._progress.voice != voice and (
            voice.speaker.relayed or await self._o.relay.has_choice(self._event, self._portal)
        ):
            # Another login, or another name, after a crash would repeat what is sent now, or cut it elsewhere.
            await self._note(self._entry.marked_at, msgspec.structs.replace(self._progress, voice=voice))
        facts: list[Fact] = list(self._progress.facts)
        for part in range(self._progress.parts, len(parts)):
            message = MatrixMessage(
                portal=self._portal.key,
                text=parts[part],
                nonce=outgoing_nonce(self._o.books.secret, self._event.event_id, part),
                timestamp=self._event.origin_server_ts,
                speaker=voice.speaker,
                reply_to=reply_to if part == 0 else None,
            )
            outcome = await self._send_part(message, record, session, sender, part)
            if isinstance(outcome, Ending):
                if outcome.code == "uncertain":
                    facts.append(self._uncertain(message.nonce, part))
                return await self.end(outcome, tuple(facts))
            facts += [self._sent(remote_id, part) for remote_id in outcome.ids]
            if part + 1 < len(parts):
                points.reach(points.PARTS_BETWEEN)
                # The next part must not repeat this one, whatever happens to it.
                await self._note(None, msgspec.structs.replace(self._progress, parts=part + 1, facts=tuple(facts)))
        # Without deduplication a mark is all that keeps the next entry's crash from repeating this one.
        return Handled(facts=tuple(facts), barrier=sender.dedupes_for is None)

    async def _send_part(
        self, message: MatrixMessage, record: LoginRecord, session: Session, sender: CanSend, part: int
    ) -> Sent | Ending:
        dedupes_ms = None if sender.dedupes_for is None else sender.dedupes_for.total_seconds() * 1000
        now = self._o.retrying.clock.now()
        if self._was_tried(dedupes_ms, now):
            found = await self._find(message, session)
            if found is not None:
                return found
        if self._entry.marked_at is None and (
            # A network that drops repeats needs no mark while our nonce is surely still known when we come back.
            dedupes_ms is None or now - self._entry.received_at > dedupes_ms / 2
        ):
            await self._note(now, self._progress)
            self._marked_now = True
        await self._o.lease.check()
        try:
            sent = _checked(await self._o.limit.on(sender.send(message)))
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            # Libraries cancel what waits for an answer when their connection breaks, and let that escape.
            error: Exception = ConnectionAbortedError("the call was cancelled")
            return await self._failed(error, record, session, now, repeatable=dedupes_ms is not None)
        except Exception as error:  # noqa: BLE001 - the policy's table says what it means
            return await self._failed(error, record, session, now, repeatable=dedupes_ms is not None)
        points.reach(points.NETWORK_SENT)
        if self._entry.marked_at is not None:
            self._entry = msgspec.structs.replace(self._entry, marked_at=None)
        return sent

    def _was_tried(self, dedupes_ms: float | None, now: int) -> bool:
        """Whether an earlier attempt may have reached the network, and a repeat now would not be dropped there."""
        marked = self._entry.marked_at
        if dedupes_ms is None:
            return marked is not None
        safe_ms = dedupes_ms * DEDUPE_MARGIN
        if marked is not None:
            return now - marked >= safe_ms
        return self._lane.may_have_been_tried(self._entry) and now - self._entry.received_at >= safe_ms

    async def _find(self, message: MatrixMessage, session: Session) -> Sent | Ending | None:
        """What became of an earlier attempt: sent, unknown, or (None) certainly not sent."""
        confirmer = capability(session, CanConfirm)
        if confirmer is None:
            reason = "the bridge or the network stopped while it was being sent"
            return self._o.retrying.ending("uncertain", reason)
        try:
            found = await self._o.limit.on(confirmer.find(message.portal, message.nonce))
        except Exception as error:
            verdict = judge_network(error, connection_errors=self._o.connection_errors, repeatable=True)
            if isinstance(verdict, Retry) and not self._o.retrying.is_over(self._entry, verdict):
                raise self._o.retrying.later(self._entry, verdict) from error
            return self._o.retrying.ending("uncertain", "the network cannot say whether it took the message")
        if found is None:
            await self._note(None, self._progress)
        return found

    async def _failed(
        self, error: Exception, record: LoginRecord, session: Session, began: int, *, repeatable: bool
    ) -> Ending:
        """How the entry ends after an error from the adapter; raises `RetryLater` or `WaitFor` if it does not end."""
        retrying = self._o.retrying
        marked_before = self._entry.marked_at is not None and not self._marked_now
        verdict = judge_network(error, connection_errors=self._o.connection_errors, repeatable=repeatable)
        match verdict:
            case Retry():
                if retrying.is_over(self._entry, verdict):
                    code = "uncertain" if verdict.ambiguous or marked_before else verdict.code
                    return retrying.ending(code, verdict.reason)
                if verdict.ambiguous and self._entry.marked_at is None:
                    await self._note(began, self._progress)
                elif not verdict.ambiguous and not marked_before:
                    await self._unmark()
                await self._tell_waiting(verdict.reason)
                raise retrying.later(self._entry, verdict) from error
            case Pause():
                if not marked_before:
                    await self._unmark()
                if self._o.sessions.session(record.login.id) is session:  # not a new one, of a new login
                    await self._o.sessions.auth_failed(record.login.id, verdict.reason)
                    await self._o.sessions.disconnect(record.login.id)
                # At once again, to find that there is no session, and what follows from that.
                raise WaitFor(functools.partial(self._until_connected, record, 0.0)) from error
            case End():
                if verdict.bug:
                    log.error("the adapter failed", exc_info=error, extra={"event_id": self._event.event_id})
                return retrying.ending(verdict.code, verdict.reason)

    async def _not_connected(self, record: LoginRecord, *, relayed: bool) -> Handled:
        """Nothing can be sent now: wait for the session, and say so after a while."""
        o = self._o
        waited = o.retrying.clock.now() - self._entry.received_at
        if waited >= o.retrying.delivery.tell_after_ms:
            bad = record.state is LoginState.BAD_CREDENTIALS
            again = "the room's relay has to log in again" if relayed else "you have to log in again"
            if bad and (relayed or await self._is_shared(record)):
                # The others in this room must not wait for one who has to log in again.
                return await self.end(o.retrying.ending("auth_failed", again))
            await self._tell_waiting(again if bad else "the network cannot be reached", at_once=True)
            raise WaitFor(functools.partial(o.sessions.until_connected, record.login.id))
        rest = (o.retrying.delivery.tell_after_ms - waited) / 1000
        raise WaitFor(functools.partial(self._until_connected, record, rest))

    async def _is_shared(self, record: LoginRecord) -> bool:
        """Whether people with other logins write in this room, too."""
        seen = await self._o.books.portal_logins(self._portal.key)
        return any(other.user_id != record.user_id for other in seen)

    async def _until_connected(self, record: LoginRecord, at_most_s: float) -> None:
        waits = [
            asyncio.ensure_future(self._o.sessions.until_connected(record.login.id)),
            asyncio.ensure_future(self._o.retrying.clock.sleep(at_most_s)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # --- writing down, telling ------------------------------------------------------------------------------------
    async def _note(self, marked_at: int | None, progress: Progress) -> None:
        encoded = _encode(progress) if progress != Progress() else None
        await self._o.journal.mark(
            self._entry.lane, self._entry.seq, at=marked_at, progress=encoded, epoch=self._o.lease.epoch
        )
        self._progress = progress
        self._entry = msgspec.structs.replace(
            self._entry, marked_at=marked_at, progress=encoded or self._entry.progress
        )
        self._lane.noted(self._entry)

    async def _unmark(self) -> None:
        """The network has certainly not taken it."""
        if self._entry.marked_at is not None:
            await self._note(None, self._progress)

    def _sent(self, remote_id: RemoteMessageID, part: int) -> MessageSaved:
        return MessageSaved(
            MessageRecord(
                portal=self._portal.key,
                remote_id=remote_id,
                part=part,
                room=self._event.room_id,
                event_id=self._event.event_id,
                sender=self._event.sender,
                timestamp=self._event.origin_server_ts,
            )
        )

    def _uncertain(self, nonce: Nonce, part: int) -> UncertainSaved:
        return UncertainSaved(
            nonce=nonce,
            portal=self._portal.key,
            room=self._event.room_id,
            event_id=EventID(self._event.event_id),
            sender=self._event.sender,
            part=part,
            at=self._o.retrying.clock.now(),
        )

    async def _tell_waiting(self, reason: str, *, at_once: bool = False) -> None:
        """Tell the sender, once, that the message waits; after a while, unless `at_once`."""
        since = self._o.retrying.clock.now() - self._o.retrying.waits_since(self._entry)
        if self._progress.told or (not at_once and since < self._o.retrying.delivery.tell_after_ms):
            return
        await self._o.status.waiting(self._event, reason)
        await self._note(self._entry.marked_at, msgspec.structs.replace(self._progress, told=True))

    async def end(self, ending: Ending, facts: tuple[Fact, ...] = ()) -> Handled:
        """The message has failed for good. That is on disk before its sender is told, so that a crash in between can
        not turn a message that was reported as failed into one that is sent after all."""
        try:
            await self._note(self._entry.marked_at, msgspec.structs.replace(self._progress, ending=ending, facts=facts))
        except StoreError:
            log.warning("the end of an entry could not be noted", extra={"event_id": self._event.event_id})
            raise
        return await self._finish(ending)

    def untold(self, ending: Ending) -> Handled:
        """It ends without its sender's having been told; how the message itself ended is kept, if it had."""
        return Handled(facts=self._progress.facts, dead=self._progress.ending or ending)

    async def _finish(self, ending: Ending) -> Handled:
        await self._o.status.failed(self._event, ending)
        return Handled(facts=self._progress.facts, dead=ending)


def _checked(sent: object) -> Sent:
    if isinstance(sent, Sent):
        return sent
    # It has returned, so the network has the message: that must not be reported as a failure.
    log.error("the adapter's send returned %r instead of a Sent", type(sent))
    return Sent(())
