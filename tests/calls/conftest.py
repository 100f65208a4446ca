"""One Chromium with a made-up camera and microphone, and devices of Matrix users in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from bridgekit.testing.synapse import MatrixUser
from tests.browser.people import Person
from tests.conftest import missing
from tests.support.bridged_call import Bridged, Caller
from tests.support.browser import find_chromium, launched
from tests.support.callpage import CallPage
from tests.support.device import Device, open_device
from tests.support.homeserver import Homeserver, Homeservers
from tests.support.scene import Scene
from tests.support.webchat import WebchatServer

NewDevice = Callable[[MatrixUser], Coroutine[Any, Any, Device]]
"""`await new_device(user)`: a page that is logged in as this user's device."""

NewPerson = Callable[..., Coroutine[Any, Any, Person]]
OpenChat = Callable[..., Coroutine[Any, Any, CallPage]]
"""`await open_chat(person, chat, trickle=True)`: their page, which shows this chat."""

NewCaller = Callable[..., Coroutine[Any, Any, Caller]]
Meet = Callable[..., Coroutine[Any, Any, Bridged]]


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


# --- across a bridge --------------------------------------------------------------------------------------------------
async def _caller(scene: Scene) -> Caller:
    user = await scene.homeserver.register_user("alice")
    api = user.client()
    agent, _ = await scene.webchat_user("Agent Alice", kind="agent")
    await scene.log_in(api, agent)
    return Caller(scene, user, api, agent)


@pytest.fixture(scope="session")
async def caller(
    homeservers: Homeservers, webchat: WebchatServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Caller]:
    """Alice, at a bridge that tests share and nobody stops."""
    homeserver = await homeservers.with_slots(1)
    async with Scene(homeserver, homeserver.take_slot(), webchat, tmp_path_factory.mktemp("bridge")) as scene:
        caller = await _caller(scene)
        async with caller.api:
            yield caller


@pytest.fixture
async def own_caller(homeserver: Homeserver, webchat: WebchatServer, tmp_path: Path) -> AsyncIterator[NewCaller]:
    """`await own_caller(trickle=True)`: Alice at a bridge of this test alone, to stop and to kill."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**network: Any) -> Caller:
            more = {"network": {"url": webchat.url, **network}}
            scene = Scene(homeserver, homeserver.take_slot(), webchat, tmp_path / "bridge", more=more)
            caller = await _caller(await stack.enter_async_context(scene))
            await stack.enter_async_context(caller.api)
            return caller

        yield make


@pytest.fixture
def meet(new_device: NewDevice, new_person: NewPerson, open_chat: OpenChat) -> Meet:
    """`await meet(caller)`: Vera's page and Alice's device, and a portal between them in which Vera has said hello."""

    async def make(caller: Caller, *, trickle: bool = False, joined: bool = True) -> Bridged:
        vera = await new_person("Vera")
        chat = (await vera.client.create_chat("direct", [caller.agent.id])).id
        await vera.client.send(chat, "hello")
        room = await caller.api.wait_for_invite()
        if joined:
            await caller.api.join(room)
            ghost = (await caller.api.wait_for_text(room, "hello")).sender
        else:
            ghost = ""
        device, page = await asyncio.gather(new_device(caller.user), open_chat(vera, chat, trickle=trickle))
        return Bridged(caller, device, vera, page, chat, room, ghost)

    return make


@pytest.fixture
async def bridged(caller: Caller, meet: Meet) -> AsyncIterator[Bridged]:
    """New people's page and device on the shared bridge, without trickle ICE at the webchat."""
    bridged = await meet(caller)
    yield bridged
    await bridged.free()
