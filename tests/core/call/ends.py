"""Models of the two ends of a call, and of what lies between: a Matrix client like matrix-js-sdk, a remote end without
trickle ICE, links that delay, repeat and reorder, and a driver for the book."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random
from typing import Any, Literal

import msgspec

from bridgekit.core.call import sdp
from bridgekit.core.call.book import Book, Place
from bridgekit.core.call.effects import CallRemote, Effect, Ended, InviteToRoom, Note, SendMatrix
from bridgekit.core.call.events import Malformed, read
from bridgekit.core.call.machine import Call
from bridgekit.model.calls import (
    MatrixCallAnswer,
    MatrixCallCandidates,
    MatrixCallHangUp,
    MatrixCallOffer,
    MatrixCallProgress,
    MatrixCallReject,
    MatrixCallUpdate,
    RemoteCall,
    RemoteCallAnswer,
    RemoteCallHangUp,
    RemoteCallOffer,
    RemoteCallReject,
    RemoteCallRinging,
    RemoteCallUpdate,
    Trickle,
)
from bridgekit.model.ids import CallID, ChatID, PortalKey, RemoteUserID, UserID
from tests.core.call.samples import bare, full, host

START = 1_700_000_000_000
PORTAL = PortalKey(ChatID("c1"))
USER = UserID("@alice:example.org")
GHOST = UserID("@bridge_bob:example.org")
BOB = RemoteUserID("bob")

Status = Literal["none", "calling", "rings", "answering", "connected", "ended"]


class World:
    """Time, and what is under way. Deterministic by its seed."""

    def __init__(self, seed: int = 0, *, trickle: Trickle = "none", slow: int = 0) -> None:
        self.now = START
        self.random = Random(seed)
        self.slow = slow  # 0: at once and once; else up to so many ms late, and sometimes twice
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._last: dict[str, int] = {}
        self.book = Book()
        self.matrix = MatrixClient(self)
        self.remote = RemoteEnd(self)
        self.place = Place(portal=PORTAL, user=USER, ghost=GHOST, remote=BOB, trickle=trickle)
        self.log: list[Effect] = []
        self.notes: list[Note] = []

    # --- time ---------------------------------------------------------------------------------------------------
    def at(self, when: int, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (max(when, self.now), next(self._order), what))

    def link(self, name: str, what: Callable[[], None], *, ordered: bool) -> None:
        """Deliver it, as late and as often as this world does that."""
        for _ in range(2 if self.slow and self.random.random() < 0.2 else 1):
            when = self.now + (self.random.randint(0, self.slow) if self.slow else 0)
            if ordered:
                when = self._last[name] = max(when, self._last.get(name, 0))
            self.at(when, what)

    def run(self, until: int) -> None:
        """Let everything happen up to then."""
        while True:
            timer = self.book.next_timer()
            waits = [] if timer is None else [max(timer, self.now)]
            waits += [self._queue[0][0]] if self._queue else []
            if not waits or min(waits) > until:
                self.now = until
                return
            self.now = min(waits)
            if self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
            else:
                self.carry_out(self.book.fire(self.now))

    # --- the driver ---------------------------------------------------------------------------------------------
    def from_matrix(self, kind: str, content: dict[str, Any], sender: UserID = USER, *, sent_at: int) -> None:
        event = {"type": kind, "sender": sender, "content": content, "unsigned": {"age": self.now - sent_at}}
        seen = read(msgspec.json.encode(event), received_at=self.now)
        assert not isinstance(seen, Malformed), seen
        self.carry_out(self.book.matrix(seen, PORTAL, self.now, lambda: self.place))

    def from_remote(self, event: RemoteCall) -> None:
        self.carry_out(self.book.remote(event, self.now, lambda: self.place))

    def restart(self) -> None:
        """The process dies, and another one begins with what was written down."""
        snapshots = [call.snapshot() for call in self.book._calls.values()]
        self.book = Book()
        self.book.restore(snapshots)

    def carry_out(self, calls: list[Call]) -> None:
        for call in calls:
            for effect in call.effects():
                self.log.append(effect)
                match effect:
                    case SendMatrix(type=kind, content=content):
                        assert len(msgspec.json.encode(content)) < 65_000
                        self.link("to matrix", partial(self.matrix.hear, kind, content), ordered=True)
                    case CallRemote(value=value):
                        self.link("to remote", partial(self.remote.hear, value), ordered=True)
                    case Note():
                        self.notes.append(effect)
                    case InviteToRoom() | Ended():
                        pass


class _End:
    """What both ends have in common: where they think the call is."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.status: Status = "none"
        self.reason = ""
        self.was_connected = False
        self.offering = False
        self.held_by_other = False
        self.caller = False

    def become(self, status: Status, reason: str = "") -> None:
        if self.status == "ended":
            return
        self.status = status
        if status == "connected":
            self.was_connected = True
        if status == "ended":
            self.reason = reason
            self.offering = False


