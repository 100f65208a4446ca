"""Replies and threads from Matrix, on networks that have them or not; and who may mention the room."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.errors import HomeserverUnreachable
from bridgekit.model.content import MentionRoom, Run, Style
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.limits import Limits
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import FakeNetwork, able


async def started(**limits: Any) -> tuple[Harness, RoomID, EventID]:
    """A room with a message of a friend."""
    harness = Harness(FakeNetwork(limits=able(**limits)))
    await harness.start()
    room = await harness.portal()
    (event,) = (e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "hello")
    return harness, room, EventID(event["event_id"])


def answer(harness: Harness, room: RoomID, to: EventID, body: str) -> EventID:
    return harness.homeserver.say(room, ALICE, body, **{"m.relates_to": {"m.in_reply_to": {"event_id": to}}})


def in_thread(
    harness: Harness, room: RoomID, root: EventID, body: str, *, after: EventID, falling_back: bool
) -> EventID:
    relation = {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": falling_back,
        "m.in_reply_to": {"event_id": after},
    }
    return harness.homeserver.say(room, ALICE, body, **{"m.relates_to": relation})


async def remote_id(harness: Harness, room: RoomID, event: EventID) -> str:
    return (await harness.store.messages_by_event(room, event))[0].remote_id


async def test_threads() -> None:
    harness, room, hello = await started(threads=True)
    first = in_thread(harness, room, hello, "first", after=hello, falling_back=True)
    in_thread(harness, room, hello, "second", after=first, falling_back=False)
    await harness.settle(5)
    (_, one), (_, two) = harness.network.spoken
    root = await remote_id(harness, room, hello)
    assert (one.thread, one.reply_to) == (root, None)
    assert (two.thread, two.reply_to) == (root, await remote_id(harness, room, first))
    await harness.kill()


@pytest.mark.parametrize("away", [False, True])
async def test_an_answer_to_an_edit_is_one_to_its_message(*, away: bool) -> None:
    """Some clients name the edit that they show."""
    harness, room, hello = await started()
    relation = {"rel_type": "m.replace", "event_id": hello}
    new = {"msgtype": "m.text", "body": "hello again"}
    ghost = UserID("@fake_friend:test")
    edited = harness.homeserver.say(room, ghost, "* hello again", **{"m.new_content": new, "m.relates_to": relation})
    if away:
        harness.homeserver.fail("get_event", HomeserverUnreachable("gone"), times=3)
    answer(harness, room, edited, "hi")
    answer(harness, room, EventID("$nothing"), "who?")
    await harness.settle(60)
    (_, one), (_, two) = harness.network.spoken
    assert (one.reply_to, two.reply_to) == (await remote_id(harness, room, hello), None)
    assert await harness.store.dead_letters() == []
    await harness.kill()


@pytest.mark.parametrize("threads", [True, False])
async def test_what_an_edit_adds_to_a_message_is_said_in_its_thread(threads: bool) -> None:
    harness, room, hello = await started(threads=threads, max_text_length=20)
    first = in_thread(harness, room, hello, "first", after=hello, falling_back=True)
    await harness.settle(5)
    harness.homeserver.fail("get_event", HomeserverUnreachable("away", endpoint="x"))
    longer = "one two three four five six"
    harness.homeserver.say(
        room,
        ALICE,
        f"* {longer}",
        **{
            "m.new_content": {"msgtype": "m.text", "body": longer},
            "m.relates_to": {"rel_type": "m.replace", "event_id": first},
        },
    )
    await harness.settle(60)
    (_, one), (_, added) = harness.network.spoken
    assert [one.text.body, *(each.text.body for each in harness.network.edits)] == ["first", "one two three four"]
    assert (added.text.body, added.thread) == ("five six", await remote_id(harness, room, hello) if threads else None)
    await harness.kill()


async def test_a_thread_is_a_reply_where_there_is_none() -> None:
    harness, room, hello = await started()
    first = in_thread(harness, room, hello, "first", after=hello, falling_back=True)
    in_thread(harness, room, hello, "second", after=first, falling_back=True)
    await harness.settle(5)
    assert [message.thread for _, message in harness.network.spoken] == [None, None]
    assert [message.reply_to for _, message in harness.network.spoken] == [
        await remote_id(harness, room, hello),
        await remote_id(harness, room, first),
    ]
    await harness.kill()


async def test_a_thread_whose_root_never_crossed() -> None:
    harness, room, hello = await started(threads=True)
    in_thread(harness, room, EventID("$unknown"), "first", after=hello, falling_back=True)
    await harness.settle(5)
    ((_, message),) = harness.network.spoken
    assert (message.thread, message.reply_to) == (None, await remote_id(harness, room, hello))
    await harness.kill()


async def test_a_reply_is_a_quotation_where_there_is_none() -> None:
    harness, room, hello = await started(replies=False)
    ghost = next(e for e in harness.homeserver.rooms[room].timeline if e["event_id"] == hello)["sender"]
    assert harness.homeserver.names[ghost] == "Name of friend"
    answer(harness, room, hello, "hi")
    answer(harness, room, EventID("$unknown"), "alone")
    await harness.settle(5)
    (_, message), (_, alone) = harness.network.spoken
    assert message.reply_to is None
    assert message.text.body == "Name of friend: hello\nhi"
    assert message.text.runs[0] == Run(0, 21, Style.QUOTE, level=1)
    assert alone.text.body == "alone"
    await harness.kill()


async def test_an_adapter_that_says_nothing_of_itself_loses_nothing() -> None:
    """What it does not know of is in the text."""
    harness = Harness(FakeNetwork(limits=Limits()))
    await harness.start()
    room = await harness.portal()
    (hello,) = (e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "hello")
    rich = {"format": "org.matrix.custom.html", "formatted_body": "<b>hi</b> <a href='https://a.test/'>you</a> @room"}
    relation = {"m.relates_to": {"m.in_reply_to": {"event_id": hello["event_id"]}}}
    harness.homeserver.say(room, ALICE, "hi", **rich, **relation, **{"m.mentions": {"room": True}})
    uri = harness.homeserver.add_file(b"cat", mimetype="image/png")
    picture = {"msgtype": "m.image", "url": uri, "filename": "cat.png"}
    harness.homeserver.say(room, ALICE, "my cat", **picture)
    await harness.settle(5)
    (_, answer), (_, file), (_, caption) = harness.network.spoken
    assert answer.text.body == "> Name of friend: hello\nhi you (https://a.test/) @room"
    assert (answer.text.runs, answer.text.mentions, answer.reply_to) == ((), (), None)
    assert file.media is not None and (file.text.body, caption.text.body) == ("", "my cat")
    await harness.kill()


async def test_a_quotation_stays_over_a_crash() -> None:
    """The answered message is deleted before the rest of the parts is sent: what they quote must not change."""
    harness, room, hello = await started(replies=False, max_text_length=20)
    dead = harness.kill_at(points.PARTS_BETWEEN)
    answer(harness, room, hello, "one two three four five")
    await harness.until(dead.is_set)
    await harness.kill()
    for event in harness.homeserver.rooms[room].timeline:
        if event["event_id"] == hello:
            event["content"] = {}
    await harness.start()
    await harness.settle(30)
    said = "".join(harness.network.texts("chat"))
    assert said.count("hello") == 1
    assert [word for word in ("one", "two", "three", "four", "five") if word not in said] == []
    await harness.kill()


@pytest.mark.parametrize("level, mentioned", [(0, False), (50, True)])
async def test_only_who_may_mentions_the_room(level: int, mentioned: bool) -> None:
    harness, room, _ = await started()
    harness.homeserver.rooms[room].state["m.room.power_levels", ""] = {"users": {ALICE: level}}
    harness.homeserver.say(room, ALICE, "hey @room", **{"m.mentions": {"room": True}})
    await harness.settle(5)
    ((_, message),) = harness.network.spoken
    assert [span.target for span in message.text.mentions] == ([MentionRoom()] if mentioned else [])
    await harness.kill()


@pytest.mark.parametrize("creates", ["is the sender", "is among others", "is somebody else"])
async def test_a_rooms_creators_mention_it_whatever_the_levels_say(creates: str) -> None:
    """Room version 12: they are not in the power levels, and stand above them. Who upgrades a room is one."""
    harness, room, _ = await started()
    more = {"room_version": "12", **({"additional_creators": [ALICE]} if creates == "is among others" else {})}
    sender = ALICE if creates == "is the sender" else harness.homeserver.bot
    harness.homeserver.rooms[room].timeline.insert(0, {
        "event_id": f"${room[1:]}", "room_id": room, "sender": sender, "type": "m.room.create", "state_key": "",
        "origin_server_ts": 1, "content": more,
    })  # fmt: skip
    harness.homeserver.rooms[room].state["m.room.power_levels", ""] = {"users_default": 0}
    harness.homeserver.say(room, ALICE, "hey @room", **{"m.mentions": {"room": True}})
    await harness.settle(5)
    (_, message) = harness.network.spoken[-1]
    may = creates != "is somebody else"
    assert [mention.target for mention in message.text.mentions] == [MentionRoom()] * may
    await harness.kill()


async def test_whom_the_text_does_not_name() -> None:
    harness, room, _ = await started(hidden_mentions=True)
    harness.homeserver.say(room, ALICE, "hey", **{"m.mentions": {"user_ids": ["@fake_friend:test"]}})
    await harness.settle(5)
    ((_, message),) = harness.network.spoken
    assert message.text.body == "hey"
    assert len(message.hidden_mentions) == 1
    await harness.kill()


async def test_who_is_not_named_is_named_where_that_is_needed() -> None:
    harness, room, hello = await started()
    harness.homeserver.say(room, ALICE, "hey", **{"m.mentions": {"user_ids": ["@fake_friend:test"]}})
    relation = {"m.in_reply_to": {"event_id": hello}}
    mentions = {"user_ids": ["@fake_friend:test"]}
    harness.homeserver.say(room, ALICE, "hi", **{"m.mentions": mentions, "m.relates_to": relation})
    await harness.settle(5)
    # The answered person is notified by the answer.
    assert harness.network.texts("chat") == ["hey @Name of friend", "hi"]
    await harness.kill()


async def test_an_edit_keeps_the_quotation() -> None:
    harness, room, hello = await started(replies=False)
    event = answer(harness, room, hello, "hi")
    await harness.settle(5)
    new = {"msgtype": "m.text", "body": "hi there"}
    relation = {"rel_type": "m.replace", "event_id": event}
    harness.homeserver.say(room, ALICE, "* hi there", **{"m.new_content": new, "m.relates_to": relation})
    await harness.settle(5)
    (edit,) = harness.network.edits
    assert edit.text.body == "Name of friend: hello\nhi there"
    await harness.kill()
