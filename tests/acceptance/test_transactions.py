"""Transactions as homeservers really send them: repeated, renumbered, with one event that is nonsense."""

from __future__ import annotations

import asyncio

import msgspec

from bridgekit.model.entry import Direction
from tests.support.scene import Scene, Talk


async def test_a_repeated_transaction_is_delivered_once(shared: Scene, talk: Talk) -> None:
    events = [talk.made_up("a"), talk.made_up("b")]
    for txn_id in ("first", "first", "second"):
        assert await shared.push(txn_id, events) == 200
    assert await asyncio.gather(*(shared.push(f"at once {n}", events) for n in range(5))) == [200] * 5
    await talk.alice.send_text(talk.room, "end")
    assert await talk.from_alice("end") == ["a", "b", "end"]


async def test_events_that_synapse_has_pushed_already(shared: Scene, talk: Talk) -> None:
    event_ids = [await talk.alice.send_text(talk.room, text) for text in ("a", "b")]
    events = await talk.raw_events(event_ids)
    # Before Synapse's own push, beside it, and after it.
    assert await shared.push("8001", events) == 200
    assert await talk.from_alice("b") == ["a", "b"]
    for txn_id in ("8001", "8002"):
        assert await shared.push(txn_id, events) == 200
    await talk.alice.send_text(talk.room, "end")
    assert await talk.from_alice("end") == ["a", "b", "end"]


async def test_transaction_ids_that_start_again_are_not_dropped(shared: Scene, talk: Talk) -> None:
    said = []
    for txn_id, text in (("1000000", "a"), ("1", "b"), ("2", "c"), ("1", "d"), ("1000000", "e")):
        assert await shared.push(txn_id, [talk.made_up(text)]) == 200
        said.append(text)
        # One by one: the comparison of rooms that follows would find that the homeserver knows of none of these.
        assert await talk.from_alice(text) == said


async def test_one_malformed_event_costs_only_itself(shared: Scene, talk: Talk) -> None:
    before, after = talk.made_up("before"), talk.made_up("after")
    bad = b'{"type":"m.room.message","event_id":"$bad-%s","sender":5,"content":"\\u0000"}' % talk.chat.encode()
    body = b'{"events":[%s,%s,%s]}' % (msgspec.json.encode(before), bad, msgspec.json.encode(after))

    assert await shared.push_raw("malformed", body) == 200
    assert await talk.from_alice("after") == ["before", "after"]
    assert await shared.push_raw("malformed again", body) == 200

    letters = [letter for letter in await shared.dead_letters() if letter.payload == bad]
    assert len(letters) == 1
    assert letters[0].direction is Direction.MATRIX
    assert letters[0].code == "malformed"
    assert "sender is not a string" in letters[0].reason
    assert letters[0].event_id == f"$bad-{talk.chat}"


async def test_what_is_no_transaction_is_refused(shared: Scene) -> None:
    bodies = [b"", b"{", b"[]", b"{}", b'{"events":{}}', b'{"events":["\xff"]}']
    assert [await shared.push_raw("bad", body) for body in bodies] == [400] * len(bodies)
    assert await shared.push("good", []) == 200