class MatrixClient(_End):
    """As notes/calls.md says that matrix-js-sdk does."""

    party = "DEVICE"
    call_id = "m1"

    def send(self, kind: str, **content: Any) -> None:
        said = {"call_id": self.call_id, "party_id": self.party, "version": "1", **content}
        sent_at = self.world.now
        self.world.link(
            "from matrix", lambda: self.world.from_matrix(f"m.call.{kind}", said, sent_at=sent_at), ordered=False
        )

    # --- what its person does -----------------------------------------------------------------------------------
    def call(self, *, end_marker: bool = True, candidates: bool = True) -> None:
        self.caller, self.lifetime = True, 60_000
        self.become("calling")
        self.send("invite", invitee=GHOST, lifetime=self.lifetime, offer={"type": "offer", "sdp": bare()})
        if candidates:
            self.send("candidates", candidates=[_found(host())])
        if end_marker:
            self.send("candidates", candidates=[{"candidate": ""}])
        self.world.at(self.world.now + self.lifetime, self._time_over)

    def _time_over(self) -> None:
        if self.status == "calling":
            self.send("hangup", reason="invite_timeout")
            self.become("ended", "invite_timeout")

    def answer(self) -> None:
        if self.status == "rings":
            self.send("answer", answer={"type": "answer", "sdp": bare("AnSw")})
            self.send("candidates", candidates=[_found(host(ufrag="AnSw"))])
            self.become("answering")

    def decline(self) -> None:
        if self.status == "rings":
            self.send("reject")
            self.become("ended", "declined")

    def hang_up(self) -> None:
        if self.status == "calling":
            self.send("hangup")
        elif self.status in ("connected", "answering"):
            self.send("hangup", reason="user_hangup")
        elif self.status == "rings":
            self.decline()
        else:
            return
        self.become("ended", "hangup")

    def hold(self) -> None:
        if self.status == "connected" and not self.offering:
            self.offering = True
            offer = {"type": "offer", "sdp": bare("EsAw" if self.caller else "AnSw", direction="sendonly")}
            self.send("negotiate", description=offer, lifetime=30_000)

    def mute(self) -> None:
        if self.status == "connected":
            self.send(
                "sdp_stream_metadata_changed",
                sdp_stream_metadata={"stream1": {"purpose": "m.usermedia", "audio_muted": True, "video_muted": False}},
            )

    # --- what it hears ------------------------------------------------------------------------------------------
    def hear(self, kind: str, content: dict[str, Any]) -> None:
        kind = kind.removeprefix("m.call.")
        if kind == "invite":
            assert content["invitee"] == USER and content["lifetime"] > 3000
            if self.status == "none":
                self.call_id, self.other = content["call_id"], content["party_id"]
                _sendable(content["offer"]["sdp"], content)
                self.become("rings")
                self.world.at(self.world.now + content["lifetime"], self._missed)
            return
        if content["call_id"] != self.call_id or self.status in ("none", "ended"):
            return
        if kind == "answer" and self.status == "calling":
            _sendable(content["answer"]["sdp"], content)
            self.other = content["party_id"]
            self.send("select_answer", selected_party_id=self.other)
            self.become("connected")
        elif kind == "reject" and self.status == "calling":
            self.become("ended", content.get("reason", "declined"))
        elif kind == "hangup" and self.status != "calling":  # "a hangup is ignored then and it rings on"
            assert content["party_id"] == self.other
            self.become("ended", content["reason"])
        elif kind == "select_answer" and self.status == "answering":
            if content["selected_party_id"] == self.party:
                self.become("connected")
            else:
                self.become("ended", "answered_elsewhere")
        elif kind == "negotiate" and self.status == "connected":
            self._negotiate(content["description"])

    def _negotiate(self, description: dict[str, str]) -> None:
        if description["type"] == "answer":
            self.offering = False
            return
        if self.offering and self.caller:
            return  # impolite
        self.offering = False
        self.held_by_other = True
        answer = {"type": "answer", "sdp": bare("EsAw" if self.caller else "AnSw", direction="recvonly", msid=None)}
        self.send("negotiate", description=answer, lifetime=30_000)

    def _missed(self) -> None:
        if self.status == "rings":
            self.become("ended", "missed")


