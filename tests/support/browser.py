"""The machine's own Chromium, driven by Playwright; and Playwright's own Node. Nothing more is downloaded."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

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


@contextlib.asynccontextmanager
async def launched(chromium: Path) -> AsyncIterator[Browser]:
    """A headless browser, ended with the block."""
    async with async_playwright() as driver:
        browser = await _launch(driver, chromium)
        try:
            yield browser
        finally:
            await browser.close()


async def _launch(driver: Playwright, chromium: Path) -> Browser:
    # Chromium's sandbox refuses to be started by root. /dev/shm is small in containers.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    # Whoever records speaks into a device that beeps, and is not asked.
    arguments += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    return await driver.chromium.launch(executable_path=chromium, args=arguments)
