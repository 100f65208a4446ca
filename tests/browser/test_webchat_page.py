"""The webchat's page: talking, its states, what a reload keeps, the keyboard."""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, WebSocketRoute, expect

from tests.browser.conftest import NewPerson, OpenPage
from tests.support.webchat import WebchatServer

OFFLINE = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|WebSocket|ERR_EMPTY_RESPONSE"
"""What a browser says when a server is away."""


FOCUS_IS_SEEN = """() =>
  document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== "none"
"""


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def message(page: Page, text: str) -> Locator:
    """The row of a message with exactly this text."""
    return page.locator(".message").filter(has=page.locator(".body").get_by_text(text, exact=True))


async def say(page: Page, text: str) -> None:
    await box(page).fill(text)
    await box(page).press("Enter")


async def test_two_people_talk(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice Aalto", "agent")
    chat = await vera.chat_with(alice)
    at_vera, at_alice = await open_page(vera.link(chat)), await open_page(alice.link(chat))
    await say(at_vera, "Hello!\N{WAVING HAND SIGN}")
    row = message(at_vera, "Hello!\N{WAVING HAND SIGN}")
    await expect(row).to_contain_text(re.compile("Sent|Read by Alice"))
    await expect(box(at_vera)).to_have_value("")
    arrived = message(at_alice, "Hello!\N{WAVING HAND SIGN}")
    await expect(arrived).to_contain_text("Vera")
    await expect(arrived.locator(".avatar")).to_have_text("V")
    await say(at_alice, "Good day")
    await expect(message(at_vera, "Good day").locator(".avatar")).to_have_text("AA")
    assert await vera.said_in(chat) == ["Hello!\N{WAVING HAND SIGN}", "Good day"]


async def test_unread_words_are_counted_until_they_are_seen(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice, bruno = [await new_person(name) for name in ("Vera", "Alice", "Bruno")]
    first, second = await vera.chat_with(alice), await vera.chat_with(bruno)
    page = await open_page(vera.link(first))
    await expect(page.get_by_role("heading", name="Alice")).to_be_visible()
    for number in (1, 2):
        await bruno.client.send(second, f"word {number}")
    entry = page.get_by_role("button", name="Bruno")
    await expect(entry.get_by_label("2 unread")).to_be_visible()
    await expect(page).to_have_title("(2) webchat")
    await entry.click()
    await expect(page).to_have_title("webchat")
    await page.reload()
    await expect(page.get_by_role("heading", name="Bruno")).to_be_visible()
    await expect(page).to_have_title("webchat")


async def test_who_reads_further_up_stays_there_and_is_told(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    for number in range(200):
        await alice.client.send(chat, f"word {number}")
    page = await open_page(vera.link(chat))
    await expect(message(page, "word 199")).to_be_in_viewport()
    jump = page.locator(".jump")
    await expect(jump).to_be_hidden()
    await page.get_by_role("log").evaluate("(log) => (log.scrollTop = 300)")
    await expect(jump).to_have_text("To the end")
    await alice.client.send(chat, "news")
    await expect(jump).to_have_text("1 new message")
    assert await page.get_by_role("log").evaluate("(log) => log.scrollTop") == 300
    assert await page.locator(".message").count() < 200
    await page.get_by_role("button", name="Show earlier messages").click()
    await expect(message(page, "word 0")).to_be_attached()
    await jump.click()
    await expect(message(page, "news")).to_be_in_viewport()
    await expect(jump).to_be_hidden()


async def test_a_server_that_was_away(
    open_page: OpenPage, new_person: NewPerson, private_webchat: WebchatServer
) -> None:
    vera, alice = await new_person("Vera", on=private_webchat), await new_person("Alice", "agent", on=private_webchat)
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat), excused=OFFLINE)
    await say(page, "before")
    await expect(message(page, "before")).to_contain_text("Sent")
    await private_webchat.stop()
    banner = page.locator(".banner span")
    await expect(banner).to_contain_text("No connection")
    for text in ("one", "two"):
        await say(page, text)
        await expect(message(page, text)).to_contain_text("Waiting for the connection")
    await private_webchat.start()
    # Not `click`, which wants it to stay: the page may be connected again before.
    await page.get_by_text("Try now").dispatch_event("click")
    await expect(banner).to_have_text("Connected again")
    for text in ("one", "two"):
        await expect(message(page, text)).to_contain_text("Sent")
    await expect(banner).to_be_hidden()
    assert await vera.said_in(chat) == ["before", "one", "two"]


async def test_a_refusal_is_shown_outlives_a_reload_and_can_be_tried_again(
    open_page: OpenPage, new_person: NewPerson
) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat))
    await vera.client.set_fault("refuse", account=vera.id, code="unavailable", count=2)
    for text in ("again", "never mind"):
        await say(page, text)
        await expect(message(page, text)).to_contain_text("Not sent")
    await page.reload()
    await expect(message(page, "again")).to_contain_text("Not sent")
    await message(page, "never mind").get_by_role("button", name="Discard").click()
    await expect(message(page, "never mind")).to_have_count(0)
    await message(page, "again").get_by_role("button", name="Try again").click()
    await expect(message(page, "again")).to_contain_text("Sent")
    assert await vera.said_in(chat) == ["again"]


