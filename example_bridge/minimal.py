"""The smallest bridge. Its chat is a WebSocket: ``[id, sender, time, text]`` comes, ``[id, text]`` goes, as JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from bridgekit import adapter as bk
from bridgekit import main


class ChatSession(bk.Session, bk.CanSend):
    def __init__(self, url: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.portal, self.socket = bk.PortalKey(bk.ChatID(url)), socket

    async def events(self, after: bk.Cursors) -> AsyncIterator[bk.RemoteMessage]:
        async for frame in self.socket:
            id, sender, time, text = frame.json()
            yield bk.RemoteMessage(portal=self.portal, id=id, sender=sender, timestamp=time, text=bk.Text(text))

    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        await self.socket.send_json([message.nonce, message.text.body])
        return bk.Sent(ids=(bk.RemoteMessageID(message.nonce),))


class ChatAdapter(bk.Adapter):
    network = bk.Network(id="minimal", name="Minimal chat")

    async def login(self, prompt: bk.Prompt) -> bk.Login:
        url = await prompt.ask("Where is the chat? (ws://...)")
        return bk.Login(id=bk.LoginID(url), user=bk.RemoteUserID("me"), name=url)

    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncIterator[bk.Session]:
        async with aiohttp.ClientSession() as http, http.ws_connect(login.id) as socket:
            yield ChatSession(login.id, socket)


if __name__ == "__main__":
    main(ChatAdapter)
