"""What the media benchmark measures: a real Synapse, two bridges, a client that uploads, and Alice, who reads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp
import msgspec

from benchmarks import _media_bridge, _media_first
from benchmarks._load import ROOT
from benchmarks._media_net import Network
from bridgekit.testing.bridge import BridgeProcess
from bridgekit.testing.client import MatrixApi
from bridgekit.testing.process import free_ports
from bridgekit.testing.synapse import MatrixUser, Synapse

T = TypeVar("T")

TIMEOUT_S = 900.0
"""For whatever is waited for; a loaded machine is slow, a broken measurement never ends."""

LOOK_S = 0.05
"""How often it is looked whether a file is whole on the homeserver's disk."""

OURS, FIRST = _media_bridge.CHAT, _media_first.CHAT


class Seen(NamedTuple):
    """A message as Alice's /sync brought it: when (seconds, monotonic), and as which one."""

    at: float
    place: int
    content: dict[str, Any]


class Reader:
    """Alice's device: one /sync after the other, and when each message came."""

    def __init__(self, api: MatrixApi) -> None:
        self._api = api
        self._since: str | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.seen: dict[tuple[str, str], Seen] = {}
        self.invited: list[str] = []

    async def _read(self) -> None:
        while True:
            answer = await self._api.sync(self._since, 30_000)
            now, self._since = time.monotonic(), answer["next_batch"]
            for room, joined in answer.get("rooms", {}).get("join", {}).items():
                for event in joined["timeline"]["events"]:
                    content = event["content"]
                    if event["type"] == "m.room.message" and "m.new_content" not in content:
                        # A network's text may be a caption; names of files are told apart by themselves.
                        name = content.get("filename") or content["body"]
                        self.seen.setdefault((room, name), Seen(now, len(self.seen), content))
            self.invited += [room for room in answer.get("rooms", {}).get("invite", {}) if room not in self.invited]
            self._changed.set()
            self._changed = asyncio.Event()

    async def until(self, found: Callable[[], T | None]) -> T:
        """What it returns, once that is something."""
        async with asyncio.timeout(TIMEOUT_S):
            while (result := found()) is None:
                assert self._task is not None
                if self._task.done():
                    self._task.result()
                changed = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait((changed, self._task), return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        return result

    async def message(self, room: str, name: str) -> Seen:
        """Wait for a message: its text, or its file's name."""
        return await self.until(lambda: self.seen.get((room, name)))

    async def invitation(self, known: set[str]) -> str:
        """Wait for an invitation to another room than those, and accept it."""
        room = await self.until(lambda: next((room for room in self.invited if room not in known), None))
        await self._api.join(room)
        return room

    async def __aenter__(self) -> Reader:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class Child:
    """One of the small programs: a line in, a line out. It ends when its input does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, module: str, *arguments: str) -> AsyncIterator[Child]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdin=pipe, stdout=pipe, cwd=ROOT
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def answer(self) -> str:
        assert self._process.stdout is not None
        line = (await asyncio.wait_for(self._process.stdout.readline(), TIMEOUT_S)).decode().strip()
        if not line:
            raise RuntimeError("a program of the benchmark has ended; see above")
        return line


class Memory:
    """The resident memory of a process, in MiB."""

    def __init__(self, pid: int) -> None:
        self._directory = Path(f"/proc/{pid}")

    def now(self) -> float:
        return self._status("VmRSS")

    def peak(self) -> float:
        """The most since `forget`."""
        return self._status("VmHWM")

    def forget(self) -> None:
        (self._directory / "clear_refs").write_text("5", encoding="ascii")  # proc(5): resets the peak

    def _status(self, name: str) -> float:
        found = re.search(
            rf"^{name}:\s+(\d+) kB$", (self._directory / "status").read_text(encoding="ascii"), re.MULTILINE
        )
        if found is None:
            raise RuntimeError(f"{self._directory}/status has no {name}")
        return int(found[1]) / 1024


class World:
    """Everything, started. `rooms`: of the two bridges, by chat."""

    def __init__(
        self, synapse: Synapse, network: Network, bridge: BridgeProcess, api: MatrixApi, alice: Reader, client: Child
    ) -> None:
        self.synapse = synapse
        self.network = network
        self.bridge = bridge
        self.api = api
        self.alice = alice
        self.client = client
        self.rooms: dict[str, str] = {}
        self.memory = Memory(bridge.pid)

    async def whole(self, uri: str, size: int) -> None:
        """Wait until the homeserver has all of a file."""
        media = uri.rpartition("/")[2]
        path = self.synapse.directory / "media" / "local_content" / media[:2] / media[2:4] / media[4:]
        async with asyncio.timeout(TIMEOUT_S):
            while not path.exists() or path.stat().st_size < size:  # noqa: ASYNC110 - a disk tells nobody
                await asyncio.sleep(LOOK_S)
        if path.stat().st_size != size:
            raise RuntimeError(f"a file of {size} bytes has become one of {path.stat().st_size}")

    async def settle(self) -> None:
        """Wait until the bridge has nothing more to carry; make room on the disk, and let it come to rest."""
        url = f"http://127.0.0.1:{self.bridge.monitoring_port}/metrics"
        async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as http:
            while True:
                async with http.get(url) as answer:
                    text = await answer.text()
                if "\nbridgekit_waiting_files 0.0\n" in text:
                    break
                await asyncio.sleep(LOOK_S)
        shutil.rmtree(self.synapse.directory / "media" / "local_content", ignore_errors=True)
        await asyncio.to_thread(os.sync)


def _registration(id: str, port: int) -> dict[str, Any]:
    return {
        "id": id,
        "url": f"http://127.0.0.1:{port}",
        "as_token": secrets.token_urlsafe(24),
        "hs_token": secrets.token_urlsafe(24),
        "sender_localpart": f"{id}bot",
        "rate_limited": False,
        "namespaces": {
            "users": [{"exclusive": True, "regex": f"^@{id}(_.*|bot):.*$"}],
            "aliases": [{"exclusive": True, "regex": f"^#{id}_.*:.*$"}],
            "rooms": [],
        },
        "receive_ephemeral": True,
        "org.matrix.msc3202": True,
        "io.element.msc4190": True,
    }


@contextlib.asynccontextmanager
async def world(directory: Path, largest: int) -> AsyncIterator[World]:
    """Start everything in this directory; files may have that many bytes."""
    ports = free_ports(2)
    ours, first = _registration("ours", ports[0]), _registration("first", ports[1])
    config = {"max_upload_size": str(largest + 2**20)}
    async with contextlib.AsyncExitStack() as stack:
        network = await stack.enter_async_context(Network())
        synapse = Synapse(directory / "synapse", registrations=[ours, first], config=config, log_level="WARNING")
        await stack.enter_async_context(synapse)
        user, stranger = await synapse.register_user("alice"), await synapse.register_user("stranger")
        api = await stack.enter_async_context(MatrixApi(user.url, user.user_id, user.access_token))
        alice = await stack.enter_async_context(Reader(api))
        bridge = BridgeProcess(
            directory / "bridge",
            homeserver_url=synapse.url,
            server_name=synapse.server_name,
            registration=ours,
            network={"url": network.url},
            ghost_prefix="ours_",
            module="benchmarks._media_bridge",
        )
        await stack.enter_async_context(bridge)
        client = await stack.enter_async_context(
            Child.running("benchmarks._media_upload", synapse.url, stranger.access_token)
        )
        made = World(synapse, network, bridge, api, alice, client)
        await _log_in(made, user)
        settings = _media_first.Settings(
            url=synapse.url,
            server_name=synapse.server_name,
            id="first",
            bot="firstbot",
            as_token=first["as_token"],
            hs_token=first["hs_token"],
            port=ports[1],
            network=network.url,
            ghost=synapse.mxid("first_friend"),
            invite=user.user_id,
            state=str(directory / "mx-state.json"),
        )
        path = directory / "first.json"
        path.write_bytes(msgspec.json.encode(settings))
        other = await stack.enter_async_context(Child.running("benchmarks._media_first", str(path)))
        made.rooms[FIRST] = await other.answer()
        await api.join(made.rooms[FIRST])
        yield made


async def _log_in(made: World, user: MatrixUser) -> None:
    """Alice logs in at the bridge, and is in the portal of its chat."""
    bot = made.synapse.mxid("oursbot")
    management = await made.api.create_room(invite=[bot], is_direct=True)
    await made.alice.until(lambda: next((True for room, _ in made.alice.seen if room == management), None))
    await made.api.send_text(management, "login")
    made.network.say(OURS, "hello")
    made.rooms[OURS] = await made.alice.invitation({management})
    await made.alice.message(made.rooms[OURS], "hello")
