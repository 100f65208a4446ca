"""A bridge that uploads first, on mautrix's own client: ``python -m benchmarks._media_first SETTINGS``.

It keeps the order of a room in the plain way: one message after the other, and a file's event when the file is there.
Nothing is on disk. `SETTINGS` is a JSON file with the fields of `Settings`. It makes a room, invites `invite`, prints
the room's id, and ends when standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
import uvloop
from mautrix.appservice import AppService
from mautrix.appservice.state_store.file import FileASStateStore
from mautrix.types import FileInfo, MediaMessageEventContent, MessageType, TextMessageEventContent, UserID

from benchmarks._media_net import connection, listen, zeros

CHAT = "upload-first"


class Settings(msgspec.Struct):
    """`url` and `server_name` of the homeserver, whose registration `id` has `bot`, `as_token`, `hs_token` and `port`;
    `network`: its URL; `ghost`: who speaks; `state`: a file for mautrix."""

    url: str
    server_name: str
    id: str
    bot: str
    as_token: str
    hs_token: str
    port: int
    network: str
    ghost: str
    invite: str
    state: str


async def carry(settings: Settings) -> None:
    """Bridge until cancelled."""
    service = AppService(
        server=settings.url,
        domain=settings.server_name,
        as_token=settings.as_token,
        hs_token=settings.hs_token,
        bot_localpart=settings.bot,
        id=settings.id,
        state_store=FileASStateStore(path=settings.state, binary=False),
    )
    await service.start("127.0.0.1", settings.port)
    try:
        await _carry(service, settings)
    finally:
        await service.stop()


async def _carry(service: AppService, settings: Settings) -> None:
    ghost = service.intent.user(UserID(settings.ghost))
    room = await ghost.create_room(invitees=[UserID(settings.invite)])
    print(room, flush=True)
    async with connection() as http:
        async for said in listen(http, settings.network, CHAT):
            text, size = said.text, said.size
            if size:
                type = "application/octet-stream"
                uri = await ghost.upload_media(zeros(size), mime_type=type, filename=text, size=size)
                info = FileInfo(mimetype=type, size=size)
                content = MediaMessageEventContent(msgtype=MessageType.FILE, body=text, url=uri, info=info)
                await ghost.send_message(room, content)
            else:
                await ghost.send_message(room, TextMessageEventContent(msgtype=MessageType.TEXT, body=text))


async def main(settings: Settings) -> None:
    """Bridge until standard input ends, and say if something else has happened."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    carrying = asyncio.create_task(carry(settings))
    ending = asyncio.create_task(lines.read())
    await asyncio.wait((carrying, ending), return_when=asyncio.FIRST_COMPLETED)
    if carrying.done():
        carrying.result()
    carrying.cancel()
    await asyncio.gather(carrying, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Settings)))
