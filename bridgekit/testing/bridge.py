"""A bridge as the admin runs it: a process of its own, with a configuration file and a registration."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from bridgekit.testing.process import end, free_ports, spawn, tail

__all__ = ["BridgeError", "BridgeProcess"]


class BridgeError(Exception):
    """The bridge did not start; the end of its log is in the message."""


class BridgeProcess:
    """``python -m <module> run`` with a generated configuration, in `directory`.

    `registration` is the mapping that the homeserver has too; its `url` says where to listen. `network` is the
    adapter's part of the configuration, `more` is merged over the rest. `environment` is added to ours.
    """

    def __init__(
        self,
        directory: Path,
        *,
        homeserver_url: str,
        server_name: str,
        registration: Mapping[str, Any],
        network: Mapping[str, Any],
        ghost_prefix: str = "",
        database: str = "sqlite:bridge.db",
        module: str = "example_bridge",
        more: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        self.directory = directory
        self.log = directory / "bridge.log"
        self._registration = registration
        self._module = module
        self._environment = dict(environment or {})
        self._start_timeout_s = start_timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self.port = int(str(registration["url"]).rpartition(":")[2])
        (self.monitoring_port,) = free_ports(1)
        """Where `/healthz`, `/readyz` and `/metrics` are served."""
        self.config: dict[str, Any] = {
            "homeserver": {"url": homeserver_url, "server_name": server_name},
            "appservice": {
                "registration": "registration.yaml",
                "port": self.port,
                "ghost_prefix": ghost_prefix,
                "alias_prefix": ghost_prefix,
            },
            "monitoring": {"port": self.monitoring_port},
            "database": database,
            "network": dict(network),
            **(more or {}),
        }

    @property
    def pid(self) -> int:
        """The running process."""
        if self._process is None:
            raise BridgeError("the bridge is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    def command(self, *arguments: str) -> list[str | Path]:
        """The bridge's command line with these arguments; without any what `start` runs."""
        return [sys.executable, "-m", self._module, *(arguments or ["run"]), "--config", self.directory / "config.yaml"]

    async def call(self, *arguments: str) -> int:
        """Run another command of the bridge to its end: the exit code. What it prints goes to the log."""
        self.write_files()
        process = await spawn(self.command(*arguments), log=self.log, env={**os.environ, **self._environment})
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await end(process, signal.SIGKILL)
            raise

    def write_files(self) -> None:
        """Write the configuration and the registration."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "config.yaml").write_text(yaml.safe_dump(self.config), encoding="utf-8")
        (self.directory / "registration.yaml").write_text(yaml.safe_dump(dict(self._registration)), encoding="utf-8")

    async def start(self, *, environment: Mapping[str, str] | None = None) -> None:
        """Start the process and wait until it listens. Raises `BridgeError` if it does not."""
        await self.launch(environment=environment)
        await self.until_listening()

    async def launch(
        self, *, environment: Mapping[str, str] | None = None, prefix: list[str | Path] | None = None
    ) -> None:
        """Start the process and return at once. `prefix` is put before the command (``strace ...``)."""
        self.write_files()
        env = {**os.environ, **self._environment, **(environment or {})}
        self._process = await spawn([*(prefix or []), *self.command()], log=self.log, env=env)

    async def until_listening(self) -> None:
        """Wait until the port is open. Raises `BridgeError` if the process ends, or takes too long."""
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline:
            if self._process is None or self._process.returncode is not None:
                raise BridgeError(f"the bridge ended:\n{tail(self.log)}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
        raise BridgeError(f"the bridge does not listen:\n{tail(self.log)}")

    async def stop(self, *, patience_s: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        return await self._end(signal.SIGTERM, patience_s)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL, 10.0)

    async def wait(self) -> int:
        """Wait until it ends by itself, and the exit code."""
        if self._process is None:
            raise BridgeError("the bridge is not running")
        return await self._process.wait()

    async def _end(self, how: signal.Signals, patience_s: float) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        return await end(process, how, patience_s=patience_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
