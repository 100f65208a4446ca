"""The webchat's page: answers, mentions, changes, deletions, reactions, ticks and who is writing."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from example_bridge.webchat.client import Mention
from tests.browser.conftest import NewPerson, OpenPage
from tests.browser.look import Look
from tests.browser.test_webchat_page import OFFLINE, box, message, say
from tests.webchat.state import State

WAVE = "\N{WAVING HAND SIGN}"
THUMB = "\N{THUMBS UP SIGN}"


async def test_answers_and_mentions_by_keyboard(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice, bruno = [await new_person(name) for name in ("Vera", "Alice Aalto", "Bruno")]
    chat = (await vera.client.create_chat("group", [alice.id, bruno.id], name="Tea")).id
    first = await alice.client.send(chat, "Who comes?")
    page = await open_page(vera.link(chat))
    keyboard = page.keyboard
    await message(page, "Who comes?").focus()
    await keyboard.press("r")
    await expect(page.locator(".context")).to_contain_text("Answer to Alice Aalto")
    await expect(box(page)).to_be_focused()
    await keyboard.type(f"{WAVE} I do, @aa")
    await expect(page.get_by_role("option")).to_have_text(["AAAlice Aalto"])
    await keyboard.press("Enter")
    await keyboard.type("and @")
    await expect(page.get_by_role("option")).to_have_count(3)
    await keyboard.press("ArrowDown")
    await keyboard.press("Tab")
    await keyboard.press("Enter")
    text = f"{WAVE} I do, @Alice Aalto and @Bruno "
    row = page.locator(".message.mine")
    await expect(row).to_contain_text("Sent")
    await expect(row.locator(".mention")).to_have_text(["@Alice Aalto", "@Bruno"])
    state = State().take_all(await alice.client.events(chat))
    said = next(said for said in state.messages.values() if said.sender == vera.id)
    assert said.text == text
    assert [(mention.user, mention.start, mention.end) for mention in said.mentions] == [
        (alice.id, 9, 21),
        (bruno.id, 26, 32),
    ]
    at_alice = await open_page(alice.link(chat))
    await expect(at_alice.locator(".message.for-me .mention.me")).to_have_text("@Alice Aalto")
    await expect(at_alice.locator(".mention:not(.me)")).to_have_text("@Bruno")
    await at_alice.get_by_role("button", name="Answer to You Who comes?").click()
    await expect(message(at_alice, "Who comes?")).to_be_focused()
    assert first.seq > 0


async def test_changes_deletions_and_reactions(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page, at_alice = await open_page(vera.link(chat)), await open_page(alice.link(chat))
    keyboard = page.keyboard
    await say(page, "helo")
    await expect(message(page, "helo")).to_contain_text("Read by Alice")
    await box(page).press("ArrowUp")
    await expect(page.locator(".context")).to_contain_text("Edit your message")
    await expect(box(page)).to_have_value("helo")
    await box(page).fill("hello")
    await keyboard.press("Enter")
    for one in (page, at_alice):
        await expect(message(one, "hello").locator(".edited")).to_have_text("edited")

    await message(at_alice, "hello").hover()
    await at_alice.get_by_role("button", name="React").click()
    await at_alice.get_by_role("button", name=THUMB).click()
    chip = message(page, "hello").locator(".chip")
    await expect(chip).to_have_accessible_name(f"{THUMB}, Alice")
    await chip.click()
    await expect(chip).to_have_accessible_name(f"{THUMB}, you and Alice")
    await expect(message(at_alice, "hello").locator(".chip")).to_have_text(f"{THUMB}2")
    await message(page, "hello").focus()
    await keyboard.press("+")
    await page.get_by_role("textbox", name="Another emoji").fill("<b>")
    await keyboard.press("Enter")
    await expect(message(at_alice, "hello").locator(".chip")).to_have_text([f"{THUMB}2", "<b>1"])
    await chip.first.click()
    await expect(message(at_alice, "hello").locator(".chip")).to_have_text([f"{THUMB}1", "<b>1"])

    await message(page, "hello").focus()
    await keyboard.press("Delete")
    await keyboard.press("Enter")
    for one in (page, at_alice):
        await expect(message(one, "Message deleted")).to_be_visible()
        await expect(one.locator(".chip")).to_have_count(0)
    state = State().take_all(await alice.client.events(chat))
    assert [said.deleted for said in state.messages.values()] == [True]


async def test_what_was_done_without_a_connection_outlives_a_reload(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person(), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    for text in ("typo", "gone"):
        await vera.client.send(chat, text)
    await alice.client.send(chat, "nice")
    await vera.client.set_fault("refuse", account=vera.id, act="delete", code="rate_limited", count=1)
    await vera.client.set_fault("silent", account=vera.id, act="edit", count=1)
    page = await open_page(vera.link(chat), excused=OFFLINE)
    await message(page, "gone").focus()
    await page.keyboard.press("Delete")
    await page.keyboard.press("Enter")
    await expect(message(page, "gone")).to_contain_text("Not deleted")
    await message(page, "typo").focus()
    await page.keyboard.press("e")
    await box(page).fill("right")
    await page.keyboard.press("Enter")
    await expect(message(page, "right")).to_be_visible()
    await message(page, "nice").focus()
    await page.keyboard.press("+")
    await page.get_by_role("button", name=THUMB).click()
    await page.reload()
    await expect(message(page, "right")).not_to_have_class(re.compile("sending|waiting|failed"))
    await expect(message(page, "nice").locator(".chip")).to_have_text(f"{THUMB}1")
    await message(page, "gone").get_by_role("button", name="Try again").click()
    await expect(message(page, "Message deleted")).to_be_visible()
    await expect(message(page, "Message deleted")).not_to_have_class(re.compile("sending|waiting|trouble"))
    state = State().take_all(await alice.client.events(chat))
    assert [(said.text, said.revision) for said in state.messages.values()] == [("right", 1), ("", 0), ("nice", 0)]
    assert [said.reactions for said in state.messages.values()][2] == {(vera.id, THUMB)}


async def test_ticks_and_who_is_writing(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat))
    await say(page, "read me")
    await expect(message(page, "read me")).to_contain_text("Sent")
    at_alice = await open_page(alice.link(chat))
    read = page.get_by_role("button", name="Read by Alice")
    await expect(read).to_be_visible()
    await expect(read.locator(".by")).to_be_hidden()
    await read.focus()
    await expect(read.locator(".by")).to_have_text(" by Alice")
    writing = page.locator(".writing")
    await box(at_alice).press_sequentially("Hm")
    await expect(writing).to_have_text("Alice is writing …")
    await box(at_alice).fill("")
    await expect(writing).to_have_text("")
    await box(at_alice).press_sequentially("Yes")
    await expect(writing).to_have_text("Alice is writing …")
    await box(at_alice).press("Enter")
    await expect(message(page, "Yes")).to_be_visible()
    await expect(writing).to_have_text("")
    await vera.client.mark_read(chat, (await vera.client.send(chat, "last")).id)
    await alice.client.delete_chat(chat)
    await expect(page.get_by_text("Alice deleted this conversation")).to_be_visible()
    await expect(box(page)).to_be_hidden()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_how_it_all_looks(open_page: OpenPage, new_person: NewPerson, look: Look, width: int, dark: bool) -> None:
    vera, alice, hostile = await new_person("Vera"), await new_person("Alice"), "<b>" + "M" * 90
    mallory = await new_person(hostile)
    chat = (await vera.client.create_chat("group", [alice.id, mallory.id], name="Tea")).id
    question = (await alice.client.send(chat, "Shall we have tea at four? " * 8)).id
    words = "Good idea, @Vera and @everybody!"
    told = (await mallory.client.send(chat, words, mentions=(Mention(11, 16, user=vera.id),), reply_to=question)).id
    for emoji in (THUMB, WAVE, "<i>", "W" * 64):
        await mallory.client.react(chat, question, emoji)
    await alice.client.react(chat, question, THUMB)
    own = (await vera.client.send(chat, "I bring caek", reply_to=told)).id
    await vera.client.react(chat, told, WAVE)
    await vera.client.edit(chat, own, "I bring cake")
    await alice.client.delete(chat, (await alice.client.send(chat, "oops")).id)
    last = (await vera.client.send(chat, "See you")).id
    await alice.client.mark_read(chat, last)
    page = await open_page(vera.link(chat), width=width, height=740, dark=dark)
    await expect(page.get_by_role("button", name="Read by Alice").last).to_be_visible()
    await alice.client.set_typing(chat)
    await page.get_by_role("button", name="Read by Alice").last.focus()
    for step in ("rest", "toolbar", "emoji", "mention"):
        if step == "toolbar":
            await message(page, "I bring cake").focus()
        elif step == "emoji":
            await page.keyboard.press("+")
        elif step == "mention":
            await page.keyboard.press("Escape")
            await page.keyboard.press("r")
            await page.keyboard.type("@")
            await expect(page.get_by_role("option")).to_have_count(3)
        assert await look.sticks_out(page) == [], step
        assert await look.contrast(page) == [], step
        assert await look.basics(page) == [], step
    assert await page.locator(".log b, .log i, .mentions b").count() == 0
