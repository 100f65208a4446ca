"""``make screenshots``: the demo as it looks, into ``docs/img/``. What is said is always the same, only not when."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page

from example_bridge.demo.people import Listener
from example_bridge.demo.telling import Teller
from example_bridge.webchat.client import Span, WebchatClient
from tests.browser.people import DemoScene, in_directory
from tests.support.browser import find_chromium, launched

FOLDER: Final = Path(__file__).parents[2] / "docs" / "img"
LARGEST: Final = 300_000
"""Bytes of one picture."""
LAST: Final = "Wonderful, thank you! \N{SMILING FACE WITH SMILING EYES}"


async def conversation(demo: DemoScene) -> None:
    """More to look at than the two greetings of the demo."""
    kept, vera, alice = demo.kept, demo.vera, demo.alice
    async with WebchatClient(demo.parts.webchat.url) as nobody:
        bruno = await nobody.create_account("Bruno Baker", "visitor", id="bruno")
    async with WebchatClient(demo.parts.webchat.url, bruno.token) as client, Listener(client) as ear:
        chat = (await client.create_chat("direct", [kept.agent])).id
        await client.send(chat, "Is my order ready?")
        room = await alice.wait_for_invite()
        await alice.join(room)
        await alice.wait_for_text(room, "Is my order ready?")
        await alice.send_text(room, "Tomorrow at nine.")
        await ear.wait_for(chat, kept.agent, ["Tomorrow at nine."])
    async with Listener(vera) as ear:
        question = "I saw your garden tools. Do you have them in stock?"
        await vera.send(kept.chat, question)
        await alice.wait_for_text(kept.room, question)
        html = "<p>Yes! In the shop there are:</p><ul><li><b>spades</b>, two sizes</li><li>gloves</li></ul>"
        await alice.send_html(kept.room, html, "Yes! In the shop there are:\n- spades, two sizes\n- gloves")
        await ear.wait_for_count(kept.chat, kept.agent, 2)
        wish = "Then please keep the small spade for me, I come on Friday."
        await vera.send(kept.chat, wish, format=(Span(21, 32, "bold"),))
        await alice.wait_for_text(kept.room, wish)
        await alice.send_text(kept.room, "Done. It waits for you at the counter.")
        await ear.wait_for_count(kept.chat, kept.agent, 3)
        done = ear.heard(kept.chat, kept.agent)[-1].id
        await vera.send(kept.chat, LAST, reply_to=done)
        last = await alice.wait_for_text(kept.room, LAST)
        await vera.react(kept.chat, done, "\N{THUMBS UP SIGN}")
        relation = {"rel_type": "m.annotation", "event_id": last.event_id, "key": "\N{HEAVY BLACK HEART}\ufe0f"}
        await alice.send(kept.room, "m.reaction", {"m.relates_to": relation})


async def picture(page: Page, name: str) -> None:
    # No cursor that blinks, nothing half-way through a transition.
    await page.evaluate("document.activeElement.blur()")
    path = FOLDER / f"{name}.png"
    await page.screenshot(path=path, animations="disabled", caret="hide")
    size = path.stat().st_size
    print(f"{path.relative_to(FOLDER.parents[1])}  {size / 1000:.0f} kB")
    if size > LARGEST:
        sys.exit(f"{path} is larger than {LARGEST} bytes")


async def open_page(
    browser: Browser, url: str, width: int, height: int, scheme: Any = "light", scale: float = 1
) -> Page:
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale, locale="en-GB"
    )
    page = await context.new_page()
    await page.goto(url)
    return page


async def take(browser: Browser, demo: DemoScene) -> None:
    """All pictures."""
    for scheme in ("light", "dark"):
        page = await open_page(browser, demo.link, 1280, 760, scheme, 1.5)
        await page.locator("#matrix-view .bubble", has_text=LAST).wait_for()
        await page.frame_locator("#webchat-page").locator(".bubble", has_text=LAST).wait_for()
        await page.locator("#matrix-view .chip").nth(1).wait_for()
        await page.frame_locator("#webchat-page").locator(".chip").nth(1).wait_for()
        await page.locator("#matrix-view .read").last.wait_for()
        await page.frame_locator("#webchat-page").locator(".read").last.wait_for()
        await picture(page, f"demo-{scheme}")
    link = f"{demo.parts.webchat.url}/#token={demo.kept.visitor_token}&chat={demo.kept.chat}"
    for scheme in ("light", "dark"):
        page = await open_page(browser, link, 390, 780, scheme, 2)
        await page.locator(".chip").nth(1).wait_for()
        await picture(page, f"webchat-phone-{scheme}")


async def main() -> int:
    chromium = find_chromium()
    if chromium is None:
        print("Chromium is missing (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        async with launched(chromium) as browser, in_directory(Path(directory), Teller()) as demo:
            await conversation(demo)
            await take(browser, demo)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
