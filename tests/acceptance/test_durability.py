"""A 200 for a transaction means disk: seen from outside of the process."""

from __future__ import annotations

import asyncio
import re
import select
import socket
from pathlib import Path

import aiohttp
import msgspec

from tests.acceptance.conftest import SceneFactory
from tests.support.blocked import blocked
from tests.support.scene import Scene, Talk, until_written


def request(scene: Scene, talk: Talk, txn_id: str, body: str) -> bytes:
    """A transaction with one event, as bytes for a socket."""
    content = msgspec.json.encode({"events": [talk.made_up(body)]})
    head = (
        f"PUT /_matrix/app/v1/transactions/{txn_id} HTTP/1.1\r\nHost: 127.0.0.1:{scene.bridge.port}\r\n"
        f"Authorization: Bearer {scene.slot.hs_token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def ping(scene: Scene) -> None:
    """A round trip on a connection of its own: the server reads and answers."""
    url = f"http://127.0.0.1:{scene.bridge.port}/_matrix/app/v1/ping"
    headers = {"Authorization": f"Bearer {scene.slot.hs_token}"}
    async with aiohttp.ClientSession() as http, http.post(url, json={}, headers=headers) as response:
        assert response.status == 200


def readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


async def test_no_byte_of_the_answer_before_the_commit(make_scene: SceneFactory, database: str) -> None:
    loop = asyncio.get_running_loop()
    async with make_scene(database=database) as scene:
        talk = await scene.talk()
        connection = socket.create_connection(("127.0.0.1", scene.bridge.port))
        connection.setblocking(False)
        with connection:
            async with blocked(scene):
                await loop.sock_sendall(connection, request(scene, talk, "held", "durable"))
                for _ in range(20):
                    await ping(scene)
                    assert not readable(connection)
            async with asyncio.timeout(20):
                answer = await loop.sock_recv(connection, 65_536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert await talk.from_alice("durable") == ["durable"]


async def test_fdatasync_before_the_200(make_scene: SceneFactory, strace: Path) -> None:
    """The kernel's own view: request read, log written, log synced, answer written."""
    scene = make_scene()
    scene.directory.mkdir()
    trace = scene.directory / "trace"
    calls = "trace=read,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,fdatasync,fsync"
    await scene.bridge.launch(prefix=[strace, "-D", "-f", "-y", "-s", "8192", "-o", trace, "-e", calls])
    await scene.bridge.until_listening()
    async with scene:
        talk = await scene.talk()
        for number in range(5):
            assert await scene.push(f"traced-{number}", [talk.made_up(f"durable {number}")]) == 200
        assert await talk.from_alice("durable 4") == [f"durable {number}" for number in range(5)]
        pid = scene.bridge.pid
        assert await scene.bridge.stop() == 0
    await until_written(trace, "exited with 0", timeout_s=20)
    lines = [line for line in trace.read_text(errors="replace").split("\n") if line.strip()]
    assert any(line.startswith(str(pid)) for line in lines)

    for number in range(5):
        asked = first(lines, rf"PUT /_matrix/app/v1/transactions/traced-{number} ")
        answered = first(lines, rf"{re.escape(descriptor(lines, asked))}, .*HTTP/1\.1 200", after=asked)
        written = first(lines, rf"pwrite64\(.*bridge\.db-wal.*durable {number}", after=asked)
        synced = first(lines, r"f(data)?sync\(.*bridge\.db-wal", after=written)
        if "unfinished" in lines[synced]:
            thread = lines[synced].split()[0]
            synced = first(lines, rf"^{thread} +<\.\.\. f(data)?sync resumed", after=synced)
        assert lines[synced].endswith("= 0")
        assert asked < written < synced < answered, "\n".join(line[:200] for line in lines[asked : answered + 1])


def first(lines: list[str], pattern: str, *, after: int = -1) -> int:
    """The index of the first line behind `after` that the pattern is found in."""
    return next(index for index in range(after + 1, len(lines)) if re.search(pattern, lines[index]))


def descriptor(lines: list[str], index: int) -> str:
    """The descriptor that a call is about, like ``24<socket:[5]>``; of a call whose end this is, by its begin."""
    thread = lines[index].split()[0]
    while True:
        found = re.match(rf"{thread} +\w+\((\d+<[^>]*>)", lines[index])
        if found is not None:
            return found[1]
        index -= 1
