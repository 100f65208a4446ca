"""The card of a call: readable, named for screen readers, usable by keyboard, on a phone, light and dark."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.look import Look
from tests.calls.conftest import NewPerson, OpenChat


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_readable_at_every_step(
    width: int, scheme: str, new_person: NewPerson, open_chat: OpenChat
) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice Anastasia Aaltonen-Vanhanen", "agent")
    chat, look = await vera.chat_with(alice), Look()
    at_vera = await open_chat(vera, chat, width=width, color_scheme=scheme)
    at_alice = await open_chat(alice, chat, width=width, color_scheme=scheme)

    async def right() -> None:
        for page in (at_vera.page, at_alice.page):
            assert [*await look.contrast(page), *await look.basics(page), *await look.sticks_out(page)] == []

    await at_vera.call()
    await at_alice.rings()
    await right()
    await at_alice.press("Accept")
    await at_vera.is_in("connected")
    await at_alice.is_in("connected")
    await at_vera.press("Mute")
    await right()
    await at_alice.press("Hang up")
    await at_vera.is_in("over")
    await right()


async def test_everything_by_keyboard(new_person: NewPerson, open_chat: OpenChat) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    at_vera, at_alice = await open_chat(vera, chat), await open_chat(alice, chat)
    await at_vera.page.get_by_role("button", name="Call", exact=True).press("Enter")
    await at_alice.rings()
    await expect(at_alice.card.get_by_role("alert")).to_have_text("Call from Vera")
    # What somebody is typing does not take the call by its Enter: the keyboard stays where it is.
    await expect(at_alice.button("Accept")).not_to_be_focused()
    await at_alice.button("Accept").press("Enter")
    await at_alice.is_in("connected")
    await expect(at_alice.card.locator(":focus")).to_have_count(1)  # in the card still, though that button is gone
    await at_alice.button("Mute").press("Space")
    await expect(at_alice.button("Mute")).to_have_attribute("aria-pressed", "true")
    await at_alice.button("Hang up").press("Enter")
    await at_vera.says("Call ended")
    await expect(at_alice.button("Close")).to_be_focused()
