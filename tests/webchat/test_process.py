"""The server as its own process: what it prints, how it ends, what a kill leaves, how fast it is."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from example_bridge.webchat.client import MessageEvent, WebchatClient, WebchatError
from tests.webchat.conftest import Join
from tests.webchat.helpers import DEADLINE, watching

Spawn = Callable[..., Awaitable[tuple[Process, str]]]


@pytest.fixture
async def spawn(tmp_path: Path) -> AsyncIterator[Spawn]:
    running: list[Process] = []

    async def spawn_one(*options: str) -> tuple[Process, str]:
        arguments = ["-m", "example_bridge.webchat.server", "--db", str(tmp_path / "webchat.db"), *options]
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE)
        running.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await process.stdout.readline()
        return process, json.loads(line)["url"]

    yield spawn_one
    for process in running:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_cleanly(spawn: Spawn, join: Join, number: signal.Signals) -> None:
    process, url = await spawn("--no-dedupe", "--max-text-length", "7")
    ann = await join(url, "ann")
    info = await ann.info()
    assert (info.dedupe_seconds, info.max_text_length) == (0, 7)
    async with watching(ann) as watcher:
        process.send_signal(number)
        await watcher.until_ended()
    async with asyncio.timeout(DEADLINE):
        assert await process.wait() == 0


async def test_a_kill_loses_nothing_that_was_answered(spawn: Spawn, join: Join) -> None:
    process, url = await spawn("--faults")
    ann = await join(url, "ann")
    chat = (await ann.create_chat("group", id="c")).id
    answered: dict[str, int] = {}

    async def talk(name: int) -> None:
        for number in range(1000):
            text = f"{name} {number}"
            answered[text] = (await ann.send(chat, text, nonce=text)).seq
            if len(answered) == 200:
                process.kill()

    async with watching(ann):
        async with asyncio.timeout(DEADLINE):
            ends = await asyncio.gather(*(talk(name) for name in range(8)), return_exceptions=True)
    assert all(isinstance(end, WebchatError) for end in ends)
    await process.wait()
    _, url = await spawn()
    async with WebchatClient(url, ann.token) as again:
        kept = {e.message.text: e.seq async for e in again.history(chat) if isinstance(e, MessageEvent)}
        assert answered.items() <= kept.items()
        text = max(kept, key=lambda text: kept[text])
        assert (await again.send(chat, text, nonce=text)).seq == kept[text]


async def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    arguments = ["-m", "example_bridge.webchat.server", "--db", str(tmp_path / "no" / "such" / "webchat.db")]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert b"cannot run on" in err and b"Traceback" not in err


async def test_several_hundred_sends_a_second(spawn: Spawn, join: Join) -> None:
    _, url = await spawn()
    ann = await join(url, "ann")
    chat = (await ann.create_chat("group")).id
    async with watching(ann) as watcher:
        before = time.monotonic()
        for turn in range(4):
            await asyncio.gather(*(ann.send(chat, "x", nonce=f"{turn} {n}") for n in range(250)))
        await watcher.until_messages(1000)
        assert time.monotonic() - before < 5  # at least 200 a second, on a machine that does much else
