"""What the bridge adds to the signalling of a call: ``make bench BENCH=calls``.

A whole bridge (SQLite, synchronous=FULL) in a process of its own, between a homeserver and a network that answer at
once, over loopback. Two hops are measured, `CALLS` times each, each call in a room of its own turn:

* Matrix to network: from when the last byte of the transaction with the invite was sent, to when the adapter is called;
  the same for the hang-up;
* network to Matrix: from when the adapter yields the offer, to when the homeserver sees the request with the invite.

Both contain the bridge's commits to disk. Meanwhile people chat: one text in each direction every `CHAT_EVERY_S`
seconds, in transactions that take their turn with the calls', as with Synapse.

Nothing is judged here: the last line is JSON, whose keys `SUMMARY` explains.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from aiohttp import ClientSession, web

from benchmarks._calls import ghost
from benchmarks._disk import fdatasync_ms
from benchmarks._load import ROOT
from benchmarks._messages import BOT_LOCALPART, ROOMS, SERVER_NAME, TOKEN, USER
from bridgekit.core.call.route import matrix_id_for
from bridgekit.model.ids import CallID

CALLS = 300
PAUSE_S = 0.02
"""Between two calls."""

CHAT_EVERY_S = 0.05
TIMEOUT_S = 30.0

SUMMARY = {
    "hop_p95_ms": "the worse of the three 95th percentiles below",
    "matrix_to_remote_p50_ms": "last byte of the transaction with the invite sent, to the adapter called",
    "matrix_to_remote_p95_ms": "the 95th percentile of the same",
    "hangup_p95_ms": "the same for the hang-up",
    "remote_to_matrix_p50_ms": "offer yielded, to the request with the invite seen by the homeserver",
    "remote_to_matrix_p95_ms": "the 95th percentile of the same",
    "fdatasync_p50_ms": "of 4 KiB on this disk",
}

SDP = "\r\n".join(
    [
        "v=0",
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 50000 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
        "c=IN IP4 192.0.2.7",
        "a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host generation 0",
        "a=candidate:2 1 udp 1686052607 203.0.113.9 50001 typ srflx raddr 192.0.2.7 rport 50000 generation 0",
        "a=end-of-candidates",
        "a=ice-ufrag:Yfp2",
        "a=ice-pwd:k5Vd1sKcZ8Yh0dY4m0pXn3Qw",
        "a=fingerprint:sha-256 " + ":".join(["5A"] * 32),
        "a=setup:actpass",
        "a=mid:0",
        "a=sendrecv",
        "a=msid:stream track",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "",
    ]
)


class Homeserver:
    """Answers everything at once, and knows when it saw an invite."""

    def __init__(self) -> None:
        self.invites: dict[str, int] = {}
        self.changed = asyncio.Event()
        self._numbers = count(1)
        self.own: list[dict[str, Any]] = []

    async def start(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        seen, path = time.monotonic_ns(), request.path
        if "/send/" in path:
            content = await request.json()
            if "/m.call.invite/" in path:
                self.invites[content["call_id"]] = seen
                self.changed.set()
            event_id = f"$sent{next(self._numbers)}"
            if request.query.get("user_id") in (None, f"@{BOT_LOCALPART}:{SERVER_NAME}"):
                sender = f"@{BOT_LOCALPART}:{SERVER_NAME}"
                self.own.append(_event(path.split("/")[5], sender, path.split("/")[7], content, event_id))
            return web.json_response({"event_id": event_id})
        if request.method == "PUT" and "/state/" in path:
            return web.json_response({"event_id": f"$state{next(self._numbers)}"})
        if path.endswith("/messages"):
            return web.json_response({"chunk": [], "start": "s"})
        if "/directory/room/" in path:
            return web.json_response({"room_id": f"!canary:{SERVER_NAME}", "servers": []})
        if "/state/m.room.member/" in path:
            return web.json_response({"membership": "join"})
        return web.json_response({})


def _event(room: str, sender: str, type: str, content: dict[str, Any], event_id: str) -> dict[str, Any]:
    now = int(time.time() * 1000)
    return {
        "type": type,
        "room_id": room,
        "sender": sender,
        "content": content,
        "event_id": event_id,
        "origin_server_ts": now,
        "unsigned": {"age": 5},
    }


class Bridge:
    """The process, and one transaction at a time into it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, http: ClientSession) -> None:
        self._process = process
        self._url = f"http://127.0.0.1:{port}/_matrix/app/v1/transactions/"
        self._http = http
        self._lock = asyncio.Lock()
        self._numbers = count(1)
        self.said: dict[str, int] = {}
        self.changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            call, _, ns = line.decode().partition(" ")
            self.said[call] = int(ns)
            self.changed.set()

    async def push(self, *events: dict[str, Any]) -> int:
        """When the last byte of the transaction was sent (ns)."""
        async with self._lock:
            sent = 0

            async def body() -> Any:
                nonlocal sent
                yield json.dumps({"events": events}).encode()
                sent = time.monotonic_ns()

            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            url = f"{self._url}{next(self._numbers)}"
            async with self._http.put(url, data=body(), headers=headers) as response:
                response.raise_for_status()
            return sent

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), TIMEOUT_S)
        await self._reading


