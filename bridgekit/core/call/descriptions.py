"""Matrix's descriptions on their way to the network, and the candidates of both."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import Final

from bridgekit.core.call import candidates, contents, memory, sdp
from bridgekit.core.call.candidates import Gathering
from bridgekit.core.call.events import MAX_CANDIDATE_BYTES, Candidates
from bridgekit.core.call.machine import Call
from bridgekit.core.call.memory import MAX_POOL, Held
from bridgekit.core.call.states import Cause, State
from bridgekit.model.calls import CallEnd, Candidate, MatrixCallCandidates, RemoteCallCandidates, SDPType

AT_ONCE: Final = 40
"""So many candidates go into one event."""


class Describing(Call):
    """The part of a call that knows how complete a description must be."""

    # --- Matrix's descriptions, and their candidates ------------------------------------------------------------
    def _gather(self, text: str, sdp_type: SDPType, now: int) -> None:
        """Matrix has a description. Raises `BadSDP`."""
        sdp.facts(text)
        self._m.gathering = Gathering(text, sdp_type, now, now)
        self._gathered(now)

    def _pool(self) -> list[Candidate]:
        return [held.candidate for held in self._m.from_matrix if self._is_party(held.of)]

    def _due(self, gathering: Gathering) -> int:
        if not candidates.must_gather(self.setup.trickle, gathering.sdp_type):
            return gathering.since
        return candidates.due_at(gathering, self._pool(), ended=any(map(self._is_party, self._m.matrix_ended)))

    def _gathered(self, now: int) -> None:
        m = self._m
        gathering = m.gathering
        if gathering is None or now < self._due(gathering):
            return
        m.gathering = None
        try:
            text = self._made(gathering)
        except sdp.BadSDP:
            # With its candidates, or with the line ends that it must have, it is too large.
            text, cause, reason = None, Cause.FAILED, CallEnd.MEDIA_FAILED
        else:
            cause, reason = Cause.UNREACHABLE, CallEnd.CONNECTION_FAILED
        m.ufrags = sdp.facts(gathering.sdp).ufrags
        if text is not None:
            self._pass_on(text, gathering.sdp_type, now)
            self._trickle()
        elif m.state is State.CONNECTED:
            m.offering = ""  # the call goes on as it was
        else:
            self._end(cause, reason, now)
        if gathering.sdp_type == "answer" and m.state is State.CONNECTED:
            self._answer_is_through(now)

    @abstractmethod
    def _answer_is_through(self, now: int) -> None:
        """What has waited for an answer of Matrix's to be passed on can go."""

    def _made(self, gathering: Gathering) -> str | None:
        """The description as this network takes it; None if it has no candidates and must have some. Raises
        `BadSDP`."""
        m = self._m
        if not candidates.must_gather(self.setup.trickle, gathering.sdp_type):
            text, inside, ended = sdp.split(gathering.sdp)
            self._hold(m.peer or "", inside)
            if ended and inside:
                m.matrix_ended.append(m.peer or "")
            return text
        made = candidates.complete(gathering.sdp, self._pool())
        m.from_matrix = [
            Held(held.of, held.candidate, passed=True) if self._is_party(held.of) else held for held in m.from_matrix
        ]
        m.matrix_ended = [one for one in m.matrix_ended if not self._is_party(one)]
        return made

    def _candidates(self, event: Candidates, now: int) -> None:
        m, party = self._m, event.party_id or ""
        new = self._hold(party, event.candidates)
        if event.complete and party not in m.matrix_ended:
            m.matrix_ended = [*m.matrix_ended, party][-memory.MAX_LEGS :]
        if m.gathering is not None:
            if new:
                m.gathering = Gathering(m.gathering.sdp, m.gathering.sdp_type, m.gathering.since, now)
            self._gathered(now)
        self._trickle()

    def _hold(self, party: str, found: tuple[Candidate, ...]) -> bool:
        m = self._m
        known = {(held.of, _same(held.candidate)) for held in m.from_matrix}
        new = [Held(party, one) for one in found if (party, _same(one)) not in known]
        m.from_matrix = [*m.from_matrix, *new][-MAX_POOL:]
        return bool(new)

    def _trickle(self) -> None:
        """Pass on candidates that belong to what the network has, where it takes them so."""
        m = self._m
        has = m.state in (State.RINGING, State.ANSWERED, State.CONNECTED)
        if self.setup.trickle == "none" or not has or m.gathering is not None:
            return
        ready = [
            held
            for held in m.from_matrix
            if not held.passed and self._is_party(held.of) and sdp.belongs(held.candidate, m.ufrags)
        ]
        ended = any(map(self._is_party, m.matrix_ended))
        if not ready and not ended:
            return
        m.from_matrix = [
            Held(held.of, held.candidate, passed=True) if held in ready else held for held in m.from_matrix
        ]
        m.matrix_ended = [one for one in m.matrix_ended if not self._is_party(one)]
        self._tell(
            MatrixCallCandidates(
                **self._named(), candidates=tuple(dict.fromkeys(held.candidate for held in ready)), complete=ended
            )
        )

    # --- the network's candidates -------------------------------------------------------------------------------
    def _keep_remote(self, event: RemoteCallCandidates) -> None:
        m = self._m
        known = {(held.of, held.candidate) for held in m.from_remote}
        new = [
            Held(event.leg, one)
            for one in event.candidates
            if (event.leg, one) not in known
            and len(one.candidate) <= MAX_CANDIDATE_BYTES
            and sdp.is_line(one.candidate)
        ]
        m.from_remote = [*m.from_remote, *new][-MAX_POOL:]
        if event.complete and event.leg not in m.remote_ended:
            m.remote_ended = [*m.remote_ended, event.leg][-memory.MAX_LEGS :]

    def _take_remote(self) -> tuple[tuple[Candidate, ...], bool]:
        """The candidates that wait of the leg that has the call, and whether there are no more."""
        m = self._m
        found = tuple(held.candidate for held in m.from_remote if held.of in ("", m.leg))
        m.from_remote = [held for held in m.from_remote if held.of not in ("", m.leg)]
        ended = any(one in ("", m.leg) for one in m.remote_ended)
        m.remote_ended = [one for one in m.remote_ended if one not in ("", m.leg)]
        return found, ended

    def _with_remote_candidates(self, text: str) -> tuple[str, bool]:
        """The network's first description with what came beside it, and whether that is all. Raises `BadSDP`."""
        if self.setup.trickle == "none":
            return sdp.tidy(text), True
        found, ended = self._take_remote()
        made = sdp.merge(text, found, final=False)
        return made, ended or sdp.facts(text).complete

    def _send_remote_candidates(self, now: int) -> None:
        found, ended = self._take_remote()
        # In parts that fit into an event each.
        for at in range(0, len(found) or ended, AT_ONCE):
            part = found[at : at + AT_ONCE]
            self._send(contents.candidates(self._us, part, complete=ended and at + AT_ONCE >= len(found)), now)


@lru_cache(1024)  # asked of each one that is kept for each one that comes
def _same(candidate: Candidate) -> tuple[object, ...]:
    return (candidate.mid, candidate.index, *sorted(sdp.generations(candidate)), *sdp.same(candidate))
