"""One socket: streams events from cursors on, and takes sends.

It keeps a position per chat. A new event that is next in its chat goes straight out; any other marks its chat as
behind, and a chat that is behind is read from disk, page by page, until it has caught up. So nothing is missed or
doubled, and a slow reader, a small window or a flood costs disk reads, never memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec
from aiohttp import WSMsgType, web

from example_bridge.webchat.server import history
from example_bridge.webchat.server.acts import Act, Send, type_of
from example_bridge.webchat.server.call_frames import CallFrame
from example_bridge.webchat.server.events import ReadSignal, Signal
from example_bridge.webchat.server.faults import Fate, Faults
from example_bridge.webchat.server.hub import Hub
from example_bridge.webchat.server.protocol import (
    CLOSE_BAD_HELLO,
    CLOSE_UNAUTHORIZED,
    Error,
    Hello,
    More,
    Ready,
    Receipt,
    Refusal,
    Sent,
)
from example_bridge.webchat.server.store import Published, Store

log = logging.getLogger(__name__)

PAGE = 200
"""Events per disk read while catching up."""
MAX_QUEUED = 1000
"""Live events that wait in memory for a slow reader; beyond it they are read from disk later."""
MAX_CALL_FRAMES = 1000
"""Words about calls that wait for a slow reader; beyond it the oldest are lost, and the call with them."""
MAX_IN_FLIGHT = 1000
"""Sends and acts of one socket without an answer; beyond it the socket is not read."""

Submit = Callable[[str, str, Send], "asyncio.Future[Receipt]"]
"""Queue a send by an account to a chat; raises `Refusal` at once where it can."""
DoAct = Callable[[str, str, Act], "asyncio.Future[Receipt]"]
"""The same for any other act."""

Ringing = Callable[[str], "list[CallFrame]"]
"""What an account that has just come must be told of calls."""

_decode_frame = msgspec.json.Decoder(Hello | More | Send | Act).decode


class Connection:
    """The server's side of one stream."""

    def __init__(
        self,
        account: str,
        socket: web.WebSocketResponse,
        abort: Callable[[], None],
        *,
        store: Store,
        hub: Hub,
        faults: Faults,
        submit: Submit,
        act: DoAct,
        ringing: Ringing,
    ) -> None:
        self.account = account
        self._socket = socket
        self._abort = abort
        self._store = store
        self._hub = hub
        self._faults = faults
        self._submit = submit
        self._act = act
        self._ringing = ringing
        self._wake = asyncio.Event()
        self._answers: deque[bytes] = deque()
        self._live: deque[bytes] = deque()
        self._call_frames: deque[bytes] = deque(maxlen=MAX_CALL_FRAMES)  # all of them, in their order
        self._signals: dict[tuple[type[Signal], str, str], Signal] = {}  # only the latest of each counts
        self._position: dict[str, int] = {}  # per chat: the seq sent or queued last
        self._behind: dict[str, int] = {}  # per chat: the seq to catch up to, at least
        self._before_ready: dict[str, int] = {}  # per chat: the seq to reach before the stream is ready
        self._opened = False  # the hello has come, the chats are known
        self._ready = False
        self._window: int | None = None
        self._in_flight = 0
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Serve until the socket closes."""
        writer = asyncio.create_task(self._write_forever())
        self._hub.add(self)  # before the chats are read: what is published meanwhile is noted in _behind
        try:
            await self._hello()
            await self._read_forever()
        except Refusal as refusal:
            if not self._socket.closed:
                await self._socket.send_str(_error(refusal, None).decode())
                await self._socket.close(code=CLOSE_BAD_HELLO, message=refusal.code.encode())
        except ConnectionError:
            pass  # the reader has gone
        finally:
            self._hub.remove(self)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    # -- Listener: called on the loop, must not raise

    def publish(self, event: Published) -> None:
        chat, seq = event.event.chat, event.event.seq
        if not self._opened or chat in self._behind:
            self._behind[chat] = max(seq, self._behind.get(chat, 0))  # the hello may know of a newer one already
        elif seq <= self._position.get(chat, 0):
            return  # already read from disk
        elif seq == self._position.get(chat, 0) + 1 and self._may_stream() and len(self._live) < MAX_QUEUED:
            self._position[chat] = seq
            self._spend()
            self._live.append(event.json_for(self.account))
        else:
            self._behind[chat] = seq
        self._wake.set()

    def signal(self, signal: Signal) -> None:
        if isinstance(signal, CallFrame):
            self._call_frames.append(msgspec.json.encode(signal))
            self._wake.set()
            return
        key = (type(signal), signal.chat, signal.account)
        self._signals.pop(key, None)  # to the end of the row: it is the newest
        self._signals[key] = signal
        self._wake.set()

    def drop(self) -> None:
        self._abort()

    def wake(self) -> None:
        self._wake.set()

    def revoke(self) -> None:
        # A task of its own: closing waits for the other side, and whoever revoked must not.
        task = asyncio.create_task(self._socket.close(code=CLOSE_UNAUTHORIZED, message=b"token revoked"))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    # -- reading

    async def _hello(self) -> None:
        frame = await self._frame()
        if not isinstance(frame, Hello) or (frame.window is not None and frame.window < 1):
            raise Refusal("bad_request", "the first frame must be a hello")
        self._window = frame.window
        last, reads = await self._store.read(
            lambda db: (history.streamable(db, self.account), history.reads(db, self.account))
        )
        # A cursor for a chat that is not there says nothing about a later chat of that id: it is left out.
        position = {chat: frame.cursors.get(chat, 0) for chat in last}
        for chat, seq in position.items():
            if seq < 0 or seq > last[chat]:
                raise Refusal("bad_cursor", f"chat {chat!r} has events 1 to {last[chat]}, the cursor says {seq}")
        self._position = position
        for chat, seq in last.items():
            self._behind[chat] = max(seq, self._behind.get(chat, 0))
        self._before_ready = {chat: seq for chat, seq in last.items() if seq > position[chat]}
        for read in reads:
            self._signals.setdefault((ReadSignal, read.chat, read.account), read)  # one that came since is newer
        for frame in self._ringing(self.account):
            self.signal(frame)
        self._opened = True
        self._wake.set()

    async def _read_forever(self) -> None:
        while True:
            frame = await self._frame()
            if isinstance(frame, More):
                if self._window is not None:
                    self._window += max(0, frame.count)
                    self._wake.set()
            elif frame is not None and not isinstance(frame, Hello):
                self._take(frame)
                while self._in_flight >= MAX_IN_FLIGHT:
                    self._room.clear()
                    await self._room.wait()

    async def _frame(self) -> Hello | More | Send | Act | None:
        """The next frame; None for one that is not understood, which is ignored."""
        message = await self._socket.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            raise ConnectionResetError("closed")
        try:
            frame: Hello | More | Send | Act = _decode_frame(message.data)
            return frame
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            refusal = Refusal("bad_request", str(error))
        try:
            head = msgspec.json.decode(message.data, type=dict[str, object])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        ref = head.get("ref")
        if isinstance(ref, str):  # somebody waits for an answer
            self._answer_now(_error(refusal, ref))
        return None

    def _take(self, frame: Send | Act) -> None:
        act = "send" if isinstance(frame, Send) else type_of(frame)
        refusal = self._faults.refusal(self.account, act)
        try:
            if refusal is not None:
                raise refusal
            if isinstance(frame, Send):
                future = self._submit(self.account, frame.chat, frame)
            else:
                future = self._act(self.account, frame.chat, frame)
        except Refusal as error:
            self._answer(frame.ref, act, error)
            return
        self._in_flight += 1
        future.add_done_callback(partial(self._committed, frame.ref, act))

    def _committed(self, ref: str | None, act: str, future: asyncio.Future[Receipt]) -> None:
        self._in_flight -= 1
        self._room.set()
        error = future.exception()
        if isinstance(error, Refusal):
            self._answer(ref, act, error)
        elif error is not None:
            self._answer(ref, act, Refusal("unavailable", "internal error"))
        else:
            match self._faults.fate(self.account, act):
                case Fate.CUT:
                    self._abort()
                case Fate.ANSWER:
                    self._answer(ref, act, future.result())
                case Fate.SILENCE:
                    pass

    def _answer(self, ref: str | None, act: str, answer: Receipt | Refusal) -> None:
        if ref is None:
            return  # nobody asked to be told
        if isinstance(answer, Refusal):
            frame = _error(answer, ref)
        else:
            frame = msgspec.json.encode(Sent(answer.id, answer.seq, answer.timestamp, ref=ref))
        delay = self._faults.delay(self.account, act)
        if delay:
            asyncio.get_running_loop().call_later(delay, self._answer_now, frame)
        else:
            self._answer_now(frame)

    def _answer_now(self, frame: bytes) -> None:
        self._answers.append(frame)
        self._wake.set()

    # -- writing

    def _may_stream(self) -> bool:
        return (self._window is None or self._window > 0) and not self._faults.deaf(self.account)

    def _spend(self) -> None:
        if self._window is not None:
            self._window -= 1

    async def _write_forever(self) -> None:
        """The only place that writes to the open socket, so that frames go out whole and in order."""
        try:
            while True:
                self._wake.clear()
                # Live events come before the chats behind: a chat is in one of the two, and goes from live to behind.
                while self._answers or (self._live and not self._faults.deaf(self.account)):
                    if self._answers:
                        await self._socket.send_frame(self._answers.popleft(), WSMsgType.TEXT)
                    else:
                        await self._send_event(self._live.popleft())
                if self._opened and not self._faults.deaf(self.account):
                    while self._call_frames:  # nobody's phone rings behind a backlog
                        await self._send_whole(self._call_frames.popleft())
                    for signal in self._due_signals():
                        await self._send_whole(msgspec.json.encode(signal))
                    if not self._before_ready and not self._ready:
                        self._ready = True
                        await self._socket.send_frame(msgspec.json.encode(Ready(self.account)), WSMsgType.TEXT)
                        continue
                    if self._behind and self._may_stream():
                        await self._catch_up(next(iter(self._behind)))
                        continue
                await self._wake.wait()
        except ConnectionError:
            pass  # the reading side sees it too, and ends the connection
        except Refusal:  # the server is stopping
            self._abort()
        except Exception:
            log.exception("a stream failed")
            self._abort()

    async def _catch_up(self, chat: str) -> None:
        """Send one page of a chat that is behind; then it is another's turn."""
        position = self._position.get(chat, 0)
        page: list[tuple[int, bytes]] = []
        if position < self._behind[chat]:
            limit = PAGE if self._window is None else min(PAGE, self._window)
            page = await self._store.read(
                partial(history.events_after, account=self.account, chat=chat, after=position, limit=limit)
            )
        for seq, event in page:
            self._position[chat] = seq
            self._spend()
            await self._send_event(event)
        position = self._position.get(chat, 0)
        if not page or position >= self._before_ready.get(chat, 0):
            self._before_ready.pop(chat, None)
        target = self._behind.pop(chat)
        if page and position < target:
            self._behind[chat] = target

    def _due_signals(self) -> list[Signal]:
        """Who has read is told behind what was read: the others wait for the events."""
        due = [
            key
            for key, signal in self._signals.items()
            if not isinstance(signal, ReadSignal) or signal.seq <= self._position.get(signal.chat, 0)
        ]
        return [self._signals.pop(key) for key in due]

    async def _send_event(self, event: bytes) -> None:
        await self._send_whole(b'{"type":"event","event":' + event + b"}")

    async def _send_whole(self, frame: bytes) -> None:
        for each in self._faults.frames(self.account, frame):
            await self._socket.send_frame(each, WSMsgType.TEXT)


def _error(refusal: Refusal, ref: str | None) -> bytes:
    return msgspec.json.encode(Error(refusal.code, refusal.message, ref, refusal.retry_after_ms))
