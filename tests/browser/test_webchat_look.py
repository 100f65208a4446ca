"""How the webchat's page looks: hostile words, widths, colours, names for screen readers."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from example_bridge.webchat.client import Span
from tests.browser.conftest import NewPerson, OpenPage
from tests.browser.look import Look

HOSTILE = [
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe \N{RIGHT-TO-LEFT ISOLATE} never closed",
    "W" * 4000,
    "\N{ARABIC LETTER ALEF WITH MADDA ABOVE}" + "\N{COMBINING ACUTE ACCENT}" * 300,
    "javascript:alert(1) https://example.org/" + "a" * 500,
    "{{7*7}} ${7*7} &lt;b&gt; \\u003cb\\u003e",
]


async def test_the_measures_measure(open_page: OpenPage, look: Look) -> None:
    page = await open_page("about:blank", width=360)
    await page.set_content(
        "<p style='color: oklch(0.8 0.1 90); background: #fff'>pale</p><p>dark</p>"
        "<button></button><ul><div></div></ul><div style='width: 500px'>wide</div>"
    )
    (pale,) = await look.contrast(page)
    assert pale.startswith('p "pale": ')
    assert {words.partition(":")[0] for words in await look.basics(page)} == {
        "no language", "no title", "not one main", "no name", "div in a list", "small",
    }  # fmt: skip
    assert {words.partition(":")[0] for words in await look.sticks_out(page)} == {"the page", "div"}


async def test_hostile_words_are_words(open_page: OpenPage, new_person: NewPerson, look: Look) -> None:
    vera = await new_person()
    mallory = await new_person("<b>Mallory</b>\N{RIGHT-TO-LEFT OVERRIDE}" + "M" * 200, "agent")
    chat = await vera.chat_with(mallory)
    for text in HOSTILE:
        await mallory.client.send(chat, text)
    link = Span(0, 5, "link", value="javascript:document.title='owned'")
    await mallory.client.send(chat, "click me, and nothing happens", format=(link, Span(0, 5, "bold")))
    page = await open_page(vera.link(chat), width=360, height=740)
    await expect(page.locator(".message")).to_have_count(len(HOSTILE) + 1)
    assert await page.locator(".message .body").all_inner_texts() == [*HOSTILE, "click me, and nothing happens"]
    links = await page.locator(".log a").evaluate_all("(links) => links.map((a) => a.getAttribute('href'))")
    assert links == ["https://example.org/" + "a" * 500]
    assert await page.locator(".log :is(script, img, iframe, b)").count() == 0
    assert await page.title() == "webchat"
    assert await look.sticks_out(page) == []


async def test_nothing_can_become_code(open_page: OpenPage, new_person: NewPerson) -> None:
    vera = await new_person()
    foreign: list[str] = []
    page = await open_page(vera.server.url, excused="Trusted")
    page.on("request", lambda request: foreign.append(request.url))
    await page.goto(vera.link())
    await expect(page.get_by_role("button", name="Log out")).to_be_visible()
    error = await page.evaluate(
        "() => { try { document.body.innerHTML = 'x'; return 'done' } catch (error) { return error.name } }"
    )
    assert error == "TypeError"
    assert {url.split("/")[2] for url in foreign} == {vera.server.url.removeprefix("http://")}


@pytest.mark.parametrize("width", [360, 1280])
async def test_layout(open_page: OpenPage, new_person: NewPerson, look: Look, width: int) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    await alice.client.send(chat, "Shall we meet?")
    page = await open_page(vera.link(chat), width=width, height=720)
    side, pane = page.locator(".side"), page.locator(".pane")
    await expect(page.locator(".message")).to_be_visible()
    composer = await page.locator(".composer").bounding_box()
    assert composer is not None
    assert composer["y"] + composer["height"] == 720
    assert await look.sticks_out(page) == []
    if width == 1280:
        await expect(side).to_be_visible()
        await expect(page.get_by_role("button", name="Back")).to_be_hidden()
        boxes = await side.bounding_box(), await pane.bounding_box()
        assert boxes[0] is not None and boxes[1] is not None
        assert boxes[0]["x"] + boxes[0]["width"] == boxes[1]["x"]
        assert boxes[1]["width"] > 2 * boxes[0]["width"]
        return
    await expect(side).to_be_hidden()
    await page.get_by_role("button", name="Back").click()
    await expect(pane).to_be_hidden()
    await expect(page.get_by_role("button", name="Alice")).to_be_focused()
    assert await look.sticks_out(page) == []
    await page.keyboard.press("Enter")
    await expect(pane).to_be_visible()
    await page.go_back()
    await expect(side).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_colours_and_names(open_page: OpenPage, new_person: NewPerson, look: Look, dark: bool) -> None:
    vera, alice, bruno = [await new_person(name, "agent") for name in ("Vera", "Alice", "Bruno")]
    chat = await vera.chat_with(alice)
    other = await vera.chat_with(bruno)
    page = await open_page(vera.server.url, dark=dark)
    await expect(page.get_by_role("button", name="Come in")).to_be_visible()
    assert await look.contrast(page) == []
    assert await look.basics(page) == []
    text = "bold code @Bruno\nquoted\nx = 1\nsee https://matrix.org"
    await alice.client.send(
        chat,
        text,
        format=(Span(0, 4, "bold"), Span(5, 9, "code"), Span(17, 23, "quote", level=1), Span(24, 29, "code_block")),
    )
    await bruno.client.send(other, "unread")
    await vera.client.set_fault("refuse", account=vera.id, count=1)
    await page.goto(vera.link(chat))
    await expect(page.locator(".message")).to_have_count(1)
    for words in ("fails", "arrives https://matrix.org"):
        await page.get_by_role("textbox", name="Message").fill(words)
        await page.keyboard.press("Enter")
    await expect(page.locator(".message.failed")).to_be_visible()
    await expect(page.locator(".message.sent")).to_be_visible()
    await expect(page.get_by_label("1 unread")).to_be_visible()
    assert await look.contrast(page) == []
    assert await look.basics(page) == []
    await expect(page.get_by_role("log", name="Messages")).to_be_visible()
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.locator(".people button").first).to_be_visible()
    assert await look.contrast(page) == []
    assert await look.basics(page) == []
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in ground[4:-1].split(",")) < 3 * 128) is dark
