"""A reply stays one on the other side, also where what it answers is still on its way."""

from __future__ import annotations

import asyncio

from bridgekit.model.ids import EventID, RoomID
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import Outcome


def answered(harness: Harness, room: RoomID, body: str) -> EventID | None:
    """Which event the message with this body replies to."""
    event = next(e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == body)
    found: EventID | None = event["content"].get("m.relates_to", {}).get("m.in_reply_to", {}).get("event_id")
    return found


def reply_to(event: EventID) -> dict[str, object]:
    return {"m.relates_to": {"m.in_reply_to": {"event_id": event}}}


async def test_both_ways(harness: Harness) -> None:
    room = await harness.portal()
    asked = harness.network.say("chat", "friend", "are you there?")
    await harness.until(lambda: "are you there?" in harness.homeserver.bodies(room))
    event = next(
        e["event_id"] for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == asked.text.body
    )
    yes = harness.homeserver.say(room, ALICE, "yes", **reply_to(event))
    await harness.until(lambda: bool(harness.network.spoken))
    (_, message) = harness.network.spoken[0]
    assert message.reply_to == asked.id

    sent = harness.network._stream[-1][0]
    harness.network.say("chat", "friend", "good", reply_to=sent.id)  # type: ignore[union-attr]  # the echo of "yes"
    await harness.until(lambda: "good" in harness.homeserver.bodies(room))
    assert answered(harness, room, "good") == yes


async def test_an_answer_that_comes_before_the_send_has_returned(harness: Harness) -> None:
    room = await harness.portal()
    gate = asyncio.Event()
    harness.network.next_sends(Outcome(gate=gate))
    question = harness.homeserver.say(room, ALICE, "who?")
    await harness.until(lambda: harness.network.texts("chat") == ["who?"])
    sent = harness.network._stream[-1][0]
    harness.network.say("chat", "friend", "me", reply_to=sent.id)  # type: ignore[union-attr]  # the echo of "who?"
    await harness.settle()
    assert "me" not in harness.homeserver.bodies(room)
    gate.set()
    await harness.until(lambda: "me" in harness.homeserver.bodies(room))
    assert answered(harness, room, "me") == question
