"""Two processes on one database: one works, the other waits or says who works."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Literal

import pytest

from bridgekit.errors import LeaseHeld
from bridgekit.testing.bridge import BridgeProcess
from bridgekit.testing.process import spawn
from tests.acceptance.conftest import SceneFactory
from tests.support.scene import Scene, until_logged
from tests.support.world import bridge_for, texts


def beside(scene: Scene, directory: Path) -> BridgeProcess:
    """A second bridge with its own files and the same database."""
    scheme, _, rest = scene.database.partition(":")
    database = f"sqlite://{(scene.directory / rest).resolve()}" if scheme == "sqlite" else scene.database
    return bridge_for(scene.slot, scene.webchat, directory, database=database)


async def test_the_second_says_who_works(make_scene: SceneFactory, database: str, tmp_path: Path) -> None:
    async with make_scene(database=database) as scene:
        second = beside(scene, tmp_path / "second")
        second.write_files()
        process = await spawn([*second.command(), "--no-wait"], log=second.log)

        assert await process.wait() == 1
        words = second.log.read_text()
        assert "this database is in use by" in words
        assert re.search(rf"/{scene.bridge.pid}/", words)
        assert "Stop that process, or give this bridge a database of its own" in words
        assert "Traceback" not in words


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_the_second_waits_and_takes_over(
    make_scene: SceneFactory, database: str, tmp_path: Path, how: Literal["killed", "stopped"]
) -> None:
    async with make_scene(database=database) as scene:
        talk = await scene.talk()
        second = beside(scene, tmp_path / "second")
        await second.launch()
        try:
            waiting = await until_logged(second, "waiting until it ends")
            assert f"/{scene.bridge.pid}/" in waiting
            await (scene.bridge.kill() if how == "killed" else scene.bridge.stop())
            for text in ("1", "2"):
                await talk.alice.send_text(talk.room, text)
            await talk.visitor.send(talk.chat, "anybody?")
            gone = time.monotonic()
            await second.until_listening()
            assert time.monotonic() - gone < 10  # the lease would last 15 s

            assert await talk.from_alice("2") == ["1", "2"]
            assert await talk.from_visitor("anybody?") == ["hello", "anybody?"]
            assert await second.stop() == 0
        finally:
            await second.kill()


async def test_who_lost_the_lease_sends_nothing_more(make_scene: SceneFactory, database: str) -> None:
    async with make_scene(database=database) as scene:
        talk = await scene.talk()
        async with scene.store() as store:
            now = time.time_ns() // 1_000_000
            with pytest.raises(LeaseHeld) as held:
                await store.acquire_lease("thief", now=now, ttl_ms=600_000)
            stolen = await store.acquire_lease("thief", now=now, ttl_ms=600_000, replacing=held.value.epoch)
            assert stolen.epoch > held.value.epoch
            for text in ("1", "2", "3"):
                await talk.alice.send_text(talk.room, text)
            await talk.visitor.send(talk.chat, "anybody?")

            assert await scene.bridge.wait() == 1
            assert "another process has taken over this database; this one sends nothing more" in scene.log()
            assert await talk.alice.texts(talk.room, talk.ghost) == ["hello"]
            assert await texts(talk.visitor, talk.chat) == ["hello", "anybody?"]
            await store.release_lease(stolen)
        await scene.bridge.start()
        assert await talk.from_alice("3") == ["1", "2", "3"]
        assert await talk.from_visitor("anybody?") == ["hello", "anybody?"]
