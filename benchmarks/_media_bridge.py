"""bridgekit's bridge to the network of the media benchmark: ``python -m benchmarks._media_bridge run``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from benchmarks._media_net import connection, give, listen, zeros
from bridgekit import adapter as bk
from bridgekit.cli import main

CHAT = "bridgekit"
PORTAL = bk.PortalKey(bk.ChatID(CHAT))


class MediaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: of the network."""

    url: str


class MediaSession(bk.Session, bk.CanSend, bk.CanFetchMedia, bk.CanUploadMedia):
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url

    async def events(self, after: bk.Cursors) -> AsyncIterator[bk.RemoteEvent]:
        async for said in listen(self.http, self.url, CHAT, int(after.get("", "0"))):
            yield bk.RemoteMessage(
                portal=PORTAL,
                id=bk.RemoteMessageID(f"m{said.number}"),
                sender=bk.RemoteUserID("friend"),
                timestamp=said.timestamp,
                text=bk.Text(said.text if not said.size else ""),
                media=(bk.MediaRef(str(said.size), name=said.text, size=said.size),) if said.size else (),
                cursor=bk.Cursor("", str(said.number)),
            )

    @asynccontextmanager
    async def open_media(self, message: bk.RemoteMessage, ref: bk.MediaRef) -> AsyncIterator[bk.MediaStream]:
        yield bk.MediaStream(zeros(int(ref.id)), size=int(ref.id))

    async def upload(self, portal: bk.PortalKey, media: bk.MatrixMedia) -> str:
        size = 0
        async with media.open() as stream:
            async for chunk in stream.chunks:
                size += len(chunk)
        return str(size)

    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        if message.media is not None:
            await give(self.http, self.url, message.media.name, int(message.media.remote))
        return bk.Sent((bk.RemoteMessageID(message.nonce),))


class MediaAdapter(bk.Adapter):
    network = bk.Network(id="media", name="Media")
    config = MediaConfig
    settings: MediaConfig

    async def login(self, prompt: bk.Prompt) -> bk.Login:
        return bk.Login(id=bk.LoginID("me"), user=bk.RemoteUserID("me"), name="Me")

    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncIterator[bk.Session]:
        async with connection() as http:
            yield MediaSession(http, self.settings.url)


if __name__ == "__main__":
    main(MediaAdapter)
