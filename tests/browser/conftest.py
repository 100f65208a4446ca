"""One Chromium for the run, pages that must not complain, and what they look at: a webchat, and the whole demo."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.browser.look import Look
from tests.browser.people import DemoScene, Person, in_directory
from tests.conftest import missing
from tests.support.browser import find_chromium, launched
from tests.support.webchat import WebchatServer

OpenPage = Callable[..., Coroutine[Any, Any, Page]]
"""`await open_page(url, width=360, dark=True)`; `excused` is a pattern of complaints that the test provokes."""

NewPerson = Callable[..., Coroutine[Any, Any, Person]]

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with launched(find_chromium() or missing("Chromium"), camera=True) as running:  # voice messages are recorded
        yield running


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Every page has a browser profile of its own. What it writes to its console as an error fails the test."""
    opened: list[Any] = []
    complaints: list[str] = []

    async def open_one(
        url: str,
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
        excused: str = "$^",
        beside: Page | None = None,
    ) -> Page:
        if beside is not None:
            context = beside.context
        else:
            scheme: Any = "dark" if dark else "light"
            context = await browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB", timezone_id="UTC"
            )
            context.set_default_timeout(20_000)
            opened.append(context)
        page = await context.new_page()

        def heard(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not re.search(excused, message.text):
                complaints.append(f"{message.type}: {message.text} ({message.location})")

        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
        await page.goto(url)
        return page

    yield open_one
    for context in opened:
        await context.close()
    assert complaints == []


@pytest.fixture(scope="session")
async def webchat(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebchatServer]:
    """The webchat that these tests share; faults must be for one account."""
    async with WebchatServer(tmp_path_factory.mktemp("webchat")) as server:
        yield server


@pytest.fixture
async def private_webchat(tmp_path: Path) -> AsyncIterator[WebchatServer]:
    """A webchat of this test alone, to stop at will."""
    async with WebchatServer(tmp_path / "webchat") as server:
        yield server


@pytest.fixture
async def new_person(webchat: WebchatServer) -> AsyncIterator[NewPerson]:
    """`await new_person("Vera")`: an account of the shared webchat, and a client that speaks for it."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(name: str = "Vera", kind: str = "visitor", *, on: WebchatServer = webchat) -> Person:
            person = Person(on, await on.account(name, kind))
            await stack.enter_async_context(person.client)
            return person

        yield make


@pytest.fixture(scope="session")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DemoScene]:
    """The demo with all its parts, as `make demo` starts it."""
    async with in_directory(tmp_path_factory.mktemp("demo")) as scene:
        yield scene


@pytest.fixture
def look() -> Look:
    return Look()
