"""The command line beside a running bridge: its database, its dead letters, its own word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from example_bridge.webchat.client import WebchatClient
from tests.support.scene import Scene, Talk
from tests.support.webchat import WebchatServer


@pytest.fixture
async def faults(webchat: WebchatServer) -> AsyncIterator[WebchatClient]:
    """For `set_fault(mode, account=...)`; all are cleared afterwards."""
    async with WebchatClient(webchat.url) as client:
        yield client
        await client.clear_faults()


async def command(scene: Scene, *arguments: str) -> Any:
    """Run a command of the bridge to its end; the JSON that it prints."""
    process = await asyncio.create_subprocess_exec(
        *scene.bridge.command(*arguments, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_a_dead_letter_is_found_and_tried_again_while_the_bridge_runs(
    shared: Scene, talk: Talk, faults: WebchatClient
) -> None:
    await faults.set_fault("refuse", account=talk.agent.id, code="forbidden", count=1)
    refused = await talk.alice.send_text(talk.room, "refused")
    await talk.alice.send_text(talk.room, "taken")
    assert await talk.from_alice("taken") == ["taken"]
    await talk.from_bot("Your message was not sent")
    letters = [one for one in await command(shared, "dead", "list") if one["event_id"] == refused]
    assert [(one["direction"], one["room"], one["kind"]) for one in letters] == [
        ("matrix", talk.room, "m.room.message")
    ]
    number = str(letters[0]["id"])
    assert "refused" in json.dumps((await command(shared, "dead", "show", number, "--content"))["content"])
    assert await command(shared, "dead", "retry", number) == {"retried": [int(number)], "left": []}
    assert await talk.from_alice("refused") == ["taken", "refused"]


async def test_the_status_of_a_running_bridge(shared: Scene, talk: Talk) -> None:
    found = await command(shared, "status")
    assert found["process"]["working"]
    assert found["process"]["since"] <= found["now"]
    assert talk.alice.user_id in [one["user_id"] for one in found["logins"]]
    assert found["portals"] >= 1
    assert found["bridge"]["started"]
