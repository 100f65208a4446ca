"""Fixtures of real parts. Each real server is started once per run, and only if a test asks for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
from hypothesis import settings

from bridgekit.testing.client import MatrixClient
from bridgekit.testing.synapse import Synapse
from tests.support.homeserver import AppserviceSlot, Homeserver, Homeservers
from tests.support.postgres import PostgresServer, find_binaries

SLOTS: Final = 16
"""How many application services a shared homeserver knows."""

SLOTS_OF_A_FILE: Final = 8
"""How many of them the tests of one file may take together, unless the file has a constant `SLOTS` that says more."""

# How long an example takes says something of the machine, not of the product. CI tries the same examples each time, so
# that what it says of a change is about that change. Everywhere else the search goes on.
settings.register_profile("bridgekit", deadline=None, derandomize=os.environ.get("CI", "").lower() in ("true", "1"))
settings.load_profile("bridgekit")

NewUser = Callable[..., Awaitable[MatrixClient]]
SynapseFactory = Callable[..., Awaitable[Synapse]]


def missing(what: str) -> NoReturn:
    """Skip the test because a program is missing; under CI=true that is an error, for CI must test everything."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"{what} is missing, and CI=true")
    pytest.skip(f"{what} is missing; make test installs it when run as root")


# --- homeservers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
async def homeservers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Homeservers]:
    """For fixtures that outlive a file of tests, and have a homeserver all the while."""
    async with Homeservers(lambda: tmp_path_factory.mktemp("synapse"), slots=SLOTS) as homeservers:
        yield homeservers


@pytest.fixture(scope="module")
async def homeserver(homeservers: Homeservers, request: pytest.FixtureRequest) -> Homeserver:
    """A Synapse that many tests share, all of one file the same. Never stop, restart or kill it: that is what
    `private_homeserver` is for. A bridge of a whole session (`shared`, `caller`) may have another one."""
    return await homeservers.with_slots(getattr(request.module, "SLOTS", SLOTS_OF_A_FILE))


@pytest.fixture
def appservice(homeserver: Homeserver) -> AppserviceSlot:
    """A fresh registration on the shared homeserver, for one bridge of one test."""
    return homeserver.take_slot()


@pytest.fixture
async def new_user(homeserver: Homeserver) -> AsyncIterator[NewUser]:
    """`await new_user("alice")`: a client of a new account on the shared homeserver, closed when the test ends."""
    clients: list[MatrixClient] = []

    async def make(name: str = "user", *, admin: bool = False, on: Homeserver = homeserver) -> MatrixClient:
        client = (await on.register_user(name, admin=admin)).client()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def private_homeserver(tmp_path: Path) -> AsyncIterator[Homeserver]:
    """A Synapse of this test alone, to stop, restart and kill at will; with four slots."""
    own = Homeserver(tmp_path / "synapse", slots=4)
    async with own.synapse:
        yield own


@pytest.fixture
async def synapse_factory(tmp_path: Path) -> AsyncIterator[SynapseFactory]:
    """`await synapse_factory(registrations=..., config=...)`: a started Synapse, stopped with the test."""
    started: list[Synapse] = []

    async def make(**options: Any) -> Synapse:
        synapse = Synapse(tmp_path / f"synapse{len(started)}", **options)
        started.append(synapse)
        await synapse.start()
        return synapse

    yield make
    for synapse in started:
        await synapse.stop()


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def _postgres() -> PostgresServer:
    binaries = find_binaries()
    if binaries is None:
        missing("PostgreSQL")
    return PostgresServer(binaries)


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[PostgresServer]:
    """The PostgreSQL server that all tests share. Never restart it: that is what `private_postgres` is for."""
    async with _postgres() as server:
        yield server


@pytest.fixture
async def postgres_dsn(postgres: PostgresServer) -> AsyncIterator[str]:
    """An empty database on the shared server, dropped when the test ends."""
    dsn = await postgres.create_database()
    yield dsn
    await postgres.drop_database(dsn)


@pytest.fixture
async def private_postgres() -> AsyncIterator[PostgresServer]:
    """A PostgreSQL server of this test alone, to restart at will."""
    async with _postgres() as server:
        yield server


# --- programs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def strace() -> Path:
    """The program, for tests that watch the order of system calls."""
    found = shutil.which("strace")
    if found is None:
        missing("strace")
    return Path(found)
