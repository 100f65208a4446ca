"""The client's side of one WebSocket: events in, sends and acts out, answers matched by `ref`."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Mapping

import aiohttp
import msgspec

from example_bridge.webchat.errors import Disconnected, Refused, Unauthorized, WebchatError, error_of
from example_bridge.webchat.server.acts import Act, Draft, Send
from example_bridge.webchat.server.call_frames import CallFrame
from example_bridge.webchat.server.events import (
    CallEvent,
    ChatDeletedEvent,
    ChatEvent,
    DeleteEvent,
    EditEvent,
    KnownEvent,
    MediaEvent,
    MemberEvent,
    MessageEvent,
    ProfileEvent,
    ReactionEvent,
    RoleEvent,
    Signal,
)
from example_bridge.webchat.server.protocol import CLOSE_UNAUTHORIZED, Error, Hello, More, Ready, Receipt, Sent

log = logging.getLogger(__name__)

WINDOW = 1000
"""Events that the network may send ahead of whoever pulls."""


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event of a type that this client does not know. It carries nothing, but its cursor counts."""

    type: str
    chat: str
    seq: int
    timestamp: int = 0
    actor: str = ""


Event = (
    MessageEvent
    | EditEvent
    | DeleteEvent
    | ReactionEvent
    | MediaEvent
    | ChatEvent
    | ChatDeletedEvent
    | MemberEvent
    | RoleEvent
    | ProfileEvent
    | CallEvent
    | UnknownEvent
)


