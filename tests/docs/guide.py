"""Reading a guide in docs/ as a person does: heading by heading, block by block, command by command."""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Block", "blocks", "run_sh"]

_BLOCK: Final = re.compile(r"^(#+) ([^\n]+)$|^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: the heading it stands below, its language, the word after that (or ""), its text, and the line
    that stands above it (or "")."""

    heading: str
    language: str
    mark: str
    text: str
    lead: str


def blocks(guide: Path, *headings: str) -> list[Block]:
    """The blocks below these headings, in the guide's order; of the whole guide if none is named."""
    found: list[Block] = []
    seen: set[str] = set()
    heading = ""
    text = guide.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        if match[2]:
            heading = match[2]
            seen.add(heading)
        elif not headings or heading in headings:
            found.append(Block(heading, match[3], match[4] or "", match[5], _line_above(text, match.start())))
    if missing := set(headings) - seen:
        raise LookupError(f"{guide.name} has no heading {', '.join(sorted(missing))}")
    return found


def _line_above(text: str, place: int) -> str:
    return text[:place].rstrip().rpartition("\n")[2].strip()


async def run_sh(text: str, *, cwd: Path, env: Mapping[str, str]) -> str:
    """What a block of commands prints. Fails as soon as one of them does, with all that was printed."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", text, cwd=cwd, env=env, stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, f"{text}\nended with code {process.returncode}:\n{output}"
    return output
