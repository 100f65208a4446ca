"""A call that Matrix began: the bridge is the callee there, and rings the network."""

from __future__ import annotations

from typing import ClassVar

from bridgekit.core.call import contents, sdp
from bridgekit.core.call.changes import Changing
from bridgekit.core.call.events import Candidates, Hangup, Invite, Seen, SelectAnswer
from bridgekit.core.call.machine import GRACE_MS, SELECT_MS
from bridgekit.core.call.memory import MAX_LEGS, Memory, Setup
from bridgekit.core.call.reasons import FROM_MATRIX
from bridgekit.core.call.states import Cause, Role, State
from bridgekit.model.calls import (
    CallEnd,
    CallProgress,
    MatrixCallHangUp,
    MatrixCallOffer,
    RemoteCall,
    RemoteCallAnswer,
    RemoteCallCandidates,
    RemoteCallHangUp,
    RemoteCallMute,
    RemoteCallReject,
    RemoteCallRinging,
    RemoteCallUpdate,
    SDPType,
)
from bridgekit.model.ids import LegID


class Callee(Changing):
    """See the table of `states` for `Role.CALLEE`."""

    role: ClassVar[Role] = Role.CALLEE

    @classmethod
    def begin(cls, setup: Setup, invite: Invite, now: int) -> Callee:
        """`setup` says what stands; whether the invite is still worth ringing for is the caller's to know (`Book`)."""
        call = cls(Memory(setup=setup, peer=invite.party_id, version=invite.version))
        call._move(Cause.BEGUN, now)
        if invite.streams is not None:
            call._mute(invite.streams)
        if setup.rings_first:
            call._offer("")
        try:
            call._gather(invite.sdp, "offer", now)
        except sdp.BadSDP:
            call._end(Cause.FAILED, CallEnd.MEDIA_FAILED, now)
        return call

    # --- Matrix -------------------------------------------------------------------------------------------------
    def _from_matrix(self, seen: Seen, now: int) -> None:
        event = seen.event
        if seen.sender != self.setup.user or not self._is_party(event.party_id):
            return
        match event:
            case Candidates():
                self._candidates(event, now)
            case SelectAnswer():
                self._selected(event, now)
            case Hangup():
                self._end(Cause.MATRIX_HUNG_UP, FROM_MATRIX[event.reason], now, by_matrix=True, tell_matrix=False)
            case _:
                self._change(seen, now)

    def _selected(self, event: SelectAnswer, now: int) -> None:
        if event.selected is None:
            return
        if event.selected != self.setup.party:
            # MSC2746: "it ends the call and informs the user the call was answered elsewhere. It does not send any
            # events."
            self._end(Cause.MATRIX_SELECTED_OTHER, CallEnd.ANSWERED_ELSEWHERE, now, by_matrix=True, tell_matrix=False)
        elif self._move(Cause.MATRIX_SELECTED, now):
            self._progress(CallProgress.CONNECTED)
            self._connected(now)

    def _pass_on(self, text: str, sdp_type: SDPType, now: int) -> None:
        if self.state is State.CONNECTED:
            self._update(text, sdp_type)
        elif self._move(Cause.READY, now):
            self._offer(text)

    def _offer(self, text: str) -> None:
        setup = self.setup
        self._tell(
            MatrixCallOffer(
                portal=setup.portal,
                call=setup.call,
                callee=setup.remote,
                kind=setup.kind,
                sdp=text,
                timestamp=setup.began_at,
                expires_at=setup.expires_at,
                replaces=setup.replaces,
            )
        )

    # --- the network --------------------------------------------------------------------------------------------
    def _from_remote(self, event: RemoteCall, now: int) -> None:
        m = self._m
        match event:
            case RemoteCallRinging():
                if event.leg and event.leg not in m.legs and m.answered_at is None:
                    m.legs = [*m.legs, event.leg][-MAX_LEGS:]
            case RemoteCallAnswer():
                self._answer(event, now)
            case RemoteCallReject() | RemoteCallHangUp():
                self._refused(event.leg, event.reason, now, by_hanging_up=isinstance(event, RemoteCallHangUp))
            case RemoteCallCandidates():
                self._remote_candidates(event, now)
            case RemoteCallUpdate() if event.leg in ("", m.leg):
                self._remote_update(event, now)
            case RemoteCallMute() if event.leg in ("", m.leg) and m.answered_at is not None:
                self._remote_mute(event, now)
            case _:
                pass

    def _answer(self, event: RemoteCallAnswer, now: int) -> None:
        m = self._m
        if m.answered_at is not None:
            if event.leg != m.leg:
                self._answered_elsewhere(event.leg)
            return
        if self.state is not State.RINGING:
            return
        m.leg = event.leg
        try:
            text, complete = self._with_remote_candidates(event.sdp)
            text, streams = self._for_matrix(text)
        except sdp.BadSDP:
            self._end(Cause.FAILED, CallEnd.MEDIA_FAILED, now)
            return
        self._move(Cause.REMOTE_ANSWERED, now)
        m.answered_at = now
        for leg in m.legs:
            if leg != event.leg:
                self._answered_elsewhere(leg)
        m.legs = []
        self._send(contents.answer(self._us, text, streams), now)
        if self.over:
            return  # too large for Matrix
        if complete:
            self._send(contents.candidates(self._us, (), complete=True), now)
        if event.answered_by:
            self._send(contents.asserted_identity(self._us, event.answered_by), now)
        if m.version == 0 and self._move(Cause.MATRIX_SELECTED, now):
            # MSC2746: only with version 1 one may "expect an `m.call.select_answer` event from their opponent".
            self._progress(CallProgress.CONNECTED)
            self._connected(now)
        self._trickle()

    def _answered_elsewhere(self, leg: LegID) -> None:
        self._tell(
            MatrixCallHangUp(portal=self.setup.portal, call=self.setup.call, reason=CallEnd.ANSWERED_ELSEWHERE, leg=leg)
        )

    def _refused(self, leg: LegID, reason: CallEnd, now: int, *, by_hanging_up: bool) -> None:
        m = self._m
        if m.answered_at is not None:
            if by_hanging_up and leg in ("", m.leg):
                self._end(Cause.REMOTE_HUNG_UP, reason, now, tell_remote=False)
            return
        left = [one for one in m.legs if one != leg]
        if leg and left:
            m.legs = left  # another one rings
            return
        self._end(Cause.REMOTE_REJECTED, reason, now, tell_remote=False)

    # --- time and end -------------------------------------------------------------------------------------------
    def _expire(self, now: int) -> None:
        m = self._m
        if self.state is State.ANSWERED and m.answered_at is not None and m.answered_at + SELECT_MS <= now:
            self._end(Cause.EXPIRED, CallEnd.ERROR, now)
        elif self.setup.expires_at + GRACE_MS <= now and m.answered_at is None:
            self._end(Cause.EXPIRED, CallEnd.NO_ANSWER, now)

    def _tell_over(self, before: State, reason: CallEnd, *, matrix: bool, remote: bool) -> None:
        if matrix:
            # MSC2746 has m.call.reject for who does not take a call; matrix-js-sdk ignores a hangup then, and rings on.
            early = before in (State.GATHERING, State.RINGING)
            said = contents.reject(self._us, reason) if early else contents.hangup(self._us, reason)
            self._send(said, 0, final=True)
        if remote and self._m.told_remote:
            self._hang_up(reason)
