"""A whole bridge around the author's adapter: the real runtime, a homeserver and a journal in memory, the real time."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from bridgekit.adapter.base import Adapter
from bridgekit.matrix.broken import CONNECTION_ERRORS
from bridgekit.model.ids import PortalKey, RoomID
from bridgekit.model.remote import Login
from bridgekit.testing.clock import PassingClock
from bridgekit.testing.conformance.checks import eventually
from bridgekit.testing.harness import ALICE, Harness

_process: contextvars.ContextVar[int] = contextvars.ContextVar("process", default=0)
_processes = itertools.count(1)
_marked: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()


def mark_tasks() -> None:
    """From now on the running loop remembers of each task which bridge process began it, so that a process can be
    killed and the author's network, which may run on the same loop, goes on."""

    def make(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **more: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **more)
        _marked[task] = _process.get()
        return task

    asyncio.get_running_loop().set_task_factory(make)  # type: ignore[arg-type]  # generators are no coroutines any more


class Bench(Harness):
    """`Harness`, with the author's adapter and network."""

    def __init__(self, adapter: Callable[[], Adapter], patience_s: float) -> None:
        super().__init__(adapter=lambda network: adapter(), clock=PassingClock(), connection_errors=CONNECTION_ERRORS)
        self.patience_s = patience_s
        self._number = 0
        self._login: Login | None = None

    async def begin(self, login: Login) -> None:
        """Start a process."""
        self._login = login
        self._number = next(_processes)
        context = contextvars.copy_context()
        context.run(_process.set, self._number)
        await asyncio.create_task(self.start(login=login), context=context)

    async def again(self) -> None:
        """Kill the process, and start another."""
        await self.kill()
        assert self._login is not None
        await self.begin(self._login)

    async def close(self) -> None:
        """End the process, if there is one."""
        if self._bridge is not None:
            await self.kill()

    def _tasks(self) -> set[asyncio.Task[Any]]:
        return {task for task, number in list(_marked.items()) if number == self._number and not task.done()}

    # --- what Alice sees --------------------------------------------------------------------------------------------
    async def room_of(self, chat: PortalKey, otherwise: str) -> RoomID:
        """Wait until a chat has a room; Alice joins it."""

        async def look() -> RoomID | None:
            portal = await self.store.portal(chat)
            return portal.room if portal is not None else None

        room = await eventually(self.patience_s, look, otherwise)
        self.homeserver.join_person(room, ALICE)
        return room

    async def sees(self, room: RoomID, text: str, otherwise: str) -> None:
        """Wait until something was said in a room."""

        async def look() -> bool:
            return text in self.homeserver.bodies(room)

        def why() -> str:
            if text in self.homeserver.bodies(room, notices=True):
                return f"{otherwise} as a new message: its timestamp says that it is hours old"
            return f"{otherwise}; {self.why()}"

        await eventually(self.patience_s, look, why)

    def why(self) -> str:
        """What the session is doing, for a failure's words."""
        assert self._login is not None
        state = self.bridge.sessions.state(self._login.id)
        return f"the session is {state.name}" + (f" ({state.reason})" if state.reason else "")
