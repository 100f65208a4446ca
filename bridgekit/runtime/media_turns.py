"""Places at the homeserver are counted: whose turn it is to ask for one."""

from __future__ import annotations

import asyncio
from collections import deque

from bridgekit.model.ids import DedupeKey, UserID
from bridgekit.ports import Clock

ASK_AGAIN_S = 15.0
"""How often a message that waits for its turn asks by itself."""


class Turns:
    """Who may reserve next for a user that has as many places as the homeserver gives."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[UserID, deque[asyncio.Future[None]]] = {}
        self._called: set[DedupeKey] = set()

    def may_ask(self, user: UserID, key: DedupeKey) -> bool:
        """Whether nobody was there before; one that has waited may ask once."""
        if key in self._called:
            self._called.discard(key)
            return True
        return not self._waiting.get(user)

    async def wait(self, user: UserID, key: DedupeKey) -> None:
        """Until it is this one's turn to ask."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        timer = asyncio.ensure_future(self._clock.sleep(ASK_AGAIN_S))
        try:
            await asyncio.wait((turn, timer), return_when=asyncio.FIRST_COMPLETED)
            self._called.add(key)
        finally:
            timer.cancel()
            waiting = self._waiting.get(user)
            if waiting is not None:
                if turn in waiting:
                    waiting.remove(turn)
                if not waiting:
                    del self._waiting[user]

    def freed(self, user: UserID) -> None:
        """A place has become free: the first that waits may ask."""
        waiting = self._waiting.get(user)
        if waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