async def _seen(table: dict[str, int], key: str, changed: asyncio.Event) -> int:
    async with asyncio.timeout(TIMEOUT_S):
        while key not in table:
            changed.clear()
            await changed.wait()
    return table[key]


async def _chat(bridge: Bridge, homeserver: Homeserver) -> None:
    for number in count(1):
        while homeserver.own:
            await bridge.push(homeserver.own.pop(0))
        room = ROOMS[number % len(ROOMS)]
        content = {"msgtype": "m.text", "body": f"text {number}", "m.mentions": {}}
        await bridge.push(_event(room, USER, "m.room.message", content, f"$text{number}"))
        bridge.tell(f"say said{number} {number % len(ROOMS)} text {number}")
        await asyncio.sleep(CHAT_EVERY_S)


def _call_event(number: int, type: str, content: dict[str, Any]) -> dict[str, Any]:
    content = {"call_id": f"out{number}", "party_id": "PHONE", "version": "1", **content}
    return _event(ROOMS[number % len(ROOMS)], USER, type, content, f"${type}{number}")


async def measured(bridge: Bridge, homeserver: Homeserver) -> tuple[list[float], list[float], list[float]]:
    """The three hops, in ms."""
    out, ends, come = [], [], []
    written = SDP.replace("\r\n", "\\n")
    for number in range(CALLS):
        invite = {
            "invitee": ghost(number % len(ROOMS)),
            "lifetime": 90_000,
            "offer": {"type": "offer", "sdp": SDP},
        }
        sent = await bridge.push(_call_event(number, "m.call.invite", invite))
        out.append((await _seen(bridge.said, f"out{number}", bridge.changed) - sent) / 1e6)
        sent = await bridge.push(_call_event(number, "m.call.hangup", {"reason": "user_hangup"}))
        ends.append((await _seen(bridge.said, f"end-out{number}", bridge.changed) - sent) / 1e6)
        await asyncio.sleep(PAUSE_S)
        bridge.tell(f"ring in{number} {number % len(ROOMS)} {written}")
        yielded = await _seen(bridge.said, f"in{number}", bridge.changed)
        matrix_id = matrix_id_for(CallID(f"in{number}"))
        come.append((await _seen(homeserver.invites, matrix_id, homeserver.changed) - yielded) / 1e6)
        hangup = _call_event(number, "m.call.reject", {})
        hangup["content"]["call_id"] = matrix_id
        await bridge.push(hangup)
        await asyncio.sleep(PAUSE_S)
        if sys.stderr.isatty():
            print(f"\r{number + 1}/{CALLS}", end="", file=sys.stderr)
    return out, ends, come


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def main() -> None:
    """Measure and print."""
    # Beside the code, not in /tmp: that may be memory, and then nothing would be durable.
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as name:
        disk = fdatasync_ms(Path(name))
        homeserver = Homeserver()
        url = await homeserver.start()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks._calls",
            name,
            url,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with ClientSession() as http:
            bridge = Bridge(process, port, http)
            chatting = asyncio.create_task(_chat(bridge, homeserver))
            try:
                out, ends, come = await measured(bridge, homeserver)
            finally:
                chatting.cancel()
                await asyncio.gather(chatting, return_exceptions=True)
                await bridge.stop()
        await homeserver.stop()
    print(
        f"\n{CALLS} calls in each direction, while people chat.\n\n{'hop':<28}{'p50 ms':>8}{'p95 ms':>8}{'max ms':>8}"
    )
    hops = {"Matrix to network, invite": out, "Matrix to network, hang-up": ends, "network to Matrix": come}
    for hop, took in hops.items():
        print(f"{hop:<28}{median(took):>8.2f}{percentile(took, 0.95):>8.2f}{max(took):>8.2f}")
    worst = max(percentile(took, 0.95) for took in hops.values())
    values = {
        "hop_p95_ms": worst,
        "matrix_to_remote_p50_ms": median(out),
        "matrix_to_remote_p95_ms": percentile(out, 0.95),
        "hangup_p95_ms": percentile(ends, 0.95),
        "remote_to_matrix_p50_ms": median(come),
        "remote_to_matrix_p95_ms": percentile(come, 0.95),
        "fdatasync_p50_ms": median(disk),
    }
    assert values.keys() == SUMMARY.keys()
    print()
    for key, meaning in SUMMARY.items():
        print(f"{key}: {meaning}")
    print(json.dumps({key: round(value, 3) for key, value in values.items()}))


if __name__ == "__main__":
    uvloop.run(main())
