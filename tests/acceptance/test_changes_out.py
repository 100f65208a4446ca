"""What people on Matrix do to messages reaches the webchat, on the real servers; and who did it sees how it went."""

from __future__ import annotations

from typing import Any

from bridgekit.testing.client import MatrixClient
from example_bridge.webchat.client import DeleteEvent, EditEvent, MessageEvent, ReactionEvent
from tests.support.scene import Talk


async def edit(talk: Talk, event_id: str, text: str) -> str:
    new = {"msgtype": "m.text", "body": text, "m.mentions": {}}
    relation = {"rel_type": "m.replace", "event_id": event_id}
    content = {**new, "body": f"* {text}", "m.new_content": new, "m.relates_to": relation}
    return await talk.alice.send(talk.room, "m.room.message", content)


async def react(talk: Talk, event_id: str, key: str) -> str:
    relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
    return await talk.alice.send(talk.room, "m.reaction", {"m.relates_to": relation})


def is_deed(kind: type, **fields: Any) -> Any:
    return lambda event: isinstance(event, kind) and all(getattr(event, name) == v for name, v in fields.items())


async def sent(talk: Talk, text: str, **content: Any) -> tuple[str, str]:
    """A message of Alice that has crossed: what both sides call it."""
    event_id = await talk.alice.send(
        talk.room, "m.room.message", {"msgtype": "m.text", "body": text, "m.mentions": {}, **content}
    )
    event = await talk.until(lambda event: isinstance(event, MessageEvent) and event.message.text == text)
    assert isinstance(event, MessageEvent)
    return event_id, event.message.id


def read_by(alice: MatrixClient, room: str, bot: str) -> set[str]:
    """The events up to which the bot's receipts have shown that all has crossed."""
    receipts = [each.content for each in alice.ephemeral if (each.room_id, each.type) == (room, "m.receipt")]
    return {event for content in receipts for event, kinds in content.items() if bot in kinds.get("m.read", {})}


async def test_edits_reactions_replies_and_deletions(talk: Talk) -> None:
    hello = await talk.alice.wait_for_text(talk.room, "hello")
    first, id = await sent(talk, "frist")
    await edit(talk, first, "first")
    await talk.until(is_deed(EditEvent, target=id, text="first"))
    reaction = await react(talk, first, "\U0001f44d\ufe0f")
    await talk.until(is_deed(ReactionEvent, target=id, added=True))
    await talk.alice.redact(talk.room, reaction)
    await talk.until(is_deed(ReactionEvent, target=id, added=False))
    relation = {"m.in_reply_to": {"event_id": hello.event_id}}
    _, answer = await sent(talk, "hello to you", **{"m.relates_to": relation})
    in_thread = {
        "rel_type": "m.thread",
        "event_id": first,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": first},
    }
    _, threaded = await sent(talk, "in a thread", **{"m.relates_to": in_thread})
    said = {
        e.message.id: e.message
        for e in [e async for e in talk.visitor.history(talk.chat)]
        if isinstance(e, MessageEvent)
    }
    assert said[answer].reply_to not in (None, id)
    assert said[threaded].reply_to == id  # the webchat has no threads
    await talk.alice.redact(talk.room, first, "a typo")
    await talk.until(is_deed(DeleteEvent, target=id, reason="a typo"))
    # None of it has come back as somebody else's.
    last, _ = await sent(talk, "the end")
    await talk.visitor.send(talk.chat, "bye")
    await talk.alice.wait_for_text(talk.room, "bye")
    ours = [e for e in await talk.alice.timeline(talk.room) if e.sender == talk.ghost and e.type != "m.room.member"]
    assert [event.body for event in ours] == ["hello", "bye"]
    await talk.alice.wait_until(lambda: last in read_by(talk.alice, talk.room, talk.bot) or None)


async def test_what_cannot_be_done_is_seen(talk: Talk) -> None:
    """The webchat has no such reactions: it says so, and Alice sees it in every way there is."""
    hello = await talk.alice.wait_for_text(talk.room, "hello")
    reaction = await react(talk, hello.event_id, "mxc://example.org/picture")
    notice = await talk.from_bot("Your reaction was not sent: the network does not take this reaction.")
    assert notice.content["m.relates_to"]["m.in_reply_to"]["event_id"] == hello.event_id
    status = await talk.alice.wait_for(lambda e: e.type == "com.beeper.message_send_status", room_id=talk.room)
    assert status.content["m.relates_to"] == {"rel_type": "m.reference", "event_id": reaction}
    assert status.content["status"] == "FAIL_PERMANENT"
    await talk.alice.wait_for(
        lambda e: e.type == "m.room.redaction" and e.sender == talk.bot and e.redacts == reaction, room_id=talk.room
    )
