"""The webchat network as a process of its own, and people in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from bridgekit.testing.process import end, free_ports
from example_bridge.webchat.client import Credentials, WebchatClient


class WebchatServer:
    """``python -m example_bridge.webchat.server``, on the same port over restarts."""

    def __init__(
        self,
        directory: Path,
        *,
        dedupe: bool = True,
        max_upload_size: int | None = None,
        ice_servers: Path | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._db = directory / "webchat.db"
        (self._port,) = free_ports(1)
        self._more = [] if dedupe else ["--no-dedupe"]
        if max_upload_size is not None:
            self._more += ["--max-upload-size", str(max_upload_size)]
        if ice_servers is not None:
            self._more += ["--ice-servers", str(ice_servers)]
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        command = [sys.executable, "-m", "example_bridge.webchat.server", "--db", str(self._db), "--faults"]
        command += ["--port", str(self._port), *self._more]
        self._process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert json.loads(line)["url"] == self.url

    async def stop(self) -> None:
        if self._process is not None:
            await end(self._process, signal.SIGTERM)
            self._process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def account(self, name: str, kind: str = "visitor", *, id: str | None = None) -> Credentials:
        """A new account."""
        async with WebchatClient(self.url) as client:
            return await client.create_account(name, "agent" if kind == "agent" else "visitor", id=id)

    def client(self, account: Credentials) -> contextlib.AbstractAsyncContextManager[WebchatClient]:
        """Speak as an account."""
        return WebchatClient(self.url, account.token)
