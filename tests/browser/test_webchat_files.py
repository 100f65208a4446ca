"""The webchat's page: files sent with progress, shown, waited for; by button, paste and drop; and what goes wrong."""

from __future__ import annotations

import asyncio
import io
import math
import re
import struct
import wave
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import FilePayload, Locator, Page, expect

from example_bridge.webchat.client import File, Location, MessageEvent
from tests.browser.conftest import NewPerson, OpenPage
from tests.browser.look import Look
from tests.browser.people import Person
from tests.browser.test_webchat_page import OFFLINE, box, message, say

DRAW = """async ([width, height]) => {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillStyle = "teal";
  context.fillRect(0, 0, width, height);
  const blob = await canvas.convertToBlob({ type: "image/png" });
  return [...new Uint8Array(await blob.arrayBuffer())];
}"""
HAND_OVER = """([kind, name, type, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  const target = document.querySelector(kind === "paste" ? "textarea" : ".log");
  const give = (event, Event, field) => target.dispatchEvent(
    new Event(event, { [field]: data, bubbles: true, cancelable: true }));
  if (kind === "paste") return give("paste", ClipboardEvent, "clipboardData");
  for (const event of ["dragenter", "dragover", "drop"]) give(event, DragEvent, "dataTransfer");
}"""
IS_SHOWN = "img => img.complete && img.naturalWidth"


async def png(page: Page, width: int = 640, height: int = 400) -> bytes:
    return bytes(await page.evaluate(DRAW, [width, height]))


def wav(seconds: float = 1.0) -> bytes:
    """A tone."""
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        samples = (int(9000 * math.sin(at / 5)) for at in range(int(8000 * seconds)))
        out.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return made.getvalue()


def named(name: str, mimetype: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": mimetype, "buffer": data}


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def post(
    person: Person, chat: str, name: str, mimetype: str, data: bytes | None, text: str = "", **more: object
) -> str:
    """Say something with a file; `data` None: its bytes come later."""
    file = await person.client.reserve(name, mimetype, None if data is None else len(data))
    if data is not None:
        await person.client.upload(file, pieces(data), len(data))
    await person.client.send(chat, text, files=(File(id=file, **more),))  # type: ignore[arg-type]
    return file


async def files_of(person: Person, chat: str) -> list[tuple[str, list[File]]]:
    """Text and files of each message."""
    events = [event async for event in person.client.history(chat)]
    return [(event.message.text, list(event.message.files)) for event in events if isinstance(event, MessageEvent)]


async def bytes_of(person: Person, file: File) -> bytes:
    async with asyncio.timeout(20), person.client.open_file(file.id) as download:
        return b"".join([piece async for piece in download.chunks])


async def choose(page: Page, *files: FilePayload) -> None:
    await page.get_by_label("Files", exact=True).set_input_files(list(files))


def file(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name)


async def shown(picture: Locator) -> None:
    await expect(picture).to_be_visible()
    await expect(picture).to_have_js_property("complete", True)
    assert await picture.evaluate(IS_SHOWN)


async def test_files_go_out_with_their_words_and_are_seen(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page, at_alice = await open_page(vera.link(chat)), await open_page(alice.link(chat))
    data = await png(page)
    await choose(page, named("sky.png", "image/png", data), named("notes.txt", "text/plain", b"some notes"))
    await expect(page.get_by_role("list", name="Files to send").get_by_role("listitem")).to_have_count(2)
    await say(page, "Look at the sky")
    await expect(page.get_by_role("list", name="Files to send")).to_be_hidden()
    for one in (page, at_alice):
        sky = file(one, "Picture: sky.png").get_by_role("img")
        await shown(sky)
        # Asked for until it is so: what the server says of the message takes the place of what the page showed before.
        await expect(sky).to_have_js_property("clientWidth", 320)
        await expect(sky).to_have_js_property("clientHeight", 200)
        await expect(message(one, "Look at the sky")).to_contain_text("notes.txt")
    await expect(page.locator(".file progress:visible, .file .link:visible")).to_have_count(0)
    ((text, (picture, notes)),) = await files_of(alice, chat)
    assert (text, picture.width, picture.height, picture.kind, picture.size) == (
        "Look at the sky",
        640,
        400,
        "image",
        len(data),
    )
    assert (await bytes_of(alice, picture), await bytes_of(alice, notes)) == (data, b"some notes")
    async with at_alice.expect_download() as saving:
        await at_alice.get_by_role("button", name="Save notes.txt").click()
    saved = await saving.value
    assert saved.suggested_filename == "notes.txt"
    assert (await saved.path()).read_bytes() == b"some notes"
    # A chat's picture may be one of these files.
    await vera.client.change_chat(chat, avatar_url=f"/api/media/{picture.id}")
    for one in (page, at_alice):
        await shown(one.locator("#picture img"))
    await at_alice.get_by_role("button", name="Enlarge sky.png").press("Enter")
    await shown(at_alice.get_by_role("dialog").get_by_role("img"))
    await at_alice.keyboard.press("Escape")
    await expect(at_alice.get_by_role("dialog")).to_be_hidden()
    # The list says what it is, and no address of the page holds the token.
    await choose(page, named("alone.png", "image/png", data))
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator(".conversation .preview")).to_have_text("You: Picture: alone.png")
    assert await page.locator("a[href*=token]").count() == 0


@pytest.mark.parametrize("kind", ["paste", "drop"])
async def test_files_are_pasted_and_dropped(open_page: OpenPage, new_person: NewPerson, kind: str) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat))
    await box(page).wait_for()
    data = await png(page, 40, 30)
    for name in ("one.png", "two.png"):
        await page.evaluate(HAND_OVER, [kind, name, "image/png", list(data)])
    await page.get_by_role("button", name="Remove one.png").click()
    await expect(box(page)).to_be_visible()
    await page.get_by_role("button", name="Send", exact=True).click()
    await shown(file(page, "Picture: two.png").get_by_role("img"))
    ((_, (sent,)),) = await files_of(alice, chat)
    assert (sent.name, await bytes_of(alice, sent)) == ("two.png", data)


