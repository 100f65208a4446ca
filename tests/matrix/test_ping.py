"""The start-up ping against a real Synapse: every failure that it can be made to report, and what people are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from bridgekit.errors import PingFailed
from bridgekit.matrix.homeserver import Homeserver
from bridgekit.matrix.ping import Pinger
from bridgekit.matrix.server import AppserviceServer
from bridgekit.model.ids import UserID
from tests.conftest import SynapseFactory
from tests.matrix.helpers import Answer, FakeBridge, HeldClock, answer, reset, stand_in
from tests.support.homeserver import AppserviceSlot
from tests.support.homeserver import Homeserver as Shared

LISTEN = "127.0.0.1:1"
SLOTS = 16  # of the shared homeserver: nearly every test here takes a fresh one


class Bridge:
    """Client and pinger of a slot; `serve` starts its server."""

    def __init__(self, slot: AppserviceSlot, **changes: Any) -> None:
        options: dict[str, Any] = {
            "url": slot.homeserver_url,
            "as_token": slot.as_token,
            "server_name": slot.server_name,
            "bot": UserID(slot.bot),
            "appservice_id": slot.id,
            "clock": HeldClock(),
            "random": lambda: 0.5,
            **changes,
        }
        self.slot = slot
        self.clock: HeldClock = options["clock"]
        self.hs = Homeserver(**options)
        self.handler = FakeBridge()
        self.server: AppserviceServer | None = None
        self.pinger = Pinger(
            self.hs,
            registration_url=slot.url,
            bridge_listen=LISTEN,
            clock=self.clock,
            new_id=lambda: uuid4().hex,
            random=lambda: 0.5,
        )
        self.handler.on_ping = self.pinger.received

    async def serve(self, hs_token: str | None = None) -> None:
        self.server = AppserviceServer(hs_token=hs_token or self.slot.hs_token, handler=self.handler)
        await self.server.start("127.0.0.1", self.slot.port)

    async def failure(self) -> PingFailed:
        with pytest.raises(PingFailed) as caught:
            await self.pinger.ping()
        return caught.value

    async def close(self) -> None:
        if self.server is not None:
            await self.server.stop()
        await self.hs.close()


@pytest.fixture
async def bridge(appservice: AppserviceSlot) -> AsyncIterator[Bridge]:
    made = Bridge(appservice)
    yield made
    await made.close()


async def serve_instead(port: int, handler: Answer) -> web.AppRunner:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


async def test_a_ping_arrives(bridge: Bridge) -> None:
    await bridge.serve()
    assert await bridge.pinger.ping() >= 0
    assert all(duration >= 0 for duration in await asyncio.gather(*(bridge.pinger.ping() for _ in range(10))))
    assert bridge.clock.slept == []


async def test_nobody_listens(bridge: Bridge) -> None:
    failed = await bridge.failure()
    assert failed.errcode == "M_CONNECTION_FAILED"
    assert bridge.slot.url in failed.message
    assert LISTEN in failed.fix
    assert bridge.clock.slept == []
    assert bridge.hs.failures == 0


@pytest.mark.parametrize(
    ("instead", "errcode", "says"),
    [
        (answer(500, raw=b"it is broken"), "M_BAD_STATUS", "status 500, saying 'it is broken'"),
        (answer(404, raw=b""), "M_BAD_STATUS", "status 404"),
        (answer(302, headers={"Location": "http://127.0.0.1:1/"}), "M_CONNECTION_FAILED", "cannot reach the bridge"),
        (answer(200, raw=b"no JSON"), "M_CONNECTION_FAILED", "cannot reach the bridge"),
        (answer(204, raw=b""), "M_CONNECTION_FAILED", "cannot reach the bridge"),
        # This Synapse calls a connection that is cut off without an answer a timeout.
        (reset, "M_CONNECTION_TIMEOUT", "no answer came"),
        (answer(), "WRONG_BRIDGE", "not by this bridge"),
    ],
)
async def test_somebody_else_listens(bridge: Bridge, instead: Answer, errcode: str, says: str) -> None:
    runner = await serve_instead(bridge.slot.port, instead)
    failed = await bridge.failure()
    await runner.cleanup()
    assert failed.errcode == errcode
    assert says in failed.message


async def test_the_hs_token_is_another(bridge: Bridge) -> None:
    await bridge.serve(hs_token="another")
    failed = await bridge.failure()
    assert failed.errcode == "M_BAD_STATUS"
    assert "status 403" in failed.message
    assert "hs_token" in failed.fix


async def test_another_process_of_the_same_bridge_answers(bridge: Bridge) -> None:
    other = Bridge(bridge.slot)
    await other.serve()
    assert (await bridge.failure()).errcode == "WRONG_BRIDGE"
    await other.close()


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [({"as_token": "wrong"}, "M_UNKNOWN_TOKEN"), ({"appservice_id": "another/..id"}, "M_FORBIDDEN")],
)
async def test_the_homeserver_does_not_take_us_for_this_bridge(
    appservice: AppserviceSlot, changes: dict[str, Any], errcode: str
) -> None:
    bridge = Bridge(appservice, **changes)
    await bridge.serve()
    assert (await bridge.failure()).errcode == errcode
    await bridge.close()


async def test_a_registration_without_url(homeserver: Shared, synapse_factory: SynapseFactory) -> None:
    slot = homeserver.take_slot()
    synapse = await synapse_factory(registrations=[{**slot.registration, "url": None}])
    bridge = Bridge(slot, url=synapse.url)
    failed = await bridge.failure()
    assert failed.errcode == "M_URL_NOT_SET"
    assert "no url" in failed.message
    await bridge.close()


async def test_synapse_recovering_at_the_same_time(private_homeserver: Shared) -> None:
    """Its recoverer and our ping at once: whatever Synapse makes of it, the pinger gets through."""
    bridge = Bridge(private_homeserver.take_slot())
    room = await bridge.hs.create_room()  # pushed to nobody: Synapse starts to try again
    with pytest.raises(PingFailed):
        await bridge.pinger.ping()
    await bridge.serve()
    for _ in range(5):
        await bridge.hs.send_state(room, "t.x", uuid4().hex, {})
        assert await bridge.pinger.ping() >= 0
    await bridge.close()


# --- what this Synapse cannot be made to say --------------------------------------------------------------------------

RACE = {"errcode": "M_CONNECTION_FAILED", "error": "Failed to ping: twisted...AlreadyCalledError"}


async def against(*answers: Answer, echo: Callable[[Bridge, str], None] | None = None) -> tuple[Bridge, Any]:
    """Ping over a stand-in homeserver; what came of it."""
    async with stand_in(*answers) as server:
        slot = AppserviceSlot("as", 1, "token", "token", "hs.test", server.url, {})
        bridge = Bridge(slot)

        async def otherwise(request: web.Request) -> web.StreamResponse:
            if echo is not None:
                echo(bridge, server.seen[-1].json["transaction_id"])
            return await answer(200, {"duration_ms": 7})(request)

        server.otherwise = otherwise
        try:
            return bridge, await bridge.pinger.ping()
        except PingFailed as failed:
            return bridge, failed
        finally:
            ids = [seen.json["transaction_id"] for seen in server.seen]
            assert len(set(ids)) == len(ids)
            await bridge.hs.close()


def arrived(bridge: Bridge, transaction_id: str) -> None:
    bridge.pinger.received(None)
    bridge.pinger.received("a stranger's")
    bridge.pinger.received(transaction_id)


async def test_the_race_is_tried_again_with_growing_pauses() -> None:
    bridge, result = await against(answer(502, RACE), answer(502, RACE), echo=arrived)
    assert result == 7
    assert bridge.clock.slept == sorted(bridge.clock.slept)
    assert len(bridge.clock.slept) == 2


async def test_a_race_without_end_is_given_up() -> None:
    bridge, result = await against(*[answer(502, RACE)] * 6, echo=arrived)
    assert (result.errcode, len(bridge.clock.slept)) == ("M_CONNECTION_FAILED", 5)


async def test_a_ping_with_a_wrong_id_is_not_ours() -> None:
    _, result = await against(echo=lambda bridge, id: bridge.pinger.received(id + "x"))
    assert result.errcode == "WRONG_BRIDGE"


@pytest.mark.parametrize(
    ("bad", "errcode"),
    [
        (answer(504, {"errcode": "M_CONNECTION_TIMEOUT", "error": "x"}), "M_CONNECTION_TIMEOUT"),
        (answer(400, {"errcode": "FI.MAU.MSC2659_URL_NOT_SET", "error": "x"}), "M_URL_NOT_SET"),
        (answer(401, {"errcode": "M_MISSING_TOKEN", "error": "x"}), "M_MISSING_TOKEN"),
        (answer(404, {"errcode": "M_UNRECOGNIZED", "error": "x"}), "M_UNRECOGNIZED"),
        (answer(404, raw=b"<html>"), "M_UNRECOGNIZED"),
        (answer(405, raw=b"<html>"), "M_UNRECOGNIZED"),
        (answer(502, raw=b"<html>Bad Gateway</html>"), "UNREACHABLE"),
        (answer(301, headers={"Location": "https://x/"}), "UNREACHABLE"),
        (answer(200, raw=b"<html>"), "UNREACHABLE"),
        (reset, "UNREACHABLE"),
        (answer(400, {"errcode": "M_NEW", "error": "x"}), "M_NEW"),
    ],
)
async def test_other_answers(bad: Answer, errcode: str) -> None:
    bridge, result = await against(bad)
    assert result.errcode == errcode
    assert bridge.clock.slept == []


async def test_the_homeserver_is_not_there(appservice: AppserviceSlot) -> None:
    bridge = Bridge(appservice, url="http://127.0.0.1:1")
    failed = await bridge.failure()
    assert failed.errcode == "UNREACHABLE"
    assert "http://127.0.0.1:1" in failed.message
    await bridge.close()
