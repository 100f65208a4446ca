"""docs/deploy.md, followed to the letter: each of its commands that can run here, in its order, with real servers.

Only ports, the server's name and addresses are replaced. Where the guide says ``systemctl``, the test starts and stops
what the unit starts.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Self

import asyncpg
import pytest

from bridgekit.testing.client import MatrixClient
from bridgekit.testing.process import end, free_ports, spawn, tail
from bridgekit.testing.synapse import Synapse
from example_bridge.demo.people import Listener, log_in
from example_bridge.webchat.client import WebchatClient
from tests.docs.guide import blocks, run_sh
from tests.support.postgres import PostgresServer, find_binaries
from tests.support.webchat import WebchatServer

GUIDE: Final = Path(__file__).parents[2] / "docs" / "deploy.md"
SERVER_NAME: Final = "example.org"
BOT: Final = f"@webchatbot:{SERVER_NAME}"


class Unit:
    """What ``systemctl start|stop bridgekit`` starts and stops."""

    def __init__(self, directory: Path, port: int) -> None:
        self.log: Final = directory.parent / "journal"
        self._directory: Final = directory
        self._port: Final = port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        argv: list[str | Path] = [sys.executable, "-m", "example_bridge", "run", "-c", self._directory / "config.yaml"]
        self._process = await spawn(argv, log=self.log, cwd=self._directory)
        async with asyncio.timeout(60):
            while self._process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    await asyncio.sleep(0.05)  # noqa: TID251 - the poll itself
                else:
                    writer.close()
                    return
        raise AssertionError(tail(self.log))

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert await end(process, signal.SIGTERM) == 0, tail(self.log)


class Admin:
    """Somebody with the guide in one hand and a terminal in the other."""

    def __init__(
        self,
        directory: Path,
        synapse: Synapse,
        webchat: WebchatServer,
        server: PostgresServer | None,
        database: str | None,
    ) -> None:
        self.database: Final = database
        self._synapse: Final = synapse
        self.directory: Final = directory / "bridge"
        self.directory.mkdir(parents=True)
        port, health = free_ports(2)
        self.unit: Final = Unit(self.directory, port)
        self._kind: Final = "postgresql" if server else "sqlite"
        self._replacements: Final = {
            "http://127.0.0.1:8008": synapse.url,
            "bridge init": f"bridge init --set appservice.port={port} --set monitoring.port={health}",
            "127.0.0.1:29328": f"127.0.0.1:{port}",
            "https://webchat.example.org": webchat.url,
        }
        if database:
            self._replacements["sqlite:bridge.db"] = f"'{database}'"
        programs = directory / "bin"
        programs.mkdir()
        (programs / "bridge").write_text(f'#!/bin/sh\nexec {sys.executable} -m example_bridge "$@"\n')
        (programs / "bridge").chmod(0o700)
        (programs / "python").symlink_to(sys.executable)
        self.environment: Final = {**os.environ, "PATH": os.pathsep.join(map(str, (programs, *_paths())))}
        if server:
            self.environment.update(PGHOST="127.0.0.1", PGPORT=str(server.port), PGUSER="bridgekit")

    async def follow(self, *headings: str) -> str:
        """Do what stands below the headings; what was printed."""
        printed = ""
        for block in blocks(GUIDE, *headings):
            if block.language == "sh" and block.mark in ("", self._kind):
                printed += await run_sh(self._here(block.text), cwd=self.directory, env=self.environment)
            elif block.language == "console":
                for line in block.text.splitlines():
                    match shlex.split(line, comments=True):
                        case ["$", "systemctl", "restart", "matrix-synapse"]:
                            self._synapse.registrations = [self.directory / "registration.yaml"]
                            await self._synapse.start()
                        case ["$", "systemctl", "stop", "bridgekit"]:
                            await self.unit.stop()
                        case ["$", "systemctl", "start", "bridgekit"]:
                            await self.unit.start()
        return printed

    def _here(self, text: str) -> str:
        for printed, real in self._replacements.items():
            text = text.replace(printed, real)
        return text


class Chat:
    """Alice on Matrix and Vera at the webchat, and what each must have heard."""

    def __init__(self, alice: MatrixClient, vera: WebchatClient, ear: Listener, *, agent: str, visitor: str) -> None:
        self._alice: Final = alice
        self._vera: Final = vera
        self._ear: Final = ear
        self._agent: Final = agent
        self._ghost: Final = f"@webchat_{visitor}:{SERVER_NAME}"
        self._chat = self._room = ""
        self._by_alice: Final[list[str]] = []
        self._by_vera: Final[list[str]] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, synapse: Synapse, webchat: WebchatServer) -> AsyncIterator[Self]:
        """Alice logs in with the bridge's bot, and answers Vera."""
        agent, visitor = await webchat.account("Alice", "agent", id="alice"), await webchat.account("Vera", id="vera")
        user = await synapse.register_user("alice")
        async with user.client() as alice, webchat.client(visitor) as vera, Listener(vera) as ear:
            chat = cls(alice, vera, ear, agent=agent.id, visitor=visitor.id)
            await log_in(alice, BOT, agent.token)
            chat._chat = (await vera.create_chat("direct", [agent.id])).id
            await vera.send(chat._chat, "hello")
            chat._by_vera.append("hello")
            chat._room = await alice.wait_for_invite()
            await alice.join(chat._room)
            await alice.wait_for_text(chat._room, "hello")
            yield chat

    async def say(self, text: str) -> None:
        """Both say it, and both have heard everything, once and in order."""
        await asyncio.gather(
            self._alice.send_text(self._room, f"{text}, Vera"), self._vera.send(self._chat, f"{text}, Alice")
        )
        self._by_alice.append(f"{text}, Vera")
        self._by_vera.append(f"{text}, Alice")
        heard = await self._ear.wait_for(self._chat, self._agent, self._by_alice[-1:])
        assert [message.text for message in heard] == self._by_alice
        await self._alice.wait_for_text(self._room, self._by_vera[-1])
        assert await self._alice.texts(self._room, self._ghost) == self._by_vera

    async def hears_again(self, text: str) -> None:
        """Vera hears something of Alice's once more."""
        before = len(self._by_alice)
        heard = await self._ear.wait_for_count(self._chat, self._agent, before + 1)
        assert [message.text for message in heard[before:]] == [f"{text}, Vera"]