class RemoteEnd(_End):
    """A page that refuses descriptions without candidates, as the networks do that know no trickle."""

    call_id = CallID("r1")

    def tell(self, event: RemoteCall) -> None:
        self.world.link("from remote", lambda: self.world.from_remote(event), ordered=True)

    def _about(self) -> dict[str, Any]:
        return {"portal": PORTAL, "call": self.call_id, "timestamp": self.world.now}

    # --- what its person does -----------------------------------------------------------------------------------
    def call(self) -> None:
        self.caller = True
        self.become("calling")
        self.tell(RemoteCallOffer(**self._about(), sender=BOB, sdp=full("RmTe")))

    def answer(self) -> None:
        if self.status == "rings":
            self.tell(RemoteCallAnswer(**self._about(), sdp=full("RmTe")))
            self.become("answering")

    def decline(self) -> None:
        if self.status == "rings":
            self.tell(RemoteCallReject(**self._about()))
            self.become("ended", "declined")

    def hang_up(self) -> None:
        if self.status in ("calling", "connected", "answering"):
            self.tell(RemoteCallHangUp(**self._about()))
            self.become("ended", "hangup")
        else:
            self.decline()

    def hold(self) -> None:
        if self.status == "connected" and not self.offering:
            self.offering = True
            self.tell(RemoteCallUpdate(**self._about(), sdp_type="offer", sdp=full("RmTe", direction="sendonly")))

    def mute(self) -> None:
        pass

    # --- what it hears ------------------------------------------------------------------------------------------
    def hear(self, value: object) -> None:
        match value:
            case MatrixCallOffer() if self.status == "none":
                if not value.sdp:
                    return
                self._acceptable(value.sdp)
                self.call_id = value.call
                self.become("rings")
                self.tell(RemoteCallRinging(**self._about()))
            case MatrixCallAnswer() if self.status == "calling":
                self._acceptable(value.sdp)
                self.become("connected")
            case MatrixCallProgress() if self.status == "answering" and value.progress.value == "connected":
                self.become("connected")
            case MatrixCallReject() | MatrixCallHangUp():
                if self.status != "none" and value.call == self.call_id and not value.leg:
                    self.become("ended", value.reason)
            case MatrixCallUpdate() if self.status == "connected":
                self._negotiate(value)
            case MatrixCallCandidates():
                assert self.world.place.trickle != "none"
            case _:
                pass

    def _negotiate(self, value: MatrixCallUpdate) -> None:
        self._acceptable(value.sdp)
        if value.sdp_type == "answer":
            self.offering = False
            return
        if self.offering and self.caller:
            return  # impolite
        self.offering = False
        self.held_by_other = True
        self.tell(RemoteCallUpdate(**self._about(), sdp_type="answer", sdp=full("RmTe", direction="recvonly")))

    def _acceptable(self, text: str) -> None:
        if self.world.place.trickle == "none":
            facts = sdp.facts(text)
            assert facts.candidates and facts.complete, "a description without candidates"


def _found(line: str) -> dict[str, Any]:
    return {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0}


def _sendable(text: str, content: dict[str, Any]) -> None:
    """matrix-js-sdk: a stream that is not listed has no media; one without a name ends the call."""
    listed = content["sdp_stream_metadata"]
    assert listed == content["org.matrix.msc3077.sdp_stream_metadata"]
    for section in sdp.parse(text).sections:
        assert (section.value("msid") or "").split()[0] in listed
