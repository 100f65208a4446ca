"""Begins to give files to the network while their messages still wait behind others."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Callable

from bridgekit.adapter.capabilities import CanUploadMedia, capability
from bridgekit.core.from_matrix import ReadText, read_message
from bridgekit.errors import LeaseLost, StoreError
from bridgekit.model.entry import Entry
from bridgekit.model.raw import RawEvent
from bridgekit.model.records import Direction, PortalState
from bridgekit.runtime.books import Books
from bridgekit.runtime.lanes import Lanes
from bridgekit.runtime.media_out import MediaOut, reserves
from bridgekit.runtime.relay import Relay
from bridgekit.runtime.sessions import Sessions

log = logging.getLogger(__name__)

KINDS = frozenset({"m.room.message", "m.sticker"})


class Ahead:
    """Looks at each entry that comes into memory. Whatever it does not see, or cannot tell yet, its message's turn
    makes up for (`MediaOut.remote`)."""

    def __init__(
        self,
        books: Books,
        sessions: Sessions,
        lanes: Lanes,
        relay: Relay,
        out: MediaOut,
        *,
        event: Callable[[Entry], RawEvent],
    ) -> None:
        self._books = books
        self._sessions = sessions
        self._lanes = lanes
        self._relay = relay
        self._out = out
        self._event = event
        self._new: deque[Entry] = deque()
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        lanes.buffers.on_put = self.seen

    def seen(self, entry: Entry) -> None:
        """An entry has come into memory."""
        if entry.direction is Direction.MATRIX and entry.kind in KINDS and b"mxc://" in entry.payload:
            self._new.append(entry)
            self._some.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name="files ahead")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._new:
                entry = self._new.popleft()
                try:
                    await self._look(entry)
                except LeaseLost:
                    return  # whoever writes next says so
                except StoreError as error:
                    log.warning("%s; a file does not go ahead", error)
                except Exception:
                    log.exception("a file does not go ahead", extra={"event_id": entry.event_id})

    async def _look(self, entry: Entry) -> None:
        if not self._lanes.is_pending(entry):
            return
        event = self._event(entry)
        portal = await self._books.portal_by_room(event.room_id)
        if portal is None or portal.state is PortalState.CREATING:
            return
        read = read_message(event.raw, resolve=lambda user: None)
        if not isinstance(read, ReadText) or read.file is None:
            return
        login = await self._relay.expected(event, portal)
        session = self._sessions.session(login) if login is not None else None
        uploader = capability(session, CanUploadMedia)
        if login is None or session is None or uploader is None or reserves(uploader):
            return
        if self._out.refusal(read.file, session.limits(portal.key), uploader) is None:
            pending = functools.partial(self._lanes.is_pending, entry)
            await self._out.begin(event, portal.key, login, read.file, ahead=True, pending=pending)