class _EventFrame(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    event: msgspec.Raw


_decode_frame = msgspec.json.Decoder(_EventFrame | Signal | Ready | Sent | Error).decode
_decode_known = msgspec.json.Decoder(KnownEvent).decode
_decode_unknown = msgspec.json.Decoder(UnknownEvent).decode
_KNOWN_TYPES = frozenset(
    {"message", "edit", "delete", "reaction", "media", "chat", "chat_deleted", "member", "role", "profile", "call"}
)


def decode_event(data: bytes | msgspec.Raw) -> Event:
    """Raises `msgspec.MsgspecError` for what is no event; a type of the future is an `UnknownEvent`."""
    try:
        event: Event = _decode_known(data)
    except msgspec.ValidationError:
        event = _decode_unknown(data)
        if event.type in _KNOWN_TYPES:  # known, but not of the shape that it must have
            raise
    return event


class _Urgent:
    """In the queue: look among what is urgent."""


class Link:
    """An open stream. `close` it in the end, whatever has become of it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, cursors: Mapping[str, int]) -> None:
        self.ready = asyncio.Event()
        """Set once everything that was there at the start has arrived, and when the link has ended."""
        self.ended: WebchatError | None = None
        """Why nothing more can come or be sent."""
        self._socket = socket
        self._seen = dict(cursors)
        self._events: asyncio.Queue[Event | Signal | Ready | _Urgent | None] = asyncio.Queue()  # the window bounds it
        self._urgent: deque[CallFrame] = deque()
        self._taken = 0
        self._pending: dict[str, asyncio.Future[Receipt]] = {}
        self._refs = itertools.count(1)
        self._reader = asyncio.create_task(self._read_forever())

    @classmethod
    async def open(cls, socket: aiohttp.ClientWebSocketResponse, cursors: Mapping[str, int]) -> Link:
        try:
            await socket.send_str(msgspec.json.encode(Hello(dict(cursors), WINDOW)).decode())
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Disconnected(f"the stream broke at the start: {error}") from error
        return cls(socket, cursors)

    async def next(self) -> Event | Signal | Ready:
        """The next event, or in its place among them a signal, or that the network is ready; before all of them what is
        said of calls. What has arrived is
        handed out even after the link has ended; then the reason is raised."""
        if self._taken >= WINDOW // 2 and self.ended is None:
            frame, self._taken = msgspec.json.encode(More(self._taken)), 0
            try:
                await self._socket.send_str(frame.decode())
            except (aiohttp.ClientError, ConnectionError):
                pass  # the reader finds the end, behind the events that are here
        event: Event | Signal | Ready | _Urgent | None = _Urgent()
        while isinstance(event, _Urgent):
            if self._urgent:
                return self._urgent.popleft()
            event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)  # for whoever asks again
            raise self.ended or Disconnected("the stream ended")
        if not isinstance(event, Ready | Signal):
            self._taken += 1
        return event

    async def send(self, chat: str, asked: Draft | Act, patience: float) -> Receipt:
        """Sends and acts go out in the order of the calls. `patience`: seconds until a missing answer is
        `Disconnected`."""
        if self.ended is not None:
            raise Disconnected(str(self.ended))
        ref = f"r{next(self._refs)}"
        if isinstance(asked, Draft):
            fields = msgspec.structs.asdict(asked)
            frame = msgspec.json.encode(Send(**fields, ref=ref, chat=chat))
        else:
            frame = msgspec.json.encode(msgspec.structs.replace(asked, ref=ref, chat=chat))
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._pending[ref] = answer
        try:
            async with asyncio.timeout(patience):
                await self._socket.send_str(frame.decode())
                return await answer
        except TimeoutError:
            raise Disconnected(f"no answer within {patience:g} s") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Disconnected(f"the stream broke while sending: {error}") from error
        finally:
            # Nobody waits any more, cancelled or not; an answer that comes later finds no ref and is dropped.
            self._pending.pop(ref, None)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen, even where a timeout came first

    async def close(self) -> None:
        self._end(Disconnected("the stream was closed here"))
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()

    async def _read_forever(self) -> None:
        try:
            async for message in self._socket:
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    self._take(message.data)
                if self.ended is not None:
                    return
            code = self._socket.close_code
            if code == CLOSE_UNAUTHORIZED:
                self._end(Unauthorized("the token was revoked"))
            else:
                self._end(Disconnected(f"the network closed the stream ({code})"))
        except (aiohttp.ClientError, ConnectionError) as error:
            self._end(Disconnected(f"the stream broke: {error}"))
        finally:
            self._end(Disconnected("the stream broke"))

    def _take(self, data: str | bytes) -> None:
        try:
            frame = _decode_frame(data)
            event = decode_event(frame.event) if isinstance(frame, _EventFrame) else None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Ignoring is safe: were it an event, the next one of its chat would show the gap.
            log.warning("ignored a frame that says nothing to us: %s", error)
            return
        if event is not None:
            seen = self._seen.get(event.chat, 0)
            if event.seq > seen + 1:
                self._end(Disconnected(f"chat {event.chat!r}: event {event.seq} came after {seen}"))
                return
            self._seen[event.chat] = max(seen, event.seq)
            self._events.put_nowait(event)
        elif isinstance(frame, CallFrame):
            self._urgent.append(frame)
            self._events.put_nowait(_Urgent())
        elif isinstance(frame, Signal):
            self._events.put_nowait(frame)
        elif isinstance(frame, Ready):
            self.ready.set()
            self._events.put_nowait(frame)
        elif isinstance(frame, Sent):
            answer = self._pending.pop(frame.ref, None)
            if answer is not None and not answer.done():
                answer.set_result(Receipt(frame.id, frame.seq, frame.timestamp))
        elif frame.ref is not None:
            answer = self._pending.pop(frame.ref, None)
            if answer is not None and not answer.done():
                answer.set_exception(error_of(frame))
        else:
            self._end(Refused(frame.code, frame.message))

    def _end(self, reason: WebchatError) -> None:
        """Once: nothing comes any more, and whoever waits for an answer does not know what became of the send."""
        if self.ended is not None:
            return
        self.ended = reason
        self.ready.set()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(Disconnected(f"no answer: {reason}"))
        self._pending.clear()
        self._events.put_nowait(None)
