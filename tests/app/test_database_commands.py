"""``dead`` and ``status``: what they say about a database, and what they do to it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridgekit.cli import status
from bridgekit.config import Config, load
from bridgekit.model.entry import RETRIED_BESIDE, WORKING_SINCE, Append, Direction, NewDeadLetter, NewEntry
from bridgekit.model.ids import ChatID, DedupeKey, EventID, LaneKey, LoginID, PortalKey, RemoteUserID, UserID
from bridgekit.model.records import LoginRecord, LoginSaved, LoginState, MediaJob, MediaJobSaved, ValueSaved
from bridgekit.model.remote import Login
from bridgekit.ports import Store
from bridgekit.store.sqlite import SqliteStore
from tests.app.toy import GOOD, Cli, ToyAdapter, written

NOW = time.time_ns() // 1_000_000
HOUR = 3_600_000
BODY = b'{"type": "m.room.message", "content": {"body": "the plan"}}'


def letter(dedupe: str, **more: Any) -> NewDeadLetter:
    values: dict[str, Any] = {
        "lane": LaneKey("m:!room:hs.test"),
        "direction": Direction.MATRIX,
        "kind": "m.room.message",
        "payload": BODY,
        "received_at": NOW - 2 * HOUR,
        "code": "rejected",
        "reason": "too\x1b[31m long",
        "dedupe": DedupeKey(dedupe),
        "event_id": EventID(f"${dedupe}"),
    }
    return NewDeadLetter(**{**values, **more})


def database(directory: Path, work: Callable[[Store, int], Awaitable[None]], *, stays: bool = False) -> None:
    """Do this with the bridge's database, as the bridge. `stays`: it is killed instead of stopped."""

    async def run() -> None:
        store = SqliteStore(directory / "bridge.db")
        await store.open()
        try:
            lease = await store.acquire_lease("elsewhere/1/2/3", now=NOW, ttl_ms=HOUR)
            await work(store, lease.epoch)
            if not stays:
                await store.release_lease(lease)
        finally:
            await store.close()

    asyncio.run(run())


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose database holds three dead letters; the last one could not be read."""

    async def work(store: Store, epoch: int) -> None:
        letters = (
            letter("1"),
            letter("2", direction=Direction.REMOTE, lane=LaneKey("r:\x1fparty"), kind="message"),
            letter("3", lane=None, payload=b"\xff{"),
        )
        await store.append(Append(dead=letters), epoch=epoch)

    database(tmp_path, work)
    return written(tmp_path, GOOD + "monitoring: {enabled: false}\n")


# --- dead ---------------------------------------------------------------------------------------------------------
def test_the_list(cli: Cli, config: Path) -> None:
    said = cli("dead", "list", "-c", config)
    assert said.code == 0
    assert said.out.splitlines()[0].split() == ["ID", "AGE", "FROM", "KIND", "CODE", "REASON"]
    assert len(said.out.splitlines()) == 4
    # What others wrote does not steer the terminal, and what people said is not shown.
    assert "too [31m long" in said.out
    assert "the plan" not in said.out
    assert "--after 1" in cli("dead", "list", "-c", config, "--limit", "1").out
    letters = json.loads(cli("dead", "list", "-c", config, "--json", "--direction", "remote").out)
    assert [(one["id"], one["room"], one["kind"]) for one in letters] == [(2, None, "message")]
    assert "payload" not in letters[0]


def test_one_letter(cli: Cli, config: Path) -> None:
    said = cli("dead", "show", "1", "-c", config).out
    assert "room !room:hs.test" in said
    assert "2 h ago" in said
    assert "the plan" not in said
    assert "the plan" in cli("dead", "show", "1", "-c", config, "--content").out
    assert json.loads(cli("dead", "show", "1", "-c", config, "--json", "--content").out)["content"] == json.loads(BODY)
    assert "chat party" in cli("dead", "show", "2", "-c", config).out
    assert r"\xff{" in cli("dead", "show", "3", "-c", config, "--content").out


def test_retry_puts_them_back_and_tells_the_bridge(cli: Cli, config: Path, tmp_path: Path) -> None:
    said = cli("dead", "retry", "1", "2", "-c", config)
    assert (said.code, said.out) == (0, "2 dead letters will be tried again.\n")

    async def work(store: Store, epoch: int) -> None:
        (entry,) = await store.peek(LaneKey("m:!room:hs.test"))
        assert (entry.event_id, entry.payload) == ("$1", BODY)
        assert entry.received_at >= NOW
        assert await store.value(RETRIED_BESIDE) == "2"

    database(tmp_path, work)
    # What could not be read cannot be tried: it stays.
    said = cli("dead", "retry", "--all", "-c", config)
    assert (said.code, said.out) == (1, "Nothing will be tried again.\n")
    assert "3. Drop them." in said.err


def test_drop(cli: Cli, config: Path) -> None:
    assert json.loads(cli("dead", "drop", "2", "2", "--json", "-c", config).out) == {"dropped": [2]}
    assert cli("dead", "drop", "--all", "-c", config).out == "2 dead letters dropped.\n"
    assert cli("dead", "list", "-c", config).out == "There are no dead letters.\n"
    assert cli("dead", "drop", "--all", "-c", config).code == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("retry", "1", "7", "8"), "there is no dead letter 7, 8"),
        (("drop", "1", "7"), "there is no dead letter 7"),
        (("show", "7"), "there is no dead letter 7"),
        (("retry",), "there must be ids, or --all"),
        (("drop", "1", "--all"), "there must be ids, or --all"),
    ],
)
def test_ids_that_are_not_there_change_nothing(cli: Cli, config: Path, args: tuple[str, ...], words: str) -> None:
    said = cli("dead", *args, "-c", config)
    assert said.code == 2
    assert words in said.err
    assert len(json.loads(cli("dead", "list", "--json", "-c", config).out)) == 3


# --- status -------------------------------------------------------------------------------------------------------
async def _busy(store: Store, epoch: int) -> None:
    record = LoginRecord(
        login=Login(id=LoginID("1"), user=RemoteUserID("me"), name="Work", secrets={"token": "hunter2"}),
        user_id=UserID("@me:hs.test"),
        state=LoginState.BAD_CREDENTIALS,
    )
    waiting = NewEntry(
        lane=LaneKey("m:!room:hs.test"),
        dedupe=DedupeKey("9"),
        direction=Direction.MATRIX,
        kind="m.room.message",
        payload=BODY,
        received_at=NOW - 3 * 60_000,
    )
    file = MediaJob(
        id="file",
        direction=Direction.REMOTE,
        portal=PortalKey(ChatID("chat")),
        message="m",
        login=record.login.id,
        payload=b"",
        created_at=NOW - 5 * 60_000,
    )
    facts = (LoginSaved(record), ValueSaved(WORKING_SINCE, f"{epoch} {NOW - 2 * HOUR}"), MediaJobSaved(file))
    await store.append(Append(entries=(waiting,), facts=facts), epoch=epoch)


def test_status_of_a_bridge_that_rests(cli: Cli, config: Path) -> None:
    found = json.loads(cli("status", "--json", "-c", config).out)
    assert found["process"] == {"working": False, "since": None, "owner": None}
    assert (found["dead_letters"], found["portals"], found["bridge"]) == (3, 0, None)
    assert "none works on this database" in cli("status", "-c", config).out


async def _answers_ready(_: Config) -> dict[str, Any]:
    return {"ready": True}


def test_status_does_not_take_another_bridge_for_this_one(
    cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two on one machine with the same monitoring port: the one that could not start must not look well."""
    monkeypatch.setattr(status, "from_bridge", _answers_ready)
    assert json.loads(cli("status", "--json", "-c", config).out)["bridge"] is None
    assert "only a running bridge knows" in cli("status", "-c", config).out


