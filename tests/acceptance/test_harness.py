"""The real parts that other tests stand on do what their fixtures promise."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from bridgekit.testing.client import MatrixClient, MatrixClientError
from bridgekit.testing.process import end, free_ports, spawn
from bridgekit.testing.synapse import Synapse, SynapseError
from tests.conftest import NewUser, SynapseFactory
from tests.support.homeserver import AppserviceSlot, Homeserver
from tests.support.postgres import PostgresServer


def alive(pid: int) -> bool:
    """A zombie counts: nobody has reaped it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@asynccontextmanager
async def listening(slot: AppserviceSlot) -> AsyncIterator[asyncio.Queue[tuple[str, str, Any]]]:
    """The barest application service: says yes to all, and queues what it was asked as (method, path, JSON)."""
    asked: asyncio.Queue[tuple[str, str, Any]] = asyncio.Queue()

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {slot.hs_token}":
            return web.json_response({"errcode": "M_FORBIDDEN"}, status=403)
        asked.put_nowait((request.method, request.path, await request.json()))
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", slot.port).start()
        yield asked
    finally:
        await runner.cleanup()


# --- Synapse ----------------------------------------------------------------------------------------------------------


async def test_two_people_talk(new_user: NewUser) -> None:
    alice, bob = await new_user("alice"), await new_user("bob")
    await alice.set_displayname("Alice")
    room = await alice.create_room(name="Talk", invite=[bob.user_id])

    assert await bob.wait_for_invite() == room
    await bob.join(room)
    sent = await alice.send_html(room, "<b>hello</b>", "hello")
    heard = await bob.wait_for_text(room, "hello")

    assert heard.event_id == sent
    assert heard.sender == alice.user_id
    assert heard.content["formatted_body"] == "<b>hello</b>"
    assert not bob.invites
    members = await bob.joined_members(room)
    assert {user: member.displayname for user, member in members.items()} == {
        alice.user_id: "Alice",
        bob.user_id: bob.user_id[1:].split(":")[0],
    }


async def test_history_in_pages_is_whole_and_oldest_first(new_user: NewUser) -> None:
    alice = await new_user("alice")
    alice.page_size = 4
    room = await alice.create_room()
    texts = [f"message {number}" for number in range(15)]
    for text in texts:
        await alice.send_text(room, text)

    timeline = await alice.timeline(room)

    assert timeline[0].type == "m.room.create"
    assert await alice.texts(room) == texts


async def test_waiting_misses_nothing_where_a_sync_leaves_a_gap(new_user: NewUser) -> None:
    alice = await new_user("alice")
    alice.page_size = 4
    room = await alice.create_room()
    await alice.send_text(room, "message 0")
    await alice.wait_for_text(room, "message 0")
    texts = [f"message {number}" for number in range(15)]
    for text in texts[1:]:
        await alice.send_text(room, text)

    await alice.wait_for_text(room, texts[-1])

    assert [event.body for event in alice.events if event.type == "m.room.message"] == texts


async def test_waiting_in_vain_says_what_was_seen(new_user: NewUser) -> None:
    alice = await new_user("alice")
    room = await alice.create_room()
    await alice.send_text(room, "something else")

    with pytest.raises(TimeoutError, match="something else"):
        await alice.wait_for_text(room, "never", timeout_s=0.5)


async def test_state_redaction_profile_and_media(new_user: NewUser) -> None:
    alice = await new_user("alice")
    room = await alice.create_room()

    assert await alice.get_state(room, "org.example.none") is None
    await alice.set_state(room, "org.example.some", {"a": 1}, "key")
    assert await alice.get_state(room, "org.example.some", "key") == {"a": 1}

    event_id = await alice.send_text(room, "secret")
    await alice.redact(room, event_id, "a slip")
    assert (await alice.get_event(room, event_id)).content == {}

    await alice.set_displayname("A.")
    assert (await alice.profile(alice.user_id)).displayname == "A."

    mxc = await alice.upload(b"bytes", "text/plain", "a.txt")
    assert await alice.download(mxc) == b"bytes"


async def test_a_refusal_carries_status_and_errcode(homeserver: Homeserver, new_user: NewUser) -> None:
    alice, bob = await new_user("alice"), await new_user("bob")
    room = await alice.create_room()

    with pytest.raises(MatrixClientError) as refused:
        await bob.send_text(room, "let me in")
    assert (refused.value.status, refused.value.errcode) == (403, "M_FORBIDDEN")

    with pytest.raises(MatrixClientError) as taken:
        await homeserver.synapse.register_user(alice.user_id[1:].split(":")[0])
    assert taken.value.errcode == "M_USER_IN_USE"


async def test_login_opens_a_second_device(homeserver: Homeserver) -> None:
    user = await homeserver.register_user("alice")
    localpart = user.user_id[1:].split(":")[0]

    again = await homeserver.synapse.login(localpart, user.password)

    assert again.user_id == user.user_id
    assert again.device_id != user.device_id
    async with await MatrixClient.login(homeserver.url, localpart, user.password) as client:
        assert await client.joined_rooms() == []


