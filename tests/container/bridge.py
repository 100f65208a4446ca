"""The demo's bridge, run in a container instead of as a process of this machine."""

from __future__ import annotations

import itertools
import os
import secrets
from pathlib import Path
from typing import Any, Final

from bridgekit.testing.bridge import BridgeProcess
from tests.container.engine import IMAGE, Engine

__all__ = ["ContainerBridge"]

USER: Final = 1337
"""As in the Dockerfile."""

OPTIONS: Final = (
    "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp", "--memory", "256m",
)  # fmt: skip
"""As in docs/deploy/compose.yaml, with less memory."""


class ContainerBridge(BridgeProcess):
    """As docs/deploy/compose.yaml runs it: read-only root, no capabilities, `/data` mounted; on the host's network.

    ``podman run`` stays in the foreground, hands a SIGTERM on, and ends with the container's exit code.
    """

    _numbers = itertools.count(1)

    def __init__(self, engine: Engine, directory: Path, **options: Any) -> None:
        super().__init__(directory, environment=engine.environment, **options)
        self._engine: Final = engine
        self._prefix: Final = f"bridgekit-{secrets.token_hex(4)}"
        self.name = ""
        """Of the container started last."""

    def command(self, *arguments: str) -> list[str | Path]:
        """Without arguments the image's own: ``run -c /data/config.yaml``."""
        self.name = f"{self._prefix}-{next(self._numbers)}"
        return [
            "podman", "run", "--rm", "--name", self.name, "--pull", "never", "--network", "host", *OPTIONS,
            "--volume", f"{self.directory}:/data", "--env", f"BRIDGE_HEALTH={self.health_url}", IMAGE,
            *([*arguments, "--config", "/data/config.yaml"] if arguments else []),
        ]  # fmt: skip

    @property
    def health_url(self) -> str:
        """Where `/healthz` is asked for."""
        return f"http://127.0.0.1:{self.monitoring_port}/healthz"

    def write_files(self) -> None:
        super().write_files()
        for path in (self.directory, *self.directory.iterdir()):
            os.chown(path, USER, USER)

    async def kill(self) -> None:
        """SIGKILL to the bridge in the container. One to ``podman run`` would leave it running."""
        if self.running:
            await self._engine.run("podman", "kill", "--signal", "KILL", self.name)
        await super().stop()

    async def inner_pid(self) -> int:
        """The bridge's process, as this machine sees it."""
        return int(await self._engine.run("podman", "inspect", "--format", "{{.State.Pid}}", self.name))

    async def in_container(self, *command: str) -> str:
        """What a command in the running container says."""
        return await self._engine.run("podman", "exec", self.name, *command, fails=True)

    async def health(self) -> str:
        """`healthy`, or what the image's HEALTHCHECK says. Asked now: the timers of podman need systemd."""
        return await self._engine.run("podman", "healthcheck", "run", self.name, fails=True) or "healthy"
