"""A bridge between the shared homeserver and a webchat, and people who talk through it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from bridgekit.model.entry import DeadLetter
from bridgekit.ports import Store
from bridgekit.store import open_store
from bridgekit.testing.api import Json
from bridgekit.testing.bridge import BridgeProcess
from bridgekit.testing.client import ClientEvent, MatrixClient
from example_bridge.webchat.client import Credentials, Event, Message, MessageEvent, WebchatClient
from tests.support.homeserver import AppserviceSlot, Homeserver
from tests.support.webchat import WebchatServer
from tests.support.world import bridge_for, log_in

_numbers: Final = itertools.count(1)


@dataclass(frozen=True)
class Talk:
    """Alice on Matrix, logged in as a webchat agent; a visitor of the webchat; and the portal between them."""

    alice: MatrixClient
    bot: str
    management: str
    """The room in which Alice talks with the bot."""
    agent: Credentials
    visitor: WebchatClient
    visitor_id: str
    ghost: str
    """The visitor's user id on Matrix."""
    chat: str
    room: str

    async def from_alice(self, last: str, *, timeout_s: float = 40.0) -> list[str]:
        """Everything that Alice has said, as the webchat holds it, once `last` is there."""
        messages = await self.messages_from_alice(last, timeout_s=timeout_s)
        return [message.text for message in messages]

    async def messages_from_alice(self, last: str, *, timeout_s: float = 40.0) -> list[Message]:
        """The same with formatting."""
        await self.until(lambda event: event.actor == self.agent.id and _text(event) == last, timeout_s=timeout_s)
        events = [event async for event in self.visitor.history(self.chat)]
        return [e.message for e in events if isinstance(e, MessageEvent) and e.message.sender == self.agent.id]

    async def until(self, fits: Any, *, timeout_s: float = 40.0) -> Event:
        """Wait for an event in the webchat's chat, of those before or those to come."""
        async with asyncio.timeout(timeout_s), contextlib.aclosing(self.visitor.stream()) as stream:
            async for event in stream:
                if event.chat == self.chat and fits(event):
                    return event
        raise AssertionError("the stream ended")

    async def from_visitor(self, last: str, *, timeout_s: float = 40.0) -> list[str]:
        """Everything that the visitor has said, as the room holds it, once `last` is there."""
        await self.alice.wait_for(
            lambda e: e.sender == self.ghost and e.body == last, timeout_s=timeout_s, room_id=self.room
        )
        return await self.alice.texts(self.room, self.ghost)

    async def from_bot(self, words: str, *, room: str | None = None, timeout_s: float = 20.0) -> ClientEvent:
        """The bot's next message, or an earlier one, with these words; in the portal if no room is given."""
        return await self.alice.wait_for(
            lambda e: e.sender == self.bot and words in (e.body or ""), timeout_s, room_id=room or self.room
        )

    async def raw_events(self, event_ids: Sequence[str]) -> list[Json]:
        """The room's events as the homeserver would push them."""
        return await raw_events(self.alice, self.room, event_ids)

    def made_up(self, body: str, **content: Any) -> Json:
        """An event of Alice that the homeserver never had: pushed by the test, it comes by no other way."""
        return {
            "type": "m.room.message",
            "event_id": f"$made-up-{secrets.token_hex(8)}",
            "room_id": self.room,
            "sender": self.alice.user_id,
            "origin_server_ts": 1_700_000_000_000 + next(_numbers),
            "content": {"msgtype": "m.text", "body": body, **content},
        }


def _text(event: Event) -> str | None:
    return event.message.text if isinstance(event, MessageEvent) else None