async def test_synapse_keeps_its_state_over_restart_and_kill(private_homeserver: Homeserver) -> None:
    synapse = private_homeserver.synapse
    user = await private_homeserver.register_user("alice")
    async with user.client() as alice:
        room = await alice.create_room()
        await alice.send_text(room, "before")
        url, first = synapse.url, synapse.pid

        waiting = asyncio.create_task(alice.wait_for_text(room, "after the kill", timeout_s=60))
        await synapse.restart()
        assert not alive(first)
        await alice.send_text(room, "after the restart")

        second = synapse.pid
        await synapse.kill()
        assert not alive(second)
        assert not synapse.running
        await synapse.start()
        await alice.send_text(room, "after the kill")

        await waiting
        assert synapse.url == url
        assert await alice.texts(room) == ["before", "after the restart", "after the kill"]


async def test_directory_remembers_port_and_secrets(tmp_path: Path) -> None:
    first = Synapse(tmp_path)
    again = Synapse(tmp_path)

    assert again.port == first.port
    assert (tmp_path / "identity.json").stat().st_mode & 0o777 == 0o600


async def test_restart_with_other_registrations(private_homeserver: Homeserver) -> None:
    one, *_ = private_homeserver.slots
    async with one.client() as bot:
        await bot.request(
            "POST",
            "client/v3/register",
            {"type": "m.login.application_service", "username": one.sender_localpart, "inhibit_login": True},
        )
        await private_homeserver.synapse.restart(registrations=[])
        with pytest.raises(MatrixClientError, match="M_UNKNOWN_TOKEN"):
            await bot.joined_rooms()


async def test_a_start_that_fails_shows_the_log(synapse_factory: SynapseFactory) -> None:
    with pytest.raises(SynapseError, match=r"(?s)while starting.*no_such_database"):
        await synapse_factory(database={"name": "no_such_database"})


async def test_synapse_runs_on_postgres(synapse_factory: SynapseFactory, postgres: PostgresServer) -> None:
    database = (await postgres.create_database()).rpartition("/")[2]
    arguments = {"user": "bridgekit", "host": "127.0.0.1", "port": postgres.port, "dbname": database, "cp_max": 5}

    synapse = await synapse_factory(database={"name": "psycopg2", "args": arguments})

    async with (await synapse.register_user("alice")).client() as alice:
        room = await alice.create_room()
        await alice.send_text(room, "in PostgreSQL")
        assert await alice.texts(room) == ["in PostgreSQL"]
    await synapse.stop()


# --- application services ---------------------------------------------------------------------------------------------


async def test_slot_is_pinged_and_gets_transactions(appservice: AppserviceSlot, new_user: NewUser) -> None:
    alice = await new_user("alice")
    async with listening(appservice) as asked, appservice.client() as bot:
        ping = await bot.request("POST", f"client/v1/appservice/{appservice.id}/ping", {"transaction_id": "mine"})
        assert ping["duration_ms"] >= 0
        assert await asked.get() == ("POST", "/_matrix/app/v1/ping", {"transaction_id": "mine"})

        ghost_id = appservice.ghost("bob")
        for localpart in (appservice.sender_localpart, f"{appservice.prefix}bob"):
            await bot.request(
                "POST",
                "client/v3/register",
                {"type": "m.login.application_service", "username": localpart, "inhibit_login": True},
            )
        room = await alice.create_room(invite=[ghost_id])
        async with appservice.client(ghost_id) as ghost:
            await ghost.join(room)
        sent = await alice.send_text(room, "over there")

        arrived: list[str] = []
        async with asyncio.timeout(20):
            while sent not in arrived:
                method, path, body = await asked.get()
                assert (method, path.rpartition("/")[0]) == ("PUT", "/_matrix/app/v1/transactions")
                arrived += [event["event_id"] for event in body["events"]]


async def test_every_test_gets_its_own_slot(appservice: AppserviceSlot, homeserver: Homeserver) -> None:
    other = homeserver.take_slot()

    assert appservice != other
    assert len({slot.port for slot in homeserver.slots}) == len(homeserver.slots)


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


async def test_postgres_is_durable_and_c_utf8(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    try:
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"
    finally:
        await connection.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_postgres_keeps_what_was_committed(private_postgres: PostgresServer, mode: Any) -> None:
    dsn = await private_postgres.create_database()
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE kept (value int); INSERT INTO kept VALUES (42)")
    first = private_postgres.pid

    await private_postgres.restart(mode)

    assert not alive(first)
    connection.terminate()  # the server has cut it
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval("SELECT value FROM kept") == 42
    finally:
        await connection.close()


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
async def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    """A parent killed with SIGKILL cannot clean up: the kernel ends its child."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = (
        "import asyncio, pathlib, sys\n"
        "from bridgekit.testing.process import spawn\n"
        "async def main():\n"
        "    log = pathlib.Path(sys.argv[1])\n"
        f"    child = await spawn(['sh', '-c', 'exec > {fifo}; echo up; exec sleep 600'], log=log)\n"
        "    await child.wait()\n"
        "asyncio.run(main())\n"
    )
    # The child is the only one that has the fifo open for writing: end of file means that it is gone.
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reader, "rb"))
    try:
        parent = await spawn([sys.executable, "-c", program, tmp_path / "log"], log=tmp_path / "parent.log")
        async with asyncio.timeout(20):
            assert await stream.readline() == b"up\n"
            assert await end(parent, signal.SIGKILL) == -signal.SIGKILL
            assert await stream.read() == b""  # the end of file: nobody has it open for writing any more
    finally:
        transport.close()


def test_free_ports_differ_and_are_not_for_outgoing_connections() -> None:
    ports = free_ports(50)

    assert len(set(ports)) == 50
    if sys.platform == "linux":
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        assert max(ports) < lowest
