"""Edits, deletions, reactions and replies of the network's people, on the real servers."""

from __future__ import annotations

from bridgekit.testing.client import ClientEvent
from tests.support.scene import Scene, Talk


async def replaced(talk: Talk, original: str, text: str) -> ClientEvent:
    """The edit with this text; as clients ask for it, it belongs to the original."""

    def fits(event: ClientEvent) -> bool:
        relation = event.content.get("m.relates_to", {})
        new = event.content.get("m.new_content", {})
        return (relation.get("rel_type"), relation.get("event_id"), new.get("body")) == ("m.replace", original, text)

    return await talk.alice.wait_for(fits, room_id=talk.room)


async def reaction(talk: Talk, target: str, key: str) -> ClientEvent:
    wanted = {"rel_type": "m.annotation", "event_id": target, "key": key}
    return await talk.alice.wait_for(
        lambda event: event.type == "m.reaction" and event.content.get("m.relates_to") == wanted, room_id=talk.room
    )


async def redacted(talk: Talk, event_id: str) -> ClientEvent:
    """The event, once the homeserver has redacted it."""
    await talk.alice.wait_for(
        lambda event: (
            event.type == "m.room.redaction"
            and event_id in (event.content.get("redacts"), getattr(event, "redacts", None))
        ),
        room_id=talk.room,
    )
    return await talk.alice.get_event(talk.room, event_id)


async def test_an_edit_and_a_deletion(shared: Scene, talk: Talk) -> None:
    receipt = await talk.visitor.send(talk.chat, "teh word")
    event = await talk.alice.wait_for_text(talk.room, "teh word")
    await talk.visitor.edit(talk.chat, receipt.id, "teh wrd")
    await talk.visitor.edit(talk.chat, receipt.id, "the word")
    edit = await replaced(talk, event.event_id, "the word")
    assert edit.sender == event.sender == talk.ghost
    bundled = await talk.alice.request("GET", f"client/v3/rooms/{talk.room}/event/{event.event_id}")
    assert bundled["unsigned"]["m.relations"]["m.replace"]["event_id"] == edit.event_id
    async with shared.slot.client() as bot:
        levels = await bot.get_state(talk.room, "m.room.power_levels") or {}
        await bot.set_state(talk.room, "m.room.power_levels", {**levels, "users": {talk.alice.user_id: 50}})
    await talk.alice.redact(talk.room, edit.event_id)
    told = await talk.alice.wait_for(lambda e: "delete the message itself" in (e.body or ""), room_id=talk.room)
    assert told.sender == talk.bot
    await talk.visitor.delete(talk.chat, receipt.id)
    assert (await redacted(talk, event.event_id)).content == {}


async def test_reactions_come_and_go(talk: Talk) -> None:
    receipt = await talk.visitor.send(talk.chat, "vote")
    event = await talk.alice.wait_for_text(talk.room, "vote")
    await talk.visitor.react(talk.chat, receipt.id, "👍")
    first = await reaction(talk, event.event_id, "👍\ufe0f")
    assert first.sender == talk.ghost
    await talk.visitor.unreact(talk.chat, receipt.id, "👍")
    assert (await redacted(talk, first.event_id)).content == {}
    await talk.visitor.react(talk.chat, receipt.id, "👍")
    await talk.alice.wait_for_count(
        lambda e: e.type == "m.reaction" and e.event_id != first.event_id, 1, room_id=talk.room
    )


async def test_a_reply_to_alice_and_a_change_of_what_she_said(talk: Talk) -> None:
    question = await talk.alice.send_text(talk.room, "what time is it?")
    *_, asked = await talk.messages_from_alice("what time is it?")
    await talk.visitor.send(talk.chat, "late", reply_to=asked.id)
    answer = await talk.alice.wait_for_text(talk.room, "late")
    assert answer.content["m.relates_to"] == {"m.in_reply_to": {"event_id": question}}
    assert answer.content["m.mentions"] == {"user_ids": [talk.alice.user_id]}
    await talk.visitor.react(talk.chat, asked.id, "🎉")
    assert (await reaction(talk, question, "🎉")).sender == talk.ghost
    # Edited and deleted in the room: what comes back of that is an echo, and nothing is said twice.
    relation = {"rel_type": "m.replace", "event_id": question}
    new = {"msgtype": "m.text", "body": "what day is it?"}
    edit = {"msgtype": "m.text", "body": "* what day is it?", "m.new_content": new, "m.relates_to": relation}
    await talk.alice.send(talk.room, "m.room.message", edit)
    await talk.visitor.send(talk.chat, "and on")
    assert await talk.from_visitor("and on") == ["hello", "late", "and on"]
    bodies = await talk.alice.texts(talk.room)
    assert not [body for body in bodies if "(edited)" in body]
