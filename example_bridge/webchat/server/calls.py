"""The calls that are under way. They live in memory; what is left of one is a line in its chat.

Frames are taken one after the other, so that what is said of a call is passed on in the order in which it was said.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from example_bridge.webchat.server.acts import type_of
from example_bridge.webchat.server.call_frames import (
    MAX_CANDIDATES,
    MAX_RING_MS,
    MAX_SDP_BYTES,
    MIN_RING_MS,
    CallAnswer,
    CallCandidates,
    CallFrame,
    CallHangUp,
    CallMute,
    CallOffer,
    CallReason,
    CallReject,
    CallRinging,
    CallUpdate,
)
from example_bridge.webchat.server.events import CallEvent
from example_bridge.webchat.server.faults import Faults
from example_bridge.webchat.server.protocol import Receipt, Refusal
from example_bridge.webchat.server.rows import append, audience, chat_info, next_seq, require_member
from example_bridge.webchat.server.store import Published, Signalled, Store, Written

log = logging.getLogger(__name__)

REMEMBERED = 200
"""Calls that are over and still known: a late frame for one is no mistake."""
MAX_CALLS = 1000
"""Under way at once."""
ROUND = 45.0
"""Seconds between two looks at who is still there."""


@dataclass(slots=True)
class Call:
    """One call from its offer to its end. `legs`: which page has it, by account; the callee's once it is answered."""

    offer: CallOffer
    callee: str
    legs: dict[str, str]
    ring: asyncio.TimerHandle | None = None
    answered_at: int | None = None
    kept: list[CallCandidates] = field(default_factory=list)
    """The caller's candidates while it rings: for pages that come later."""

    @property
    def caller(self) -> str:
        return self.offer.account

    @property
    def people(self) -> tuple[str, str]:
        return self.caller, self.callee

    def other(self, account: str) -> str:
        return self.callee if account == self.caller else self.caller


