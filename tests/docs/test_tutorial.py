"""docs/tutorial.md, followed to the letter, with a real homeserver; only the ports are others."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from bridgekit.testing.process import free_ports
from tests.docs.edits import edit, edited
from tests.docs.guide import Block, blocks, run_sh
from tests.docs.terminal import Terminal, pattern

ROOT: Final = Path(__file__).parents[2]
GUIDE: Final = ROOT / "docs" / "tutorial.md"
FINISHED: Final = ROOT / "docs" / "tutorial" / "linechat_bridge.py"

CODE: Final = ("python", "yaml", "ini")
PORTS: Final = ("7000", "8008", "29328", "29329")


class Reader:
    """Somebody with four terminals who does what the page says."""

    def __init__(self, directory: Path) -> None:
        directory.joinpath("bridgekit").symlink_to(ROOT)
        self.directory: Final = directory / "linechat-bridge"
        self.directory.mkdir()
        self._ports: Final = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self._env: Final[Mapping[str, str]] = {**os.environ, "PATH": path}
        self._terminals: Final = {name: Terminal(self.directory, self._env) for name in ("1", "2", "3")}
        self._printed: list[str] = []

    async def do(self, block: Block) -> None:
        """One block of the page."""
        text = self._here(block.text)
        if block.language in CODE:
            edit(self.directory, self._here(block.lead), text)
        elif block.language == "text" and (terminal := re.fullmatch(r"Terminal (\d), .*:", block.lead)):
            await self._talk(self._terminals[terminal[1]], text)
        elif block.language == "text":
            self._compare(text)
        elif block.language == "sh":
            text = f"if ({text}); then exit 99; fi" if block.mark == "fails" else text
            self._printed = (await run_sh(text, cwd=self.directory, env=self._env)).splitlines()
        else:
            assert block.language == "console", f"what is to be done with {block}?"

    def screens(self) -> list[list[str]]:
        """What appeared in each terminal."""
        return [terminal.screen for terminal in self._terminals.values()]

    async def close(self) -> None:
        for terminal in self._terminals.values():
            await terminal.close()

    def _here(self, text: str) -> str:
        text = text.replace("bridge.py init", "bridge.py init --set monitoring.port=29329")
        for printed, real in self._ports.items():
            text = text.replace(printed, real)
        return text

    async def _talk(self, terminal: Terminal, text: str) -> None:
        for line in text.splitlines():
            if line.startswith("> "):
                await terminal.type(line.removeprefix("> "))
            else:
                await terminal.wait_for(line)

    def _compare(self, text: str) -> None:
        left = iter(self._printed)
        for line in text.splitlines():
            wanted = pattern(line)
            shown = "\n".join(self._printed)
            assert any(wanted.fullmatch(one.strip()) for one in left), f"{line!r} is not, in its place, in:\n{shown}"


async def test_the_tutorial(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        for block in blocks(GUIDE):
            await reader.do(block)
    finally:
        await reader.close()
    for screen in reader.screens():
        messages = [line for line in screen if line.startswith("[")]
        assert len(messages) == len(set(messages)), "a message came twice:\n" + "\n".join(screen)


def test_the_bridge_on_the_page_is_the_one_to_download() -> None:
    source = ""
    for block in blocks(GUIDE):
        if f"`{FINISHED.name}`" in block.lead:
            source = edited(source, block.lead, block.text)
    assert source == FINISHED.read_text()


@pytest.mark.parametrize(
    "lead, expected",
    [
        ("In `a.py`, replace the line `x = 1` by:", "NEW\n\n\nclass A:\n    def b(self): ...\n"),
        ("In `a.py`, replace `A.b`:", "x = 1\n\n\nclass A:\nNEW\n"),
        ("In `a.py`, replace `A`:", "x = 1\n\n\nNEW\n"),
        ("In `a.py`, add to `A`:", "x = 1\n\n\nclass A:\n    def b(self): ...\n\nNEW\n"),
        ("In `a.py`, add before `A`:", "x = 1\n\n\nNEW\n\n\nclass A:\n    def b(self): ...\n"),
        ("Now add to the end of `a.py`:", "x = 1\n\n\nclass A:\n    def b(self): ...\nNEW\n"),
    ],
)
def test_what_a_line_above_a_block_means(lead: str, expected: str) -> None:
    assert edited("x = 1\n\n\nclass A:\n    def b(self): ...\n", lead, "NEW\n") == expected


def test_other_words_above_a_block_are_a_mistake_of_the_page() -> None:
    with pytest.raises(LookupError, match="perhaps"):
        edited("", "You could perhaps say:", "NEW\n")
