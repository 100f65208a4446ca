"""The bridge that is measured: everything of the product but the homeserver and the network.

Real: `AppserviceServer`, `Bridge` with inbox, lanes, completer and outgoing, and the SQLite store on disk, put together
as `bridgekit.app` does it. Made up: an adapter that takes every message at once, and the few answers of a homeserver
that starting needs; while text goes out nothing is asked of the homeserver but the bot's receipts, at most one a second
in each room, which are made up, too. Every module that the product loads is
loaded here, so that the memory is the product's.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import bridgekit.cli  # noqa: F401 - weighs what the product weighs
from benchmarks._messages import BOT_LOCALPART, ROOMS, SERVER_NAME, TOKEN, USER
from bridgekit.adapter import (
    Adapter,
    CanSend,
    Cursor,
    Cursors,
    Login,
    Network,
    Prompt,
    RemoteEvent,
    RemoteProgress,
    Sent,
    Session,
)
from bridgekit.app import SystemClock
from bridgekit.matrix.broken import CONNECTION_ERRORS
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.server import AppserviceServer
from bridgekit.model.entry import Completion
from bridgekit.model.ids import ChatID, EventID, LoginID, PortalKey, RemoteMessageID, RemoteUserID, RoomID, UserID
from bridgekit.model.matrix import MatrixMessage
from bridgekit.model.raw import MessagesPage, Transaction
from bridgekit.model.records import LoginRecord, LoginSaved, Portal, PortalLoginSaved, PortalSaved, PortalState
from bridgekit.ports import Store
from bridgekit.runtime.bridge import Bridge
from bridgekit.runtime.identity import Identity
from bridgekit.store.sqlite import SqliteStore

CANARY = EventID("$canary")
LOGIN = LoginID("alice")

OnHandled = Callable[[int], None]
"""So many more messages are done: the adapter has taken them and their completion is on disk."""


class BenchSession(Session, CanSend):
    """Takes every message at once."""

    dedupes_for = timedelta(days=1)

    def __init__(self) -> None:
        self.taken = 0

    async def events(self, after: Cursors) -> AsyncIterator[RemoteEvent]:
        while True:
            await asyncio.Event().wait()
            yield RemoteProgress(cursor=Cursor("", ""))

    async def send(self, message: MatrixMessage) -> Sent:
        self.taken += 1
        return Sent((RemoteMessageID(f"remote-{self.taken}"),))


class BenchAdapter(Adapter):
    """One network, one session."""

    network = Network(id="bench", name="Bench")

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.session = BenchSession()

    async def login(self, prompt: Prompt) -> Login:
        raise NotImplementedError

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[BenchSession]:
        yield self.session


class CountingStore(SqliteStore):
    """The SQLite store; says after each commit how many entries have ended with it."""

    def __init__(self, path: Path, on_handled: OnHandled) -> None:
        super().__init__(path)
        self._on_handled = on_handled

    async def complete(self, completions: Collection[Completion], *, epoch: int) -> None:
        await super().complete(completions, epoch=epoch)
        self._on_handled(len(completions))


class Offline(Homeserver):
    """The real client, with the answers made up that starting needs."""

    async def register(self, localpart: str) -> UserID:
        return UserID(f"@{localpart}:{SERVER_NAME}")

    async def ensure_device(self, user: UserID | None = None, device_id: str | None = None) -> str:
        return device_id or "BENCH"

    async def set_displayname(self, user: UserID | None, name: str) -> None:
        pass

    async def send_receipt(self, room: RoomID, event_id: EventID, *, user: UserID | None = None) -> None:
        pass

    async def messages(self, room: RoomID, **_: Any) -> MessagesPage:
        return MessagesPage(chunk=(), start="", end=None)

    async def resolve_alias(self, alias: str) -> RoomID | None:
        return RoomID(f"!canary:{SERVER_NAME}")

    async def send_event(self, room: RoomID, type: str, content: Any, **_: Any) -> EventID:
        return CANARY


class Handler:
    """`bridgekit.app.App`'s part as the server's handler."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def transaction(self, txn_id: str, transaction: Transaction) -> None:
        await self._bridge.transaction(txn_id, transaction)

    async def user_exists(self, user_id: str) -> bool:
        return False

    async def alias_exists(self, alias: str) -> bool:
        return False

    def ping_received(self, transaction_id: str | None) -> None:
        pass


async def prepare(path: Path) -> None:
    """Write one login, and a portal for each room, into a new database."""
    store = SqliteStore(path)
    await store.open()
    lease = await store.acquire_lease("prepare", now=0, ttl_ms=60_000)
    login = Login(id=LOGIN, user=RemoteUserID("alice"), name="Alice")
    await store.record([LoginSaved(LoginRecord(login=login, user_id=UserID(USER)))], epoch=lease.epoch)
    for number, room in enumerate(ROOMS):
        key = PortalKey(ChatID(f"chat-{number}"))
        portal = Portal(key=key, state=PortalState.READY, alias_localpart=f"bench_{number}", room=RoomID(room))
        await store.record([PortalSaved(portal), PortalLoginSaved(key, LOGIN)], epoch=lease.epoch)
    await store.release_lease(lease)
    await store.close()


def check(path: Path, messages: int) -> None:
    """Raise `RuntimeError` unless each message crossed exactly once, by what is on disk."""
    with closing(sqlite3.connect(path)) as connection:
        found = tuple(
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("message", "entry", "dead_letter")
        )
    if found != (messages, 0, 0):
        raise RuntimeError(f"{messages} messages were sent; done, pending and failed are {found}")


async def no_ping() -> None:
    """The load process reaches us, or there is no measurement."""


@asynccontextmanager
async def serving(
    adapter: Adapter, store: Store, *, url: str = "http://127.0.0.1:9", client: type[Homeserver] = Homeserver
) -> AsyncIterator[int]:
    """A bridge between a network and the homeserver at `url`, which listens; its port."""
    clock = SystemClock()
    identity = Identity(
        server_name=SERVER_NAME, bot_localpart=BOT_LOCALPART, ghost_prefix="bench_", alias_prefix="bench_"
    )
    homeserver = client(
        url=url,
        as_token="as_token",
        server_name=SERVER_NAME,
        bot=identity.bot,
        appservice_id="bench",
        clock=clock,
        random=random.random,
    )
    bridge = Bridge(
        adapter,
        store,
        homeserver,
        clock,
        identity,
        ping=no_ping,
        random=random.random,
        connection_errors=CONNECTION_ERRORS,
    )
    server = AppserviceServer(hs_token=TOKEN, handler=Handler(bridge))
    await bridge.open()
    await server.start("127.0.0.1", 0)
    bridge.start()
    await bridge.ready.wait()
    try:
        yield server.port
    finally:
        await server.stop()
        await bridge.stop()
        await homeserver.close()


@asynccontextmanager
async def running(directory: Path, on_handled: OnHandled) -> AsyncIterator[int]:
    """A bridge without a homeserver that listens; its port."""
    await prepare(directory / "bridge.db")
    store = CountingStore(directory / "bridge.db", on_handled)
    async with serving(BenchAdapter(), store, client=Offline) as port:
        yield port
