"""The calls that send, change and read events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
from mautrix.api import Method

from bridgekit.core.rawjson import elements, members
from bridgekit.core.transaction import read_event, split_events
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.matrix.client import Client, is_absent
from bridgekit.matrix.http import Repeat
from bridgekit.matrix.wire import JSON, path
from bridgekit.model.ids import EventID, RoomID, TxnID, UserID
from bridgekit.model.raw import MessagesPage, RawEvent

log = logging.getLogger(__name__)

T = TypeVar("T")


class EventCalls(Client):
    """The part of `Homeserver` about events."""

    _has_devices = True

    async def send_event(
        self,
        room: RoomID,
        type: str,
        content: Mapping[str, Any],
        *,
        txn_id: TxnID,
        user: UserID | None = None,
        device_id: str | None = None,
        timestamp: int | None = None,
    ) -> EventID:
        """Send an event. A repeat with the same `txn_id` answers with the first one's id while the homeserver remembers
        it (24 h). `timestamp` is its `origin_server_ts` in ms. 403: not joined, or not allowed; 413: too large."""
        query = {} if timestamp is None else {"ts": str(timestamp)}
        where = path("v3", "rooms", room, "send", type, txn_id)
        return await self._with_device(where, body=content, user=user, device_id=device_id, query=query)

    async def redact(
        self,
        room: RoomID,
        event_id: EventID,
        *,
        txn_id: TxnID,
        reason: str | None = None,
        user: UserID | None = None,
        device_id: str | None = None,
    ) -> EventID:
        """Redact an event; once more does no harm. Returns the redaction's id."""
        body = {} if reason is None else {"reason": reason}
        where = path("v3", "rooms", room, "redact", event_id, txn_id)
        return await self._with_device(where, body=body, user=user, device_id=device_id, query={})

    async def _with_device(
        self, where: str, *, body: Mapping[str, Any], user: UserID | None, device_id: str | None, query: dict[str, str]
    ) -> EventID:
        # MSC3970: "the scope of transaction identifiers is changed from a "client session" [...] to a "device"".
        # Both parameters, for the bot too: Synapse answers 500 to `device_id` alone.
        device = {"user_id": user or self.bot, "device_id": device_id or self.device_id}
        device["org.matrix.msc3202.device_id"] = device["device_id"]
        try:
            return await self._put_event(where, body, user, {**query, **device} if self._has_devices else query)
        except MatrixRequestError as error:
            if not error.errcode.endswith("UNKNOWN_DEVICE"):
                raise
        try:
            await self.ensure_device(user, device_id)
        except MatrixRequestError as error:
            if error.status not in (404, 405):
                raise
            self._has_devices = False
            log.warning(
                "The homeserver makes no devices for bridges (MSC4190), so it forgets transaction ids at a restart: "
                "set io.element.msc4190 in the registration, or update it"
            )
            return await self._put_event(where, body, user, query)
        return await self._put_event(where, body, user, {**query, **device})

    async def set_typing(self, room: RoomID, user: UserID, timeout_ms: int) -> None:
        """Say that a user of ours is writing, for so long; 0: has stopped. Tried once: what comes late is wrong then.
        403: not in the room."""
        body = {"typing": True, "timeout": timeout_ms} if timeout_ms > 0 else {"typing": False}
        where = path("v3", "rooms", room, "typing", user)
        await self._call(Method.PUT, where, JSON, user=user, body=body, repeat=Repeat.NEVER)

    async def send_receipt(self, room: RoomID, event_id: EventID, *, user: UserID | None = None) -> None:
        """Say that a user of ours has read up to this event, in all threads; once more does no harm."""
        await self._call(
            Method.POST, path("v3", "rooms", room, "receipt", "m.read", event_id), JSON, user=user, body={}
        )

    async def send_state(
        self, room: RoomID, type: str, state_key: str, content: Mapping[str, Any], *, user: UserID | None = None
    ) -> EventID:
        """Set state. The homeserver makes no new event of the same content; 403: not allowed."""
        return await self._put_event(path("v3", "rooms", room, "state", type, state_key), content, user, {})

    async def get_state(
        self, room: RoomID, type: str, state_key: str = "", *, user: UserID | None = None
    ) -> JSON | None:
        """The content of a piece of state, None if there is none. 403: not in the room."""
        try:
            return await self._call(Method.GET, path("v3", "rooms", room, "state", type, state_key), JSON, user=user)
        except MatrixRequestError as error:
            if is_absent(error):
                return None
            raise

    async def get_full_state(self, room: RoomID, *, user: UserID | None = None) -> tuple[RawEvent, ...]:
        """Every state event of the room; those that cannot be read are left out."""
        where = path("v3", "rooms", room, "state")
        body = await self._call(Method.GET, where, bytes, user=user)
        return split_events(_take_apart(where, elements, body))[0]

    async def messages(
        self,
        room: RoomID,
        *,
        from_: str | None = None,
        dir: Literal["b", "f"] = "b",
        limit: int = 100,
        user: UserID | None = None,
    ) -> MessagesPage:
        """A page of the timeline, from the newest backwards (`dir` b) unless `from_` says where."""
        query = {"dir": dir, "limit": str(limit)}
        if from_ is not None:
            query["from"] = from_
        where = path("v3", "rooms", room, "messages")
        page = _take_apart(where, members, await self._call(Method.GET, where, bytes, user=user, query=query))
        events, malformed = split_events(_take_apart(where, elements, page.get("chunk", b"")))
        start, end = (_take_apart(where, _text, page.get(key, b"null")) for key in ("start", "end"))
        return MessagesPage(events, start or "", end or None, len(malformed))

    async def get_event(self, room: RoomID, event_id: EventID, *, user: UserID | None = None) -> RawEvent | None:
        """One event; None if it is not there, may not be seen, or cannot be read."""
        try:
            body = await self._call(Method.GET, path("v3", "rooms", room, "event", event_id), bytes, user=user)
        except MatrixRequestError as error:
            if is_absent(error):
                return None
            raise
        event = read_event(body)
        return event if isinstance(event, RawEvent) else None


def _take_apart(where: str, how: Callable[[bytes], T], body: bytes) -> T:
    try:
        return how(body)
    except ValueError as error:
        raise HomeserverUnreachable(f"the answer is not what a homeserver says: {error}", endpoint=where) from None


def _text(json: bytes) -> str | None:
    return msgspec.json.decode(json, type=str | None)