class Calls:
    """Who is in a call with whom."""

    def __init__(
        self,
        *,
        store: Store,
        publish: Callable[[Published | Signalled], None],
        there: Callable[[str], bool],
        faults: Faults,
        now: Callable[[], int],
    ) -> None:
        """`there`: whether an account has a stream."""
        self._there = there
        self._store = store
        self._publish = publish
        self._faults = faults
        self._now = now
        self._calls: dict[str, Call] = {}
        self._over: dict[str, CallReason] = {}
        self._away: set[tuple[str, str]] = set()
        self._rounds: asyncio.TimerHandle | None = None
        self._turn: asyncio.Future[Receipt] | None = None

    def do(self, account: str, chat: str, frame: CallFrame) -> asyncio.Future[Receipt]:
        """Take a frame, after those that came before it. Raises `Refusal` for one that is wrong in itself."""
        _check(frame)
        told = msgspec.structs.replace(frame, account=account, chat=chat, timestamp=self._now(), ref=None, nonce=None)
        before = self._turn
        task = asyncio.ensure_future(self._in_turn(before, told))
        self._turn = task
        return task

    def pending(self, account: str) -> list[CallFrame]:
        """What somebody must be told who has just come: the calls that ring for them."""
        ringing = [call for call in self._calls.values() if call.callee == account and call.answered_at is None]
        frames: list[CallFrame] = []
        for call in ringing:
            frames += [call.offer, *call.kept]
        return frames

    def close(self) -> None:
        """No timer is left."""
        for call in self._calls.values():
            if call.ring is not None:
                call.ring.cancel()
        self._calls.clear()
        if self._rounds is not None:
            self._rounds.cancel()

    async def _in_turn(self, before: asyncio.Future[Receipt] | None, frame: CallFrame) -> Receipt:
        if before is not None:
            await asyncio.wait([before])
        if isinstance(frame, CallOffer):
            await self._offer(frame)
        else:
            self._take(frame)
        return Receipt(frame.call, 0, frame.timestamp)

    # -- the beginning

    async def _offer(self, offer: CallOffer) -> None:
        if offer.call in self._over:
            raise Refusal("conflict", "this call is over")
        known = self._calls.get(offer.call)
        if known is not None:
            if known.caller == offer.account and known.offer.chat == offer.chat:
                return  # a repeat
            raise Refusal("conflict", "the id of this call is taken")
        if len(self._calls) >= MAX_CALLS:
            raise Refusal("unavailable", "too many calls")
        callee = await self._store.read(partial(_other_member, account=offer.account, chat=offer.chat))
        offer = msgspec.structs.replace(offer, expires_at=offer.timestamp + offer.ring_ms)
        under_way = self._calls.values()
        if any(call.caller == callee and call.callee == offer.account and not call.answered_at for call in under_way):
            # The two call each other: what came first counts, and rings at whoever came second.
            self._decline(offer, callee, "replaced")
            return
        if any(offer.account in call.people for call in under_way):
            raise Refusal("conflict", "you are in a call already")
        if any(callee in call.people for call in under_way):
            self._decline(offer, callee, "busy")
            self._leave_line(Call(offer, callee, {}), "busy", callee, offer.timestamp)
            return
        call = Call(offer, callee, {offer.account: offer.leg})
        self._calls[offer.call] = call
        seconds = offer.ring_ms / 1000
        call.ring = asyncio.get_running_loop().call_later(seconds, self._rang_in_vain, offer.call)
        self._watch()
        self._tell(callee, offer)

    def _decline(self, offer: CallOffer, callee: str, reason: CallReason) -> None:
        """The network itself does, in the name of whoever is called."""
        frame = CallReject(call=offer.call, chat=offer.chat, account=callee, reason=reason, timestamp=offer.timestamp)
        self._tell(offer.account, frame)
        self._forget(offer.call, reason)

    def _rang_in_vain(self, id: str) -> None:
        call = self._calls[id]
        now = self._now()
        for account in call.people:
            frame = CallHangUp(
                call=id, chat=call.offer.chat, account=call.other(account), reason="unanswered", timestamp=now
            )
            self._tell(account, frame)
        self._end(call, "unanswered", call.callee, now)

    def _make_rounds(self) -> None:
        """Who is not seen in two rounds has gone; the media alone cannot say so."""
        self._rounds = None
        away = {(id, person) for id, call in self._calls.items() for person in call.people if not self._there(person)}
        gone = away & self._away
        self._away = away
        for id, person in gone:
            call = self._calls.get(id)
            if call is not None and call.answered_at is not None:
                now = self._now()
                self._over_by(
                    call, CallHangUp(call=id, chat=call.offer.chat, account=person, timestamp=now, reason="lost")
                )
        self._watch()

    def _watch(self) -> None:
        if self._calls and self._rounds is None:
            self._rounds = asyncio.get_running_loop().call_later(ROUND, self._make_rounds)

    # -- everything after it

    def _take(self, frame: CallFrame) -> None:
        call = self._calls.get(frame.call)
        if call is None and isinstance(frame, CallHangUp) and frame.call not in self._over:
            # A page that goes says so by another way than its offer, which may come behind: it must not ring then.
            self._forget(frame.call, frame.reason)
        if call is None or frame.account not in call.people or frame.chat != call.offer.chat:
            if isinstance(frame, CallReject | CallHangUp):
                return  # over is what it is to be
            raise Refusal("not_found", "no such call, or it is over")
        leg = call.legs.get(frame.account)
        if leg is not None and leg != frame.leg and not isinstance(frame, CallHangUp):
            raise Refusal("conflict", "another page has this call")
        match frame:
            case CallHangUp(of=of) if of and call.legs.get(call.other(frame.account)) != of:
                pass  # that leg has been told by us
            case CallAnswer():
                self._answer(call, frame)
            case CallReject() if frame.account == call.callee and call.answered_at is None:
                self._over_by(call, frame)
            case CallReject() | CallHangUp():
                self._over_by(call, _hang_up(frame))
            case CallRinging():
                if frame.account == call.callee and call.answered_at is None:
                    self._tell(call.caller, frame)
            case CallCandidates() if call.answered_at is None:
                if frame.account == call.caller:
                    call.kept.append(frame)
                    self._tell(call.callee, frame)
            case CallCandidates() | CallUpdate() | CallMute():
                self._tell(call.other(frame.account), frame)
            case CallOffer():
                raise AssertionError("not here")

    def _answer(self, call: Call, answer: CallAnswer) -> None:
        if answer.account != call.callee:
            raise Refusal("forbidden", "whoever calls does not answer")
        if call.answered_at is not None:
            return  # a repeat, by the leg that has it
        if call.ring is not None:
            call.ring.cancel()
        call.answered_at = answer.timestamp
        call.legs[answer.account] = answer.leg
        self._tell(call.caller, answer)
        # To all of them: the leg that has the call knows itself.
        elsewhere = CallHangUp(
            call=answer.call, chat=answer.chat, account=answer.account, leg=answer.leg, reason="elsewhere",
            timestamp=answer.timestamp,
        )  # fmt: skip
        self._tell(answer.account, elsewhere)

    def _over_by(self, call: Call, frame: CallReject | CallHangUp) -> None:
        self._tell(call.other(frame.account), frame)
        # One's other pages stop ringing, too.
        if call.answered_at is None:
            self._tell(frame.account, frame)
        self._end(call, frame.reason, frame.account, frame.timestamp)

    def _end(self, call: Call, reason: CallReason, by: str, now: int) -> None:
        if call.ring is not None:
            call.ring.cancel()
        del self._calls[call.offer.call]
        self._forget(call.offer.call, reason)
        if reason != "replaced":  # the other call leaves a line
            self._leave_line(call, reason, by, now)

    def _forget(self, id: str, reason: CallReason) -> None:
        self._over[id] = reason
        while len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]

    def _leave_line(self, call: Call, reason: CallReason, by: str, now: int) -> None:
        duration = None if call.answered_at is None else max(0, now - call.answered_at)
        try:
            written = self._store.write(
                partial(_leave_line, call=call, reason=reason, by=by, now=now, duration=duration)
            )
        except Refusal:
            return  # the server is stopping
        written.add_done_callback(_noticed)

    def _tell(self, account: str, frame: CallFrame) -> None:
        signalled = Signalled(frame, (account,))
        told, seconds = self._faults.call_fate(account, type_of(frame))
        if told and seconds:
            asyncio.get_running_loop().call_later(seconds, self._publish, signalled)
        elif told:
            self._publish(signalled)


