"""One Chromium with a made-up camera and microphone, and devices of Matrix users in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from bridgekit.testing.synapse import MatrixUser
from tests.browser.people import Person
from tests.conftest import missing
from tests.support.browser import find_chromium, launched
from tests.support.callpage import CallPage
from tests.support.device import Device, open_device
from tests.support.webchat import WebchatServer

NewDevice = Callable[[MatrixUser], Coroutine[Any, Any, Device]]
"""`await new_device(user)`: a page that is logged in as this user's device."""

NewPerson = Callable[..., Coroutine[Any, Any, Person]]
OpenChat = Callable[..., Coroutine[Any, Any, CallPage]]
"""`await open_chat(person, chat, trickle=True)`: their page, which shows this chat."""


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


@pytest.fixture(scope="session")
async def webchat(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WebchatServer]:
    """The webchat that these tests share; faults must be for one account."""
    async with WebchatServer(tmp_path_factory.mktemp("webchat")) as server:
        yield server


@pytest.fixture
async def new_person(webchat: WebchatServer) -> AsyncIterator[NewPerson]:
    """`await new_person("Vera")`: an account of the webchat, and a client that speaks for it."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(name: str = "Vera", kind: str = "visitor") -> Person:
            person = Person(webchat, await webchat.account(name, kind))
            await stack.enter_async_context(person.client)
            return person

        yield make


@pytest.fixture
async def open_chat(calling_browser: Browser) -> AsyncIterator[OpenChat]:
    """Pages of the webchat, each in a browser profile of its own. A complaint in a console fails the test."""
    async with contextlib.AsyncExitStack() as stack:
        complaints: list[str] = []

        async def make(person: Person, chat: str, *, trickle: bool = False, **options: Any) -> CallPage:
            context = await calling_browser.new_context(
                viewport={"width": options.pop("width", 1280), "height": 800},
                locale="en-GB",
                timezone_id="UTC",
                **options,
            )
            stack.push_async_callback(context.close)
            context.set_default_timeout(20_000)
            page = await context.new_page()
            page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
            await page.goto(person.link(chat).replace("/#", "/?trickle#") if trickle else person.link(chat))
            await expect(page.get_by_role("button", name="Call", exact=True)).to_be_visible(timeout=20_000)
            return CallPage(page)

        yield make
    assert complaints == []
