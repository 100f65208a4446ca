"""The start-up ping against a real Synapse: each failure says which side cannot reach which, why, and what to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from bridgekit.testing.bridge import BridgeProcess
from bridgekit.testing.process import free_ports
from tests.support.homeserver import AppserviceSlot, Homeserver
from tests.support.proxy import Answer, Forward, HttpProxy, Relay
from tests.support.scene import until_logged
from tests.support.webchat import WebchatServer

READY = "the homeserver reaches the bridge"


@pytest.fixture(scope="module")
async def crooked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Homeserver]:
    """A Synapse whose copies of the registrations are wrong, each in its way."""
    homeserver = Homeserver(tmp_path_factory.mktemp("crooked"), slots=6)
    (elsewhere,) = free_ports(1)
    changes: list[dict[str, Any]] = [
        {"url": None},
        {"hs_token": "not-the-bridges"},
        {"url": f"http://127.0.0.1:{elsewhere}"},
        {"as_token": "not-the-bridges"},
        {},
        {"url": f"http://127.0.0.1:{free_ports(1)[0]}"},
    ]
    homeserver.synapse.registrations = [
        {**slot.registration, **change} for slot, change in zip(homeserver.slots, changes, strict=True)
    ]
    async with homeserver.synapse:
        yield homeserver


def bridge_on(
    slot: AppserviceSlot, webchat: WebchatServer, directory: Path, *, homeserver_url: str | None = None, **changes: Any
) -> BridgeProcess:
    """A bridge with its own, right registration, unless `changes` say otherwise."""
    return BridgeProcess(
        directory,
        homeserver_url=homeserver_url or slot.homeserver_url,
        server_name=slot.server_name,
        registration={**slot.registration, **changes},
        network={"url": webchat.url},
        ghost_prefix=slot.prefix,
    )


def synapses_port(homeserver: Homeserver, slot: AppserviceSlot) -> int:
    """Where Synapse looks for a slot's bridge."""
    registration = homeserver.synapse.registrations[homeserver.slots.index(slot)]
    assert isinstance(registration, dict)
    return int(registration["url"].rpartition(":")[2])


async def still_serves(bridge: BridgeProcess, slot: AppserviceSlot) -> bool:
    """The bridge answers a ping of ours."""
    headers = {"Authorization": f"Bearer {slot.hs_token}"}
    url = f"http://127.0.0.1:{bridge.port}/_matrix/app/v1/ping"
    async with aiohttp.ClientSession() as http, http.post(url, json={}, headers=headers) as response:
        return response.status == 200


async def test_url_not_set(crooked: Homeserver, webchat: WebchatServer, tmp_path: Path) -> None:
    slot = crooked.slots[0]
    async with bridge_on(slot, webchat, tmp_path) as bridge:
        line = await until_logged(bridge, "M_URL_NOT_SET")
        assert await still_serves(bridge, slot)
    assert "The homeserver cannot reach the bridge: its copy of the registration has no url" in line
    assert "Set url in the registration" in line
    assert "Trying again" in line


async def test_wrong_hs_token(crooked: Homeserver, webchat: WebchatServer, tmp_path: Path) -> None:
    slot = crooked.slots[1]
    async with bridge_on(slot, webchat, tmp_path) as bridge:
        line = await until_logged(bridge, "M_BAD_STATUS")
        assert await still_serves(bridge, slot)
    assert f"The homeserver reaches something at {slot.url}" in line
    assert "status 403" in line
    assert "M_FORBIDDEN" in line  # what was answered
    assert "hs_token" in line
    assert "restart the homeserver" in line


async def test_nobody_at_the_url_then_mended(crooked: Homeserver, webchat: WebchatServer, tmp_path: Path) -> None:
    slot = crooked.slots[2]
    relay = Relay(synapses_port(crooked, slot), slot.port)
    async with relay, bridge_on(slot, webchat, tmp_path) as bridge:
        line = await until_logged(bridge, "M_CONNECTION_FAILED")
        assert await still_serves(bridge, slot)
        await relay.open()
        await until_logged(bridge, READY)
        await until_logged(bridge, "the homeserver delivers events")
    assert f"The homeserver cannot reach the bridge at {slot.url}" in line
    assert f"The bridge listens on {slot.url}" in line
    assert "set url in the registration" in line


async def test_wrong_as_token(crooked: Homeserver, webchat: WebchatServer, tmp_path: Path) -> None:
    slot = crooked.slots[3]
    async with bridge_on(slot, webchat, tmp_path) as bridge:
        line = await until_logged(bridge, "M_UNKNOWN_TOKEN")
        assert await still_serves(bridge, slot)
    assert f"The homeserver at {slot.homeserver_url} does not know the bridge's as_token" in line
    assert "app_service_config_files" in line
    assert slot.as_token not in line


async def test_wrong_id(crooked: Homeserver, webchat: WebchatServer, tmp_path: Path) -> None:
    slot = crooked.slots[4]
    async with bridge_on(slot, webchat, tmp_path, id="another") as bridge:
        line = await until_logged(bridge, "M_FORBIDDEN")
        assert await still_serves(bridge, slot)
    assert "knows the as_token, but not for this bridge" in line
    assert "its id must be the same in both" in line


async def test_another_program_answers_then_mended(crooked: Homeserver, webchat: WebchatServer, tmp_path: Path) -> None:
    slot = crooked.slots[5]
    port = synapses_port(crooked, slot)
    relay = Relay(port, slot.port)
    async with relay, bridge_on(slot, webchat, tmp_path) as bridge:
        async with yes_to_all(port):
            line = await until_logged(bridge, "WRONG_BRIDGE")
            assert await still_serves(bridge, slot)
        await relay.open()
        await until_logged(bridge, READY)
    assert f"The homeserver pinged {slot.url} and was answered, but not by this bridge" in line
    assert "stop it" in line


@contextlib.asynccontextmanager
async def yes_to_all(port: int) -> AsyncIterator[None]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


async def test_no_answer_in_time_then_mended(
    homeserver: Homeserver, appservice: AppserviceSlot, webchat: WebchatServer, tmp_path: Path
) -> None:
    """Synapse waits a minute for an answer, and cannot be told to wait less: its words come from a stand-in."""
    async with HttpProxy(homeserver.url) as proxy:
        timed_out = {"errcode": "M_CONNECTION_TIMEOUT", "error": "Connection to appservice timed out"}

        async def no_answer(request: web.Request, forward: Forward) -> Answer:
            return (504, msgspec.json.encode(timed_out)) if request.path.endswith("/ping") else await forward()

        proxy.tamper = no_answer
        async with bridge_on(appservice, webchat, tmp_path, homeserver_url=proxy.url) as bridge:
            line = await until_logged(bridge, "M_CONNECTION_TIMEOUT")
            assert await still_serves(bridge, appservice)
            proxy.tamper = HttpProxy(homeserver.url).tamper
            await until_logged(bridge, READY)
    assert f"The homeserver cannot reach the bridge: no answer came from {appservice.url}" in line
    assert "firewall" in line


async def test_homeserver_away_then_mended(
    homeserver: Homeserver, appservice: AppserviceSlot, webchat: WebchatServer, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    async with bridge_on(appservice, webchat, tmp_path, homeserver_url=url) as bridge:
        line = await until_logged(bridge, "UNREACHABLE")
        assert await still_serves(bridge, appservice)
        async with HttpProxy(homeserver.url, port=port):
            await until_logged(bridge, READY)
            assert await asyncio.wait_for(bridge.stop(), 30) == 0
    assert f"The bridge cannot reach the homeserver at {url}" in line
    assert "Start the homeserver, or correct its address" in line