class Scene:
    """One bridge process and everything around it. `async with` starts the bridge unless it was started before."""

    def __init__(
        self,
        homeserver: Homeserver,
        slot: AppserviceSlot,
        webchat: WebchatServer,
        directory: Path,
        *,
        database: str = "sqlite:bridge.db",
        more: Mapping[str, Any] | None = None,
        homeserver_url: str | None = None,
        module: str = "example_bridge",
    ) -> None:
        self.homeserver: Final = homeserver
        self.slot: Final = slot
        self.webchat: Final = webchat
        self.directory: Final = directory
        self.database: Final = database
        self.bridge: Final = bridge_for(slot, webchat, directory, database=database, more=more, module=module)
        if homeserver_url is not None:
            self.bridge.config["homeserver"]["url"] = homeserver_url
        self._stack: Final = contextlib.AsyncExitStack()
        self._standing: tuple[MatrixClient, str, Credentials] | None = None

    async def __aenter__(self) -> Self:
        if not self.bridge.running:
            await self.bridge.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.bridge.stop()
        finally:
            await self._stack.aclose()

    @property
    def bot(self) -> str:
        return self.slot.bot

    # --- people ---------------------------------------------------------------------------------------------------
    async def user(self, name: str = "alice") -> MatrixClient:
        """A new account on the homeserver."""
        client = (await self.homeserver.register_user(name)).client()
        self._stack.push_async_callback(client.aclose)
        return client

    async def webchat_user(self, name: str = "Vera Visitor", **options: Any) -> tuple[Credentials, WebchatClient]:
        """A new account of the webchat."""
        async with WebchatClient(self.webchat.url) as nobody:
            account = await nobody.create_account(name, **options)
        return account, await self._stack.enter_async_context(self.webchat.client(account))

    async def log_in(self, alice: MatrixClient, account: Credentials) -> str:
        """Returns the management room."""
        return await log_in(alice, self.bot, account)

    async def talk(
        self, *, agent_id: str | None = None, visitor_id: str | None = None, chat_id: str | None = None
    ) -> Talk:
        """New people, and a portal between them in which the visitor has said hello."""
        alice = await self.user()
        agent, _ = await self.webchat_user("Agent Alice", kind="agent", id=agent_id)
        account, visitor = await self.webchat_user(id=visitor_id)
        management = await self.log_in(alice, agent)
        return await self.conversation(alice, management, agent, account, visitor, chat_id=chat_id)

    async def another_talk(self) -> Talk:
        """A new visitor with a portal of their own; Alice and her login are the same each time, which is quicker."""
        if self._standing is None:
            alice, (agent, _) = await self.user(), await self.webchat_user("Agent Alice", kind="agent")
            self._standing = alice, await self.log_in(alice, agent), agent
        return await self.conversation(*self._standing, *await self.webchat_user())

    async def conversation(
        self,
        alice: MatrixClient,
        management: str,
        agent: Credentials,
        account: Credentials,
        visitor: WebchatClient,
        *,
        chat_id: str | None = None,
    ) -> Talk:
        """A portal between people who are there already."""
        chat = await visitor.create_chat("direct", [agent.id], id=chat_id)
        await visitor.send(chat.id, "hello")
        room = await alice.wait_for_invite()
        await alice.join(room)
        hello = await alice.wait_for_text(room, "hello")
        return Talk(alice, self.bot, management, agent, visitor, account.id, hello.sender, chat.id, room)

    # --- as the homeserver ------------------------------------------------------------------------------------------
    async def push(self, txn_id: str, events: Sequence[Any]) -> int:
        """PUT a transaction to the bridge, as the homeserver does; the status of the answer."""
        return await self.push_raw(txn_id, msgspec.json.encode({"events": list(events)}))

    async def push_raw(self, txn_id: str, body: bytes) -> int:
        url = f"http://127.0.0.1:{self.bridge.port}/_matrix/app/v1/transactions/{txn_id}"
        headers = {"Authorization": f"Bearer {self.slot.hs_token}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession() as http, http.put(url, data=body, headers=headers) as response:
            return response.status

    # --- the bridge's own -------------------------------------------------------------------------------------------
    def log(self) -> str:
        """Everything that the bridge has logged so far."""
        return self.bridge.log.read_text(encoding="utf-8", errors="replace")

    async def until_logged(self, words: str, *, timeout_s: float = 30.0) -> str:
        """The first line of the log with these words."""
        return await until_logged(self.bridge, words, timeout_s=timeout_s)

    @contextlib.asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The bridge's database, opened beside it or while it is stopped."""
        scheme, _, rest = self.database.partition(":")
        url = f"sqlite://{(self.directory / rest).resolve()}" if scheme == "sqlite" else self.database
        store = open_store(url)
        await store.open()
        try:
            yield store
        finally:
            await store.close()

    async def dead_letters(self) -> list[DeadLetter]:
        async with self.store() as store:
            return await store.dead_letters()


async def raw_events(client: MatrixClient, room: str, event_ids: Sequence[str]) -> list[Json]:
    """Events of a room as the homeserver would push them."""
    page = await client.request("GET", f"client/v3/rooms/{room}/messages", query={"dir": "b", "limit": 1000})
    found = {event["event_id"]: event for event in page["chunk"]}
    return [found[event_id] for event_id in event_ids]


async def until_logged(bridge: BridgeProcess, words: str, *, timeout_s: float = 30.0) -> str:
    """The first line of a bridge's log with these words; of one that is still written, too."""
    return await until_written(bridge.log, words, timeout_s=timeout_s)


async def until_written(path: Path, words: str, *, timeout_s: float = 30.0) -> str:
    """The first line of a file with these words."""
    with path.open(encoding="utf-8", errors="replace") as file:
        try:
            async with asyncio.timeout(timeout_s):
                seen = ""
                while True:
                    seen += file.read()
                    *lines, seen = seen.split("\n")
                    for line in lines:
                        if words in line:
                            return line
                    # A file tells nobody that it grows.
                    await asyncio.sleep(0.02)  # noqa: TID251
        except TimeoutError:
            raise TimeoutError(f"{words!r} is not in {path}:\n{path.read_text()[-10_000:]}") from None
