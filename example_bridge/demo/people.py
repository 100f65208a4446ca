"""The people of the demo: what they do at their clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

from bridgekit.testing.client import MatrixClient
from example_bridge.webchat.client import Message, MessageEvent, WebchatClient

__all__ = ["Listener", "download", "log_in", "upload"]

PATIENCE_S: Final = 30.0
"""Seconds that anything may take to cross the bridge."""


async def log_in(user: MatrixClient, bot: str, token: str) -> str:
    """Log a Matrix user in to the webchat by talking with the bot; the room in which they talked."""
    # As clients open a conversation with one person: both may do everything in it, deleting the token included.
    room = await user.create_room(invite=[bot], is_direct=True, preset="trusted_private_chat")

    async def bot_says(words: str) -> None:
        await user.wait_for(lambda event: event.sender == bot and words in (event.body or ""), PATIENCE_S, room_id=room)

    await bot_says("Hello")
    await user.send_text(room, "login")
    await bot_says("token")
    await user.send_text(room, token)
    await bot_says("You are logged in")
    return room


async def upload(client: WebchatClient, file: str, data: bytes) -> None:
    """Bring the bytes of a file that the account has announced."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 1 << 16):
            yield data[start : start + (1 << 16)]

    await client.upload(file, pieces(), len(data))


async def download(client: WebchatClient, file: str) -> bytes:
    """A file at the webchat; waits for it."""
    async with client.open_file(file, wait_ms=int(PATIENCE_S * 1000)) as opened:
        return b"".join([piece async for piece in opened.chunks])


class Listener:
    """What a webchat account hears, from the beginning of its conversations on."""

    def __init__(self, client: WebchatClient) -> None:
        self._client: Final = client
        self._messages: Final[list[Message]] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def heard(self, chat: str, sender: str) -> list[Message]:
        """What `sender` has said in `chat` so far."""
        return [message for message in self._messages if (message.chat, message.sender) == (chat, sender)]

    async def wait_for(self, chat: str, sender: str, texts: Sequence[str]) -> list[Message]:
        """Wait until `sender` has said all of `texts`; everything the sender has said by then.

        Raises `TimeoutError`.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not set(texts) <= {message.text for message in self.heard(chat, sender)}:
                await self._next()
        return self.heard(chat, sender)

    async def wait_for_count(self, chat: str, sender: str, count: int) -> list[Message]:
        """Wait until `sender` has said `count` messages. Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.heard(chat, sender)) < count:
                await self._next()
        return self.heard(chat, sender)

    async def _next(self) -> None:
        if self._task is not None and self._task.done():
            self._task.result()
        self._news.clear()
        await self._news.wait()

    async def _listen(self) -> None:
        try:
            async with aclosing(self._client.stream()) as stream:
                async for event in stream:
                    if isinstance(event, MessageEvent):
                        self._messages.append(event.message)
                        self._news.set()
        finally:
            self._news.set()  # whoever waits shall see that it is over

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
