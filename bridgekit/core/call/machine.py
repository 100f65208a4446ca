"""One call: what its two parts, `Callee` and `Caller`, have in common.

A driver restores it from what it wrote down (or gets a new one from `Book`), tells it one thing (`receive`, or
`fire` when its time has come), carries out `effects()` in their order, and writes `snapshot()` down together with
the end of the journal's entry. After a crash the same comes again to the same snapshot, and gives the same effects
with the same keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Self

from bridgekit.core.call import memory
from bridgekit.core.call.candidates import Gathering
from bridgekit.core.call.contents import Party, Sendable
from bridgekit.core.call.effects import CallRemote, Effect, Ended, Failed, Joined, Left, Note, Replaced, SendMatrix
from bridgekit.core.call.events import Seen, Stream, Streams
from bridgekit.core.call.memory import Memory, Setup
from bridgekit.core.call.states import Cause, Role, State, is_over, leads_to
from bridgekit.core.call.streams import with_streams
from bridgekit.core.to_matrix import MAX_CONTENT_BYTES, encoded_size
from bridgekit.model.calls import (
    CallEnd,
    CallProgress,
    MatrixCallProgress,
    RemoteCall,
    SDPType,
)

Input = Seen | RemoteCall | Joined | Left | Failed | Replaced

SELECT_MS: Final = 30_000
"""So long an answer waits to be taken. Clients take it at once, or died."""

GRACE_MS: Final = 1_000
"""So much later than the Matrix caller we give up: it says itself that its time is over."""

MIN_RING_MS: Final = 3_000
"""Less is no time to take a call; clients ignore such an invite."""

LONGEST_MS: Final = 24 * 3_600_000
"""A call that has gone on for so long has ended, and nobody has said so: both ends are told."""

FORGET_MS: Final = 10 * 60_000
"""So long an ended call is remembered: as long as an invite can be valid at most."""

_SILENT: Final = frozenset({CallEnd.REPLACED})


class Call(ABC):
    """A call between a person on Matrix and one at the network. Time is in ms since the epoch, by the bridge's
    clock."""

    role: ClassVar[Role]

    def __init__(self, remembered: Memory) -> None:
        self._m = remembered
        self._out: list[Effect] = []

    # --- what a driver uses -------------------------------------------------------------------------------------
    @property
    def setup(self) -> Setup:
        return self._m.setup

    @property
    def state(self) -> State:
        return self._m.state

    @property
    def reason(self) -> CallEnd | None:
        """Why it ended; None while it goes on."""
        return self._m.reason

    @property
    def over(self) -> bool:
        return is_over(self._m.state)

    @property
    def forget_at(self) -> int | None:
        """When an ended call need not be remembered any more."""
        return None if self._m.ended_at is None else self._m.ended_at + FORGET_MS

    def receive(self, event: Input, now: int) -> None:
        """Something happened. What means nothing in this state, or comes again, changes nothing."""
        if self.over:
            return
        match event:
            case Seen():
                if event.sender != self.setup.ghost:  # our own come back to us
                    self._from_matrix(event, now)
            case Left():
                if event.user == self.setup.user:
                    # MSC2746: "the client should treat this as a hangup event for any calls that are in progress."
                    early = self.state in (State.WAITING, State.INVITED)
                    reason = CallEnd.DECLINED if early else CallEnd.HANGUP
                    self._end(Cause.MATRIX_HUNG_UP, reason, now, by_matrix=True, tell_matrix=False)
            case Joined():
                self._joined(event, now)
            case Failed():
                self._end(Cause.FAILED, event.reason, now)
            case Replaced():
                self._end(Cause.REPLACED, CallEnd.REPLACED, now)
            case _:
                self._from_remote(event, now)

    def next_timer(self) -> int | None:
        """When `fire` has something to do; None: never. It may be in the past: then now."""
        return None if self.over else min(self._timers(), default=None)

    def fire(self, now: int) -> None:
        """Do what is due. Too early or too often does no harm."""
        m = self._m
        if self.over:
            return
        self._expire(now)
        if m.state is State.CONNECTED and m.connected_at is not None and m.connected_at + LONGEST_MS <= now:
            self._end(Cause.FAILED, CallEnd.CONNECTION_LOST, now)
            return
        if m.gathering is not None:
            self._gathered(now)
        if m.batch_at is not None and m.batch_at <= now:
            m.batch_at = None
            self._batch(now)
        if m.offering and m.offering_until <= now:
            m.offering = ""
            m.gathering = None if m.state is State.CONNECTED else m.gathering

    def set_back(self, by: int) -> None:
        """The clock was set back by so many ms: nothing is due any later for that."""
        memory.set_back(self._m, by)

    def effects(self) -> list[Effect]:
        """What is to be done now, and forgotten here."""
        out, self._out = self._out, []
        return out

    def snapshot(self) -> bytes:
        """All that must be remembered."""
        return memory.dump(self._m)

    # --- what the parts do --------------------------------------------------------------------------------------
    @abstractmethod
    def _from_matrix(self, seen: Seen, now: int) -> None: ...

    @abstractmethod
    def _from_remote(self, event: RemoteCall, now: int) -> None: ...

    @abstractmethod
    def _expire(self, now: int) -> None: ...

    @abstractmethod
    def _pass_on(self, text: str, sdp_type: SDPType, now: int) -> None:
        """Matrix's description is complete enough: tell the network."""

    @abstractmethod
    def _due(self, gathering: Gathering) -> int:
        """When Matrix's description goes on."""

    @abstractmethod
    def _gathered(self, now: int) -> None:
        """Matrix's description goes on, if it is time."""

    @abstractmethod
    def _batch(self, now: int) -> None:
        """Candidates of the network's have waited for others long enough."""

    @classmethod
    def refused(
        cls, remembered: Memory, reason: CallEnd, now: int, *, by_matrix: bool = False, by_remote: bool = False
    ) -> Self:
        """A call that is over as it begins, and says so, but not to whoever ended it (`by_matrix`, `by_remote`)."""
        call = cls(remembered)
        call._move(Cause.BEGUN, now)
        call._end(Cause.FAILED, reason, now, by_matrix=by_matrix, tell_matrix=not by_matrix, tell_remote=not by_remote)
        return call

    @abstractmethod
    def _tell_over(self, before: State, reason: CallEnd, *, matrix: bool, remote: bool) -> None: ...

    def _joined(self, event: Joined, now: int) -> None:
        """Somebody came into the room."""
        self._m.joined = self._m.joined or event.user == self.setup.user

    # --- states -------------------------------------------------------------------------------------------------
    def _move(self, cause: Cause, now: int) -> bool:
        to = leads_to(self.role, self._m.state, cause)
        if to is None:
            return False
        self._m.state = to
        if to is State.CONNECTED:
            self._m.connected_at = now
        return True

    def _end(
        self,
        cause: Cause,
        reason: CallEnd,
        now: int,
        *,
        by_matrix: bool = False,
        tell_matrix: bool = True,
        tell_remote: bool = True,
    ) -> None:
        m, before = self._m, self._m.state
        if not self._move(cause, now):
            return
        m.reason, m.ended_at = reason, now
        m.gathering, m.batch_at, m.offering, m.later, m.offer = None, None, "", "", ""
        m.from_matrix, m.from_remote, m.matrix_ended, m.remote_ended = [], [], [], []
        self._tell_over(before, reason, matrix=tell_matrix, remote=tell_remote)
        if reason not in _SILENT:
            # Who hangs up has talked: the media may be there before `m.call.select_answer` is.
            since = m.answered_at if m.connected_at is None and reason is CallEnd.HANGUP else m.connected_at
            talked = None if since is None else now - since
            self._out.append(
                Note(role=self.role, kind=m.setup.kind, reason=reason, by_matrix=by_matrix, connected_ms=talked)
            )
        self._out.append(Ended(reason, now + FORGET_MS))

    def _timers(self) -> list[int]:
        m = self._m
        found = [] if m.batch_at is None else [m.batch_at]
        if m.gathering is not None:
            found.append(self._due(m.gathering))
        if m.offering:
            found.append(m.offering_until)
        if m.state is State.ANSWERED and m.answered_at is not None:
            found.append(m.answered_at + SELECT_MS)
        elif m.state in (State.GATHERING, State.RINGING):
            found.append(m.setup.expires_at + GRACE_MS)
        elif m.state in (State.WAITING, State.INVITED):
            found.append(m.setup.expires_at)
        elif m.state is State.CONNECTED and m.connected_at is not None:
            found.append(m.connected_at + LONGEST_MS)
        return found

    # --- what is said -------------------------------------------------------------------------------------------
    @property
    def _us(self) -> Party:
        return Party(self.setup.matrix_id, self.setup.party, self._m.version)

    def _send(self, said: Sendable, now: int, *, final: bool = False) -> None:
        kind, content = said
        if encoded_size(content) > MAX_CONTENT_BYTES:
            self._end(Cause.FAILED, CallEnd.MEDIA_FAILED, now)
            return
        self._m.count += 1
        self._out.append(SendMatrix(kind, content, f"{self._m.count}:{kind}", final))

    def _tell(self, value: Any, *, final: bool = False) -> None:
        self._m.told_remote = True
        self._out.append(CallRemote(value, final))

    def _named(self) -> dict[str, Any]:
        return {"portal": self.setup.portal, "call": self.setup.call, "leg": self._m.leg}

    def _progress(self, progress: CallProgress) -> None:
        self._tell(MatrixCallProgress(**self._named(), progress=progress))

    def _streams(self) -> Streams:
        audio, video = self._m.remote_muted
        return {name: Stream(purpose, audio, video) for name, purpose in self._m.sent_streams.items()}

    def _for_matrix(self, text: str) -> tuple[str, Streams]:
        """The network's description with its streams named. Raises `BadSDP`."""
        made, self._m.sent_streams = with_streams(text, self.setup.stream)
        return made, self._streams()

    def _is_party(self, party: str | None) -> bool:
        """MSC2746: "Parties in the call are identified by the tuple of `(user_id, party_id)`"; version 0 has none."""
        return self._m.peer is None or (party or None) == self._m.peer
