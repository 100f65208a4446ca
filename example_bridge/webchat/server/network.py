"""What the HTTP side and the sockets share: the store, who listens, the faults, the one way to do something."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from example_bridge.webchat.server import chats, media, members, messages
from example_bridge.webchat.server.acts import (
    Act,
    AddMember,
    ChangeChat,
    ChatAct,
    Delete,
    DeleteChat,
    Draft,
    Edit,
    React,
    Read,
    RemoveMember,
    SetRole,
    Typing,
    Unban,
)
from example_bridge.webchat.server.call_frames import CallFrame
from example_bridge.webchat.server.calls import Calls
from example_bridge.webchat.server.checks import check_act, check_draft
from example_bridge.webchat.server.faults import Faults
from example_bridge.webchat.server.files import Files
from example_bridge.webchat.server.hub import Hub
from example_bridge.webchat.server.protocol import IceServer, Receipt, Refusal
from example_bridge.webchat.server.rows import once
from example_bridge.webchat.server.store import Store, Written

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 60.0
"""How often files are looked for that did not come."""


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Network:
    """One running network."""

    store: Store
    hub: Hub
    files: Files
    calls: Calls
    faults: Faults
    faults_allowed: bool
    max_text_length: int
    """Code points."""
    dedupe_seconds: int
    """0: nonces are not remembered."""
    max_upload_size: int
    """Bytes of one file."""
    upload_seconds: int
    """How long the bytes of a file may take that was announced."""
    now: Callable[[], int]
    """Milliseconds since 1970."""
    ice_servers: tuple[IceServer, ...] = ()
    """For the media of calls."""
    awaited: dict[str, asyncio.Event] = field(default_factory=dict)
    """Files that somebody waits for; set when there is news of one."""
    unfinished: set[asyncio.Task[None]] = field(default_factory=set)
    """What goes on behind an answer."""

    def submit(self, sender: str, chat: str, draft: Draft) -> asyncio.Future[Receipt]:
        """Queue a send; sends and acts are committed in the order of these calls. Raises `Refusal` for a draft that is
        wrong in itself."""
        check_draft(draft, self.max_text_length)
        return self._queue(sender, draft.nonce, partial(messages.send, sender=sender, chat=chat, draft=draft))

    def act(self, actor: str, chat: str, act: Act) -> asyncio.Future[Receipt]:
        """Queue anything else, in the same order and on the same terms; what is said of calls in an order of its own
        and without waiting for the disk."""
        if isinstance(act, CallFrame):
            return self.calls.do(actor, chat, act)
        check_act(act, self.max_text_length)
        done = self._queue(actor, act.nonce, _operation(actor, chat, act))
        if isinstance(act, Delete):
            done.add_done_callback(self._clear_later)
        return done

    def _clear_later(self, _: asyncio.Future[Receipt]) -> None:
        task = asyncio.create_task(self.clear_files())
        self.unfinished.add(task)
        task.add_done_callback(self.unfinished.discard)

    async def clear_files(self) -> None:
        """Remove the bytes that no message has any more."""
        try:
            if ids := await self.store.read(media.gone):
                await asyncio.to_thread(self.files.remove, ids)
                await self.store.write(lambda db: media.forget(db, ids))
        except (OSError, Refusal) as error:  # next time, or when the server starts again
            log.warning("files of deleted messages are still there: %s", error)

    async def expire_files(self) -> None:
        """Files that were announced and did not come in time will not come: nobody waits for them any more."""
        now = self.now()
        try:
            for id in await self.store.read(partial(media.overdue, before=now - self.upload_seconds * 1000)):
                await self.store.write(partial(media.expire, id=id, now=now))
                self.tell_of(id)
        except Refusal as error:  # next time
            log.warning("files that did not come are still waited for: %s", error)

    async def keep_expiring(self) -> None:
        """For ever."""
        while True:
            await self.expire_files()
            await asyncio.sleep(EXPIRE_EVERY_S)

    def tell_of(self, file: str) -> None:
        """There is news of it: wake those who wait."""
        if (event := self.awaited.pop(file, None)) is not None:
            event.set()

    def _queue(self, account: str, nonce: str | None, operation: Operation) -> asyncio.Future[Receipt]:
        now, dedupe_ms = self.now(), self.dedupe_seconds * 1000
        return self.store.write(lambda db: once(db, account, nonce, now, dedupe_ms, lambda: operation(db, now=now)))


class Operation(Protocol):
    """A write that lacks only the file and the time."""

    def __call__(self, db: sqlite3.Connection, *, now: int) -> Written[Receipt]: ...


def _operation(actor: str, chat: str, act: ChatAct) -> Operation:
    match act:
        case Edit():
            return partial(messages.edit, sender=actor, chat=chat, act=act)
        case Delete():
            return partial(messages.delete, actor=actor, chat=chat, act=act)
        case React():
            return partial(messages.react, actor=actor, chat=chat, act=act)
        case Read():
            return partial(members.read, account=actor, chat=chat, act=act)
        case Typing():
            return partial(members.typing, account=actor, chat=chat, writing=act.typing)
        case AddMember():
            return partial(members.add_member, actor=actor, chat=chat, act=act)
        case RemoveMember():
            return partial(members.remove_member, actor=actor, chat=chat, act=act)
        case Unban():
            return partial(members.unban, actor=actor, chat=chat, act=act)
        case SetRole():
            return partial(members.set_role, actor=actor, chat=chat, act=act)
        case ChangeChat():
            return partial(chats.change_chat, account=actor, chat=chat, change=act)
        case DeleteChat():
            return partial(chats.delete_chat, account=actor, chat=chat, nonce=act.nonce)
