"""What the homeserver shows of an event now, where something is said that refers to it."""

from __future__ import annotations

import logging

from bridgekit.core.policy import End, judge_homeserver
from bridgekit.core.versions import Version, read_version
from bridgekit.errors import MatrixRequestError
from bridgekit.model.ids import EventID, RoomID
from bridgekit.ports import Homeserver

log = logging.getLogger(__name__)


class Versions:
    """May be repeated after a crash. Raises `HomeserverError` only where trying again may help."""

    def __init__(self, homeserver: Homeserver) -> None:
        self._homeserver = homeserver

    async def of(self, room: RoomID, event_id: EventID) -> Version | None:
        """An event as the bot sees it; None if it was redacted, is not there, or may not be seen."""
        raw = await self.raw(room, event_id)
        return read_version(raw) if raw is not None else None

    async def raw(self, room: RoomID, event_id: EventID) -> bytes | None:
        """The homeserver's answer: the event as it was sent, with what is bundled."""
        try:
            event = await self._homeserver.get_event(room, event_id)
        except MatrixRequestError as error:
            if not isinstance(judge_homeserver(error), End):
                raise
            log.info("an event cannot be read: %s", error, extra={"room_id": room, "event_id": event_id})
            return None
        return event.raw if event is not None else None
