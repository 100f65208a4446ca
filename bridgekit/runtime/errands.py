"""What calls want done, carried out in order, apart for each side of each portal.

A call is worth nothing later: what fails is tried again for a short time only, and whatever says that a call is over
does not wait behind what could not be done while it went on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from bridgekit.core.call.effects import CallRemote, InviteToRoom, Note, SendMatrix
from bridgekit.model.calls import CallEnd, MatrixCallAnswer, MatrixCallOffer
from bridgekit.model.ids import CallID, PortalKey
from bridgekit.ports import Clock

log = logging.getLogger(__name__)

CallKey = tuple[PortalKey, CallID]
Task = SendMatrix | CallRemote | InviteToRoom | Note

RETRY_S = (0.25, 0.5, 1.0, 2.0)
"""The pauses between two attempts; the last one from then on."""

VITAL = frozenset({"m.call.invite", "m.call.answer", "m.call.select_answer"})
"""A call of which one of these cannot be sent is none. Without the others it goes on as it was."""


OVERTAKEN_S = 1.0
"""So long something may still take when its call is over: what is only slow keeps its place, and is not uncertain."""


@dataclass(frozen=True, eq=False)
class Errand:
    """One effect of a call. `until` is when it is given up, in ms since the epoch."""

    key: CallKey
    task: Task
    until: int

    @property
    def final(self) -> bool:
        """Whether it says that the call is over."""
        return isinstance(self.task, SendMatrix | CallRemote) and self.task.final

    @property
    def vital(self) -> bool:
        """Whether nothing comes of the call without it: then it ends if this cannot be done."""
        match self.task:
            case SendMatrix(type=type):
                return type in VITAL
            case CallRemote(value=MatrixCallOffer(sdp=sdp)):
                return bool(sdp)
            case CallRemote(value=value):
                return isinstance(value, MatrixCallAnswer)
            case task:
                return isinstance(task, InviteToRoom)

    @property
    def keeps(self) -> bool:
        """Whether it is still worth doing when its time has passed without the bridge: that the call is over must be
        said, and so must its line; what rings or changes something would come out of the blue."""
        return self.final or isinstance(self.task, InviteToRoom | Note)


class TryAgain(Exception):
    """It could not be done now, and can be in `after_s` seconds, None: after the usual pause."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class GiveUp(Exception):
    """It cannot be done: the call is over, by `reason`, in `words` for people."""

    def __init__(self, reason: CallEnd, words: str) -> None:
        super().__init__(words)
        self.reason = reason
        self.words = words


class Refused(GiveUp):
    """The network refused the login's credentials, through `session`. That is told beside the queue: it ends the call,
    and whatever says that a call is over cuts short what hangs here."""

    def __init__(self, session: object, words: str) -> None:
        super().__init__(CallEnd.UNREACHABLE, words)
        self.session = session


class Errands:
    """A queue. `do` carries one out, and raises `TryAgain` or `GiveUp`; `done` is told of each that has ended, with the
    `GiveUp`, if that ended it."""

    def __init__(
        self,
        do: Callable[[Errand], Awaitable[None]],
        done: Callable[[Errand, GiveUp | None], None],
        clock: Clock,
        *,
        name: str,
        empty: Callable[[], None],
        overtakes: bool = False,
    ) -> None:
        """`empty` is called when the queue is empty, and nobody works at it any more. `overtakes`: what hangs is given
        up when its call is over."""
        self._do = do
        self._done = done
        self._clock = clock
        self._name = name
        self._empty = empty
        self._overtakes = overtakes
        self._hung: CallKey | None = None
        """The last call of which something hung when it was over: the rest of it is not even tried."""
        self._queue: deque[Errand] = deque()
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, errand: Errand) -> None:
        self._queue.append(errand)
        self._more.set()
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name=self._name)

    async def stop(self) -> None:
        """Leave the rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while self._queue:
            errand = self._queue[0]
            ended = await self._carry_out(errand)
            self._queue.popleft()
            self._done(errand, ended)
        self._task = None
        self._empty()

    async def _carry_out(self, errand: Errand) -> GiveUp | None:
        attempt = 0
        if not errand.keeps and self._clock.now() >= errand.until:
            return GiveUp(CallEnd.CONNECTION_FAILED, "what was to be done is too late now")
        while True:
            try:
                if self._is_overtaken(errand) and self._hung == errand.key:
                    return None
                if not await self._attempt(errand):
                    log.warning("a call is over; left undone, as it hung: %s", _name(errand.task))
                    self._hung = errand.key
                return None
            except GiveUp as error:
                return error
            except TryAgain as error:
                pause = RETRY_S[min(attempt, len(RETRY_S) - 1)] if error.after_s is None else error.after_s
                attempt += 1
                if self._is_overtaken(errand):
                    log.info("a call is over; left undone: %s", error)
                    return None
                if self._clock.now() + pause * 1000 >= errand.until:
                    return GiveUp(CallEnd.CONNECTION_FAILED, str(error))
                log.info("%s; again in %.2f s", error, pause)
            except Exception:
                # A bug of ours must not leave the others undone.
                log.exception("an errand of a call failed")
                return GiveUp(CallEnd.ERROR, "internal error in the bridge")
            await self._pause(pause)
            if self._is_overtaken(errand):
                return None

    async def _attempt(self, errand: Errand) -> bool:
        """Whether it was tried to its end. What hangs when its call is over is cancelled: nobody knows then whether it
        has taken effect, and whatever says that the call is over follows."""
        if not self._overtakes or errand.final:
            await self._do(errand)
            return True
        attempt = asyncio.ensure_future(self._do(errand))
        try:
            while not attempt.done() and not self._is_overtaken(errand):
                self._more.clear()
                await either(asyncio.wait([attempt]), self._more.wait())
            if not attempt.done():
                await either(asyncio.wait([attempt]), self._clock.sleep(OVERTAKEN_S))
        finally:
            attempt.cancel()
            await asyncio.wait([attempt])
        if attempt.cancelled():
            if self._is_overtaken(errand):
                return False
            raise TryAgain("a library cancelled a call of its own")
        attempt.result()
        return True

    def _is_overtaken(self, errand: Errand) -> bool:
        return not errand.final and any(other.final and other.key == errand.key for other in self._queue)

    async def _pause(self, seconds: float) -> None:
        """Not for longer than until something more is to be done: it may say that the call is over."""
        self._more.clear()
        await either(self._clock.sleep(seconds), self._more.wait())


def _name(task: Task) -> str:
    return type(task.value if isinstance(task, CallRemote) else task).__name__


async def either(*waits: Coroutine[Any, Any, object]) -> None:
    """Until the first of them is over; the others are given up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
