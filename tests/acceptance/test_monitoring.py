"""Health, readiness and numbers of a bridge at work, and a log without anything that is nobody's business."""

from __future__ import annotations

import json
from pathlib import Path

from bridgekit.testing.process import spawn
from example_bridge.webchat.client import WebchatClient
from tests.acceptance.conftest import SceneFactory
from tests.support.homeserver import AppserviceSlot, Homeserver
from tests.support.monitoring import get, readiness, scrape, until_ready, until_scraped
from tests.support.postgres import PostgresServer
from tests.support.scene import until_logged
from tests.support.webchat import WebchatServer
from tests.support.world import bridge_for
from tests.web.test_metrics import documented

OLDEST = 'bridgekit_oldest_waiting_entry_seconds{direction="matrix"}'
WAITING = 'bridgekit_waiting_entries{direction="matrix"}'
DONE = 'bridgekit_entries_completed_total{code="",direction="matrix",outcome="done"}'


async def test_the_first_number_rises_while_the_network_is_away(
    make_scene: SceneFactory, private_webchat: WebchatServer, database: str
) -> None:
    async with make_scene(with_webchat=private_webchat, database=database) as scene:
        bridge = scene.bridge
        talk = await scene.talk()
        await talk.alice.send_text(talk.room, "before")
        await talk.from_alice("before")
        calm = await until_scraped(bridge, lambda found: found[WAITING] == 0)
        assert next(iter(calm)) == OLDEST
        assert calm[OLDEST] == 0
        assert calm[DONE] >= 1
        assert calm['bridgekit_sessions{state="connected"}'] == 1
        assert calm["bridgekit_database_up"] == 1
        assert calm["bridgekit_commit_duration_seconds_count"] > 0
        assert calm['bridgekit_homeserver_requests_total{status="2xx"}'] > 0
        assert calm["bridgekit_transactions_received_total"] > 0

        await private_webchat.stop()
        await talk.alice.send_text(talk.room, "while away")
        first = await until_scraped(bridge, lambda found: found[WAITING] == 1)
        later = await until_scraped(bridge, lambda found: found[OLDEST] > first[OLDEST])
        assert later[WAITING] == 1
        await until_scraped(bridge, lambda found: found['bridgekit_sessions{state="connected"}'] == 0)
        status, found = await readiness(bridge)
        assert (status, found["ready"]) == (200, True)  # one login's trouble
        (session,) = found["sessions"]
        assert session["state"] in ("waiting", "connecting")
        assert talk.agent.token not in json.dumps(found)

        await private_webchat.start()
        assert await talk.from_alice("while away") == ["before", "while away"]
        after = await until_scraped(bridge, lambda found: found[WAITING] == 0)
        assert after[OLDEST] == 0
        assert after[DONE] == calm[DONE] + 1

        names = {name.partition("{")[0] for name in after}
        histogram = "bridgekit_commit_duration_seconds"
        shown = {histogram if name.startswith(histogram) else name for name in names if name.startswith("bridgekit_")}
        assert shown == set(documented())


async def test_ready_only_while_database_and_homeserver_are_there(
    make_scene: SceneFactory, private_homeserver: Homeserver, private_postgres: PostgresServer
) -> None:
    database = await private_postgres.create_database()
    async with make_scene(on=private_homeserver, database=database) as scene:
        bridge = scene.bridge
        talk = await scene.talk()
        well = await until_ready(bridge)
        assert well["started"]
        assert all(well[part]["ok"] for part in ("database", "lease", "homeserver"))
        assert well["homeserver"]["transaction_age_s"] is not None

        await private_postgres.stop()
        found = await until_ready(bridge, 503)
        assert "does not answer" in found["database"]["reason"]
        assert (await get(bridge, "/healthz"))[0] == 200
        assert (await scrape(bridge))["bridgekit_database_up"] == 0
        await private_postgres.start()
        await until_ready(bridge)

        await private_homeserver.synapse.stop()
        await talk.visitor.send(talk.chat, "anybody?")
        found = await until_ready(bridge, 503)
        assert found["database"]["ok"]
        assert "Start the homeserver" in found["homeserver"]["reason"]
        assert (await get(bridge, "/healthz"))[0] == 200

        await bridge.stop()
        await bridge.start()
        status, found = await readiness(bridge)
        assert (status, found["started"]) == (503, False)
        assert found["lease"]["ok"]
        await private_homeserver.synapse.start()
        assert (await until_ready(bridge))["started"]
        assert await talk.from_visitor("anybody?") == ["hello", "anybody?"]


