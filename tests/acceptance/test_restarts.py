"""The bridge, Synapse and PostgreSQL are stopped, killed and started again while people talk: nothing is lost, nothing
doubled, and the order stays."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from tests.acceptance.conftest import SceneFactory
from tests.support.blocked import blocked
from tests.support.homeserver import Homeserver
from tests.support.postgres import PostgresServer
from tests.support.scene import Talk


async def say(talk: Talk, *texts: str) -> list[str]:
    """Alice says something, one after the other; the event ids."""
    return [await talk.alice.send_text(talk.room, text) for text in texts]


async def answer(talk: Talk, *texts: str) -> None:
    """The visitor says something, one after the other."""
    for text in texts:
        await talk.visitor.send(talk.chat, text)


def numbered(prefix: str, count: int) -> list[str]:
    return [f"{prefix} {number}" for number in range(count)]


async def test_bridge_stops_in_time_and_goes_on_where_it_was(make_scene: SceneFactory, database: str) -> None:
    async with make_scene(database=database, more={"delivery": {"drain_s": 5}}) as scene:
        talk = await scene.talk()
        ours, theirs = numbered("to webchat", 15), numbered("to matrix", 15)
        # Some before the signal, some while it stops, the rest while nobody is there.
        await say(talk, *ours[:5])
        await answer(talk, *theirs[:5])
        began = time.monotonic()
        code, *_ = await asyncio.gather(scene.bridge.stop(), say(talk, *ours[5:10]), answer(talk, *theirs[5:10]))
        assert code == 0
        assert time.monotonic() - began < 5 + 5
        await say(talk, *ours[10:])
        await answer(talk, *theirs[10:])
        await scene.bridge.start()

        assert await talk.from_alice(ours[-1]) == ours
        assert await talk.from_visitor(theirs[-1]) == ["hello", *theirs]
        await say(talk, "end")
        await answer(talk, "end")
        assert await talk.from_alice("end") == [*ours, "end"]
        assert await talk.from_visitor("end") == ["hello", *theirs, "end"]


async def test_bridge_killed_while_messages_flow(make_scene: SceneFactory, database: str) -> None:
    async with make_scene(database=database) as scene:
        talk = await scene.talk()
        ours, theirs = numbered("to webchat", 40), numbered("to matrix", 40)

        async def kill() -> None:
            for count in (8, 16, 24):
                await talk.from_alice(ours[count])
                await scene.bridge.kill()
                await scene.bridge.start()

        await asyncio.gather(say(talk, *ours), answer(talk, *theirs), kill())

        assert await talk.from_alice(ours[-1]) == ours
        assert await talk.from_visitor(theirs[-1]) == ["hello", *theirs]
        await say(talk, "end")
        await answer(talk, "end")
        assert await talk.from_alice("end") == [*ours, "end"]
        assert await talk.from_visitor("end") == ["hello", *theirs, "end"]


async def test_synapse_ends_with_events_queued_behind_a_slow_answer(
    make_scene: SceneFactory, private_homeserver: Homeserver, database: str
) -> None:
    """Synapse forgets what it had queued in memory, and never sends it again: the bridge compares the room."""
    how = "kill" if database.startswith("sqlite") else "stop"
    synapse = private_homeserver.synapse
    async with make_scene(on=private_homeserver, database=database) as scene:
        talk = await scene.talk()
        await say(talk, "before")
        await talk.from_alice("before")
        queued = numbered("queued", 40)
        async with blocked(scene):
            await say(talk, *queued)
            await (synapse.stop() if how == "stop" else synapse.kill())
        await synapse.start()
        await say(talk, "after")

        assert await talk.from_alice("after") == ["before", *queued, "after"]
        await answer(talk, "and back")
        assert await talk.from_visitor("and back") == ["hello", "and back"]
        await say(talk, "end")
        assert await talk.from_alice("end") == ["before", *queued, "after", "end"]


async def test_synapse_down_while_the_network_talks(make_scene: SceneFactory, private_homeserver: Homeserver) -> None:
    synapse = private_homeserver.synapse
    async with make_scene(on=private_homeserver) as scene:
        talk = await scene.talk()
        theirs = numbered("to matrix", 20)
        await answer(talk, *theirs[:5])
        await synapse.kill()
        await answer(talk, *theirs[5:])
        await scene.until_logged("Cannot connect to host")
        await synapse.start()
        assert await talk.from_visitor(theirs[-1]) == ["hello", *theirs]
        await say(talk, "end")
        await answer(talk, "end")
        assert await talk.from_alice("end") == ["end"]
        assert await talk.from_visitor("end") == ["hello", *theirs, "end"]


async def test_postgres_restarted_while_messages_flow(
    make_scene: SceneFactory, private_postgres: PostgresServer
) -> None:
    dsn = await private_postgres.create_database()
    async with make_scene(database=dsn) as scene:
        talk = await scene.talk()
        ours, theirs = numbered("to webchat", 40), numbered("to matrix", 40)

        async def restart() -> None:
            modes: dict[int, Literal["fast", "immediate"]] = {5: "fast", 15: "immediate", 25: "fast"}
            for count, mode in modes.items():
                await talk.from_alice(ours[count])
                await private_postgres.restart(mode)

        await asyncio.gather(say(talk, *ours), answer(talk, *theirs), restart())

        assert await talk.from_alice(ours[-1]) == ours
        assert await talk.from_visitor(theirs[-1]) == ["hello", *theirs]
        await say(talk, "end")
        await answer(talk, "end")
        assert await talk.from_alice("end") == [*ours, "end"]
        assert await talk.from_visitor("end") == ["hello", *theirs, "end"]
        assert scene.bridge.running
