"""One change that somebody made to a portal's room: told to the network, or put back."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any

import msgspec

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.errors import MatrixRequestError
from bridgekit.model.entry import Ending
from bridgekit.runtime.lanes import Handled
from bridgekit.runtime.sending import Attempt, Connected

log = logging.getLogger(__name__)

NOT_YOURS = 'log in to the network for that: say "login" to the bot in a room of your own'


class State(msgspec.Struct):
    """A state event, as far as anybody can rely on it."""

    content: dict[str, Any] = {}


decode_state = msgspec.json.Decoder(State).decode


class Change(ABC):
    """A state event, and what is to be done with it. May be repeated after a crash."""

    def __init__(self, a: Attempt) -> None:
        self.a = a

    @abstractmethod
    async def handle(self) -> Handled:
        """Carry it out. Raises what `Attempt` raises."""

    @abstractmethod
    async def undo(self) -> None:
        """The room says again what the network says, if this change still stands. Raises `HomeserverError`."""

    async def changer(self) -> Connected | Handled:
        """The connection of the sender's own login; how it ends if there is none. Raises `WaitFor`."""
        a = self.a
        voice = await a.o.relay.changer(a.event, a.portal)
        if voice is None:
            return await self.refuse(a.ending("no_login", NOT_YOURS))
        to = await a.connected(voice)
        if isinstance(to, Handled) and to.dead is not None:
            await self.put_back()
        return to

    async def refuse(self, ending: Ending) -> Handled:
        """The network does not do that: the room says so again, and its sender is told. The end is on disk before: what
        was put back is not tried again."""
        a = self.a
        await a.note(a.entry.marked_at, msgspec.structs.replace(a.progress, ending=ending))
        return await self.refused(ending)

    async def refused(self, ending: Ending) -> Handled:
        """The rest of `refuse`, again if it was cut short the last time."""
        await self.put_back()
        return await self.a.finish(ending)

    async def put_back(self) -> Handled:
        """Undo it so far as the bot may. Raises `HomeserverError` where trying again helps."""
        try:
            await self.undo()
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            log.info("a change could not be put back: %s", error, extra={"room_id": self.a.event.room_id})
        return Handled()
