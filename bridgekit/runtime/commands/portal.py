"""Commands in portals: they begin with a prefix, stay on Matrix, and are answered there."""

from __future__ import annotations

import logging

import msgspec

from bridgekit.core.permissions import Level
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.entry import Entry
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Portal
from bridgekit.runtime.commands.said import Said, Table
from bridgekit.runtime.permissions import Doors
from bridgekit.runtime.relay import Relay
from bridgekit.runtime.retrying import Retrying
from bridgekit.runtime.talk import Talk

log = logging.getLogger(__name__)


class _Content(msgspec.Struct):
    msgtype: str = ""
    body: str = ""


class _Event(msgspec.Struct):
    content: _Content = msgspec.field(default_factory=_Content)


_decode = msgspec.json.Decoder(_Event).decode


class PortalCommands:
    """Recognises and carries out what begins with the prefix."""

    def __init__(self, table: Table, prefix: str, doors: Doors, relay: Relay, talk: Talk, retrying: Retrying) -> None:
        self._table = table
        self._prefix = prefix
        self._raw_prefix = prefix.encode()
        self._doors = doors
        self._relay = relay
        self._talk = talk
        self._retrying = retrying

    async def handle(self, entry: Entry, event: RawEvent, portal: Portal) -> bool:
        """Whether this was a command, which is then carried out and answered. Raises `RetryLater`, `StoreError`."""
        # Most messages have it nowhere, and need not be read for it.
        if event.type != "m.room.message" or not (self._raw_prefix in event.raw or b"\\" in event.raw):
            return False
        try:
            content = _decode(event.raw).content
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        words = content.body.split()
        if content.msgtype != "m.text" or not words or words[0] != self._prefix:
            return False
        level = self._doors.level(event.sender)
        if level is Level.NONE or self._relay.ignores(event):
            log.info("a command of somebody who may not use the bridge", extra={"event_id": event.event_id})
            return True
        said = Said(
            user=event.sender,
            level=level,
            room=event.room_id,
            event_id=event.event_id,
            words=tuple(words[2:]),
            portal=portal,
        )
        try:
            answer = await self._table.run(words[1].casefold() if len(words) > 1 else "", said)
            if answer is not None:
                await self._talk.say(event.room_id, answer, answers=event.event_id)
        except (HomeserverUnreachable, MatrixRequestError) as error:
            self._retrying.homeserver_failed(entry, error)
            log.warning("a command could not be answered: %s", error, extra={"room_id": event.room_id})
        return True
