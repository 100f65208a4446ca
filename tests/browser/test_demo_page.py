"""The demo's page with everything behind it: a real homeserver, the bridge, the webchat."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest
from playwright.async_api import Frame, Locator, Page, Route, expect

from example_bridge.webchat.client import WebchatClient
from tests.browser.conftest import OpenPage
from tests.browser.look import Look
from tests.browser.people import DemoScene
from tests.browser.test_webchat_files import DRAW, named
from tests.support.world import texts, until_said

HOSTILE_HTML = """
<script>document.title = "owned"</script><img src=x onerror="document.title='owned'">
<svg onload="document.title='owned'"></svg><a href="javascript:document.title='owned'">a</a>
<style>body { display: none }</style><iframe srcdoc="<script>parent.document.title='owned'</script>"></iframe>
<b onmouseover="document.title='owned'">bold</b>
<p style="position:fixed;inset:0">over all</p></div></div></body><template><script>1</script></template>
"""


ARRIVED = re.compile("Sent|Read by")
THUMB = "\N{THUMBS UP SIGN}"


def matrix_side(page: Page) -> Locator:
    return page.locator("#matrix-view")


async def webchat_side(page: Page) -> Frame:
    element = await page.locator("#webchat-page").element_handle()
    assert element is not None
    frame = await element.content_frame()
    assert frame is not None
    return frame


def message(side: Frame | Locator, text: str) -> Locator:
    inside: Frame | Page = side if isinstance(side, Frame) else side.page
    return side.locator(".message").filter(has=inside.locator(".body").get_by_text(text, exact=True))


async def say(side: Frame | Locator, text: str) -> None:
    await side.get_by_role("textbox", name="Message").fill(text)
    await side.get_by_role("textbox", name="Message").press("Enter")


async def test_words_cross_both_ways(open_page: OpenPage, demo: DemoScene) -> None:
    page = await open_page(demo.link)
    assert page.url == demo.link.partition("#")[0], "the key is still in the address bar"
    matrix, webchat = matrix_side(page), await webchat_side(page)
    await expect(message(matrix, "Hello, is anybody there?")).to_contain_text("Vera")
    await expect(message(matrix, "Good day! I write from Matrix.")).to_contain_text(ARRIVED)
    await expect(matrix.get_by_role("heading", name="Vera")).to_be_visible()
    await expect(message(webchat, "Good day! I write from Matrix.")).to_contain_text("Alice")
    await say(webchat, "from the visitor <b>")
    await expect(message(matrix, "from the visitor <b>")).to_contain_text("Vera")
    await say(matrix, "from Matrix\N{WAVING HAND SIGN}")
    await expect(message(matrix, "from Matrix\N{WAVING HAND SIGN}")).to_contain_text(ARRIVED)
    await expect(message(webchat, "from Matrix\N{WAVING HAND SIGN}")).to_contain_text("Alice")
    await demo.alice.send_html(demo.kept.room, "<ul><li><b>one</b></li></ul>", "one")
    await expect(webchat.locator(".message li strong")).to_have_text("one")
    await expect(matrix.locator(".message li strong")).to_have_text("one")


async def test_what_is_done_to_messages_crosses_both_ways(open_page: OpenPage, demo: DemoScene) -> None:
    page = await open_page(demo.link)
    matrix, webchat = matrix_side(page), await webchat_side(page)
    for here, there, name in ((webchat, matrix, "visitor"), (matrix, webchat, "agent")):
        await say(here, f"{name} helo")
        await expect(message(there, f"{name} helo")).to_be_visible()
        await here.get_by_role("textbox", name="Message").press("ArrowUp")
        await say(here, f"{name} hello")
        await expect(message(there, f"{name} hello").locator(".edited")).to_have_text("edited")
        await message(there, f"{name} hello").focus()
        await page.keyboard.press("+")
        await there.get_by_role("button", name=THUMB).click()
        await expect(message(here, f"{name} hello").locator(".chip")).to_have_text(re.compile(f"{THUMB}\ufe0f?1"))
        await message(there, f"{name} hello").locator(".chip").click()
        await expect(message(here, f"{name} hello").locator(".chip")).to_have_count(0)
        await message(there, f"{name} hello").focus()
        await page.keyboard.press("r")
        await say(there, f"to the {name}")
        await expect(message(here, f"to the {name}").locator(".quote")).to_contain_text(f"{name} hello")
        await message(there, f"to the {name}").focus()
        await page.keyboard.press("Delete")
        await page.keyboard.press("Enter")
        await expect(message(here, f"to the {name}")).to_have_count(0)


async def test_mentions_cross_as_pills(open_page: OpenPage, demo: DemoScene) -> None:
    page = await open_page(demo.link)
    matrix, webchat = matrix_side(page), await webchat_side(page)
    await expect(message(matrix, "Hello, is anybody there?")).to_be_visible()
    for here, there, name in ((webchat, matrix, "Alice"), (matrix, webchat, "Vera")):
        box = here.get_by_role("textbox", name="Message")
        await box.press_sequentially(f"for @{name[:2].lower()}")
        await expect(here.get_by_role("option")).to_have_count(1)
        await box.press("Enter")
        await box.press("Enter")
        await expect(here.locator(".message.mine .mention", has_text=name)).to_be_visible()
        await expect(there.locator(".message.for-me .mention.me")).to_have_text(re.compile(f"@?{name}"))


async def test_who_reads_and_writes_is_seen_on_both_sides(open_page: OpenPage, demo: DemoScene) -> None:
    page = await open_page(demo.link)
    matrix, webchat = matrix_side(page), await webchat_side(page)
    for here, there, name, reader in ((webchat, matrix, "Vera", "Alice"), (matrix, webchat, "Alice", "Vera")):
        await here.get_by_role("textbox", name="Message").press_sequentially("Seen?")
        await expect(there.locator(".writing")).to_have_text(f"{name} is writing \N{HORIZONTAL ELLIPSIS}")
        await here.get_by_role("textbox", name="Message").press("Enter")
        await expect(message(here, "Seen?").last).to_contain_text(f"Read by {reader}")


async def test_the_webchat_inside_may_use_microphone_and_camera(open_page: OpenPage, demo: DemoScene) -> None:
    webchat = await webchat_side(await open_page(demo.link))
    kinds = await webchat.evaluate(
        """async () => {
          const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
          const kinds = stream.getTracks().map((track) => track.kind).sort();
          for (const track of stream.getTracks()) track.stop();
          return kinds;
        }"""
    )
    assert kinds == ["audio", "video"]


async def test_only_who_has_the_link_gets_in(open_page: OpenPage, demo: DemoScene) -> None:
    origin = demo.link.partition("/#")[0]
    page = await open_page(origin, excused="403")
    await expect(page.get_by_role("alert")).to_contain_text("Open that link")
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{origin}/session") as answer:
            assert answer.status == 403
        async with http.get(f"{origin}/", headers={"Host": "rebound.example"}) as answer:
            assert answer.status == 421
        async with http.get(f"{demo.parts.webchat.url}/") as answer:
            assert answer.headers["Content-Security-Policy"].endswith(f"frame-ancestors {origin}")


async def test_hostile_html_is_cleaned(open_page: OpenPage, demo: DemoScene, look: Look) -> None:
    # Of its own: what the browser says of these words while it reads them would disturb other tests.
    room = await demo.alice.create_room()
    await demo.alice.set_state(room, "m.room.name", {"name": "<b>Hostile</b> room"})
    page = await open_page(demo.link, width=360, height=740, excused="inline event handler|inline style")
    await page.get_by_role("tab", name="Matrix").click()
    matrix = matrix_side(page)
    await matrix.get_by_role("button", name="Back").click()
    await matrix.get_by_role("button", name="<b>Hostile</b> room").click()
    for text in ("W" * 10_000, "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe", "<script>alert(1)</script>"):
        await demo.alice.send_text(room, text)
    await demo.alice.send_html(room, HOSTILE_HTML, "fallback")
    await demo.alice.send_text(room, "after the hostile ones")
    await expect(message(matrix, "after the hostile ones")).to_be_visible()
    await expect(message(matrix, "<script>alert(1)</script>")).to_be_visible()
    await expect(message(matrix, "over all")).to_have_count(1)
    assert (
        await matrix.locator(".log :is(script, img, iframe, style, [style]:not(.who, .avatar), [onmouseover])").count()
        == 0
    )
    assert await page.title() == "bridgekit demo"
    assert await look.sticks_out(page) == []


async def test_a_new_visitor_appears_by_itself(open_page: OpenPage, demo: DemoScene) -> None:
    page = await open_page(demo.link)
    matrix = matrix_side(page)
    await expect(message(matrix, "Hello, is anybody there?")).to_be_visible()
    async with WebchatClient(demo.parts.webchat.url) as nobody:
        bruno = await nobody.create_account("Bruno", "visitor")
    async with WebchatClient(demo.parts.webchat.url, bruno.token) as client:
        chat = await client.create_chat("direct", [demo.kept.agent])
        await client.send(chat.id, "I am new here")
        await matrix.get_by_role("button", name="Bruno").click()
        await expect(message(matrix, "I am new here")).to_be_visible()
        await say(matrix, "welcome")
        await expect(message(matrix, "welcome")).to_contain_text(ARRIVED)
        await until_said(client, chat.id, "welcome")


async def test_the_management_room_shows_that_the_secret_was_deleted(open_page: OpenPage, demo: DemoScene) -> None:
    page = await open_page(demo.link)
    matrix = matrix_side(page)
    await matrix.get_by_role("navigation", name="Rooms").get_by_role("button", name=re.compile("bot")).click()
    await expect(message(matrix, "This message was deleted")).to_be_visible()


async def test_earlier_words_can_be_fetched(open_page: OpenPage, demo: DemoScene) -> None:
    room = await demo.alice.create_room()
    await demo.alice.set_state(room, "m.room.name", {"name": "Long room"})
    await asyncio.gather(*(demo.alice.send_text(room, f"word {number}") for number in range(60)))
    page = await open_page(demo.link)
    matrix = matrix_side(page)
    await matrix.get_by_role("button", name="Long room").click()
    earlier = matrix.get_by_role("button", name="Show earlier messages")
    await expect(matrix.locator(".message")).to_have_count(40)
    await earlier.click()
    await expect(matrix.locator(".message")).to_have_count(60)
    await expect(matrix.get_by_text("Alice made this room")).to_be_attached()
    await expect(earlier).to_be_hidden()


async def test_a_homeserver_that_was_away(open_page: OpenPage, demo: DemoScene) -> None:
    page = await open_page(demo.link, excused="ERR_FAILED|CORS")
    matrix = matrix_side(page)
    await expect(message(matrix, "Hello, is anybody there?")).to_be_visible()

    async def away(route: Route) -> None:
        await route.abort()

    await page.route("**/_matrix/**", away)
    await say(matrix, "meanwhile")
    await expect(message(matrix, "meanwhile")).to_contain_text("Waiting for the connection")
    await matrix.get_by_role("textbox", name="Message").fill("a draft")
    await demo.vera.send(demo.kept.chat, "ends the poll")
    await expect(matrix.locator(".banner span")).to_contain_text("No connection")
    await page.reload()
    await expect(matrix.locator(".banner span")).to_contain_text("No connection")
    await page.unroute("**/_matrix/**", away)
    await matrix.get_by_role("button", name="Try now").click()
    await expect(matrix.locator(".banner span")).to_contain_text("Connected again")
    await expect(message(matrix, "meanwhile")).to_have_count(1)
    await expect(message(matrix, "meanwhile")).not_to_have_class(re.compile("sending|waiting|failed"))
    await expect(message(matrix, "ends the poll")).to_be_visible()
    await expect(matrix.get_by_role("textbox", name="Message")).to_have_value("a draft")
    assert (await demo.alice.texts(demo.kept.room, demo.kept.user_id)).count("meanwhile") == 1
    await demo.alice.send_text(demo.kept.room, "the last word")
    await expect(message(await webchat_side(page), "the last word")).to_be_visible()
    assert (await texts(demo.vera, demo.kept.chat)).count("meanwhile") == 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_how_it_looks(open_page: OpenPage, demo: DemoScene, look: Look, width: int, dark: bool) -> None:
    page = await open_page(demo.link, width=width, dark=dark)
    webchat = await webchat_side(page)
    await expect(webchat.locator(".message").first).to_be_visible()
    if width == 360:
        for name, shown, hidden in (("Matrix", "#matrix", "#webchat"), ("Webchat", "#webchat", "#matrix")):
            await page.get_by_role("tab", name=name).click()
            await expect(page.locator(shown)).to_be_visible()
            await expect(page.locator(hidden)).to_be_hidden()
            assert await look.sticks_out(page) == []
            assert await look.contrast(page) == []
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("tab", name="Matrix")).to_be_focused()
        await expect(page.get_by_role("tab", name="Matrix")).to_have_attribute("aria-selected", "true")
    else:
        await expect(page.get_by_role("tab", name="Matrix")).to_be_hidden()
        left, right = await page.locator("#webchat").bounding_box(), await page.locator("#matrix").bounding_box()
        assert left is not None and right is not None
        assert left["width"] == right["width"] and left["x"] + left["width"] < right["x"] and left["y"] == right["y"]
    for place in (page, webchat):
        assert await look.sticks_out(place) == []
        assert await look.contrast(place) == []
        assert await look.basics(place) == []
    await page.get_by_role("button", name="Use your own Matrix client").click()
    await expect(page.get_by_role("dialog")).to_contain_text(demo.kept.password)
    assert await look.contrast(page) == []
    assert await look.basics(page) == []


async def test_files_cross_both_ways(open_page: OpenPage, demo: DemoScene) -> None:
    """From one page into the other, through all that is between them."""
    page = await open_page(demo.link, excused=r"\b50[0-9]\b")
    matrix, webchat = matrix_side(page), await webchat_side(page)
    for side in (matrix, webchat):  # which takes no files before it shows the conversation
        await expect(message(side, "Hello, is anybody there?")).to_be_visible()
    data = bytes(await page.evaluate(DRAW, [400, 300]))
    for here, there, name in ((webchat, matrix, "visitor"), (matrix, webchat, "agent")):
        files = [named(f"{name}.png", "image/png", data), named(f"{name}.txt", "text/plain", name.encode() * 100)]
        await here.get_by_label("Files", exact=True).set_input_files(files)
        await expect(here.get_by_role("list", name="Files to send").get_by_role("listitem")).to_have_count(2)
        await say(here, f"the {name}'s files")
        await say(here, f"behind the {name}'s files")
        picture = there.get_by_role("group", name=f"Picture: {name}.png")
        await expect(picture.get_by_role("img")).to_have_js_property("naturalWidth", 400)
        await expect(message(there, f"the {name}'s files").first).to_be_visible()
        await expect(message(there, f"behind the {name}'s files")).to_be_visible()
        async with page.expect_download() as saving:
            await there.get_by_role("button", name=f"Save {name}.txt").click()
        assert (await (await saving.value).path()).read_bytes() == name.encode() * 100
        rows = [await row.inner_text() for row in await there.locator(".message").all()]
        at = [
            next(index for index, row in enumerate(rows) if words in row)
            for words in (f"the {name}'s files", f"{name}.txt", f"behind the {name}'s files")
        ]
        assert at == sorted(at)


async def test_the_matrix_view_shows_and_sends_files(open_page: OpenPage, demo: DemoScene) -> None:
    """By the homeserver's own authenticated media; what crosses the bridge is asked elsewhere."""
    page = await open_page(demo.link, excused=r"\b50[0-9]\b")
    matrix = matrix_side(page)
    await expect(message(matrix, "Hello, is anybody there?")).to_be_visible()
    data = bytes(await page.evaluate(DRAW, [400, 300]))
    files = [named("sky.png", "image/png", data), named("notes.txt", "text/plain", b"some notes")]
    await matrix.get_by_label("Files", exact=True).set_input_files(files)
    await say(matrix, "from the view")
    await say(matrix, "and words after it")
    picture = matrix.get_by_role("group", name="Picture: sky.png")
    await expect(message(matrix, "from the view")).to_contain_text(ARRIVED)
    await expect(picture.get_by_role("img")).to_have_js_property("naturalWidth", 400)
    await expect(matrix.get_by_role("group", name="File: notes.txt")).to_be_visible()
    await expect(matrix.locator(".file .foot :visible")).to_have_count(0)
    await page.reload()
    # Now from the homeserver, not from this page's own copy.
    await expect(picture.get_by_role("img")).to_have_js_property("naturalWidth", 400)
    await expect(message(matrix, "from the view")).to_be_visible()
    async with page.expect_download() as saving:
        await matrix.get_by_role("button", name="Save notes.txt").click()
    assert (await (await saving.value).path()).read_bytes() == b"some notes"
    rows = [await row.inner_text() for row in await matrix.locator(".message").all()]
    at = [
        next(i for i, row in enumerate(rows) if words in row) for words in ("from the view", "notes.txt", "and words")
    ]
    assert at == sorted(at)
