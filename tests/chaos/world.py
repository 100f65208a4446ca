"""The parts: a real Synapse, a real webchat, the bridge's process, and people on both sides."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from bridgekit.testing.bridge import BridgeProcess
from example_bridge.webchat.client import Credentials, WebchatClient
from tests.chaos.bridge import FLIGHTS, MARK
from tests.chaos.person import Person
from tests.support.homeserver import Homeserver
from tests.support.postgres import PostgresServer, find_binaries
from tests.support.webchat import WebchatServer
from tests.support.world import log_in

Database = Literal["sqlite", "postgres"]

ROOT: Final = Path(__file__).parents[2]


class World:
    """Everything that runs, below one directory. Use it with ``async with``."""

    def __init__(self, directory: Path, *, dedupe: bool, database: Database, people: int) -> None:
        self.directory = directory
        self.mark = directory / "killed-at"
        self.flights = directory / "flights"
        self.homeserver = Homeserver(directory / "synapse", slots=1)
        self.slot = self.homeserver.take_slot()
        self.webchat = WebchatServer(directory / "webchat", dedupe=dedupe)
        self.people: list[Person] = []
        self.bridge: BridgeProcess
        self._database = database
        self._number_of_people = people
        self._stack = AsyncExitStack()

    @property
    def synapse_pid(self) -> int:
        return self.homeserver.synapse.pid

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await asyncio.gather(
                stack.enter_async_context(self.homeserver.synapse), stack.enter_async_context(self.webchat)
            )
            database = "sqlite:bridge.db"
            if self._database == "postgres":
                binaries = find_binaries()
                if binaries is None:
                    raise RuntimeError("PostgreSQL is missing; make test installs it when run as root")
                server = await stack.enter_async_context(PostgresServer(binaries))
                database = await server.create_database()
            self.bridge = BridgeProcess(
                self.directory / "bridge",
                homeserver_url=self.slot.homeserver_url,
                server_name=self.slot.server_name,
                registration=self.slot.registration,
                network={"url": self.webchat.url},
                ghost_prefix=self.slot.prefix,
                database=database,
                module="tests.chaos.bridge",
                environment={MARK: str(self.mark), FLIGHTS: str(self.flights), "PYTHONPATH": str(ROOT)},
            )
            stack.push_async_callback(self.bridge.kill)
            await self.bridge.start()
            for number in range(self._number_of_people):
                self.people.append(await self._person(f"Agent {number}", stack))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _person(self, name: str, stack: AsyncExitStack) -> Person:
        account = await self.webchat.account(name, "agent")
        client = (await self.homeserver.register_user("person")).client()
        stack.push_async_callback(client.aclose)
        person = Person(client, account)
        person.ignore_known_rooms([await log_in(client, self.slot.bot, account)])
        return person

    async def client(self, account: Credentials) -> WebchatClient:
        """A client of an account, over HTTP, open until the world ends."""
        return await self._stack.enter_async_context(self.webchat.client(account))

    async def anybody(self) -> WebchatClient:
        """A client of no account, open until the world ends."""
        return await self._stack.enter_async_context(WebchatClient(self.webchat.url))

    async def restart_synapse(self) -> None:
        """Kill Synapse as a crash does, and start it again."""
        await self.homeserver.synapse.kill()
        await self.homeserver.synapse.start()

    def errors(self) -> list[str]:
        """What the bridge logged as errors, each kind once."""
        kinds: dict[str, str] = {}
        log = self.bridge.log.read_text(encoding="utf-8", errors="replace") if os.path.exists(self.bridge.log) else ""
        for line in log.splitlines():
            _, level, rest = line.partition(" ERROR ")
            if level:
                kinds.setdefault(rest[:60], line)
        return list(kinds.values())
