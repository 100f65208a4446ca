"""What changes within a call, whoever began it: renegotiation, mute, further candidates."""

from __future__ import annotations

from typing import Final

from bridgekit.core.call import candidates, contents, sdp
from bridgekit.core.call.candidates import BATCH_MS, Gathering
from bridgekit.core.call.descriptions import Describing
from bridgekit.core.call.events import Negotiate, Seen, Streams, StreamsChanged
from bridgekit.core.call.states import Role, State
from bridgekit.core.call.streams import USERMEDIA
from bridgekit.model.calls import (
    CallEnd,
    MatrixCallHangUp,
    MatrixCallMute,
    MatrixCallUpdate,
    RemoteCallCandidates,
    RemoteCallMute,
    RemoteCallUpdate,
    SDPType,
)

NEGOTIATE_MS: Final = 30_000
"""So long an offer of the network's within a call waits for its answer."""


class Changing(Describing):
    """The part of a call in which both talk.

    MSC2746: "The callee is always the polite party." The bridge has both in view: where an offer of each side meets the
    other, the caller's counts, whichever network the caller is on, and the callee's is dropped here.
    """

    @property
    def _caller(self) -> str:
        return "matrix" if self.role is Role.CALLEE else "remote"

    # --- Matrix's -----------------------------------------------------------------------------------------------
    def _change(self, seen: Seen, now: int) -> None:
        """A call event of the party that we talk to which is about a call under way."""
        event = seen.event
        if isinstance(event, Negotiate):
            # MSC2746: "after which [...] the recipient should ignore it."
            if seen.sent_at + event.lifetime > now and self._m.version != 0:
                self._negotiate(event.sdp, event.sdp_type, seen.sent_at + event.lifetime, now)
                if event.streams is not None:
                    self._mute(event.streams)
        elif isinstance(event, StreamsChanged):
            self._mute(event.streams)

    def _negotiate(self, text: str, sdp_type: SDPType, until: int, now: int) -> None:
        m = self._m
        answering = m.gathering is not None and m.gathering.sdp_type == "answer"
        if sdp_type == "offer" and (answering or m.state in (State.SELECTED, State.ANSWERED)):
            m.later = text  # the network must have the answer first; or it overtook m.call.select_answer
            return
        if m.state is not State.CONNECTED:
            return
        try:
            ufrags = sdp.facts(text).ufrags
        except sdp.BadSDP:
            return
        if sdp_type == "offer":
            if m.offering == "remote" and self._caller == "remote":
                return  # perfect negotiation: the impolite party ignores the offer, the polite one rolls back
            m.offering, m.offering_until = "matrix", until
        elif m.offering != "remote":
            return
        else:
            m.offering, m.offering_until = "", 0
        if set(ufrags).difference(m.ufrags):
            # Another generation: the candidates of one that is gone, and their end, say nothing of it. Sections that
            # are bundled only now, or refused, leave generations of before.
            gone = set(m.ufrags).difference(ufrags)
            m.from_matrix = [held for held in m.from_matrix if sdp.generations(held.candidate).difference(gone)]
            m.matrix_ended = []
            self._gather(text, sdp_type, now)
        else:
            since = now - candidates.OFFER_MS
            m.gathering = Gathering(text, sdp_type, since, since)
            self._gathered(now)

    def _connected(self, now: int) -> None:
        """What has waited until both talk."""
        m = self._m
        if any(m.muted):
            self._tell(MatrixCallMute(**self._named(), audio_muted=m.muted[0], video_muted=m.muted[1]))
        self._answer_is_through(now)

    def _answer_is_through(self, now: int) -> None:
        if self._m.later:
            text, self._m.later = self._m.later, ""
            self._negotiate(text, "offer", now + NEGOTIATE_MS, now)

    def _update(self, text: str, sdp_type: SDPType) -> None:
        facts = sdp.facts(text)
        # Who holds offers to send at most (W3C WebRTC, hold functionality); an answer follows what it was offered.
        held = facts.held and sdp_type == "offer"
        self._tell(MatrixCallUpdate(**self._named(), sdp_type=sdp_type, sdp=text, kind=facts.kind, held=held))

    def _mute(self, streams: Streams) -> None:
        m = self._m
        own = [one for one in streams.values() if one.purpose == USERMEDIA]
        muted = (
            bool(own) and all(one.audio_muted for one in own),
            bool(own) and all(one.video_muted for one in own),
        )
        if muted == m.muted:
            return
        m.muted = muted
        if m.state is State.CONNECTED:
            self._tell(MatrixCallMute(**self._named(), audio_muted=muted[0], video_muted=muted[1]))

    # --- the network's ------------------------------------------------------------------------------------------
    def _remote_update(self, event: RemoteCallUpdate, now: int) -> None:
        m = self._m
        if m.state is not State.CONNECTED or m.version == 0:
            return
        if event.sdp_type == "offer":
            if (m.offering == "matrix" or m.later) and self._caller == "matrix":
                return
            taken = self._offered
        elif m.offering != "matrix" or m.gathering is not None:
            return
        else:
            taken = self._answered
        try:
            text, streams = self._for_matrix(event.sdp)
        except sdp.BadSDP:
            return
        taken(now)
        self._send(contents.negotiate(self._us, event.sdp_type, text, streams, lifetime=NEGOTIATE_MS), now)

    def _offered(self, now: int) -> None:
        self._m.offering, self._m.offering_until = "remote", now + NEGOTIATE_MS
        self._m.gathering, self._m.later = None, ""

    def _answered(self, now: int) -> None:
        self._m.offering, self._m.offering_until = "", 0

    def _remote_mute(self, event: RemoteCallMute, now: int) -> None:
        m, muted = self._m, (event.audio_muted, event.video_muted)
        if muted == m.remote_muted:
            return
        m.remote_muted = muted
        if m.state in (State.ANSWERED, State.SELECTED, State.CONNECTED) and m.sent_streams:
            self._send(contents.streams_changed(self._us, self._streams()), now)

    def _remote_candidates(self, event: RemoteCallCandidates, now: int) -> None:
        if self.setup.trickle == "none":
            return
        self._keep_remote(event)
        # Candidates that come before the answer are dropped by clients (matrix-js-sdk).
        after = self._m.state in (State.ANSWERED, State.SELECTED, State.CONNECTED)
        if after and event.leg in ("", self._m.leg) and self._m.batch_at is None:
            self._m.batch_at = now + BATCH_MS

    def _batch(self, now: int) -> None:
        self._send_remote_candidates(now)

    def _hang_up(self, reason: CallEnd) -> None:
        self._tell(MatrixCallHangUp(**self._named(), reason=reason), final=True)
