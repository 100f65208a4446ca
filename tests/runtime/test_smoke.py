from __future__ import annotations

from bridgekit.testing.harness import ALICE, Harness


async def test_text_both_ways(harness: Harness) -> None:
    room = await harness.portal()
    harness.homeserver.say(room, ALICE, "good day")
    await harness.until(lambda: harness.network.texts("chat") == ["good day"])
    harness.network.say("chat", "friend", "and to you")
    await harness.until(lambda: harness.homeserver.bodies(room) == ["hello", "and to you"])
