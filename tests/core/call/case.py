"""A book of calls with the two sides of one portal, for tests of single rules."""

from __future__ import annotations

from typing import Any

import msgspec

from bridgekit.core.call.book import Book
from bridgekit.core.call.effects import CallRemote, Ended, SendMatrix
from bridgekit.model.calls import (
    RemoteCallAnswer,
    RemoteCallOffer,
    RemoteCallRinging,
)
from bridgekit.model.ids import CallID, UserID
from tests.core.call.ends import BOB, GHOST, PORTAL, USER, World
from tests.core.call.samples import full


class Case:
    """A book, and what it wanted done so far."""

    def __init__(self, **place: Any) -> None:
        self.world = World()
        self.world.place = msgspec.structs.replace(self.world.place, **place)
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.told: list[Any] = []
        self.others: list[Any] = []

    @property
    def book(self) -> Book:
        return self.world.book

    @property
    def call(self) -> Any:
        (call,) = self.book._calls.values()
        return call

    def wait(self, ms: int) -> Case:
        until = self.world.now + ms
        while (timer := self.book.next_timer()) is not None and timer <= until:
            self.world.now = max(self.world.now, timer)
            self._take(self.book.fire(self.world.now))
        self.world.now = until
        return self

    def matrix(self, kind: str, sender: UserID = USER, age: int = 0, **content: Any) -> Case:
        content = {"call_id": "m1", "party_id": "DEV", "version": "1", **content}
        content = {key: value for key, value in content.items() if value is not None}
        before = self.world.carry_out
        self.world.carry_out = self._take  # type: ignore[method-assign]
        self.world.from_matrix(f"m.call.{kind}", content, sender, sent_at=self.world.now - age)
        self.world.carry_out = before  # type: ignore[method-assign]
        return self

    def invite(self, text: str | None = None, **content: Any) -> Case:
        offer = {"type": "offer", "sdp": full("EsAw") if text is None else text}
        return self.matrix("invite", **{"invitee": GHOST, "lifetime": 60_000, "offer": offer, **content})

    def remote(self, kind: type[Any], /, **fields: Any) -> Case:
        event = kind(**{"portal": PORTAL, "call": CallID("m1"), "timestamp": self.world.now, **fields})
        self._take(self.book.remote(event, self.world.now, lambda: self.world.place))
        return self

    def offer(self, text: str | None = None, **fields: Any) -> Case:
        text = full("RmTe") if text is None else text
        return self.remote(RemoteCallOffer, **{"call": CallID("r1"), "sender": BOB, "sdp": text, **fields})

    def input(self, event: Any) -> Case:
        self._take(self.book.tell(self.call, event, self.world.now))
        return self

    def _take(self, calls: list[Any]) -> None:
        effects = []
        for call in calls:
            wanted = call.effects()
            assert not any(isinstance(one, Ended) for one in wanted[:-1]), "something is wanted of a call that is over"
            effects += wanted
        for effect in effects:
            match effect:
                case SendMatrix():
                    self.sent.append((effect.type.removeprefix("m.call."), effect.content))
                case CallRemote():
                    self.told.append(effect.value)
                case _:
                    self.others.append(effect)

    def new(self) -> tuple[list[str], list[str]]:
        """What was done since: kinds of events, kinds of values."""
        done = [kind for kind, _ in self.sent], [type(one).__name__.removeprefix("MatrixCall") for one in self.told]
        self.sent.clear()
        self.told.clear()
        return done

    # --- on the way ---------------------------------------------------------------------------------------------
    def answered(self, **fields: Any) -> Case:
        self.invite().remote(RemoteCallRinging).remote(RemoteCallAnswer, sdp=full("RmTe"), **fields)
        return self

    def connected(self) -> Case:
        return self.answered().matrix("select_answer", selected_party_id=self.call.setup.party)

    def called(self) -> Case:
        return self.offer().matrix("answer", call_id="-r1", answer={"type": "answer", "sdp": full("AnSw")})


def candidates(*lines: str, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"candidate": line, "sdpMid": "0"} for line in lines], **more}


def negotiate(text: str, sdp_type: str = "offer", **more: Any) -> dict[str, Any]:
    return {"description": {"type": sdp_type, "sdp": text}, "lifetime": 10_000, **more}
