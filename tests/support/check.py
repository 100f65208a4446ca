"""The command `check`, run on files that are right until a test changes them, and what it said."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from click.testing import CliRunner

from bridgekit.cli import command_line
from bridgekit.testing.bridge import BridgeProcess
from example_bridge.webchat.adapter import WebchatAdapter
from tests.support.homeserver import AppserviceSlot

__all__ = ["Files", "Said", "check_as_process", "said", "serving"]


class Said(msgspec.Struct, frozen=True):
    """What `check` said, and its exit code."""

    code: int
    text: str

    def outcomes(self) -> dict[str, str]:
        """The check's name -> its label."""
        lines = [line.split() for line in self.text.splitlines() if line[:4] in ("ok  ", "warn", "FAIL", "skip")]
        return {words[1]: words[0] for words in lines}

    def lines(self, name: str) -> str:
        """What was said of one check: its line, and those below that belong to it."""
        found = re.search(rf"^.{{4}} {name} .*\n(?:       .*\n)*", self.text, re.MULTILINE)
        return found[0] if found else ""

    def expect(self, name: str, what: str, *, where: str = "", fix: str, label: str = "FAIL") -> None:
        """Assert that exactly this was said of the check."""
        assert self.lines(name) == said(name, what, where=where, fix=fix, label=label)

    def named(self, label: str) -> list[str]:
        return [name for name, found in self.outcomes().items() if found == label]


def said(name: str, what: str, *, where: str = "", fix: str, label: str = "FAIL") -> str:
    """The lines of one finding."""
    place = f"       where: {where}\n" if where else ""
    return f"{label} {name:14}  {what}\n{place}       fix: {fix}\n"


async def check_as_process(bridge: BridgeProcess) -> Said:
    """Run the command as a process of its own, with the bridge's files written anew."""
    before = bridge.log.stat().st_size if bridge.log.exists() else 0
    code = await bridge.call("check")
    return Said(code, bridge.log.read_bytes()[before:].decode())


class Files:
    """The configuration and the registration of a bridge on a slot, right until a test changes them."""

    def __init__(self, slot: AppserviceSlot, directory: Path) -> None:
        self.slot: Final = slot
        self.registration: dict[str, Any] = json.loads(json.dumps(slot.registration))
        self.bridge: Final = BridgeProcess(
            directory,
            homeserver_url=slot.homeserver_url,
            server_name=slot.server_name,
            registration=self.registration,
            network={"url": "http://127.0.0.1:9"},
            ghost_prefix=slot.prefix,
        )
        self.config: Final = self.bridge.config
        self.file: Final = str(directory.resolve() / "registration.yaml")

    async def check(self, *options: str) -> Said:
        """Run the command in this process, with its files written anew."""
        self.bridge.write_files()
        for name in ("config.yaml", "registration.yaml"):
            (self.bridge.directory / name).chmod(0o600)
        return await self.check_as_it_is(*options)

    async def check_as_it_is(self, *options: str) -> Said:
        """The same with the files as the test left them."""
        arguments = ["check", "--config", str(self.bridge.directory / "config.yaml"), *options]

        def run() -> Said:
            result = CliRunner().invoke(command_line(WebchatAdapter), arguments, standalone_mode=False)
            if result.exception is not None:
                raise result.exception
            return Said(int(result.return_value), result.output)

        # The command has an event loop of its own.
        return await asyncio.to_thread(run)


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], *, port: int = 0
) -> AsyncIterator[str]:
    """A web server that answers everything in this way."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