async def test_what_is_not_there_yet_keeps_its_room_and_shows_when_it_comes(
    open_page: OpenPage, new_person: NewPerson
) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat))
    data = await png(page, 1600, 800)
    coming = await post(alice, chat, "wide.png", "image/png", None, width=1600, height=800)
    given_up = await post(alice, chat, "never.bin", "application/octet-stream", None)
    await alice.client.send(chat, "below")
    await expect(file(page, "Picture: wide.png")).to_contain_text("Arriving")
    await expect(page.get_by_role("button", name="Save never.bin")).to_be_disabled()
    before = await message(page, "below").bounding_box()
    room = await file(page, "Picture: wide.png").locator(".stage").bounding_box()
    assert room is not None and (round(room["width"]), round(room["height"])) == (320, 160)
    await alice.client.upload(coming, pieces(data), len(data))
    await shown(file(page, "Picture: wide.png").get_by_role("img"))
    await expect(file(page, "Picture: wide.png")).not_to_contain_text("Arriving")
    assert await file(page, "Picture: wide.png").locator(".stage").bounding_box() is not None
    after = await file(page, "Picture: wide.png").locator(".stage").bounding_box()
    assert after is not None and (after["width"], after["height"]) == (room["width"], room["height"])
    assert before is not None
    await alice.client.withdraw(given_up)
    await expect(file(page, "File: never.bin")).to_contain_text("This file was not sent")


async def test_the_end_stays_in_sight_when_a_picture_comes(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    for number in range(30):
        await alice.client.send(chat, f"word {number}")
    late = await post(alice, chat, "late.png", "image/png", None)  # nobody says how large it will be
    await alice.client.send(chat, "the last word")
    page = await open_page(vera.link(chat))
    await expect(message(page, "the last word")).to_be_in_viewport(ratio=1)
    data = await png(page)
    await alice.client.upload(late, pieces(data), len(data))
    await shown(file(page, "Picture: late.png").get_by_role("img"))
    await expect(message(page, "the last word")).to_be_in_viewport(ratio=1)


async def test_words_overtake_no_file_and_wait_for_none(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat))
    await vera.client.set_fault("stall", account=vera.id, act="upload", after_bytes=50_000)
    try:
        await choose(page, named("big.bin", "application/octet-stream", bytes(3_000_000)))
        await say(page, "first")
        await say(page, "second")
        await expect(message(page, "second")).to_contain_text("Sent")
        assert [text for text, _ in await files_of(alice, chat)] == ["first", "second"]
        await expect(file(page, "File: big.bin").get_by_role("progressbar")).to_be_visible()
        await file(page, "File: big.bin").get_by_role("button", name="Cancel").click()
        await expect(file(page, "File: big.bin")).to_contain_text("This file was not sent")
        assert (await files_of(alice, chat))[0][1][0].state == "failed"
    finally:
        await vera.client.clear_faults()


async def test_an_upload_that_failed_is_tried_again(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat), excused=r"503|ERR_CONNECTION|ERR_EMPTY|ERR_FAILED")
    data = await png(page)
    await vera.client.set_fault("refuse", account=vera.id, act="upload", count=1)
    await choose(page, named("sky.png", "image/png", data))
    await page.get_by_role("button", name="Send", exact=True).click()
    picture = file(page, "Picture: sky.png")
    await expect(picture).to_contain_text("Not sent: refused on demand")
    await picture.get_by_role("button", name="Try again").click()
    await expect(picture.locator(".foot :visible")).to_have_count(0)
    ((_, (sent,)),) = await files_of(alice, chat)
    assert (sent.state, await bytes_of(alice, sent)) == ("there", data)


async def test_a_reload_sends_what_was_on_its_way(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat), excused=OFFLINE)
    data = bytes(range(256)) * 8000
    await vera.client.set_fault("stall", account=vera.id, act="upload", after_bytes=50_000, count=1)
    await choose(page, named("big.bin", "application/octet-stream", data))
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(file(page, "File: big.bin").get_by_role("progressbar")).to_be_visible()
    await page.reload()
    await expect(file(page, "File: big.bin")).to_be_visible()
    await expect(file(page, "File: big.bin").locator(".foot :visible")).to_have_count(0)
    ((_, (sent,)),) = await files_of(alice, chat)
    assert (sent.state, await bytes_of(alice, sent)) == ("there", data)
    await vera.client.clear_faults()


