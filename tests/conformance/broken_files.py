"""The webchat adapter with a fault each in what it does with files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bridgekit import adapter as bk
from example_bridge.webchat import client as webchat
from tests.conformance.broken import Broken


class EndsFilesEarly(Broken):
    """Takes a connection that breaks for the file's end."""

    @asynccontextmanager
    async def open_media(self, message: bk.RemoteMessage, ref: bk.MediaRef) -> AsyncIterator[bk.MediaStream]:
        async with super().open_media(message, ref) as stream:
            yield bk.MediaStream(until_it_breaks(stream.chunks))


class CountsItsFilesWrong(Broken):
    """Says how long a file is on the wire, where it comes in another encoding."""

    @asynccontextmanager
    async def open_media(self, message: bk.RemoteMessage, ref: bk.MediaRef) -> AsyncIterator[bk.MediaStream]:
        async with super().open_media(message, ref) as stream:
            yield bk.MediaStream(stream.chunks, size=(stream.size or 0) * 4 // 3)


class SendsHalfFiles(Broken):
    """Takes an error in the source for the file's end."""

    async def upload(self, portal: bk.PortalKey, media: bk.MatrixMedia) -> str:
        async with media.open() as stream:
            with suppress(webchat.Refused):
                await self._client.upload(media.remote, until_it_breaks(stream.chunks))
        return media.remote


async def until_it_breaks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    with suppress(ConnectionError, bk.Transient):
        async for piece in chunks:
            yield piece
