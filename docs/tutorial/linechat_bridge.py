import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from bridgekit import adapter as bk
from bridgekit import main


class LinechatConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The linechat server."""

    host: Annotated[str, msgspec.Meta(description="The server's name or address.")] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="The server's TCP port.")] = 7000


def checked(line: dict[str, Any]) -> dict[str, Any]:
    """A line that linechat sent, if it is no error."""
    match line.get("error"):
        case None:
            return line
        case "busy":
            raise bk.Transient("linechat is busy", retry_after=line["wait"])
        case "wrong name or password":
            raise bk.AuthFailed("linechat does not know this name and password")
        case reason:
            raise bk.Rejected(f"linechat says: {reason}")


class Linechat:
    """One account at linechat: a connection for each request."""

    def __init__(self, server: LinechatConfig, name: str, password: str) -> None:
        self.server, self.name, self.password = server, name, password

    async def lines(self, **request: Any) -> AsyncGenerator[dict[str, Any], None]:
        """What the server answers, line by line."""
        reader, writer = await asyncio.open_connection(self.server.host, self.server.port)
        try:
            request |= {"name": self.name, "password": self.password}
            writer.write(json.dumps(request).encode() + b"\n")
            while (line := await reader.readline()).endswith(b"\n"):
                yield json.loads(line)
        finally:
            writer.close()

    async def ask(self, **request: Any) -> dict[str, Any]:
        """An answer of one line."""
        async with aclosing(self.lines(**request)) as answers:
            async for answer in answers:
                return checked(answer)
        raise ConnectionError("linechat hung up")


class LinechatSession(bk.Session, bk.CanSend, bk.CanDescribe):
    def __init__(self, chat: Linechat) -> None:
        self.chat = chat

    async def events(self, after: bk.Cursors) -> AsyncGenerator[bk.RemoteEvent, None]:
        place = int(after.get("", "0"))
        async with aclosing(self.chat.lines(do="listen", after=place)) as lines:
            async for line in lines:
                checked(line)
                yield bk.RemoteMessage(
                    portal=bk.PortalKey(bk.ChatID(line["room"])),
                    id=bk.RemoteMessageID(str(line["seq"])),
                    sender=bk.RemoteUserID(line["from"]),
                    timestamp=line["time"],
                    text=bk.Text(line["text"]),
                    nonce=line["nonce"],
                    cursor=bk.Cursor("", str(line["seq"])),
                )

    dedupes_for = timedelta(days=365)

    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        room, text = message.portal.chat, message.text.body
        taken = await self.chat.ask(do="say", room=room, text=text, nonce=message.nonce)
        return bk.Sent(ids=(bk.RemoteMessageID(str(taken["seq"])),), timestamp=taken["time"])

    def limits(self, portal: bk.PortalKey) -> bk.Limits:
        return bk.Limits(max_text_length=200)

    async def describe_chat(self, portal: bk.PortalKey) -> bk.RemoteChat:
        room = await self.chat.ask(do="room", room=portal.chat)
        members = tuple(bk.RemoteUserID(name) for name in room["members"])
        return bk.RemoteChat(portal=portal, name=room["title"], members=members)

    async def describe_user(self, user: bk.RemoteUserID) -> bk.RemoteProfile:
        person = await self.chat.ask(do="who", who=user)
        return bk.RemoteProfile(user=user, name=person["full_name"])


class LinechatAdapter(bk.Adapter):
    network = bk.Network(id="linechat", name="Linechat")
    config = LinechatConfig
    settings: LinechatConfig

    async def login(self, prompt: bk.Prompt) -> bk.Login:
        name = await prompt.ask("What is your name at linechat?")
        password = await prompt.ask("And your password?", secret=True)
        me = await Linechat(self.settings, name, password).ask(do="who", who=name)
        return bk.Login(
            id=bk.LoginID(name),
            user=bk.RemoteUserID(name),
            name=me["full_name"],
            secrets={"password": password},
        )

    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncGenerator[bk.Session, None]:
        yield LinechatSession(Linechat(self.settings, login.id, login.secrets["password"]))


if __name__ == "__main__":
    main(LinechatAdapter)