async def test_voice_audio_and_places(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    await post(alice, chat, "v.wav", "audio/wav", wav(), kind="voice", duration_ms=1000, waveform=(0, 500, 1024))
    await post(alice, chat, "song.wav", "audio/wav", wav(2), text="a song")
    await alice.client.send(chat, "here", location=Location(60.1699, 24.9384, 20))
    page = await open_page(vera.link(chat))
    play = file(page, "Voice message").get_by_role("button")
    await expect(play).to_have_accessible_name("Play the voice message")
    await expect(file(page, "Voice message")).to_contain_text("0:01")
    await play.click()
    await expect(file(page, "Voice message").locator("i.past").first).to_be_attached()
    await expect(play).to_have_accessible_name("Play the voice message")  # when it is over
    song = file(page, "Audio: song.wav").locator("audio")
    await expect(song).to_have_js_property("readyState", 4)
    assert await song.evaluate("player => player.duration") == pytest.approx(2)
    size = await song.bounding_box()
    assert size is not None and size["width"] > 200  # its buttons have room
    place = page.get_by_role("link", name="60.16990, 24.93840")
    await expect(place).to_have_attribute("href", re.compile(r"^https://www\.openstreetmap\.org/"))


async def test_a_voice_message_is_recorded(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page, at_alice = await open_page(vera.link(chat)), await open_page(alice.link(chat))
    begin = page.get_by_role("button", name="Record a voice message")
    await begin.click()
    await page.get_by_role("button", name="Discard the recording").click()
    await expect(page.get_by_role("timer")).to_have_count(0)
    await begin.click()
    await expect(page.get_by_role("timer")).to_have_text("0:02")
    await page.get_by_role("button", name="Send the voice message").click()
    await expect(file(page, "Voice message")).to_contain_text("0:02")
    play = file(at_alice, "Voice message").get_by_role("button")
    await expect(play).to_have_accessible_name("Play the voice message")
    await play.click()
    await expect(file(at_alice, "Voice message").locator("i.past").first).to_be_attached()
    ((text, (voice,)),) = await files_of(alice, chat)
    assert (text, voice.kind, voice.mimetype.partition("/")[0]) == ("", "voice", "audio")
    assert voice.duration_ms is not None and voice.duration_ms >= 1500
    assert len(voice.waveform) > 5 and max(voice.waveform) > 0
    data = await bytes_of(alice, voice)
    assert data[:4] in (b"OggS", b"\x1a\x45\xdf\xa3") or data[4:8] == b"ftyp"


async def test_what_is_too_large_is_said_at_once(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat))
    await box(page).wait_for()
    await page.evaluate(
        """() => {
          const huge = new File(["x"], "huge.iso");
          Object.defineProperty(huge, "size", { value: 3e9 });
          const data = { types: ["Files"], files: [huge] };
          const event = new Event("drop", { bubbles: true, cancelable: true });
          Object.defineProperty(event, "dataTransfer", { value: data });
          document.querySelector(".log").dispatchEvent(event);
        }"""
    )
    await expect(page.get_by_text("huge.iso is too large: 3.0 GB; at most 2.1 GB can be sent.")).to_be_visible()
    await expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()


async def test_a_page_or_picture_from_somebody_runs_nothing(open_page: OpenPage, new_person: NewPerson) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    evil = b"<script>parent.document.title = document.title = 'owned'</script>"
    await post(alice, chat, "page.html", "text/html", evil, kind="image")
    await post(
        alice, chat, "x.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    )
    page = await open_page(vera.link(chat), excused="ERR_BLOCKED|Refused|sandbox")
    await expect(file(page, "Picture: page.html")).to_contain_text("It could not be shown")
    await expect(file(page, "Picture: page.html").get_by_role("button", name="Try again")).to_be_visible()
    assert "owned" not in await page.title()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
async def test_looks(open_page: OpenPage, new_person: NewPerson, look: Look, width: int, dark: bool) -> None:
    vera, alice = await new_person("Vera"), await new_person("Alice", "agent")
    chat = await vera.chat_with(alice)
    page = await open_page(vera.link(chat), width=width, dark=dark)
    data = await png(page)
    await post(alice, chat, "sky.png", "image/png", data, text="caption", width=640, height=400)
    await post(alice, chat, "v.wav", "audio/wav", wav(), kind="voice", duration_ms=1000)
    await post(alice, chat, "n" * 200 + ".pdf", "application/pdf", b"x" * 5000)
    await post(alice, chat, "later.bin", "", None)
    await vera.client.send(chat, "here", location=Location(60.1699, 24.9384, 20))
    await choose(page, named("mine.png", "image/png", data), named("n" * 100, "", b"x"))
    await shown(file(page, "Picture: sky.png").get_by_role("img"))
    await expect(page.get_by_role("listitem").filter(has_text="mine.png")).to_be_visible()
    assert await look.basics(page) == []
    assert await look.contrast(page) == []
    assert await look.sticks_out(page) == []
