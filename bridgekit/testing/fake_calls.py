"""What a fake network was told of calls: written down, and answered as ordered in advance."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from bridgekit.model.calls import (
    MatrixCall,
    MatrixCallAnswer,
    MatrixCallCandidates,
    MatrixCallHangUp,
    MatrixCallMute,
    MatrixCallOffer,
    MatrixCallProgress,
    MatrixCallReject,
    MatrixCallUpdate,
)
from bridgekit.model.ids import LoginID
from bridgekit.model.remote import Login

if TYPE_CHECKING:
    from bridgekit.testing.network import FakeNetwork

CallDeed = Literal["offer", "ring", "answer", "candidates", "update", "mute", "progress", "reject", "hang_up"]
"""The methods of `CanCall`, by name."""

V = TypeVar("V", bound=MatrixCall)


class Called(msgspec.Struct, frozen=True):
    """One call of a method of `CanCall`: through which login, which method, with what."""

    login: LoginID
    deed: CallDeed
    value: MatrixCall


class FakeCalls:
    """The far end's ears for calls. `called` holds what it took, in order; `called_tries` what it was told, failures
    included. `next_called` orders what becomes of the next calls of a method: an error that it raises, or an event that
    its answer waits for."""

    def __init__(self) -> None:
        self.called: list[Called] = []
        self.called_tries: list[Called] = []
        self.called_outcomes: defaultdict[CallDeed, deque[BaseException | asyncio.Event]] = defaultdict(deque)

    def next_called(self, deed: CallDeed, *outcomes: BaseException | asyncio.Event) -> None:
        """What becomes of the next calls of this method."""
        self.called_outcomes[deed].extend(outcomes)

    def told(self, kind: type[V]) -> list[V]:
        """What it took of one kind, in order."""
        return [one.value for one in self.called if isinstance(one.value, kind)]

    async def be_called(self, login: Login, deed: CallDeed, value: MatrixCall) -> None:
        """A session calls."""
        call = Called(login.id, deed, value)
        self.called_tries.append(call)
        outcome = self.called_outcomes[deed].popleft() if self.called_outcomes[deed] else None
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
        elif outcome is not None:
            raise outcome
        self.called.append(call)


class FakeCallMethods:
    """`CanCall` at a `FakeNetwork`."""

    far: FakeNetwork
    login: Login

    async def offer(self, offer: MatrixCallOffer) -> None:
        await self._told("offer", offer)

    async def ring(self, offer: MatrixCallOffer) -> None:
        await self._told("ring", offer)

    async def answer(self, answer: MatrixCallAnswer) -> None:
        await self._told("answer", answer)

    async def candidates(self, candidates: MatrixCallCandidates) -> None:
        await self._told("candidates", candidates)

    async def update(self, update: MatrixCallUpdate) -> None:
        await self._told("update", update)

    async def mute(self, mute: MatrixCallMute) -> None:
        await self._told("mute", mute)

    async def progress(self, progress: MatrixCallProgress) -> None:
        await self._told("progress", progress)

    async def reject(self, reject: MatrixCallReject) -> None:
        await self._told("reject", reject)

    async def hang_up(self, hang_up: MatrixCallHangUp) -> None:
        await self._told("hang_up", hang_up)

    async def _told(self, deed: CallDeed, value: Any) -> None:
        await self.far.be_called(self.login, deed, value)
