"""Terminals in which a guide's reader starts programs, types, and reads what comes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["Terminal", "pattern"]

PATIENCE_S: Final = 60.0
"""Seconds that a line may take to appear: on a busy machine, Synapse's first start."""


def pattern(line: str) -> re.Pattern[str]:
    """A printed line as a guide shows it: … stands for anything."""
    return re.compile(".*".join(map(re.escape, line.strip().split("…"))))


class Terminal:
    """One terminal; one program at a time runs in it."""

    def __init__(self, cwd: Path, env: Mapping[str, str]) -> None:
        self._cwd: Final = cwd
        self._env: Final = env
        self._process: asyncio.subprocess.Process | None = None
        self.screen: Final[list[str]] = []
        """Every line that has appeared."""
        self._place = 0  # of the first line that nobody has waited for

    async def _start(self, command: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "bash", "-c", f"exec {command}", cwd=self._cwd, env=self._env, stdin=PIPE, stdout=PIPE, stderr=STDOUT,
            start_new_session=True,
        )  # fmt: skip

    async def type(self, line: str) -> None:
        """Type a line: to the program that runs, or it is one's start. `Ctrl-C` and `Ctrl-D` end the program."""
        process = self._process
        if process is None:
            await self._start(line)
            return
        assert process.stdin is not None
        match line:
            case "Ctrl-C":
                process.send_signal(signal.SIGINT)
                await self._until_ended(process)
            case "Ctrl-D":
                process.stdin.close()
                await self._until_ended(process)
            case _:
                process.stdin.write(line.encode() + b"\n")
                await process.stdin.drain()

    async def wait_for(self, line: str) -> str:
        """Wait until a line like this has appeared, below those that were waited for before."""
        wanted = pattern(line)
        assert self._process is not None and self._process.stdout is not None, f"nothing runs that could say {line!r}"
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    for place, shown in enumerate(self.screen[self._place :], self._place + 1):
                        if wanted.fullmatch(shown):
                            self._place = place
                            return shown
                    if not (read := await self._process.stdout.readline()):
                        break
                    self.screen.append(read.decode().strip())
        except TimeoutError:
            pass
        raise AssertionError("\n".join([f"{line!r} did not appear below line {self._place} of:", *self.screen]))

    async def _until_ended(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(PATIENCE_S):
            out, _ = await process.communicate()
        self.screen.extend(line.strip() for line in out.decode().splitlines())
        self._process = None
        assert process.returncode == 0, "\n".join([f"it ended with code {process.returncode}:", *self.screen])

    async def close(self) -> None:
        """End what still runs, children included."""
        process, self._process = self._process, None
        if process is not None:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass  # it has ended by itself
            await process.communicate()
