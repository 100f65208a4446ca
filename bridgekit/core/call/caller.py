"""A call that the network began: the bridge is the caller on Matrix, and rings the person there."""

from __future__ import annotations

from typing import ClassVar

from bridgekit.core.call import contents, sdp
from bridgekit.core.call.candidates import BATCH_MS
from bridgekit.core.call.changes import Changing
from bridgekit.core.call.effects import InviteToRoom, Joined
from bridgekit.core.call.events import Answer, Candidates, Hangup, Reject, Seen
from bridgekit.core.call.machine import MIN_RING_MS
from bridgekit.core.call.memory import MAX_LEGS, Memory, Setup
from bridgekit.core.call.reasons import FROM_MATRIX, HangupReason
from bridgekit.core.call.states import Cause, Role, State
from bridgekit.model.calls import (
    CallEnd,
    CallProgress,
    MatrixCallAnswer,
    MatrixCallReject,
    RemoteCall,
    RemoteCallCandidates,
    RemoteCallHangUp,
    RemoteCallMute,
    RemoteCallOffer,
    RemoteCallReject,
    RemoteCallUpdate,
    SDPType,
)


class Caller(Changing):
    """See the table of `states` for `Role.CALLER`."""

    role: ClassVar[Role] = Role.CALLER

    @classmethod
    def begin(cls, setup: Setup, offer: RemoteCallOffer, now: int, *, joined: bool = True) -> Caller:
        """`joined`: whether the person is in the portal's room."""
        call = cls(Memory(setup=setup, leg=offer.leg, joined=joined))
        call._move(Cause.BEGUN, now)
        if setup.expires_at - MIN_RING_MS <= now:
            # Found too late, after a time without the bridge: nobody is waiting there any more.
            call._end(Cause.EXPIRED, CallEnd.NO_ANSWER, now, tell_remote=False)
        elif offer.group:
            call._end(Cause.FAILED, CallEnd.NOT_SUPPORTED, now)
        else:
            if not joined:
                call._out.append(InviteToRoom(setup.user))
                call._progress(CallProgress.INVITED)
            call._offered_by(offer, now)
        return call

    # --- the network's offer ------------------------------------------------------------------------------------
    def _offered_by(self, event: RemoteCallOffer, now: int) -> None:
        m = self._m
        if self.state is not State.WAITING or m.offer or not event.sdp:
            return
        try:
            complete = sdp.facts(event.sdp).complete
        except sdp.BadSDP:
            self._end(Cause.FAILED, CallEnd.MEDIA_FAILED, now)
            return
        m.offer = event.sdp
        if self.setup.trickle == "trickle" and not complete:
            # Candidates inside the invite are the ones that every client takes.
            m.batch_at = now + BATCH_MS
        self._invite(now)

    def _invite(self, now: int) -> None:
        m = self._m
        ended = any(one in ("", m.leg) for one in m.remote_ended)
        if self.state is not State.WAITING or not m.offer or not m.joined or (m.batch_at is not None and not ended):
            return
        lifetime = self.setup.expires_at - now
        if lifetime < MIN_RING_MS:
            self._end(Cause.EXPIRED, CallEnd.NO_ANSWER, now)
            return
        try:
            text, complete = self._with_remote_candidates(m.offer)
            text, streams = self._for_matrix(text)
        except sdp.BadSDP:
            self._end(Cause.FAILED, CallEnd.MEDIA_FAILED, now)
            return
        m.offer, m.batch_at = "", None
        self._send(contents.invite(self._us, text, streams, invitee=self.setup.user, lifetime=lifetime), now)
        if not self._move(Cause.READY, now):
            return  # too large for Matrix
        if complete:
            self._send(contents.candidates(self._us, (), complete=True), now)
        self._progress(CallProgress.RINGING)

    def _joined(self, event: Joined, now: int) -> None:
        super()._joined(event, now)
        self._invite(now)

    def _batch(self, now: int) -> None:
        if self.state is State.WAITING:
            self._invite(now)
        else:
            super()._batch(now)

    # --- Matrix -------------------------------------------------------------------------------------------------
    def _from_matrix(self, seen: Seen, now: int) -> None:
        event = seen.event
        if seen.sender != self.setup.user:
            return
        if self.state is State.INVITED:
            self._ringing(seen, now)
        elif self.state in (State.SELECTED, State.CONNECTED) and self._is_party(event.party_id):
            match event:
                case Candidates():
                    self._candidates(event, now)
                case Hangup():
                    reason = FROM_MATRIX[event.reason]
                    self._end(Cause.MATRIX_HUNG_UP, reason, now, by_matrix=True, tell_matrix=False)
                case _:
                    self._change(seen, now)

    def _ringing(self, seen: Seen, now: int) -> None:
        event, m = seen.event, self._m
        match event:
            case Answer() if event.party_id in m.gone:
                # Its hangup came first, and there is nobody behind this answer any more.
                self._select(event.party_id, now)
                self._end(Cause.MATRIX_REJECTED, CallEnd.HANGUP, now, by_matrix=True, tell_matrix=False)
            case Answer():
                m.peer, m.version = event.party_id, event.version
                self._select(event.party_id, now)
                self._move(Cause.MATRIX_ANSWERED, now)
                m.answered_at = now
                if event.streams is not None:
                    self._mute(event.streams)
                if m.from_remote or m.remote_ended:
                    self._send_remote_candidates(now)
                try:
                    self._gather(event.sdp, "answer", now)
                except sdp.BadSDP:
                    self._end(Cause.FAILED, CallEnd.MEDIA_FAILED, now)
            case Reject():
                # MSC2746: "the caller sends a `select_answer` for it just like an answer."
                self._select(event.party_id, now)
                self._declined(event.reason, now)
            case Hangup() if event.version == 0 or event.party_id is None or event.reason is HangupReason.REPLACED:
                # MSC2746, of version 0: "the callee sends an `m.call.hangup` event." With version 1 it is a device that
                # we have not selected giving up, and says nothing of the others; but where two called each other at
                # once, matrix-js-sdk hangs up the call that lost.
                self._declined(event.reason, now)
            case Hangup():
                m.gone = [*m.gone, event.party_id or ""][-MAX_LEGS:]
            case Candidates():
                self._candidates(event, now)
            case _:
                pass

    def _declined(self, reason: HangupReason, now: int) -> None:
        end = CallEnd.DECLINED if reason is HangupReason.USER_HANGUP else FROM_MATRIX[reason]
        self._end(Cause.MATRIX_REJECTED, end, now, by_matrix=True, tell_matrix=False)

    def _select(self, party: str | None, now: int) -> None:
        if party is not None:
            self._send(contents.select_answer(self._us, party), now)

    def _pass_on(self, text: str, sdp_type: SDPType, now: int) -> None:
        if self.state is State.CONNECTED:
            self._update(text, sdp_type)
        elif self._move(Cause.READY, now):
            self._tell(MatrixCallAnswer(**self._named(), sdp=text, timestamp=self._m.answered_at or now))
            self._connected(now)

    # --- the network --------------------------------------------------------------------------------------------
    def _from_remote(self, event: RemoteCall, now: int) -> None:
        if event.leg not in ("", self._m.leg):
            return
        match event:
            case RemoteCallOffer():
                self._offered_by(event, now)
            case RemoteCallCandidates():
                self._remote_candidates(event, now)
                self._invite(now)
            case RemoteCallUpdate():
                self._remote_update(event, now)
            case RemoteCallMute():
                self._remote_mute(event, now)
            case RemoteCallReject() | RemoteCallHangUp():
                self._end(Cause.REMOTE_HUNG_UP, event.reason, now, tell_remote=False)
            case _:
                pass

    # --- time and end -------------------------------------------------------------------------------------------
    def _expire(self, now: int) -> None:
        if self.setup.expires_at <= now and self._m.answered_at is None:
            self._end(Cause.EXPIRED, CallEnd.NO_ANSWER, now)

    def _tell_over(self, before: State, reason: CallEnd, *, matrix: bool, remote: bool) -> None:
        if matrix and before is not State.WAITING:
            self._send(contents.hangup(self._us, reason), 0, final=True)
        if remote and before is State.CONNECTED:
            self._hang_up(reason)
        elif remote:
            self._tell(MatrixCallReject(**self._named(), reason=reason), final=True)