def _paths() -> list[str]:
    """With PostgreSQL's programs, where Debian keeps them."""
    binaries = find_binaries()
    return [*([str(binaries)] if binaries else []), os.environ["PATH"]]


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> PostgresServer | None:
    """The bridge's database server; None: it has a file."""
    if request.param == "sqlite":
        return None
    found = request.getfixturevalue("private_postgres")
    assert isinstance(found, PostgresServer)
    return found


@asynccontextmanager
async def deployed(
    directory: Path, server: PostgresServer | None = None, *, dedupe: bool = True
) -> AsyncIterator[tuple[Admin, Chat]]:
    """What stands when the guide has been followed up to the first login; `dedupe`: see `WebchatServer`."""
    synapse = Synapse(directory / "synapse", server_name=SERVER_NAME)
    async with AsyncExitStack() as stack:
        webchat = await stack.enter_async_context(WebchatServer(directory / "webchat", dedupe=dedupe))
        admin = Admin(directory / "admin", synapse, webchat, server, await make_databases(server, directory))
        stack.push_async_callback(synapse.stop)
        stack.push_async_callback(admin.unit.stop)
        await admin.follow("On the machine itself")
        assert "FAIL" not in await admin.follow("Check and first login")
        yield admin, await stack.enter_async_context(Chat.open(synapse, webchat))


async def test_the_guide(server: PostgresServer | None, tmp_path: Path) -> None:
    async with deployed(tmp_path, server) as (admin, chat):
        await chat.say("before the backup")
        await admin.follow("Backup")
        await chat.say("after it")
        await admin.follow("Restoring")
        await chat.say("after the restore")  # what came twice would be there before it

        await admin.follow("Upgrade")
        await chat.say("after the upgrade")
        await admin.unit.stop()
        assert await _refusal(admin) == _quotation("Going back")


async def test_what_the_network_has_forgotten_arrives_a_second_time_after_a_restore(tmp_path: Path) -> None:
    async with deployed(tmp_path, dedupe=False) as (admin, chat):
        await chat.say("before the backup")
        await admin.follow("Backup")
        await chat.say("after it")
        await admin.follow("Restoring")
        await chat.hears_again("after it")


async def make_databases(server: PostgresServer | None, directory: Path) -> str | None:
    """Run the guide's databases.sql; the URL of the bridge's own. None: it has a file."""
    if server is None:
        return None
    for name in ("synapse_db", "bridge_db"):
        (directory / name).write_text(f"it's-{name}\n")
    script = directory / "databases.sql"
    text = (GUIDE.parent / "deploy" / "databases.sql").read_text(encoding="utf-8")
    script.write_text(text.replace("/run/secrets", str(directory)))
    await run_sh(f"psql --quiet --file={script} {server.dsn()}", cwd=directory, env=os.environ)
    connection = await asyncpg.connect(server.dsn())
    try:
        found = await connection.fetch(
            "SELECT datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype"
            " FROM pg_database WHERE datname IN ('bridge', 'synapse') ORDER BY datname"
        )
    finally:
        await connection.close()
    assert [tuple(row) for row in found] == [(name, name, "UTF8", "C", "C") for name in ("bridge", "synapse")]
    return f"postgresql://bridge:it%27s-bridge_db@127.0.0.1:{server.port}/bridge"


async def _refusal(admin: Admin) -> str:
    """What the bridge says to a database of a newer version."""
    if admin.database is None:
        path = admin.directory / "bridge.db"
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE schema_version SET version = 99")
        connection.close()
    else:
        server = await asyncpg.connect(admin.database)
        try:
            await server.execute("UPDATE schema_version SET version = 99")
        finally:
            await server.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "example_bridge", "run", cwd=admin.directory, stderr=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[1].decode()
    assert process.returncode == 1, said
    return " ".join(said.partition("error: ")[2].split())


def _quotation(heading: str) -> str:
    """The quoted words below a heading of the guide, as one line."""
    section = GUIDE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return " ".join(" ".join(line[1:] for line in section.splitlines() if line.startswith(">")).split())
