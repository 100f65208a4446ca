"""What is said beside the lanes once something has crossed: the bot's read receipts, and corrections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bridgekit.core.backoff import Backoff
from bridgekit.core.policy import Retry, judge_homeserver
from bridgekit.errors import HomeserverError, HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import EventID, RoomID
from bridgekit.ports import Clock, Homeserver

log = logging.getLogger(__name__)

RECEIPT_EVERY_S = 1.0
"""A room gets a receipt at once, and then one in this time at most: the latest."""

RECEIPTS_AT_ONCE = 4

TRIES = 10
"""How often something is said again that the homeserver does not take."""


class Crossed:
    """Never waited for, and lost with the process: what has crossed has crossed, whether it is shown or not."""

    def __init__(self, homeserver: Homeserver, clock: Clock) -> None:
        self._homeserver = homeserver
        self._clock = clock
        self._latest: dict[RoomID, EventID] = {}
        self._rooms: dict[RoomID, asyncio.Task[None]] = {}
        self._words: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(RECEIPTS_AT_ONCE)

    def receipt(self, room: RoomID, event_id: EventID) -> None:
        """The bot has read up to here."""
        self._latest[room] = event_id
        if room not in self._rooms:
            self._rooms[room] = asyncio.create_task(self._send(room), name=f"receipts {room}")

    def say(self, words: Callable[[], Awaitable[object]]) -> None:
        """Say something soon, again if need be: `words` must be harmless to repeat."""
        task = asyncio.create_task(self._say(words), name="correction")
        self._words.add(task)
        task.add_done_callback(self._words.discard)

    async def stop(self) -> None:
        """Say nothing more."""
        tasks = [*self._rooms.values(), *self._words]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, room: RoomID) -> None:
        try:
            while room in self._latest:
                async with self._slots:
                    await self._one(room, self._latest.pop(room))
                await self._clock.sleep(RECEIPT_EVERY_S)
        finally:
            del self._rooms[room]

    async def _one(self, room: RoomID, event_id: EventID) -> None:
        try:
            await self._homeserver.send_receipt(room, event_id)
        except HomeserverError as error:
            log.debug("no receipt: %s", error, extra={"room_id": room, "event_id": event_id})

    async def _say(self, words: Callable[[], Awaitable[object]]) -> None:
        backoff = Backoff()
        for attempt in range(TRIES):
            try:
                await words()
            except (HomeserverUnreachable, MatrixRequestError) as error:
                verdict = judge_homeserver(error)
                if not isinstance(verdict, Retry):
                    log.warning("a correction could not be said: %s", error)
                    return
                await self._clock.sleep(backoff.delay(attempt, 1.0, verdict.retry_after_s))
            else:
                return
