"""Watching a stream without ever sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from example_bridge.webchat.client import Event, MessageEvent, Ready, Signal, WebchatClient, WebchatError

DEADLINE = 20.0
"""Seconds after which a test that waits has failed."""


class Watcher:
    """Reads one stream to its end and keeps what came."""

    def __init__(self, client: WebchatClient, cursors: Mapping[str, int] | None) -> None:
        self.events: list[Event] = []
        self.signals: list[Signal] = []
        self.ended: WebchatError | None = None
        self._client = client
        self._cursors = dict(cursors or {})
        self._changed = asyncio.Condition()

    async def read(self) -> None:
        try:
            async for item in self._client.stream_and_signals(self._cursors):
                async with self._changed:
                    if isinstance(item, Signal):
                        self.signals.append(item)
                    elif not isinstance(item, Ready):
                        self.events.append(item)
                    self._changed.notify_all()
        except WebchatError as error:
            async with self._changed:
                self.ended = error
                self._changed.notify_all()

    async def until_messages(self, count: int) -> list[str]:
        """Wait for so many messages; returns the texts in the order they came."""
        await self._until(lambda: len(self.texts()) >= count)
        return self.texts()

    async def until_seq(self, chat: str, seq: int) -> None:
        """Wait until this event of the chat has come."""
        await self._until(lambda: seq in self.seqs(chat))

    async def until_signals(self, count: int) -> list[Signal]:
        """Wait for so many signals; returns all."""
        await self._until(lambda: len(self.signals) >= count)
        return self.signals

    async def until_ended(self) -> WebchatError:
        await self._until(lambda: self.ended is not None, ended_is_fine=True)
        assert self.ended is not None
        return self.ended

    async def until_caught_up(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self._client.wait_caught_up()

    def texts(self, chat: str | None = None) -> list[str]:
        return [
            event.message.text
            for event in self.events
            if isinstance(event, MessageEvent) and chat in (None, event.chat)
        ]

    def seqs(self, chat: str) -> list[int]:
        return [event.seq for event in self.events if event.chat == chat]

    def cursors(self) -> dict[str, int]:
        return {**self._cursors, **{event.chat: event.seq for event in self.events}}

    async def _until(self, true: object, *, ended_is_fine: bool = False) -> None:
        assert callable(true)
        async with asyncio.timeout(DEADLINE), self._changed:
            while not true():
                assert ended_is_fine or self.ended is None, f"the stream ended: {self.ended}"
                await self._changed.wait()


@asynccontextmanager
async def watching(client: WebchatClient, cursors: Mapping[str, int] | None = None) -> AsyncIterator[Watcher]:
    """A stream of `client` that is open and has caught up."""
    watcher = Watcher(client, cursors)
    task = asyncio.create_task(watcher.read())
    try:
        await watcher.until_caught_up()
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