def _check(frame: CallFrame) -> None:
    if not 1 <= len(frame.call) <= 255 or not 0 <= len(frame.leg) <= 255:
        raise Refusal("bad_request", "call, leg: at most 255 code points")
    match frame:
        case CallOffer() | CallAnswer() | CallUpdate():
            if not frame.sdp or len(frame.sdp.encode("utf-8", "replace")) > MAX_SDP_BYTES:
                raise Refusal("bad_request", f"sdp: 1 to {MAX_SDP_BYTES} bytes")
            if isinstance(frame, CallOffer) and not MIN_RING_MS <= frame.ring_ms <= MAX_RING_MS:
                raise Refusal("bad_request", f"ring_ms: {MIN_RING_MS} to {MAX_RING_MS}")
        case CallCandidates(candidates=candidates):
            if len(candidates) > MAX_CANDIDATES or any(len(each.candidate) > 1000 for each in candidates):
                raise Refusal("bad_request", f"candidates: at most {MAX_CANDIDATES}, of 1000 code points")


def _hang_up(frame: CallReject | CallHangUp) -> CallHangUp:
    return CallHangUp(
        call=frame.call, chat=frame.chat, leg=frame.leg, account=frame.account, timestamp=frame.timestamp,
        reason=frame.reason,
    )  # fmt: skip


def _other_member(db: sqlite3.Connection, account: str, chat: str) -> str:
    require_member(db, account, chat)
    if chat_info(db, chat).kind != "direct":
        raise Refusal("forbidden", "calls are between two: not in groups")
    others = [member for member in audience(db, chat) if member != account]
    if not others:
        raise Refusal("not_found", "nobody else is in this chat")
    return others[0]


def _leave_line(
    db: sqlite3.Connection, *, call: Call, reason: CallReason, by: str, now: int, duration: int | None
) -> Written[None]:
    offer = call.offer
    chat_info(db, offer.chat)  # it may have been deleted meanwhile
    event = CallEvent(
        chat=offer.chat,
        seq=next_seq(db, offer.chat),
        timestamp=now,
        actor=call.caller,
        call=offer.call,
        kind=offer.kind,
        reason=reason,
        by=by,
        duration_ms=duration,
    )
    return Written(None, (append(db, event),))


def _noticed(written: asyncio.Future[None]) -> None:
    if not written.cancelled() and (error := written.exception()) is not None:
        log.info("a call left no line in its chat: %s", error)
