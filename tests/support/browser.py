"""The machine's own Chromium, driven by Playwright; and Playwright's own Node. Nothing more is downloaded."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import playwright
from playwright.async_api import Browser, Playwright, async_playwright

__all__ = ["find_chromium", "find_node", "launched"]


def find_chromium() -> Path | None:
    """The machine's Chromium; None if there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return Path(found) if found else None


def find_node() -> Path | None:
    """The Node.js inside Playwright's driver, else the machine's; None if there is none."""
    inside = Path(playwright.__file__).with_name("driver") / "node"
    found = str(inside) if inside.exists() else shutil.which("node")
    return Path(found) if found else None


_CAMERA: Final = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=LocalNetworkAccessChecks",  # a page that a test serves has no address, and would be a stranger
    "--allow-loopback-in-peer-connection",  # two pages reach each other on a machine without a network, too
]


@contextlib.asynccontextmanager
async def launched(chromium: Path, *, camera: bool = False) -> AsyncIterator[Browser]:
    """A headless browser, ended with the block. `camera`: it has made-up ones, and every page may use them."""
    async with async_playwright() as driver:
        browser = await _launch(driver, chromium, _CAMERA if camera else [])
        try:
            yield browser
        finally:
            await browser.close()


async def _launch(driver: Playwright, chromium: Path, more: list[str]) -> Browser:
    # Chromium's sandbox refuses to be started by root. /dev/shm is small in containers.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else []), *more]
    return await driver.chromium.launch(executable_path=chromium, args=arguments)