def test_status_of_a_bridge_at_work(cli: Cli, config: Path, tmp_path: Path) -> None:
    database(tmp_path, _busy, stays=True)
    found = json.loads(cli("status", "--json", "-c", config).out)
    assert found["process"] == {"working": True, "since": NOW - 2 * HOUR, "owner": "elsewhere/1/2/3"}
    assert found["waiting"]["matrix"] == {"count": 1, "oldest": NOW - 3 * 60_000}
    assert found["waiting"]["remote"] == {"count": 0, "oldest": None}
    assert found["files"] == {"count": 1, "oldest": NOW - 5 * 60_000}
    said = cli("status", "-c", config)
    assert said.code == 0
    # At least: the run may have begun a while ago.
    assert re.search(r"\((2|3) h\)", said.out)
    waits = re.search(r"1 waiting, the oldest for (\d+) min", said.out)
    assert waits is not None and int(waits[1]) >= 3
    assert "@me:hs.test" in said.out
    assert "bad_credentials" in said.out
    assert "hunter2" not in said.out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"ready": True}, "reached both ways"),
        ({"ready": False, "homeserver": {"reason": "it is away"}}, "not ready: it is away"),
        ({"ready": False}, "not ready: still starting"),
        ({"hello": "world"}, "unknown"),
        (["ready"], "unknown"),
    ],
)
async def test_the_word_of_the_running_bridge(tmp_path: Path, answer: object, words: str) -> None:
    async def readyz(_: web.Request) -> web.Response:
        ready = isinstance(answer, dict) and answer.get("ready")
        return web.json_response(answer, status=200 if ready else 503)

    server = web.Application()
    server.router.add_get("/readyz", readyz)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        config, _ = load(written(tmp_path, GOOD + f"monitoring: {{port: {port}}}\n"), ToyAdapter)
        bridge = await status.from_bridge(config)
    finally:
        await runner.cleanup()
    store = SqliteStore(tmp_path / "bridge.db")
    await store.open()
    found = {**await status.from_database(store, now=NOW), "bridge": bridge}
    await store.close()
    assert words in status.in_words(found)
