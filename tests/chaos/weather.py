"""The network's bad days: files that trickle, stand still or break off on their way, in both directions."""

from __future__ import annotations

import asyncio
from random import Random

from example_bridge.webchat.client import WebchatClient
from tests.chaos.files import KIB, MIB


async def rage(client: WebchatClient, random: Random) -> None:
    """One fault after the other, until cancelled; then none is left. What stands still goes on after a few seconds."""
    try:
        while True:
            act, first = random.choice(("upload", "download")), random.randint(0, random.choice((64 * KIB, MIB)))
            match random.choice(("trickle", "stall", "break", "lie", "fair")):
                case "trickle":
                    speed = random.randint(512 * KIB, 2 * MIB)
                    await client.set_fault("trickle", act=act, count=random.randint(1, 3), bytes_per_s=speed)
                case "stall":
                    await client.set_fault("stall", act=act, count=1, after_bytes=first)
                case "break":
                    await client.set_fault("break", act=act, count=random.randint(1, 2), after_bytes=first)
                case "lie":
                    await client.set_fault("lie", act=act, count=1, by=random.randint(1, 10))
            await asyncio.sleep(random.uniform(0.5, 3.0))  # noqa: TID251 - weather
            await client.clear_faults()
    finally:
        await client.clear_faults()
