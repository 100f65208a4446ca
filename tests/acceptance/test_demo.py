"""``make demo`` as a person has it: what it prints is true, it stops cleanly, and it goes on where it was."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from bridgekit.testing.client import MatrixClient
from example_bridge.webchat.client import WebchatClient

START_S = 120
STOP_S = 60

Start = Callable[..., Coroutine[Any, Any, "Demo"]]


class Demo:
    """A running ``python -m example_bridge.demo``."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.printed = ""

    async def until_ready(self) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            while "Ctrl-C" not in self.printed:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"it ended:\n{self.printed}"
                self.printed += line

    async def end(self, how: signal.Signals | None = None) -> int:
        """Its exit code, after a signal or by itself."""
        if how is not None:
            self.process.send_signal(how)
        async with asyncio.timeout(STOP_S if how else START_S):
            rest, _ = await self.process.communicate()
        self.printed += rest.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    def credential(self, name: str) -> str:
        found = re.search(rf"^ *{name} +(\S+)$", self.printed, re.MULTILINE)
        assert found, self.printed
        return found[1]

    @property
    def visitor_link(self) -> str:
        found = re.search(r"http://\S+#token=\S+", self.printed)
        assert found, self.printed
        return found[0]

    @property
    def page_link(self) -> str:
        """Of both sides next to each other: the first thing that it prints when it is ready."""
        found = re.search(r"http://\S+", self.printed)
        assert found, self.printed
        return found[0]

    def children(self) -> dict[int, str]:
        """pid -> command line."""
        return {
            int(path.parent.name): path.with_name("cmdline").read_text().replace("\0", " ")
            for path in Path("/proc").glob("[0-9]*/stat")
            if _parent(path) == self.process.pid
        }


def _parent(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended just now


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    started: list[Process] = []

    async def start_one(*options: str) -> Demo:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "example_bridge.demo", *options, cwd=tmp_path, stdout=PIPE, stderr=STDOUT
        )
        started.append(process)
        return Demo(process)

    yield start_one
    for process in started:
        if process.returncode is None:
            process.kill()  # the kernel takes its children along
            await process.communicate()


async def test_the_scripted_conversation(start: Start) -> None:
    demo = await start("--check")
    code = await demo.end()
    last = demo.printed.splitlines()[-1]
    assert re.fullmatch(r"[1-9][0-9]* passed, 0 failed", last), demo.printed
    assert code == 0
    assert len(re.findall(r" ok    ", demo.printed)) == int(last.split()[0])
    assert "FAIL" not in demo.printed


async def test_it_shows_a_bridge_and_goes_on_later(start: Start) -> None:
    demo = await start()
    await demo.until_ready()
    link = demo.visitor_link
    visitor = {key: value[0] for key, value in parse_qs(urlsplit(link).fragment).items()}
    async with aiohttp.ClientSession() as http:
        async with http.get(link) as page:
            assert page.status == 200 and "webchat" in await page.text()
        origin, _, key = demo.page_link.partition("/#key=")
        async with http.get(origin) as page:
            assert page.status == 200 and "bridgekit demo" in await page.text()
        async with http.get(f"{origin}/session", headers={"Authorization": f"Bearer {key}"}) as answer:
            session = await answer.json()
            assert session["webchat"]["link"] == link
            assert session["matrix"]["homeserver"] == demo.credential("homeserver")
        async with http.get(f"{demo.credential('homeserver')}/_matrix/client/versions") as answer:
            assert answer.status == 200
    webchat = link.partition("/#")[0]
    user, password = demo.credential("user"), demo.credential("password")
    alice = await MatrixClient.login(demo.credential("homeserver"), user, password)
    async with alice:
        rooms = set(await alice.joined_rooms())
        before = {room: await alice.texts(room) for room in rooms}
        assert ["Hello, is anybody there?", "Good day! I write from Matrix."] in before.values()
        children = demo.children()
        assert len(children) == 3
        assert await demo.end(signal.SIGINT) == 0
        assert demo.printed.splitlines()[-1] == "Everything is stopped."
        assert not [command for pid, command in children.items() if _exists(pid)]

        again = await start()
        await again.until_ready()
        assert again.visitor_link == link
        assert again.page_link == demo.page_link
        assert [again.credential(name) for name in ("user", "password")] == [user, password]
        assert {room: await alice.texts(room) for room in await alice.joined_rooms()} == before
        async with WebchatClient(webchat, visitor["token"]) as vera:
            assert (await vera.me()).name == "Vera"
            await vera.send(visitor["chat"], "still there?")
        event = await alice.wait_for(lambda event: event.body == "still there?")
        assert event.room_id in rooms
        # Nobody was logged in once more, which would have been said.
        assert {room: len(await alice.texts(room)) for room in await alice.joined_rooms()} == {
            room: len(texts) + (room == event.room_id) for room, texts in before.items()
        }

        another = await start()
        assert await another.end() == 1
        assert "running in .demo already" in another.printed and str(again.process.pid) in another.printed

        children = again.children()
        assert await again.end(signal.SIGTERM) == 0
        assert not [command for pid, command in children.items() if _exists(pid)]


async def test_a_part_that_dies_ends_it_in_words(start: Start) -> None:
    demo = await start()
    await demo.until_ready()
    children = demo.children()
    (bridge,) = [pid for pid, command in children.items() if "example_bridge run" in command]
    os.kill(bridge, signal.SIGKILL)
    assert await demo.end() == 1
    assert "The bridge has ended by itself. The end of .demo/bridge/bridge.log:" in demo.printed
    assert not [command for pid, command in children.items() if _exists(pid)]
