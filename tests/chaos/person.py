"""A person on Matrix who is invited to rooms, joins them and speaks there, whatever happens to the homeserver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import msgspec

from bridgekit.testing.api import Json
from bridgekit.testing.client import ClientEvent, MatrixClient, MatrixClientError
from example_bridge.webchat.client import Credentials
from tests.chaos.files import Made

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_S = 0.2
"""A homeserver that is down cannot say when it is back: it is asked so often."""


class Said(msgspec.Struct):
    """A message that the homeserver has taken; `words` of its edit number `revision`, if it is not `deleted` since.
    `mxc`: where its `file` is."""

    room: str
    event_id: str
    token: str
    words: int
    file: Made | None = None
    mxc: str = ""
    revision: int = 0
    deleted: bool = False


async def persist(work: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request that may be repeated until the homeserver answers it."""
    while True:
        try:
            return await work()
        except MatrixClientError as error:
            if (error.status < 500 and error.status != 429) or error.errcode == "M_NOT_YET_UPLOADED":
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
        self.changes: list[str] = []
        """Event ids of edits, reactions and redactions that the homeserver has taken."""
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

    # --- speaking ---------------------------------------------------------------------------------------------------
    # Each returns when the homeserver has taken it. Unanswered, it is sent again under the SAME transaction id.
    async def say(self, room: str, token: str, text: str) -> Said:
        event_id = await self._send(room, "m.room.message", {"msgtype": "m.text", "body": text})
        said = Said(room, event_id, token, len(text.split()))
        self.said.append(said)
        return said

    async def say_file(self, room: str, token: str, caption: str, file: Made, *, bytes_first: bool) -> Said:
        mxc = await persist(self.client.reserve)
        if bytes_first:
            await self._upload(mxc, file)
        event_id = await self._send(room, "m.room.message", _content(caption, file, mxc))
        said = Said(room, event_id, token, len(caption.split()), file, mxc)
        self.said.append(said)
        if not bytes_first:
            await self._upload(mxc, file)
        return said

    async def _upload(self, mxc: str, file: Made) -> None:
        mimetype = file.mimetype or "application/octet-stream"
        try:
            await persist(lambda: self.client.upload_to(mxc, file.data, mimetype))
        except MatrixClientError as error:
            if error.errcode != "M_CANNOT_OVERWRITE_MEDIA":
                raise
            # An earlier attempt, whose answer was lost with the homeserver.

    async def edit(self, said: Said, text: str) -> None:
        """The last thing that a message of one's own says counts, whatever it was before."""
        new = _content(text, said.file, said.mxc)
        relation = {"rel_type": "m.replace", "event_id": said.event_id}
        content = {**new, "body": f"* {text}", "m.new_content": new, "m.relates_to": relation}
        said.revision += 1
        said.words = len(text.split())
        self.changes.append(await self._send(said.room, "m.room.message", content))

    async def delete(self, said: Said) -> None:
        said.deleted = True
        await self.redact(said.room, said.event_id)

    async def react(self, room: str, event_id: str, emoji: str) -> str | None:
        """The reaction's event id; None if the homeserver knew it already."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": emoji}
        try:
            reaction = await self._send(room, "m.reaction", {"m.relates_to": relation})
        except MatrixClientError as error:
            if error.errcode != "M_DUPLICATE_ANNOTATION":
                raise
            return None  # an earlier attempt, whose answer was lost with the homeserver's memory of it
        self.changes.append(reaction)
        return reaction

    async def redact(self, room: str, event_id: str) -> None:
        txn_id = self._txn_id()
        self.changes.append(await persist(lambda: self.client.redact(room, event_id, txn_id=txn_id)))

    async def _send(self, room: str, type: str, content: Json) -> str:
        txn_id = self._txn_id()
        return await persist(lambda: self.client.send(room, type, content, txn_id))

    def _txn_id(self) -> str:
        self._count += 1
        return f"chaos{self._count}"

    async def fetch(self, mxc: str) -> bytes | None:
        """The bytes of a file; None while they are not there."""
        try:
            return await persist(lambda: self.client.download(mxc, timeout_ms=0))
        except MatrixClientError as error:
            if error.errcode not in ("M_NOT_YET_UPLOADED", "M_NOT_FOUND"):
                raise
            return None

    async def timeline(self, room: str) -> list[ClientEvent]:
        """Every event of the room, oldest first."""
        return await persist(lambda: self.client.timeline(room))

    def stream_order(self) -> dict[str, int]:
        """Event id -> its place among all that /sync has brought."""
        return {event.event_id: index for index, event in reversed(list(enumerate(self.client.events)))}


def _content(text: str, file: Made | None, mxc: str) -> Json:
    """A text, or a file with this caption."""
    if file is None:
        return {"msgtype": "m.text", "body": text}
    info = {"size": len(file.data), **({"mimetype": file.mimetype} if file.mimetype else {})}
    msgtype = "m.image" if file.mimetype.startswith("image/") else "m.file"
    return {"msgtype": msgtype, "body": text, "filename": file.name, "url": mxc, "info": info}
