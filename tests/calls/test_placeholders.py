"""What matrix-js-sdk, in a browser, makes of a file whose bytes are not there yet; docs/mappings/media.md says it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from bridgekit.testing.api import Json
from bridgekit.testing.client import MatrixClient
from bridgekit.testing.synapse import MatrixUser
from tests.calls.conftest import NewDevice
from tests.support.device import Device
from tests.support.homeserver import Homeserver

GIVES_UP_S = 20.0
CONNECTIONS = 6
"""That Chromium has to one server over HTTP/1.1, which Synapse speaks by itself."""


async def reserve(api: MatrixClient) -> str:
    return str((await api.request("POST", "media/v1/create"))["content_uri"])


async def fill(user: MatrixUser, mxc: str, data: bytes) -> None:
    url = f"{user.url}/_matrix/media/v3/upload/{mxc.removeprefix('mxc://')}"
    headers = {"Authorization": f"Bearer {user.access_token}", "Content-Type": "image/png"}
    async with aiohttp.ClientSession() as http, http.put(url, data=data, headers=headers) as answer:
        assert answer.status == 200


async def get(device: Device, mxc: str) -> Json:
    """What a page gets that asks for the file, as the SDK says."""
    script = "(mxc) => window.device.get(window.device.address(mxc))"
    got: Json = await device.page.evaluate(script, mxc)
    return got


def picture(mxc: str) -> Json:
    return {"msgtype": "m.image", "body": "p.png", "filename": "p.png", "url": mxc, "info": {"mimetype": "image/png"}}


def edit(content: Json, event_id: str) -> Json:
    relation = {"rel_type": "m.replace", "event_id": event_id}
    return {**content, "body": f"* {content['body']}", "m.new_content": content, "m.relates_to": relation}


async def test_who_asks_waits_and_gets_the_bytes_or_a_refusal_that_is_not_kept(
    homeserver: Homeserver, new_device: NewDevice
) -> None:
    alice = await homeserver.register_user("alice")
    async with alice.client() as api:
        device, mxc, never = await new_device(alice), await reserve(api), await reserve(api)
        refused = asyncio.ensure_future(get(device, never))
        async with device.page.expect_request(lambda request: mxc.removeprefix("mxc://") in request.url):
            asked = asyncio.ensure_future(get(device, mxc))
        await fill(alice, mxc, b"data")
        got = await asked
        assert (got["status"], got["size"]) == (200, 4)
        answer = await refused
        assert answer["status"] == 504 and "M_NOT_YET_UPLOADED" in answer["text"]
        assert answer["seconds"] >= GIVES_UP_S  # the server's own time limit: the SDK asks for no other
        assert "no-store" in answer["cache"]
        await fill(alice, never, b"late")
        again = await get(device, never)
        assert (again["status"], again["size"]) == (200, 4)


async def test_an_edit_takes_the_files_place_and_words_do_too(homeserver: Homeserver, new_device: NewDevice) -> None:
    alice = await homeserver.register_user("alice")
    async with alice.client() as api:
        room, mxc = await api.create_room(), await reserve(api)
        device = await new_device(alice)
        sent = await api.send(room, "m.room.message", picture(mxc))
        await _shows(device, room, sent, "url", mxc)
        words = {"msgtype": "m.notice", "body": "p.png is on its way"}
        await api.send(room, "m.room.message", edit(words, sent))
        assert (await _shows(device, room, sent, "msgtype", "m.notice")) == words
        await api.send(room, "m.room.message", edit(picture(mxc), sent))
        assert (await _shows(device, room, sent, "msgtype", "m.image")) == picture(mxc)
        other = await new_device(await homeserver.synapse.login(alice.user_id, alice.password))
        assert (await _shows(other, room, sent, "msgtype", "m.image")) == picture(mxc)


async def _shows(device: Device, room: str, event: str, key: str, value: Any) -> Json:
    """Wait until the event's content, as the SDK gives it, has this; the content."""
    script = """([room, id, key, value]) => {
      const event = window.device.timeline(room).find((event) => event.id === id);
      return event && event.content[key] === value && event.content;
    }"""
    found = await device.page.wait_for_function(script, arg=[room, event, key, value], polling=50)
    content: Json = await found.json_value()
    return content


async def test_downloads_that_wait_hold_up_the_client_that_asks(homeserver: Homeserver, new_device: NewDevice) -> None:
    alice = await homeserver.register_user("alice")
    async with alice.client() as api:
        device = await new_device(alice)
        await device._do("stop")  # its /sync needs one, too
        files = [await reserve(api) for _ in range(CONNECTIONS)]
        script = "(files) => { window.waiting = files.map((mxc) => device.get(device.address(mxc))); }"
        await device.page.evaluate(script, files)
        versions = f"{alice.url}/_matrix/client/versions"
        held_up = await device.page.evaluate("(url) => device.get(url, 3_000)", versions)
        assert held_up["status"] == 0 and "timed out" in held_up["text"]
        for mxc in files:
            await fill(alice, mxc, b"data")
        assert (await device.page.evaluate("(url) => device.get(url)", versions))["status"] == 200
        got = await device.page.evaluate("Promise.all(window.waiting)")
        assert [each["status"] for each in got] == [200] * CONNECTIONS
