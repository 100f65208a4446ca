"""The processes of the demo: homeserver, network and bridge, started, watched and stopped together."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import yaml

from bridgekit.testing.bridge import BridgeError, BridgeProcess
from bridgekit.testing.process import end, free_ports, spawn, tail
from bridgekit.testing.synapse import Synapse
from example_bridge.demo.page import origin
from example_bridge.demo.telling import DemoError, Teller, shown
from example_bridge.webchat.client import WebchatClient, WebchatError

__all__ = ["SERVER_NAME", "Parts", "only_one"]

T = TypeVar("T")

SERVER_NAME: Final = "demo.localhost"
_START_WITHIN_S: Final = 60.0


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold the lock file for this process. Raises `DemoError` if another one holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(file, 20, 0).decode().strip() or "unknown"
            raise DemoError(
                f"It is running in {shown(lock.parent.absolute())} already, as process {pid}. "
                f"Stop that one first: Ctrl-C where it runs, or kill {pid}"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)  # gives the lock back; the file stays, for deleting it would let two in


class WebchatProcess:
    """``python -m example_bridge.webchat.server`` in `directory`."""

    def __init__(self, directory: Path, port: int, *, framed_by: str | None = None) -> None:
        self.log: Final = directory / "webchat.log"
        self.url: Final = f"http://127.0.0.1:{port}"
        self._directory: Final = directory
        self._port: Final = port
        self._framed_by: Final = framed_by
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start, and return once it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        options = ["--db", str(self._directory / "webchat.db"), "--port", str(self._port)]
        options += ["--framed-by", self._framed_by] if self._framed_by else []
        self._process = await spawn([sys.executable, "-m", "example_bridge.webchat.server", *options], log=self.log)
        try:
            async with asyncio.timeout(_START_WITHIN_S), WebchatClient(self.url) as nobody:
                while self.running:
                    try:
                        await nobody.info()
                    except WebchatError:
                        await asyncio.sleep(0.02)
                    else:
                        return
        except TimeoutError:
            raise DemoError(f"The webchat network does not answer. The end of its log:\n{tail(self.log)}") from None
        raise DemoError(f"The webchat network ended while starting. The end of its log:\n{tail(self.log)}")

    async def stop(self) -> None:
        """End it in good order. Harmless when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            await end(process, signal.SIGTERM)


class Parts:
    """All processes. A port that is 0: choose one. Leaving the context stops whatever runs. `make_bridge` takes what
    `BridgeProcess` takes.

    Ports are those of the last time, unless a stranger has taken one meanwhile.
    """

    def __init__(
        self,
        directory: Path,
        teller: Teller,
        *,
        webchat_port: int = 0,
        page_port: int = 0,
        make_bridge: Callable[..., BridgeProcess] = BridgeProcess,
    ) -> None:
        self.directory: Final = directory.absolute()
        self._teller: Final = teller
        self._make_bridge: Final = make_bridge
        self._registration_file: Final = self.directory / "bridge" / "registration.yaml"
        self.webchat_port: Final = _port(webchat_port)
        self.page_port: Final = _port(page_port)
        """For the page that shows both sides; nothing listens there yet."""
        self.webchat: Final = WebchatProcess(
            self.directory / "webchat", self.webchat_port, framed_by=origin(self.page_port)
        )
        self.synapse: Final = Synapse(self.directory / "synapse", server_name=SERVER_NAME)
        self._bridge: BridgeProcess | None = None
        self._up: dict[str, tuple[Callable[[], bool], Path]] = {}

    @property
    def bot(self) -> str:
        """The bridge bot's user id."""
        return self.synapse.mxid("webchatbot")

    @property
    def bridge(self) -> BridgeProcess:
        if self._bridge is None:
            raise RuntimeError("start the parts first")
        return self._bridge

    def ghost(self, account: str) -> str:
        """The user id of a webchat account's ghost; for plain lower-case ids."""
        return self.synapse.mxid(f"webchat_{account}")

    async def start(self) -> None:
        """Start everything, in the order in which one needs the other."""
        self._bridge = self._set_up(await self._registration())
        self.synapse.registrations = [self._registration_file]
        self._teller.step("starting the webchat network")
        await self.webchat.start()
        self._up["the webchat network"] = (lambda: self.webchat.running, self.webchat.log)
        self._teller.step("starting Synapse, the homeserver")
        await self.synapse.start()
        self._up["Synapse"] = (lambda: self.synapse.running, self.synapse.log)
        self._teller.step("starting the bridge")
        await self.start_bridge()

    async def start_bridge(self) -> None:
        await self.bridge.start()
        self._up["the bridge"] = (lambda: self.bridge.running, self.bridge.log)

    async def stop_bridge(self) -> int:
        """SIGTERM; the exit code."""
        self._up.pop("the bridge", None)
        return await self.bridge.stop()

    async def kill_bridge(self) -> None:
        """SIGKILL."""
        self._up.pop("the bridge", None)
        await self.bridge.kill()

    async def while_all_run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, watching the processes. Raises `DemoError` if one ends that should not."""
        working, watching = asyncio.create_task(work), asyncio.create_task(self._until_one_ends())
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            return working.result()
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def _until_one_ends(self) -> None:
        while True:
            for name, (runs, log) in self._up.items():
                if not runs():
                    raise DemoError(
                        f"{name[0].upper()}{name[1:]} has ended by itself. The end of {shown(log)}:\n{tail(log)}"
                    )
            await asyncio.sleep(0.2)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._up.clear()
        try:
            if self._bridge is not None:
                await self._bridge.stop()  # first: it finishes what it has begun with both others
        finally:
            await asyncio.gather(self.webchat.stop(), self.synapse.stop())

    # --- the bridge's files -----------------------------------------------------------------------------------------
    async def _registration(self) -> dict[str, Any]:
        """The registration, made the first time by the bridge's own command."""
        if not self._registration_file.exists():
            self._teller.step("writing the bridge's configuration and registration")
            url = f"http://127.0.0.1:{_port(0)}"
            bridge = self._set_up({"url": url})
            if await bridge.call("register", "--force", "--url", url):
                raise BridgeError(f"the registration could not be made:\n{tail(bridge.log)}")
        registration: dict[str, Any] = yaml.safe_load(self._registration_file.read_text(encoding="utf-8"))
        port = int(str(registration["url"]).rpartition(":")[2])
        registration["url"] = f"http://127.0.0.1:{_port(port)}"
        return registration

    def _set_up(self, registration: dict[str, Any]) -> BridgeProcess:
        bridge = self._make_bridge(
            self.directory / "bridge",
            homeserver_url=self.synapse.url,
            server_name=SERVER_NAME,
            registration=registration,
            network={"url": self.webchat.url},
            # Whoever has an account on the demo's homeserver may log in; Alice may see everything.
            more={"permissions": {"*": "relay", SERVER_NAME: "user", self.synapse.mxid("alice"): "admin"}},
        )
        bridge.write_files()  # the homeserver reads the registration before the bridge starts
        return bridge


def _port(wanted: int) -> int:
    """`wanted` if nothing listens there, else another one."""
    if wanted:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: connections of the last run that are still fading away do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                pass
            else:
                return wanted
    return free_ports(1)[0]
