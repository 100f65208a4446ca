"""``python -m example_bridge.demo [--check]``: runs in ``.demo/`` of the current directory."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import aiohttp

from bridgekit.testing.bridge import BridgeError
from bridgekit.testing.client import MatrixClientError
from bridgekit.testing.synapse import SynapseError
from example_bridge.demo.check import converse
from example_bridge.demo.parts import Parts, only_one
from example_bridge.demo.scene import begin, forget_unfinished, kept_in, links, page_of
from example_bridge.demo.telling import DemoError, Teller, shown
from example_bridge.webchat.client import WebchatError

INTERRUPTED: Final = 130


async def demo(directory: Path, teller: Teller) -> int:
    """Start everything, say where it is, and stay."""
    kept = kept_in(directory)
    if kept is not None:
        teller.say(f"Going on in {shown(directory)}.")
    elif forget_unfinished(directory):
        teller.say(f"What is in {shown(directory)} is unfinished, or of an older version: beginning anew.")
    else:
        teller.say(f"Beginning in {shown(directory)}.")
    webchat_port, page_port = (kept.webchat_port, kept.page_port) if kept else (0, 0)
    async with Parts(directory, teller, webchat_port=webchat_port, page_port=page_port) as parts:

        async def work() -> int:
            await parts.start()
            there = kept or await begin(parts, teller)
            async with page_of(parts, there) as page:
                teller.step("ready")
                teller.say(links(parts, there, page))
                await asyncio.Event().wait()
            return 0

        return await parts.while_all_run(work())


async def check(directory: Path, teller: Teller) -> int:
    """The scripted conversation, in a directory made anew."""
    shutil.rmtree(directory, ignore_errors=True)
    teller.say(f"Checking in {shown(directory)}.")
    async with Parts(directory, teller) as parts:

        async def work() -> tuple[int, int]:
            await parts.start()
            return await converse(parts, teller)

        passed, failed = await parts.while_all_run(work())
    teller.say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


async def until_stopped(work: Coroutine[Any, Any, int], teller: Teller, *, stopped_code: int) -> int:
    """The work's exit code; a SIGINT or SIGTERM ends it in good order."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        teller.say("\nStopping everything ...")
        working.cancel()
        await asyncio.wait((working,))
        if working.cancelled():
            teller.say("Everything is stopped.")
            return stopped_code
    try:
        return working.result()
    except (DemoError, SynapseError, BridgeError, WebchatError, MatrixClientError) as error:
        teller.complain(f"\n{error}\n\nThe rest has been stopped.")
    except (TimeoutError, aiohttp.ClientError) as error:
        teller.complain(f"\nThe demo waited in vain: {error}\n\nEverything has been stopped.")
    return 1


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m example_bridge.demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="a scripted conversation instead, then exit")
    options = parser.parse_args()
    teller = Teller()
    directory = Path.cwd() / ".demo"
    try:
        if options.check:
            with only_one(directory / "check.lock"):
                return asyncio.run(until_stopped(check(directory / "check", teller), teller, stopped_code=INTERRUPTED))
        with only_one(directory / "lock"):
            return asyncio.run(until_stopped(demo(directory, teller), teller, stopped_code=0))
    except DemoError as error:
        teller.complain(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
