"""What the bridge makes of descriptions is what a real browser takes: two peers connect over nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

from bridgekit.core.call import sdp
from bridgekit.core.call.streams import with_streams
from bridgekit.model.calls import CallKind, Candidate
from tests.conftest import missing
from tests.support.browser import find_chromium

PAGE = """
const until = (test) => new Promise((done) => { const look = () => test() ? done() : setTimeout(look, 20); look(); });
const peers = {};
window.make = async (name, video) => {
  const peer = peers[name] = new RTCPeerConnection();
  peer.found = [];
  peer.onicecandidate = ({ candidate }) => { if (candidate?.candidate) peer.found.push(candidate.toJSON()); };
  peer.ontrack = ({ streams }) => { peer.streams = streams.map((one) => one.id); };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video });
  for (const track of stream.getTracks()) peer.addTrack(track, stream);
};
window.describe = async (name, type) => {
  const peer = peers[name];
  const made = type === "offer" ? await peer.createOffer() : await peer.createAnswer();
  await peer.setLocalDescription(made);
  return made.sdp; // as it is before any candidate was found
};
window.complete = async (name) => {
  const peer = peers[name];
  await until(() => peer.iceGatheringState === "complete");
  return { sdp: peer.localDescription.sdp, found: peer.found };
};
window.take = (name, type, sdp) => peers[name].setRemoteDescription({ type, sdp });
window.connected = async (name) => {
  await until(() => ["connected", "failed"].includes(peers[name].connectionState));
  return [peers[name].connectionState, peers[name].streams];
};
"ready"; // a function as the last value would be called
"""


@pytest.fixture
async def browser_with_devices() -> AsyncIterator[Browser]:
    arguments = ["--disable-dev-shm-usage", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as driver:
        found = find_chromium() or missing("Chromium")
        browser = await driver.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


def candidates(found: list[dict[str, Any]]) -> list[Candidate]:
    return [
        Candidate(one["candidate"], one.get("sdpMid"), one.get("sdpMLineIndex"), one.get("usernameFragment"))
        for one in found
    ]


@pytest.mark.parametrize("video", [False, True])
async def test_two_browsers_connect_by_what_was_merged(browser_with_devices: Browser, video: bool) -> None:
    page = await browser_with_devices.new_page()
    await page.route("**/*", lambda route: route.fulfill(body="<title>calls</title>", content_type="text/html"))
    await page.goto("http://localhost/")  # where pages may have devices; nothing is asked of it
    await page.evaluate(PAGE)
    for name in ("matrix", "remote"):
        await page.evaluate("([name, video]) => make(name, video)", [name, video])

    bare = await page.evaluate("describe('matrix', 'offer')")
    assert not sdp.facts(bare).candidates
    assert sdp.facts(bare).kind is (CallKind.VIDEO if video else CallKind.AUDIO)
    assert sdp.parse(bare).render() == bare
    offer = sdp.merge(bare, candidates((await page.evaluate("complete('matrix')"))["found"]))
    assert sdp.facts(offer).candidates and sdp.facts(offer).complete
    await page.evaluate("(sdp) => take('remote', 'offer', sdp)", offer)

    await page.evaluate("describe('remote', 'answer')")
    said = await page.evaluate("complete('remote')")
    answer, streams = with_streams(sdp.tidy(said["sdp"]), "ours")
    apart, inside, _ = sdp.split(answer)
    assert inside and not sdp.facts(apart).candidates
    await page.evaluate("(sdp) => take('matrix', 'answer', sdp)", sdp.merge(apart, inside, final=False))

    assert await page.evaluate("connected('matrix')") == ["connected", ["ours"]]
    assert (await page.evaluate("connected('remote')"))[0] == "connected"
    assert list(streams) == ["ours"]
