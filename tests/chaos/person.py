"""A person on Matrix who is invited to rooms, joins them and speaks there, whatever happens to the homeserver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import msgspec

from bridgekit.testing.client import ClientEvent, MatrixClient, MatrixClientError
from example_bridge.webchat.client import Credentials

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_S = 0.2
"""A homeserver that is down cannot say when it is back: it is asked so often."""


class Said(msgspec.Struct, frozen=True):
    """A message that the homeserver has taken."""

    room: str
    event_id: str
    token: str
    words: int


async def persist(work: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request that may be repeated until the homeserver answers it."""
    while True:
        try:
            return await work()
        except MatrixClientError as error:
            if error.status < 500 and error.status != 429:
                raise
            log.info("again: %s", error)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            log.info("again: %r", error)
        await asyncio.sleep(AGAIN_S)  # noqa: TID251 - polling a foreign process that was killed


class Person:
    """A Matrix user with a login on the webchat. `on_join` is told of each room, with the chat that it mirrors."""

    def __init__(self, client: MatrixClient, account: Credentials) -> None:
        self.client = client
        self.account = account
        self.said: list[Said] = []
        self.rooms: dict[str, str] = {}
        """Room -> chat, of every room that the bridge has invited this person to."""
        self.on_join: Callable[[Person, str], None] = lambda person, room: None
        self._others: set[str] = set()
        self._count = 0

    def ignore_known_rooms(self, rooms: list[str]) -> None:
        """These are no portals."""
        self._others.update(rooms)

    async def follow(self) -> None:
        """Join whatever one is invited to, for ever."""
        while True:
            room = await self._next_invite()
            await persist(lambda: self.client.join(room))  # noqa: B023 - called before the loop goes on
            state = await persist(lambda: self.client.state(room))  # noqa: B023 - as above
            chats = [event.content["channel"]["id"] for event in state if event.type == "m.bridge"]
            self.rooms[room] = chats[0] if chats else ""
            self.on_join(self, room)

    async def _next_invite(self) -> str:
        while True:
            try:
                return await self.client.wait_for_invite(
                    lambda room, _: room not in self.rooms and room not in self._others, 3600.0
                )
            except (aiohttp.ClientError, OSError, MatrixClientError) as error:
                log.info("the sync is begun again: %r", error)
                await asyncio.sleep(AGAIN_S)  # noqa: TID251 - polling a foreign process that was killed

    async def say(self, room: str, token: str, text: str) -> None:
        """Returns when the homeserver has taken it. Unanswered, it is sent again under the SAME transaction id."""
        self._count += 1
        txn_id = f"chaos{self._count}"
        event_id = await persist(lambda: self.client.send_text(room, text, txn_id))
        self.said.append(Said(room, event_id, token, len(text.split())))

    async def timeline(self, room: str) -> list[ClientEvent]:
        """Every event of the room, oldest first."""
        return await persist(lambda: self.client.timeline(room))

    def stream_order(self) -> dict[str, int]:
        """Event id -> its place among all that /sync has brought."""
        return {event.event_id: index for index, event in reversed(list(enumerate(self.client.events)))}
