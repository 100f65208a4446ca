"""One Chromium with a made-up camera and microphone, and devices of Matrix users in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from playwright.async_api import Browser

from bridgekit.testing.synapse import MatrixUser
from tests.conftest import missing
from tests.support.browser import find_chromium, launched
from tests.support.device import Device, open_device

NewDevice = Callable[[MatrixUser], Coroutine[Any, Any, Device]]
"""`await new_device(user)`: a page that is logged in as this user's device."""


@pytest.fixture(scope="session")
async def calling_browser() -> AsyncIterator[Browser]:
    """A browser whose pages may use camera and microphone, which are made up."""
    async with launched(find_chromium() or missing("Chromium"), camera=True) as running:
        yield running


@pytest.fixture
async def new_device(calling_browser: Browser) -> AsyncIterator[NewDevice]:
    async with contextlib.AsyncExitStack() as stack:

        async def make(user: MatrixUser) -> Device:
            return await stack.enter_async_context(open_device(calling_browser, user))

        yield make