async def test_a_taken_port_is_an_error_with_its_place(
    make_scene: SceneFactory, appservice: AppserviceSlot, webchat: WebchatServer, tmp_path: Path
) -> None:
    async with make_scene() as scene:
        second = bridge_for(appservice, webchat, tmp_path / "second")
        second.config["monitoring"]["port"] = scene.bridge.monitoring_port
        second.write_files()
        process = await spawn(second.command(), log=second.log)
        assert await process.wait() == 1
        said = second.log.read_text()
        assert "monitoring.port: the bridge cannot listen on 127.0.0.1" in said
        assert "Choose a free port, or say monitoring.enabled: false." in said
        assert "Traceback" not in said

        second.config["monitoring"]["enabled"] = False
        async with second:
            assert (await get(scene.bridge, "/healthz"))[0] == 200


async def test_a_successor_gets_the_port_of_who_worked_before(
    make_scene: SceneFactory, webchat: WebchatServer, tmp_path: Path
) -> None:
    """With the same configuration on the same machine: it waits for the lease, and then listens on the same ports."""
    async with make_scene() as scene:
        database = f"sqlite://{(scene.directory / 'bridge.db').resolve()}"
        second = bridge_for(scene.slot, webchat, tmp_path / "second", database=database)
        second.config["monitoring"] = scene.bridge.config["monitoring"]
        second.monitoring_port = scene.bridge.monitoring_port
        await second.launch()
        try:
            await until_logged(second, "waiting until it ends")
            assert (await readiness(second))[1]["lease"]["ok"]  # of the first
            assert await scene.bridge.stop() == 0
            await second.until_listening()
            await until_ready(second)
            assert await second.stop() == 0
        finally:
            await second.kill()


async def test_no_body_and_no_token_in_the_log(make_scene: SceneFactory, webchat: WebchatServer, database: str) -> None:
    """At debug, through a login, messages both ways, refusals, garbage and a restart."""
    format = "text" if database.startswith("sqlite") else "json"
    more = {"logging": {"level": "debug", "format": format}}
    async with make_scene(database=database, more=more) as scene, WebchatClient(webchat.url) as faults:
        talk = await scene.talk()
        await talk.alice.send_text(talk.room, "discreet-1")
        await talk.from_alice("discreet-1")
        try:
            await faults.set_fault("refuse", account=talk.agent.id, code="forbidden", count=1)
            await talk.alice.send_text(talk.room, "discreet-2")
            await talk.from_bot("Your message was not sent")
            await faults.set_fault("cut", account=talk.agent.id, after=1)
            await faults.set_fault("garbage", account=talk.agent.id)
            await talk.alice.send_text(talk.room, "discreet-3")
            await talk.from_alice("discreet-3")
            await talk.visitor.send(talk.chat, "discreet-4")
            await talk.from_visitor("discreet-4")
        finally:
            await faults.clear_faults()
        malformed = {**talk.made_up("discreet-5"), "sender": 5}
        assert await scene.push("t1", [malformed]) == 200
        assert await scene.push_raw("t2", b'{"events": "discreet-6') == 400
        await talk.alice.send_text(talk.management, "login")
        asked = "Your webchat token, please"
        await talk.alice.wait_for_count(
            lambda e: e.sender == talk.bot and asked in (e.body or ""), 2, room_id=talk.management
        )
        await talk.alice.send_text(talk.management, "discreet-7")  # as if it were a token
        await talk.from_bot("does not know this token", room=talk.management)
        await scene.bridge.stop()
        await scene.bridge.start()
        await talk.alice.send_text(talk.room, "discreet-8")
        await talk.from_alice("discreet-8")
        await scene.bridge.stop()
        said = scene.log()

    assert "DEBUG" in said or '"debug"' in said
    assert "malformed" in said
    for secret in (scene.slot.as_token, scene.slot.hs_token, talk.agent.token, "discreet", "hello"):
        lines = [line for line in said.splitlines() if secret in line]
        assert not lines, lines
    assert "(redacted)" not in said  # the second line of defence had nothing to do
    if format == "json":
        for line in said.splitlines():
            found = json.loads(line)
            assert {"ts", "level", "logger", "msg"} <= set(found), line
