"""The webchat's page as somebody who calls and is called: what they press, what they see, what flows."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from playwright.async_api import Locator, Page, expect

__all__ = ["CallPage"]

DEADLINE_S: Final = 30.0


class CallPage:
    """A page that shows a direct chat. Every wait has a deadline."""

    def __init__(self, page: Page) -> None:
        self.page: Final = page
        self.card: Final = page.locator("section.call")

    def button(self, name: str) -> Locator:
        return self.card.get_by_role("button", name=name, exact=True)

    async def call(self, *, video: bool = False) -> None:
        await self.page.get_by_role("button", name="Video call" if video else "Call", exact=True).click()
        await expect(self.card).to_be_visible()

    async def rings(self) -> None:
        await expect(self.card).to_have_attribute("data-state", "incoming", timeout=DEADLINE_S * 1000)

    async def press(self, name: str) -> None:
        await self.button(name).click()

    async def is_in(self, state: str) -> None:
        await expect(self.card).to_have_attribute("data-state", state, timeout=DEADLINE_S * 1000)

    async def says(self, words: str | re.Pattern[str]) -> None:
        """What the card says of the call."""
        await expect(self.card.locator(".status")).to_have_text(words, timeout=DEADLINE_S * 1000)

    async def gone(self) -> None:
        await expect(self.card).to_be_hidden(timeout=DEADLINE_S * 1000)

    async def line(self, words: str | re.Pattern[str]) -> None:
        """The line that a call leaves in the chat."""
        await expect(self.page.locator(".notice").last).to_have_text(words, timeout=DEADLINE_S * 1000)

    async def media_flows(self, *kinds: str) -> None:
        """Wait until bytes of these kinds (audio unless said) have gone and come beyond those of now."""
        await self.until(
            """async (kinds, before) => {
              const now = await document.querySelector("section.call").call.bytes();
              if (!now) return false; // microphone and camera are not there yet
              before.bytes ??= now;
              const grew = (kind, way) => now[kind][way] > before.bytes[kind][way];
              return kinds.every((kind) => grew(kind, "sent") && grew(kind, "received"));
            }""",
            list(kinds or ("audio",)),
        )

    async def sees(self) -> None:
        """Wait until a picture of the other end is shown, frame after frame."""
        await self.until(
            """async (_, before) => {
              const stage = document.querySelector("section.call .stage");
              const frames = stage.getVideoPlaybackQuality().totalVideoFrames;
              before.frames ??= frames;
              return !stage.classList.contains("heard-only") && stage.videoWidth > 0 && frames > before.frames;
            }""",
            None,
        )

    async def hears_nothing(self) -> None:
        """Wait until what comes from the other end is silence: the level of the sound is nothing for a while."""
        await self._loudness("(loud) => loud.length >= 5 && loud.slice(-5).every((level) => level < 0.001)")

    async def hears_something(self) -> None:
        await self._loudness("(loud) => loud.some((level) => level > 0.01)")

    async def ufrag(self) -> str:
        return str(await self.page.evaluate('document.querySelector("section.call").call.ufrag'))

    async def other_ufrag(self, before: str) -> None:
        """Wait until ICE was restarted."""
        await self.until('(before) => document.querySelector("section.call").call.ufrag !== before', before)

    async def _loudness(self, enough: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.page.evaluate(
                f"""async () => {{
                  const {{ remote }} = document.querySelector("section.call").call;
                  const context = new AudioContext();
                  const analyser = context.createAnalyser();
                  context.createMediaStreamSource(remote).connect(analyser);
                  const loud = [];
                  const samples = new Float32Array(analyser.fftSize);
                  while (!({enough})(loud)) {{
                    await new Promise((resolve) => setTimeout(resolve, 300));
                    let level = 0; // the made-up microphone beeps once a second: look at a while, not at a moment
                    for (let at = 0; at < 60; at++) {{
                      analyser.getFloatTimeDomainData(samples);
                      level = Math.max(level, ...samples.map(Math.abs));
                      await new Promise((resolve) => setTimeout(resolve, 20));
                    }}
                    loud.push(level);
                  }}
                  await context.close();
                }}"""
            )

    async def until(self, check: str, argument: object) -> None:
        """Wait until a JavaScript function of the argument, and of an object that is its own, gives true."""
        # Not `wait_for_function`: the page's policy lets nobody make code of a string again and again.
        async with asyncio.timeout(DEADLINE_S):
            await self.page.evaluate(
                f"""async (argument) => {{
                  const before = {{}};
                  while (!(await ({check})(argument, before))) await new Promise((resolve) => setTimeout(resolve, 100));
                }}""",
                argument,
            )
