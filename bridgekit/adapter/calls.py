"""Calls as a capability of a session."""

from __future__ import annotations

from abc import abstractmethod

from bridgekit.adapter.capability import Capability
from bridgekit.errors import NotSupported
from bridgekit.model.calls import (
    MatrixCallAnswer,
    MatrixCallCandidates,
    MatrixCallHangUp,
    MatrixCallMute,
    MatrixCallOffer,
    MatrixCallProgress,
    MatrixCallReject,
    MatrixCallUpdate,
)


class CanCall(Capability):
    """People can be called, and call. The media flow straight between the two ends; what crosses is the signalling.

    `Limits.calls` says which kinds, `Limits.trickle` how complete each `sdp` is. Everything of one call comes in order,
    one method at a time; calls go side by side, and never wait for messages. Repeated after a crash, under the same
    `call`: what is so already is success. What a method takes longer than 10 s for is cancelled, and has failed;
    so is what a method still does 1 s after the call is over: `hang_up` or `reject` then follows at once, and must end
    the call whether or not the network has taken what was cancelled.

    Raises in all of them, unless said otherwise: `Rejected`, `NotSupported` (the call ends, its reason is shown),
    `AuthFailed`; `Transient` and connection errors are tried again while the call could still come about. Anything else
    ends the call.
    """

    @abstractmethod
    async def offer(self, offer: MatrixCallOffer) -> None:
        """Begin a call, and return when the network has taken it: ringing, answers and refusals come as events.
        Raises as `CanCall` says.

        `Limits.trickle` ``half`` and ``none``: the offer has its candidates, and `Rejected` is what Matrix gives itself
        where none are found. ``trickle``: they follow by `candidates`.
        """

    async def ring(self, offer: MatrixCallOffer) -> None:
        """Make it ring, where `Limits.rings_first`: `offer.sdp` is ``""``; `offer` follows with the same `call`, at
        most some seconds later, or `hang_up`. What it raises is logged. Unless overridden, nothing."""

    @abstractmethod
    async def answer(self, answer: MatrixCallAnswer) -> None:
        """Take a call that the network began. `Limits.trickle` ``none``: the answer has its candidates. Raises as
        `offer`."""

    async def candidates(self, candidates: MatrixCallCandidates) -> None:
        """More candidates, after the description that they belong to; never where `Limits.trickle` is ``none``. What it
        raises is logged. Raises `NotSupported` unless overridden."""
        raise NotSupported("this network takes no candidates beside the description")

    async def update(self, update: MatrixCallUpdate) -> None:
        """Renegotiate within a call: an offer, which the network answers by a `RemoteCallUpdate`, or the answer to one
        of its own. Where an offer of each side meets the other, the one of whoever called counts: a callee's network
        takes its own back, a caller's ignores the callee's. What it raises is logged, and the call goes on as it was.
        Raises `NotSupported` unless overridden."""
        raise NotSupported("this network cannot change a call under way")

    async def mute(self, mute: MatrixCallMute) -> None:
        """Show that the other side has muted itself. What it raises is logged. Unless overridden, nothing."""

    async def progress(self, progress: MatrixCallProgress) -> None:
        """Show how far the call is. What it raises is logged. Unless overridden, nothing."""

    async def reject(self, reject: MatrixCallReject) -> None:
        """Decline a call that the network began; one that is over is success. Raises as `CanCall` says. Unless
        overridden, `hang_up`."""
        await self.hang_up(
            MatrixCallHangUp(portal=reject.portal, call=reject.call, reason=reject.reason, leg=reject.leg)
        )

    @abstractmethod
    async def hang_up(self, hang_up: MatrixCallHangUp) -> None:
        """End a call, or one leg of it; one that is over, or that the network never had, is success. Raises as
        `CanCall` says; tried again until it succeeds, for a minute."""
