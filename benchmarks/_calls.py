"""The bridge of the calls' benchmark, as a process: ``python -m benchmarks._calls DIRECTORY HOMESERVER_URL``.

All of the product but the network: the client talks to the homeserver of the benchmark over loopback. The adapter says
on standard output when it was called (``CALL ns``), and yields an offer for each line of standard input; it says when
it did so in the same way. The moments are ns of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from benchmarks._bridge import serving
from benchmarks._messages import ROOMS, SERVER_NAME, USER
from bridgekit import adapter as bk
from bridgekit.model.ids import LegID, RoomID, UserID
from bridgekit.model.records import (
    Fact,
    Ghost,
    GhostSaved,
    LoginRecord,
    LoginSaved,
    MemberSaved,
    Membership,
    Portal,
    PortalLoginSaved,
    PortalSaved,
    PortalState,
)
from bridgekit.store.sqlite import SqliteStore

LOGIN = bk.LoginID("alice")
DEVICE = "BRIDGEKIT"


def chat(number: int) -> bk.PortalKey:
    return bk.PortalKey(bk.ChatID(f"chat-{number}"))


def friend(number: int) -> bk.RemoteUserID:
    return bk.RemoteUserID(f"friend{number}")


def ghost(number: int) -> UserID:
    return UserID(f"@bench_friend{number}:{SERVER_NAME}")


def say(call: str) -> None:
    print(call, time.monotonic_ns(), flush=True)


class CallingSession(bk.Session, bk.CanSend, bk.CanCall):
    """Takes everything at once."""

    dedupes_for = timedelta(days=1)

    def __init__(self) -> None:
        self.taken = 0
        self.coming: asyncio.Queue[bk.RemoteEvent] = asyncio.Queue()

    async def events(self, after: bk.Cursors) -> AsyncIterator[bk.RemoteEvent]:
        while True:
            event = await self.coming.get()
            if isinstance(event, bk.RemoteCallOffer):
                say(event.call)
            yield event

    async def send(self, message: bk.MatrixMessage) -> bk.Sent:
        self.taken += 1
        return bk.Sent((bk.RemoteMessageID(f"remote-{self.taken}"),))

    async def offer(self, offer: bk.MatrixCallOffer) -> None:
        say(offer.call)

    async def answer(self, answer: bk.MatrixCallAnswer) -> None:
        pass

    async def hang_up(self, hang_up: bk.MatrixCallHangUp) -> None:
        say(f"end-{hang_up.call}")


class CallingAdapter(bk.Adapter):
    """One network, one session."""

    network = bk.Network(id="bench", name="Bench")

    def __init__(self) -> None:
        super().__init__(None)
        self.session = CallingSession()

    async def login(self, prompt: bk.Prompt) -> bk.Login:
        raise NotImplementedError

    @asynccontextmanager
    async def connect(self, login: bk.Login) -> AsyncIterator[CallingSession]:
        yield self.session


async def prepare(path: Path) -> None:
    """Write one login, and for each room a portal with one other person, into a new database."""
    store = SqliteStore(path)
    await store.open()
    lease = await store.acquire_lease("prepare", now=0, ttl_ms=60_000)
    login = bk.Login(id=LOGIN, user=bk.RemoteUserID("alice"), name="Alice")
    facts: list[Fact] = [LoginSaved(LoginRecord(login=login, user_id=UserID(USER)))]
    for number, room in enumerate(ROOMS):
        key, where, user = chat(number), RoomID(room), ghost(number)
        portal = Portal(key=key, state=PortalState.READY, alias_localpart=f"bench_{number}", room=where, dm=True)
        facts += [PortalSaved(portal), PortalLoginSaved(key, LOGIN), MemberSaved(where, user, Membership.JOINED)]
        name = f"Friend {number}"
        facts.append(
            GhostSaved(Ghost(remote_id=friend(number), user_id=user, registered=True, device_id=DEVICE, name=name))
        )
    await store.record(facts, epoch=lease.epoch)
    await store.release_lease(lease)
    await store.close()


async def serve(directory: Path, url: str) -> None:
    path = directory / "bridge.db"
    await prepare(path)
    adapter = CallingAdapter()
    async with serving(adapter, SqliteStore(path), url=url) as port:
        print(port, flush=True)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            adapter.session.coming.put_nowait(event(*line.decode().rstrip("\n").split(" ", 2)))


def event(kind: str, id: str, rest: str) -> bk.RemoteEvent:
    """``ring CALL NUMBER SDP`` or ``say ID NUMBER TEXT``; line ends are written ``\\n``."""
    number, _, text = rest.partition(" ")
    common: dict[str, Any] = {"portal": chat(int(number)), "sender": friend(int(number))}
    now = int(time.time() * 1000)
    if kind == "say":
        return bk.RemoteMessage(id=bk.RemoteMessageID(id), timestamp=now, text=bk.Text(text), **common)
    sdp = text.replace("\\n", "\r\n")
    return bk.RemoteCallOffer(call=bk.CallID(id), timestamp=now, sdp=sdp, leg=LegID(""), **common)


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), sys.argv[2]))