async def test_what_arrived_without_an_answer_is_not_doubled(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat), excused=OFFLINE)
    await expect(page.get_by_role("heading", name="Alice")).to_be_visible()
    await vera.client.set_fault("cut", account=vera.id, after=1)
    for text in ("cut off", "after it"):
        await say(page, text)
    for text in ("cut off", "after it"):
        await expect(message(page, text)).to_have_count(1)
        await expect(message(page, text)).not_to_have_class(re.compile("sending|waiting|failed"))
    assert await vera.said_in(chat) == ["cut off", "after it"]


async def test_a_reload_keeps_what_was_typed_and_not_sent(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat), excused=OFFLINE)
    await expect(page.get_by_role("heading", name="Alice")).to_be_visible()

    async def cut(route: WebSocketRoute) -> None:
        await route.close()

    # From now on this tab reaches nobody; another one of the same browser does.
    await page.route_web_socket("**/api/stream?*", cut)
    await vera.client.set_fault("cut")
    await expect(page.locator(".banner")).to_contain_text("No connection")
    for text in ("one", "two"):
        await say(page, text)
    await expect(message(page, "two")).to_contain_text("Waiting for the connection")
    await box(page).fill("half a thought\nin two lines")
    await page.close()

    again = await open_page(f"{vera.server.url}/", beside=page)
    await expect(box(again)).to_have_value("half a thought\nin two lines")
    for text in ("one", "two"):
        await expect(message(again, text)).to_have_count(1)
        await expect(message(again, text)).not_to_have_class(re.compile("sending|waiting|failed"))
    assert await vera.said_in(chat) == ["one", "two"]
    await again.reload()
    await expect(box(again)).to_have_value("half a thought\nin two lines")
    assert await vera.said_in(chat) == ["one", "two"]


async def test_everything_by_keyboard(open_page: OpenPage, new_person: NewPerson, webchat: WebchatServer) -> None:
    alice = await new_person("Keyboard Alice", "agent")
    page = await open_page(webchat.url)
    keyboard = page.keyboard
    await expect(page.get_by_role("textbox", name="Your name")).to_be_focused()
    await keyboard.type("Keyboard Vera")
    await keyboard.press("Enter")
    new = page.get_by_role("button", name="New conversation")
    await expect(new).to_be_visible()
    for _ in range(10):
        await keyboard.press("Tab")
        assert await page.evaluate(FOCUS_IS_SEEN)
        if await new.evaluate("(button) => button === document.activeElement"):
            break
    await keyboard.press("Enter")
    await expect(page.get_by_role("searchbox", name="With whom?")).to_be_focused()
    await keyboard.type("keyboard al")
    await expect(page.locator(".people button")).to_have_count(1)
    await keyboard.press("Enter")
    await expect(box(page)).to_be_focused()
    await expect(page.get_by_role("heading", name="Keyboard Alice")).to_be_visible()
    await keyboard.type("first line")
    await keyboard.press("Shift+Enter")
    await keyboard.type("second line")
    await keyboard.press("Enter")
    await expect(page.locator(".message .body")).to_have_text("first line\nsecond line", use_inner_text=True)
    (chat,) = await alice.client.chats()
    assert await alice.said_in(chat.id) == ["first line\nsecond line"]
    await keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Keyboard Alice")).to_be_focused()
    await keyboard.press("Enter")
    await expect(box(page)).to_be_focused()


async def test_an_input_method_keeps_its_enter(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat))
    await box(page).click()
    session = await page.context.new_cdp_session(page)
    await session.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    await box(page).dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    await expect(box(page)).to_have_value("にほん")
    await session.send("Input.insertText", {"text": "日本"})
    await box(page).press("Enter")
    await expect(message(page, "日本")).to_contain_text("Sent")
    assert await vera.said_in(chat) == ["日本"]


async def test_too_long_is_said_before_it_is_sent(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    page = await open_page(vera.link(await vera.chat_with(alice)))
    await box(page).fill("x" * 4001)
    await expect(page.locator(".hint")).to_have_text("4,001 characters; a message has at most 4,000.")
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await box(page).fill("\N{WAVING HAND SIGN}" * 4000)  # code points count, not UTF-16
    await expect(page.get_by_role("button", name="Send")).to_be_enabled()


async def test_leaving_and_an_old_link(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    page = await open_page(vera.link(await vera.chat_with(alice)), excused="401")
    await box(page).fill("secret draft")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("button", name="Come in")).to_be_visible()
    assert "secret draft" not in str(await page.evaluate("({...localStorage})"))
    await page.goto(f"{vera.server.url}/#token=wrong")
    await expect(page.get_by_role("alert").first).to_have_text("This link is no longer valid.")
