"""The comparison with what the homeserver lost holds up nobody for ever."""

from __future__ import annotations

import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.testing.harness import ALICE, Harness


@pytest.mark.parametrize("status", [400, 403, 404, 500])
async def test_a_room_that_cannot_be_compared_does_not_hold_up_the_bridge(harness: Harness, status: int) -> None:
    room = await harness.portal()
    await harness.kill()
    harness.homeserver.fail("messages", MatrixRequestError(status, "M_UNKNOWN", "injected"), times=1_000_000)
    await harness.start()
    harness.homeserver.say(room, ALICE, "in the old room")
    await harness.settle(600)
    assert harness.network.texts("chat") == ["in the old room"]
    other = await harness.portal("other")
    harness.homeserver.say(other, ALICE, "in a new room")
    await harness.settle(10)
    assert harness.network.texts("other") == ["in a new room"]


@pytest.mark.parametrize(
    "error", [HomeserverUnreachable("gone"), MatrixRequestError(502, "M_UNKNOWN", "injected")], ids=["gone", "502"]
)
async def test_while_the_homeserver_is_away_nothing_overtakes_what_it_lost(
    harness: Harness, error: HomeserverUnreachable | MatrixRequestError
) -> None:
    room = await harness.portal()
    await harness.kill()
    harness.homeserver.say(room, ALICE, "lost")
    harness.homeserver.lose_outbox()
    harness.homeserver.fail("messages", error, times=1_000_000)
    await harness.start()
    harness.homeserver.say(room, ALICE, "pushed")
    await harness.settle(600)
    assert harness.network.texts("chat") == []
    harness.homeserver.mend()
    await harness.settle(120)
    assert harness.network.texts("chat") == ["lost", "pushed"]
    assert (harness.bridge.gaps.missing, harness.bridge.gaps.late) == (1, 0)


async def test_an_anchor_that_is_too_far_back_replays_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bridgekit.runtime.gaps.MAX_PAGES", 1)
    room = await harness.portal()
    harness.homeserver.say(room, ALICE, "before")
    await harness.until(lambda: harness.network.texts("chat") == ["before"])
    await harness.settle(16 * 60)  # the regular comparison moves the anchor here
    await harness.kill()
    for number in range(150):
        harness.homeserver.say(room, ALICE, f"lost {number}")
    harness.homeserver.lose_outbox()
    await harness.start()
    harness.homeserver.say(room, ALICE, "after")
    await harness.until(lambda: "after" in harness.network.texts("chat"))
    assert harness.network.texts("chat") == ["before", "after"]
    assert harness.bridge.gaps.unknown_anchors == 1
    assert "was not found" in caplog.text
