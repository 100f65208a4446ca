"""The modules without DOM, tested where they run without one: in Node."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from tests.conftest import missing
from tests.support.browser import find_node

FOLDER = Path(__file__).with_name("js")


async def test_pure_modules() -> None:
    node = find_node() or missing("Node.js (node)")
    tests = sorted(FOLDER.glob("*.test.mjs"))
    assert tests
    process = await asyncio.create_subprocess_exec(
        node, "--import", FOLDER / "hooks.mjs", "--test", *tests, cwd=FOLDER, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
