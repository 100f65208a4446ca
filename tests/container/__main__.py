"""``python -m tests.container [--check]``: build the image; with ``--check`` hold the demo's conversation through it.

In ``.container/`` of the current directory. The homeserver and the webchat network run on this machine, the bridge in
the container: read-only root, an ordinary user, no capabilities.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import shutil
import sys
import time
from pathlib import Path
from typing import Final

from bridgekit.config import DeliveryConfig
from bridgekit.testing.bridge import BridgeError
from bridgekit.testing.synapse import SynapseError
from example_bridge.demo.check import converse
from example_bridge.demo.parts import Parts, only_one
from example_bridge.demo.telling import DemoError, Teller
from tests.container.bridge import USER, ContainerBridge
from tests.container.engine import IMAGE, SLIM, ContainerError, Engine

MB: Final = 1_000_000
DRAIN_S: Final = DeliveryConfig().drain_s


async def build(engine: Engine, teller: Teller) -> None:
    teller.step(f"base images: {await engine.base_images()}")
    await engine.build(Path.cwd())
    whole, base = await engine.size(IMAGE), await engine.size(SLIM)
    teller.step(f"built {IMAGE}: {whole / MB:.0f} MB, of it {(whole - base) / MB:.0f} MB over its base image")


async def check(engine: Engine, teller: Teller) -> int:
    """The conversation, then the container's own promises; how many of all failed."""
    directory = engine.directory / "check"
    shutil.rmtree(directory, ignore_errors=True)
    make = functools.partial(ContainerBridge, engine)
    async with Parts(directory, teller, make_bridge=make) as parts:

        async def work() -> tuple[int, int]:
            await parts.start()
            return await converse(parts, teller)

        passed, failed = await parts.while_all_run(work())
        bridge = parts.bridge
        assert isinstance(bridge, ContainerBridge)
        for name, good, seen in await promises(bridge, parts):
            passed, failed = passed + good, failed + (not good)
            teller.step(f"{'ok   ' if good else 'FAIL '} {name}: {seen}")
    teller.say(f"{passed} passed, {failed} failed")
    return failed


async def promises(bridge: ContainerBridge, parts: Parts) -> list[tuple[str, bool, str]]:
    """Each with whether it is kept, and what was seen. Stops the bridge."""
    status = Path(f"/proc/{await bridge.inner_pid()}/status").read_text(encoding="ascii")
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    user, capabilities = fields["Uid"][0], fields["CapEff"][0]
    written = await bridge.in_container("touch", "/opt/bridge/x")
    health = await bridge.health()
    doctor = await bridge.in_container("python", "-m", "example_bridge", "check", "--config", "/data/config.yaml")
    began = time.monotonic()
    code = await parts.stop_bridge()
    stopped = time.monotonic()
    await parts.start_bridge()
    up_s = time.monotonic() - stopped
    return [
        ("it runs as an ordinary user", user == str(USER), f"user {user}"),
        ("it has no capabilities", int(capabilities, 16) == 0, f"CapEff {capabilities}"),
        ("its root is read-only", "Read-only file system" in written, written),
        ("its health check", health == "healthy", health),
        ("the doctor finds no failure in there", " 0 failed" in doctor, doctor.splitlines()[-1]),
        ("SIGTERM ends it, with code 0, within its drain", code == 0 and stopped - began < DRAIN_S, f"code {code}"),
        ("times, to look at", True, f"{stopped - began:.1f} s to stop, {up_s:.1f} s to listen again"),
        ("resident memory, to look at", True, f"{int(fields['VmRSS'][0]) * 1024 / MB:.0f} MB"),
    ]


async def run(options: argparse.Namespace, teller: Teller) -> int:
    engine = Engine(Path.cwd() / ".container")
    await build(engine, teller)
    return 1 if options.check and await check(engine, teller) else 0


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.container", description=__doc__)
    parser.add_argument("--check", action="store_true", help="and hold the demo's conversation through it")
    options = parser.parse_args()
    teller = Teller()
    try:
        with only_one(Path.cwd() / ".container" / "lock"):
            return asyncio.run(run(options, teller))
    except (ContainerError, DemoError, SynapseError, BridgeError) as error:
        teller.complain(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
