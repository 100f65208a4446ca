"""One entry at the head of a room's lane: what is on disk about it, its calls to the network, and how it ends.

What all kinds have in common (messages, edits, deletions, reactions). What is called for each: `message`, `changes`,
`reacting`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from bridgekit.adapter.base import Session
from bridgekit.adapter.capabilities import CanConfirm, CanSend, capability
from bridgekit.core.policy import End, Pause, Retry, judge_network
from bridgekit.core.transaction import read_event
from bridgekit.errors import LeaseLost, StoreError
from bridgekit.model.entry import Ending, Entry
from bridgekit.model.ids import EventID, RemoteMessageID
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
from bridgekit.runtime.progress import Progress, decode_progress, encode_progress
from bridgekit.runtime.relay import Ignored, Refusal, Voice

log = logging.getLogger(__name__)

T = TypeVar("T")

DEDUPE_MARGIN = 0.9
"""A network that says it drops repeats for a day is believed for a little less: its clock is not ours."""


if TYPE_CHECKING:
    from bridgekit.runtime.outgoing import Outgoing


class Connected(msgspec.Struct, frozen=True):
    """Through which login, as whom, and its connection."""

    voice: Voice
    record: LoginRecord
    session: Session


class Attempt:
    """One entry at the head of its lane, once."""

    def __init__(self, outgoing: Outgoing, entry: Entry, lane: Lane, event: RawEvent, portal: Portal) -> None:
        self.o = outgoing
        self.entry = entry
        self.lane = lane
        self.event = event
        self.portal = portal
        self.progress = decode_progress(entry.progress)
        self._marked_now = False  # the mark is of the present attempt, and says nothing of earlier ones

    # --- who speaks, and is there a connection ----------------------------------------------------------------------
    @property
    def may_have_begun(self) -> bool:
        """Whether something of it may have reached the network in an earlier attempt."""
        return self.tried or self.lane.may_have_been_tried(self.entry)

    @property
    def tried(self) -> bool:
        """Whether something of it was sent in an earlier attempt, and may have reached the network."""
        return self.entry.marked_at is not None or bool(self.progress.parts)

    async def connected(self, voice: Voice) -> Connected | Handled:
        """The connection to speak through; how the entry ends if there is none. Raises `WaitFor`."""
        record = self.o.books.login(voice.login)
        if record is None:
            return await self.end(self.ending("no_login", "the login has just logged out"))
        session = self.o.sessions.session(record.login.id)
        if session is None:
            return await self._not_connected(record, relayed=voice.speaker.relayed)
        return Connected(voice, record, session)

    async def keep_voice(self, voice: Voice) -> None:
        """Another login, or another name, after a crash would repeat what is sent now, or cut it elsewhere."""
        if self.progress.voice != voice and (
            voice.speaker.relayed or await self.o.relay.has_choice(self.event, self.portal)
        ):
            await self.note(self.entry.marked_at, msgspec.structs.replace(self.progress, voice=voice))

    async def unheard(self, why: Refusal | Ignored) -> Handled:
        """Nobody speaks for the sender, who is told so once."""
        if isinstance(why, Refusal) and not await self.o.relay.is_told(why, self.event):
            return await self.end(self.ending(why.code, why.reason))
        code = why.code if isinstance(why, Refusal) else why.why
        log.info("not bridged, without a word (%s)", code, extra={"event_id": self.event.event_id})
        return Handled()

    async def deleted_meanwhile(self, *also: EventID) -> bool:
        """Whether it waited, it (or one of `also`) was deleted meanwhile, and nothing of it has crossed.

        What never had its turn is cancelled in the journal (`Inbox`); this is for what has tried.
        """
        waited = self.entry.attempts > 0 or self.progress.told
        if not waited or self.entry.marked_at is not None or self.progress.parts:
            return False
        for later in await self.o.journal.peek(self.entry.lane, after=self.entry.seq):
            event = read_event(later.payload)
            if isinstance(event, RawEvent) and event.redacts in (self.event.event_id, *also):
                return event.type == "m.room.redaction"
        return False

    # --- calls that may be repeated ---------------------------------------------------------------------------------
    async def call(self, work: Callable[[], Awaitable[T]], to: Connected, *, ahead: bool = False) -> T | Ending:
        """One call whose repeat does no harm: an edit, a deletion, a reaction. Returns its result, or how the entry
        ends; raises `RetryLater` or `WaitFor` if it does not end. `ahead`: it only prepares what the entry does, and
        says nothing of whether the network has that."""
        began = self.o.retrying.clock.now()
        await self.o.lease.check()
        try:
            result = await self.o.limit.on(work())
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            # Libraries cancel what waits for an answer when their connection breaks, and let that escape.
            error: Exception = ConnectionAbortedError("the call was cancelled")
            return await self._failed(error, to, began, repeatable=True, ahead=ahead)
        except Exception as error:  # noqa: BLE001 - the policy's table says what it means
            return await self._failed(error, to, began, repeatable=True, ahead=ahead)
        if not ahead:
            self._taken()
        return result

    def _taken(self) -> None:
        points.reach(points.NETWORK_SENT)
        if self.entry.marked_at is not None:
            self.entry = msgspec.structs.replace(self.entry, marked_at=None)

    # --- sending a message ------------------------------------------------------------------------------------------
    async def send(self, message: MatrixMessage, sender: CanSend, to: Connected) -> Sent | Ending:
        """Send a part of a message, with a mark on disk where a repeat would do harm. As `call`."""
        dedupes_ms = None if sender.dedupes_for is None else sender.dedupes_for.total_seconds() * 1000
        now = self.o.retrying.clock.now()
        if self._was_tried(dedupes_ms, now):
            found = await self._find(message, to.session)
            if found is not None:
                return found
        if self.entry.marked_at is None and (
            # A network that drops repeats needs no mark while our nonce is surely still known when we come back.
            dedupes_ms is None or now - self.entry.received_at > dedupes_ms / 2
        ):
            await self.note(now, self.progress)
            self._marked_now = True
        await self.o.lease.check()
        try:
            sent = checked(await self.o.limit.on(sender.send(message)))
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            error: Exception = ConnectionAbortedError("the call was cancelled")
            return await self._failed(error, to, now, repeatable=dedupes_ms is not None)
        except Exception as error:  # noqa: BLE001 - the policy's table says what it means
            return await self._failed(error, to, now, repeatable=dedupes_ms is not None)
        self._taken()
        return sent

    def _was_tried(self, dedupes_ms: float | None, now: int) -> bool:
        """Whether an earlier attempt may have reached the network, and a repeat now would not be dropped there."""
        marked = self.entry.marked_at
        if dedupes_ms is None:
            return marked is not None
        safe_ms = dedupes_ms * DEDUPE_MARGIN
        if marked is not None:
            return now - marked >= safe_ms
        return self.lane.may_have_been_tried(self.entry) and now - self.entry.received_at >= safe_ms

    async def _find(self, message: MatrixMessage, session: Session) -> Sent | Ending | None:
        """What became of an earlier attempt: sent, unknown, or (None) certainly not sent."""
        confirmer = capability(session, CanConfirm)
        if confirmer is None:
            reason = "the bridge or the network stopped while it was being sent"
            return self.ending("uncertain", reason)
        try:
            found = await self.o.limit.on(confirmer.find(message.portal, message.nonce))
        except Exception as error:
            verdict = judge_network(error, connection_errors=self.o.connection_errors, repeatable=True)
            if isinstance(verdict, Retry) and not self.o.retrying.is_over(self.entry, verdict):
                raise self.o.retrying.later(self.entry, verdict) from error
            return self.ending("uncertain", "the network cannot say whether it took the message")
        if found is None:
            await self.note(None, self.progress)
        return found

    # --- what an error means ----------------------------------------------------------------------------------------
    async def _failed(
        self, error: Exception, to: Connected, began: int, *, repeatable: bool, ahead: bool = False
    ) -> Ending:
        """How the entry ends after an error from the adapter; raises `RetryLater` or `WaitFor` if it does not end."""
        retrying = self.o.retrying
        marked_before = self.entry.marked_at is not None and not self._marked_now
        verdict = judge_network(error, connection_errors=self.o.connection_errors, repeatable=repeatable)
        match verdict:
            case Retry():
                if retrying.is_over(self.entry, verdict):
                    code = "uncertain" if (verdict.ambiguous and not ahead) or marked_before else verdict.code
                    return self.ending(code, verdict.reason)
                if verdict.ambiguous and not ahead and self.entry.marked_at is None:
                    await self.note(began, self.progress)
                elif not verdict.ambiguous and not marked_before:
                    await self._unmark()
                await self.tell_waiting(verdict.reason)
                raise retrying.later(self.entry, verdict) from error
            case Pause():
                if not marked_before:
                    await self._unmark()
                await self.o.sessions.refused(to.record.login.id, to.session, verdict.reason)
                # At once again, to find that there is no session, and what follows from that.
                raise WaitFor(functools.partial(self._until_connected, to.record, 0.0)) from error
            case End():
                if verdict.bug:
                    log.error("the adapter failed", exc_info=error, extra={"event_id": self.event.event_id})
                return self.ending(verdict.code, verdict.reason)

    async def _not_connected(self, record: LoginRecord, *, relayed: bool) -> Handled:
        """Nothing can be sent now: wait for the session, and say so after a while."""
        o = self.o
        waited = o.retrying.clock.now() - self.entry.received_at
        if waited >= o.retrying.delivery.tell_after_ms:
            bad = record.state is LoginState.BAD_CREDENTIALS
            again = "the room's relay has to log in again" if relayed else "you have to log in again"
            if bad and (relayed or await self._is_shared(record)):
                # The others in this room must not wait for one who has to log in again.
                return await self.end(self.ending("auth_failed", again))
            await self.tell_waiting(again if bad else "the network cannot be reached", at_once=True)
            raise WaitFor(functools.partial(o.sessions.until_connected, record.login.id))
        rest = (o.retrying.delivery.tell_after_ms - waited) / 1000
        raise WaitFor(functools.partial(self._until_connected, record, rest))

    async def _is_shared(self, record: LoginRecord) -> bool:
        """Whether people with other logins write in this room, too."""
        seen = await self.o.books.portal_logins(self.portal.key)
        return any(other.user_id != record.user_id for other in seen)

    async def _until_connected(self, record: LoginRecord, at_most_s: float) -> None:
        waits = [
            asyncio.ensure_future(self.o.sessions.until_connected(record.login.id)),
            asyncio.ensure_future(self.o.retrying.clock.sleep(at_most_s)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # --- writing down, telling --------------------------------------------------------------------------------------
    async def note(self, marked_at: int | None, progress: Progress) -> None:
        """Write down how far it is; `marked_at`: since when a call may have begun whose repeat would do harm."""
        encoded = encode_progress(progress)
        await self.o.journal.mark(
            self.entry.lane, self.entry.seq, at=marked_at, progress=encoded, epoch=self.o.lease.epoch
        )
        self.progress = progress
        self.entry = msgspec.structs.replace(self.entry, marked_at=marked_at, progress=encoded or self.entry.progress)
        self.lane.noted(self.entry)

    async def note_part(self, parts: int, facts: tuple[Fact, ...]) -> None:
        """So many calls are done, and more follow: the next must not repeat this one, whatever happens to it."""
        points.reach(points.PARTS_BETWEEN)
        await self.note(None, msgspec.structs.replace(self.progress, parts=parts, facts=facts))

    async def _unmark(self) -> None:
        """The network has certainly not taken it."""
        if self.entry.marked_at is not None:
            await self.note(None, self.progress)

    def sent(
        self, remote_id: RemoteMessageID, part: int, *, event_id: EventID | None = None, file: bool = False
    ) -> MessageSaved:
        """The network has a part of this event (or of `event_id`). `file`: it is one."""
        return MessageSaved(
            MessageRecord(
                portal=self.portal.key,
                remote_id=remote_id,
                part=part,
                room=self.event.room_id,
                event_id=event_id or self.event.event_id,
                sender=self.event.sender,
                timestamp=self.event.origin_server_ts,
                file=file,
            )
        )

    def taken(
        self, message: MatrixMessage, part: int, taken: Sent, *, event_id: EventID | None = None
    ) -> list[MessageSaved | UncertainSaved]:
        """The network has taken a part, and says so. Where it does not say what it calls that, its echo will."""
        if not taken.ids:
            return [self.uncertain(message, part, event_id=event_id)]
        is_file = message.media is not None
        return [self.sent(remote_id, part, event_id=event_id, file=is_file) for remote_id in taken.ids]

    def uncertain(self, message: MatrixMessage, part: int, *, event_id: EventID | None = None) -> UncertainSaved:
        """Whether the network has this part is unknown."""
        return UncertainSaved(
            nonce=message.nonce,
            portal=self.portal.key,
            room=self.event.room_id,
            event_id=event_id or self.event.event_id,
            sender=self.event.sender,
            part=part,
            at=self.o.retrying.clock.now(),
        )

    async def tell_waiting(self, reason: str, *, at_once: bool = False) -> None:
        """Tell the sender, once, that it waits; after a while, unless `at_once`."""
        since = self.o.retrying.clock.now() - self.o.retrying.waits_since(self.entry)
        if self.progress.told or (not at_once and since < self.o.retrying.delivery.tell_after_ms):
            return
        await self.o.status.waiting(self.event, reason, received_at=self.entry.received_at)
        await self.note(self.entry.marked_at, msgspec.structs.replace(self.progress, told=True))

    # --- ending -----------------------------------------------------------------------------------------------------
    def ending(self, code: str, reason: str) -> Ending:
        """The decision to end it, now."""
        return self.o.retrying.ending(code, reason)

    def crossed(self, facts: tuple[Fact, ...] = (), *, barrier: bool = False) -> Handled:
        """The network has it, all of it."""
        more = self.o.status.crossed(self.event, told=self.progress.told)
        return Handled(facts=(*facts, *more), barrier=barrier)

    async def end(self, ending: Ending, facts: tuple[Fact, ...] = ()) -> Handled:
        """It has failed for good. That is on disk before its sender is told, so that a crash in between can not turn
        what was reported as failed into something that is sent after all."""
        try:
            await self.note(self.entry.marked_at, msgspec.structs.replace(self.progress, ending=ending, facts=facts))
        except StoreError:
            log.warning("the end of an entry could not be noted", extra={"event_id": self.event.event_id})
            raise
        return await self.finish(ending)

    def untold(self, ending: Ending) -> Handled:
        """It ends without its sender's having been told; how it ended itself is kept, if it had."""
        return Handled(facts=self.progress.facts, dead=self.progress.ending or ending)

    async def finish(self, ending: Ending) -> Handled:
        """Tell its sender, again if it was cut short the last time."""
        more = await self.o.status.failed(self.event, ending, received_at=self.entry.received_at)
        return Handled(facts=(*self.progress.facts, *more), dead=ending)


def checked(sent: object) -> Sent:
    """What the adapter's `send` or `edit` returned."""
    if isinstance(sent, Sent):
        return sent
    # It has returned, so the network has the message: that must not be reported as a failure.
    log.error("the adapter returned %r instead of a Sent", type(sent))
    return Sent(())
