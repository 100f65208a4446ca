"""The scene of the acceptance tests: a real Synapse, a real webchat, a real bridge process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.homeserver import Homeserver, Homeservers
from tests.support.postgres import PostgresServer
from tests.support.scene import Scene, Talk
from tests.support.webchat import WebchatServer

DATABASES: Final = ["sqlite", "postgres"]

SceneFactory = Callable[..., Scene]
"""`async with make_scene(...) as scene`: a bridge of this test alone."""


@pytest.fixture(scope="session")
async def webchat(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebchatServer]:
    """The webchat that tests share. Faults there must be for one account, and cleared."""
    async with WebchatServer(tmp_path_factory.mktemp("webchat")) as server:
        yield server


@pytest.fixture
async def private_webchat(tmp_path: Path) -> AsyncIterator[WebchatServer]:
    """A webchat of this test alone, to stop at will."""
    async with WebchatServer(tmp_path / "webchat") as server:
        yield server


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """The `database` of a bridge's configuration: SQLite, then PostgreSQL."""
    # Asked for by name, so that the tests on SQLite run where there is no PostgreSQL.
    return "sqlite:bridge.db" if request.param == "sqlite" else str(request.getfixturevalue("postgres_dsn"))


@pytest.fixture
def make_scene(homeserver: Homeserver, webchat: WebchatServer, tmp_path: Path) -> SceneFactory:
    """A bridge on the shared homeserver and webchat, or on others; not started."""

    def make(
        *, on: Homeserver = homeserver, with_webchat: WebchatServer = webchat, name: str = "bridge", **options: Any
    ) -> Scene:
        return Scene(on, on.take_slot(), with_webchat, tmp_path / name, **options)

    return make


# --- a bridge for many tests ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
async def shared(
    postgres: PostgresServer,
    homeservers: Homeservers,
    webchat: WebchatServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Scene]:
    """A running bridge on PostgreSQL. Never stop it; `await shared.talk()` gives new people.

    What people do in a chat is tried on one database: that both do the same is what `tests/contract` is for. A test of
    what a database has to do with asks for `database`, and runs on both; other bridges of one test are on SQLite.
    """
    homeserver = await homeservers.with_slots(1)
    database = await postgres.create_database()
    scene = Scene(homeserver, homeserver.take_slot(), webchat, tmp_path_factory.mktemp("bridge"), database=database)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(postgres.drop_database, database)
        yield await stack.enter_async_context(scene)


@pytest.fixture
async def talk(shared: Scene) -> Talk:
    """A new visitor with a new portal on the shared bridge. Alice is logged in already, and must stay so."""
    return await shared.another_talk()
