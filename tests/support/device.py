"""A device of a Matrix user that can call: matrix-js-sdk, the call stack of Element, in a page of headless Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
from playwright.async_api import Browser, Page, Route

from bridgekit.testing.synapse import MatrixUser
from tests.conftest import missing

__all__ = ["Bytes", "CallView", "Device", "bundle", "open_device"]

ROOT: Final = Path(__file__).parents[2]
BUNDLE: Final = ROOT / ".node" / "device.js"
DEADLINE_MS: Final = 30_000


class Ended(msgspec.Struct, frozen=True):
    by: str | None
    """"local" or "remote"."""
    reason: str | None


class Feed(msgspec.Struct, frozen=True):
    """A stream of the other end, as the metadata names it."""

    stream: str
    purpose: str
    audio_muted: bool
    video_muted: bool
    tracks: list[str]


class CallView(msgspec.Struct, frozen=True):
    """A call as this device sees it; `state` is one of js-sdk's `CallState`."""

    id: str
    room: str
    state: str
    states: list[str]
    direction: str | None
    type: str | None
    ended: Ended | None
    replaced: str | None
    errors: list[str]
    held_by_them: bool
    held_by_us: bool
    muted: bool
    feeds: list[Feed]


class Flow(msgspec.Struct, frozen=True):
    sent: int
    received: int


class Bytes(msgspec.Struct, frozen=True):
    """RTP payload so far."""

    audio: Flow
    video: Flow


async def bundle() -> Path:
    """The page's script, made if it is not there. Without npm or its registry the test is skipped (CI: fails)."""
    if shutil.which("npm") is None and not BUNDLE.exists():
        missing("npm")
    process = await asyncio.create_subprocess_exec(
        ROOT / "scripts" / "ensure-js.sh", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        if os.environ.get("CI"):
            raise RuntimeError(output.decode())
        missing(f"matrix-js-sdk ({output.decode().strip()})")
    return BUNDLE


class Device:
    """What a person does at one device. A call is the latest unless its id is given."""

    def __init__(self, page: Page, user: MatrixUser) -> None:
        self.page: Final = page
        self.user: Final = user

    async def place(self, room: str, invitee: str, *, video: bool = False, lifetime: int | None = None) -> str:
        """Ring somebody, for `lifetime` ms (the SDK's own: a minute); the call id."""
        return str(await self._do("place", room, invitee, video, lifetime))

    async def answer(self, call: str | None = None, *, video: bool = False) -> None:
        await self._do("answer", call, video)

    async def reject(self, call: str | None = None) -> None:
        await self._do("reject", call)

    async def hang_up(self, call: str | None = None) -> None:
        await self._do("hangup", call)

    async def mute(self, muted: bool = True, call: str | None = None) -> None:
        await self._do("mute", call, muted)

    async def hold(self, held: bool = True, call: str | None = None) -> None:
        await self._do("hold", call, held)

    async def video(self, on: bool = True, call: str | None = None) -> None:
        await self._do("video", call, on)

    async def restart_ice(self, call: str | None = None) -> None:
        await self._do("restartIce", call)

    async def ufrag(self, call: str | None = None) -> str | None:
        found: str | None = await self._do("ufrag", call)
        return found

    async def other_ufrag(self, before: str | None) -> None:
        """Wait until ICE was restarted."""
        await self.page.wait_for_function(
            "(before) => window.device.ufrag() !== before", arg=before, timeout=DEADLINE_MS, polling=50
        )

    async def about(self, call: str | None = None) -> CallView | None:
        return msgspec.convert(await self._do("about", call), CallView | None)

    async def calls(self) -> list[str]:
        """Ids of all calls that this device has rung or been rung for."""
        return list(await self._do("calls"))

    async def bytes(self, call: str | None = None) -> Bytes:
        return msgspec.convert(await self._do("bytes", call), Bytes)

    async def rings(self, *, timeout_ms: float = DEADLINE_MS) -> str:
        """Wait until a call comes in; its id."""
        await self.until("(call) => call && call.state === 'ringing'", timeout_ms=timeout_ms)
        view = await self.about()
        assert view is not None
        return view.id

    async def until(self, check: str, call: str | None = None, *, timeout_ms: float = DEADLINE_MS) -> None:
        """Wait until a JavaScript function of a call's view (`CallView`, or null) gives true."""
        try:
            await self.page.wait_for_function(
                f"(call) => ({check})(window.device.about(call))", arg=call, timeout=timeout_ms, polling=50
            )
        except Exception as error:
            raise AssertionError(f"{check} never came true; the call is {await self.about(call)}") from error

    async def until_state(self, state: str, call: str | None = None, *, timeout_ms: float = DEADLINE_MS) -> None:
        await self.until(f"(call) => call && call.state === '{state}'", call, timeout_ms=timeout_ms)

    async def media_flows(self, *kinds: str, call: str | None = None) -> None:
        """Wait until bytes of these kinds (audio unless said) have been sent and received beyond those of now."""
        await flows(self.page, "window.device.bytes", kinds or ("audio",), call)

    async def _do(self, name: str, *arguments: Any) -> Any:
        async with asyncio.timeout(DEADLINE_MS / 1000):
            return await self.page.evaluate("([name, args]) => window.device[name](...args)", [name, list(arguments)])


async def flows(page: Page, bytes_of: str, kinds: tuple[str, ...], call: str | None = None) -> None:
    """Wait until what the function `bytes_of` counts has grown, for each kind in both directions."""
    before = await page.evaluate(f"(call) => {bytes_of}(call)", call)
    await page.wait_for_function(
        f"""async ([call, before, kinds]) => {{
          const now = await {bytes_of}(call);
          return kinds.every((kind) => ["sent", "received"].every((way) => now[kind][way] > before[kind][way]));
        }}""",
        arg=[call, before, list(kinds)],
        timeout=DEADLINE_MS,
        polling=100,
    )


@contextlib.asynccontextmanager
async def open_device(browser: Browser, user: MatrixUser) -> AsyncIterator[Device]:
    """A page of its own for this user's device, synced."""
    script = (await bundle()).read_text()
    context = await browser.new_context()
    try:
        context.set_default_timeout(DEADLINE_MS)
        page = await context.new_page()

        # The browser takes it for a page of the homeserver: on loopback cameras are allowed, and it is no other origin.
        place = f"{user.url}/device"

        async def serve(route: Route) -> None:
            if route.request.url == place:
                body = '<!doctype html><title>device</title><script type="module" src="/device.js"></script>'
                await route.fulfill(content_type="text/html", body=body)
            else:
                await route.fulfill(content_type="text/javascript", body=script)

        await page.route(re.compile(r"/device(\.js)?$"), serve)
        await page.goto(place)
        await page.wait_for_function("document.title === 'ready'")
        device = Device(page, user)
        await device._do(
            "start",
            {
                "baseUrl": user.url,
                "accessToken": user.access_token,
                "userId": user.user_id,
                "deviceId": user.device_id,
            },
        )
        yield device
        await device._do("stop")
    finally:
        await context.close()
