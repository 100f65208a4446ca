"""One connection of the adapter's, held in the hand: pulled item by item, as the runtime pulls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from bridgekit.adapter.base import Adapter, Session
from bridgekit.adapter.capabilities import capability
from bridgekit.adapter.capability import Capability
from bridgekit.model.remote import Batch, Login, Passing, RemoteEvent
from bridgekit.testing.conformance.checks import Fault, show, trace

C = TypeVar("C", bound=Capability)
E = TypeVar("E")


class Line:
    """A connection in use. All of it runs in one task, as in the bridge, so `connect` may hold whatever it likes.

    `cursors` and `state`: what would be on disk, so of all items but the one yielded last. `events`: all that came.
    """

    def __init__(self, adapter: Adapter, login: Login, cursors: Mapping[str, str], patience_s: float) -> None:
        self.cursors = dict(cursors)
        self.state = login.state
        self.events: list[RemoteEvent] = []
        self.patience_s = patience_s
        self._adapter = adapter
        self._login = login
        self._items: asyncio.Queue[Batch] = asyncio.Queue()
        self._resume = asyncio.Semaphore(0)
        self._offered: Batch | None = None
        self._session: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name="connection under test")

    @property
    def session(self) -> Session:
        """The adapter's session."""
        return self._session.result()

    def can(self, kind: type[C]) -> C:
        """The session, as one that has this capability."""
        able = capability(self.session, kind)
        assert able is not None
        return able

    async def opened(self) -> None:
        """Wait until `connect` has given a session. Raises what it raised."""
        either: set[asyncio.Future[Any]] = {self._session, self._task}
        await asyncio.wait(either, timeout=self.patience_s, return_when=asyncio.FIRST_COMPLETED)
        if not self._session.done():
            if self._task.done() and (error := self._task.exception()) is not None:
                raise error
            raise Fault(f"`connect` had not given a session after {self.patience_s:g} s")
        session: object = self.session
        if not isinstance(session, Session):
            raise Fault(f"`connect` gave {session!r}, which is no bridgekit.adapter.Session")

    async def close(self) -> None:
        """End the connection, as the bridge does when it stops."""
        self._task.cancel()
        done, _ = await asyncio.wait({self._task}, timeout=self.patience_s)
        if not done:
            raise Fault(
                f"the connection was to be closed, and was not after {self.patience_s:g} s: `events` or `connect`"
                " holds back CancelledError, or waits when it is left"
            )
        if not self._task.cancelled():
            self._task.exception()  # judged already, where it mattered

    async def _run(self) -> None:
        async with self._adapter.connect(self._login) as session:
            self._session.set_result(session)
            stream = session.events(dict(self.cursors))
            if not hasattr(stream, "__aiter__"):
                raise Fault(f"`events` returned {type(stream).__name__}; it must be an async generator (with `yield`)")
            try:
                async for item in stream:
                    self._items.put_nowait(checked(item))
                    await self._resume.acquire()
            finally:
                if isinstance(stream, AsyncGenerator):
                    await stream.aclose()

    # --- pulling ----------------------------------------------------------------------------------------------------
    async def pull(self, otherwise: Callable[[], str] | str) -> tuple[RemoteEvent, ...]:
        """Resume the iterator (what it yielded last counts as on disk), and wait for what it yields next."""
        if self._offered is not None:
            self._commit(self._offered)
            self._offered = None
            self._resume.release()
        getting = asyncio.ensure_future(self._items.get())
        await asyncio.wait({getting, self._task}, timeout=self.patience_s, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            getting.cancel()
            said = otherwise if isinstance(otherwise, str) else otherwise()
            if self._task.done():
                raise Fault(f"{said}: {self._end()}")
            raise Fault(f"{said} (waited {self.patience_s:g} s)")
        self._offered = getting.result()
        self.events += self._offered.events
        return self._offered.events

    async def until(self, wanted: Callable[[RemoteEvent], bool], otherwise: Callable[[], str] | str) -> RemoteEvent:
        """Pull until something wanted is yielded; it is not taken for being on disk yet."""
        while True:
            for event in await self.pull(otherwise):
                if wanted(event):
                    return event

    async def first(
        self, kind: type[E], otherwise: Callable[[], str] | str, wanted: Callable[[E], bool] = lambda event: True
    ) -> E:
        """As `until`, for the first event of a kind."""
        found = await self.until(lambda event: isinstance(event, kind) and wanted(event), otherwise)
        assert isinstance(found, kind)
        return found

    async def end(self, otherwise: str) -> BaseException | None:
        """Pull until the iterator ends; what it raised, None if it just ended."""

        async def pull_on() -> None:
            while True:
                await self.pull("")

        pulling = asyncio.ensure_future(pull_on())
        await asyncio.wait({pulling, self._task}, timeout=self.patience_s, return_when=asyncio.FIRST_COMPLETED)
        pulling.cancel()
        await asyncio.gather(pulling, return_exceptions=True)
        if not self._task.done():
            raise Fault(otherwise)
        if self._task.cancelled():
            return asyncio.CancelledError()
        return self._task.exception()

    def _end(self) -> str:
        error = asyncio.CancelledError() if self._task.cancelled() else self._task.exception()
        if isinstance(error, Fault):
            return str(error)
        return "`events` ended" if error is None else f"`events` raised {show(error)}{trace(error)}"

    def _commit(self, batch: Batch) -> None:
        if batch.state is not None:
            self.state = batch.state
        for event in batch.events:
            if not isinstance(event, Passing) and event.cursor is not None:
                self.cursors[event.cursor.scope] = event.cursor.value


def checked(item: object) -> Batch:
    """What `events` yielded, if it can be written down."""
    batch = item if isinstance(item, Batch) else Batch(events=(item,))  # type: ignore[arg-type]  # looked at below
    for event in batch.events:
        if not isinstance(event, RemoteEvent):
            raise Fault(f"`events` yielded {event!r}, which is none of bridgekit.adapter.RemoteEvent, and no Batch")
        try:
            same = msgspec.json.decode(msgspec.json.encode(event), type=type(event))
        except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
            raise Fault(
                f"{type(event).__name__} cannot be written down as it was yielded: {error}\n{event!r}"
            ) from None
        for name in event.__struct_fields__:
            if getattr(same, name) != getattr(event, name):
                raise Fault(
                    f"{type(event).__name__}.{name} is not the same when it has been written down and read:"
                    f" {getattr(event, name)!r} became {getattr(same, name)!r}. Events are values that never change:"
                    " give a tuple, not a list"
                )
    if not isinstance(batch.events, tuple):
        raise Fault(f"Batch.events is {type(batch.events).__name__}; give a tuple")
    if not isinstance(batch.state, bytes | None):
        raise Fault(f"Batch.state is {type(batch.state).__name__}; it is bytes, or None to leave what is stored")
    return batch
