"""What a running bridge tells about itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from bridgekit.testing.bridge import BridgeProcess

Series = dict[str, float]
"""``name{label="value",...}`` -> number, labels in alphabetical order."""


async def get(bridge: BridgeProcess, path: str) -> tuple[int, str]:
    """Status and body."""
    url = f"http://127.0.0.1:{bridge.monitoring_port}{path}"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status, await response.text()


async def readiness(bridge: BridgeProcess) -> tuple[int, dict[str, Any]]:
    """Status and body of ``/readyz``."""
    status, body = await get(bridge, "/readyz")
    return status, msgspec.json.decode(body, type=dict[str, Any])


async def scrape(bridge: BridgeProcess) -> Series:
    """Every number of ``/metrics``, in the order of the answer."""
    status, body = await get(bridge, "/metrics")
    assert status == 200
    found: Series = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def until_ready(bridge: BridgeProcess, status: int = 200, *, timeout_s: float = 60.0) -> dict[str, Any]:
    """The body of ``/readyz`` as soon as it answers with this status."""
    found: tuple[int, dict[str, Any]] = (0, {})
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                found = await readiness(bridge)
                if found[0] == status:
                    return found[1]
                # It tells nobody that it changes.
                await asyncio.sleep(0.05)  # noqa: TID251
    except TimeoutError:
        raise TimeoutError(f"/readyz does not answer {status}, but {found}") from None


async def until_scraped(bridge: BridgeProcess, fits: Callable[[Series], bool], *, timeout_s: float = 60.0) -> Series:
    """The first scrape that fits."""
    found: Series = {}
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                found = await scrape(bridge)
                if fits(found):
                    return found
                # As above.
                await asyncio.sleep(0.05)  # noqa: TID251
    except TimeoutError:
        raise TimeoutError(f"no scrape fits; the last one: {found}") from None
