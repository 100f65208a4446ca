"""Who sits at the pages: accounts of a webchat, and the people of the demo."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridgekit.testing.client import MatrixClient
from example_bridge.demo.parts import Parts
from example_bridge.demo.scene import Kept, begin, page_of
from example_bridge.demo.telling import Teller
from example_bridge.webchat.client import Credentials, WebchatClient
from tests.support.webchat import WebchatServer
from tests.support.world import texts


class Person:
    """An account of the webchat, with a client that speaks for it beside its page."""

    def __init__(self, server: WebchatServer, account: Credentials) -> None:
        self.server: Final = server
        self.id: Final = account.id
        self.account: Final = account
        self.client: Final = WebchatClient(server.url, account.token)

    def link(self, chat: str | None = None) -> str:
        """Logs the page in, and opens the conversation."""
        return f"{self.server.url}/#token={self.account.token}" + (f"&chat={chat}" if chat else "")

    async def chat_with(self, other: Person) -> str:
        """A direct conversation."""
        return (await self.client.create_chat("direct", [other.id])).id

    async def said_in(self, chat: str) -> list[str]:
        """Everything that was said there, as the server holds it."""
        return await texts(self.client, chat)


@dataclass(frozen=True)
class DemoScene:
    """The demo, running."""

    parts: Parts
    kept: Kept
    link: str
    """What `make demo` prints first."""
    alice: MatrixClient
    """Speaks for the demo's Matrix user from another device."""
    vera: WebchatClient
    """Speaks for the visitor."""


class _Silent(Teller):
    def step(self, what: str) -> None: ...


@contextlib.asynccontextmanager
async def in_directory(directory: Path, teller: Teller | None = None) -> AsyncIterator[DemoScene]:
    """All processes of the demo with their people, and the page."""
    teller = teller or _Silent()
    async with Parts(directory / "demo", teller) as parts:
        await parts.start()
        kept = await begin(parts, teller)
        alice = await MatrixClient.login(parts.synapse.url, kept.user_id, kept.password)
        vera = WebchatClient(parts.webchat.url, kept.visitor_token)
        async with alice, vera, page_of(parts, kept) as page:
            yield DemoScene(parts, kept, page.url, alice, vera)
