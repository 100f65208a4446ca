"""People whom the network renames keep their ghosts, and chats that are gone leave an archive."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.core.power import ROOM_LEVEL
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.content import Mention, MentionRoom, MentionUser, Text
from bridgekit.model.ids import LoginID, RemoteMessageID, RemoteUserID, RoomID
from bridgekit.model.records import LoginRecord, RelaySaved
from bridgekit.model.remote import Login, RemoteChatDeleted, RemoteIdentityChanged, RemoteMessage, RemoteProfile
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import FakeNetwork
from tests.runtime.changes import CHAT, T0, react, reactions, says, unreact

FRIEND = "@fake_friend:test"
OLD, NEW = RemoteUserID("friend"), RemoteUserID("+49 new")


def renamed(old: str = OLD, new: str = NEW) -> RemoteIdentityChanged:
    return RemoteIdentityChanged(old=RemoteUserID(old), new=RemoteUserID(new))


def speakers(harness: Harness, room: RoomID) -> list[tuple[str, str]]:
    return [
        (event["sender"], event["content"]["body"])
        for event in harness.homeserver.rooms[room].timeline
        if event["type"] == "m.room.message" and event["content"]["msgtype"] == "m.text"
    ]


async def test_the_same_ghost_stands_for_both(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.emit(renamed())
    harness.network.say("chat", NEW, "it is me")
    harness.network.emit(RemoteProfile(user=NEW, name="Friend, new number"))
    await harness.settle()
    assert speakers(harness, room) == [(FRIEND, "hello"), (FRIEND, "it is me")]
    assert harness.homeserver.names[FRIEND] == "Friend, new number"  # type: ignore[index]
    namespace = harness.bridge._ghosts.namespace
    assert namespace.remote(namespace.user_id(OLD)) == NEW
    await harness.kill()
    await harness.start()
    harness.network.emit(renamed(NEW, "third"))
    harness.network.say("chat", "third", "me again")
    harness.network.say("chat", OLD, "late")
    await harness.settle()
    assert [who for who, _ in speakers(harness, room)] == [FRIEND] * 4
    # Who is mentioned here is the person by the latest name.
    pill = f'<a href="https://matrix.to/#/{FRIEND}">Friend</a>'
    formatted = {"format": "org.matrix.custom.html", "formatted_body": f"hi {pill}"}
    harness.homeserver.say(room, ALICE, "hi Friend", **formatted, **{"m.mentions": {"user_ids": [FRIEND]}})
    await harness.settle()
    (_, sent) = harness.network.spoken[-1]
    assert [mention.target for mention in sent.text.mentions] == [MentionUser(RemoteUserID("third"))]


async def test_messages_of_both_names_that_wait_already(harness: Harness) -> None:
    """The change takes effect before what is yielded after it, whatever lane that goes to."""
    room = await harness.portal()
    gate = harness.homeserver.gate("send_event")
    harness.network.say("chat", "nobody yet", "first")
    harness.network.emit(renamed("nobody yet", "somebody"))
    harness.network.say("chat", "somebody", "second")
    harness.network.say("another", "somebody", "third")
    await harness.settle()
    gate.set()
    await harness.settle()
    assert len({who for who, body in speakers(harness, room) if body in ("first", "second")}) == 1
    assert len(harness.homeserver.users) == 3  # the bot, the friend, and one


async def test_a_login_is_renamed(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.emit(renamed("mine", "my new number"))
    await harness.settle()
    (record,) = harness.bridge.books.logins()
    assert record.login.user == "my new number"
    text = Text("@me", mentions=(Mention(0, 3, MentionUser(RemoteUserID("my new number"))),))
    harness.network.emit(RemoteMessage(portal=CHAT, id=RemoteMessageID("n1"), sender=OLD, timestamp=T0, text=text))
    await harness.settle()
    assert harness.homeserver.rooms[room].timeline[-1]["content"]["m.mentions"] == {"user_ids": [ALICE]}
    harness.network.emit(react("m1", "👍", "1", sender="my new number"))
    harness.network.emit(unreact("m1", "👍", "2", sender="mine"))
    await harness.settle()
    assert reactions(harness, room) == []
    assert harness.bridge.books.is_own_account(RemoteUserID("mine"))
    await harness.kill()
    await harness.start()
    assert harness.bridge.books.logins()[0].login.user == "my new number"


async def test_members_by_either_name(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.emit(renamed())
    harness.network.emit(harness.network.chat("chat", "mine", NEW))
    await harness.settle()
    assert harness.homeserver.rooms[room].members[FRIEND] == "join"  # type: ignore[index]
    harness.network.emit(harness.network.chat("chat", "mine"))
    await harness.settle()
    assert harness.homeserver.rooms[room].members[FRIEND] == "leave"  # type: ignore[index]


@pytest.mark.parametrize("point", [points.PULL_BEFORE, points.PULL_AFTER, points.MATRIX_SENT])
async def test_killed_while_renaming(point: str) -> None:
    for after in range(3):
        harness = Harness(seed=after)
        await harness.start()
        room = await harness.portal()
        dead = harness.kill_at(point, after=after)
        harness.network.emit(renamed())
        harness.network.say("chat", NEW, "one")
        harness.network.emit(renamed(NEW, "third"))
        harness.network.say("chat", "third", "two")
        await harness.until(says(harness, room, "two", unless=dead))
        await harness.kill()
        await harness.start()
        await harness.until(says(harness, room, "two"))
        assert speakers(harness, room) == [(FRIEND, "hello"), (FRIEND, "one"), (FRIEND, "two")]
        await harness.kill()


# --- chats that are gone ----------------------------------------------------------------------------------------------
def gone(**more: Any) -> RemoteChatDeleted:
    return RemoteChatDeleted(portal=CHAT, **more)


async def test_the_last_login_is_gone(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.emit(gone(reason="deleted by its owner"))
    await harness.settle()
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert "deleted by its owner" in notice and "what was said stays" in notice
    assert harness.homeserver.rooms[room].members[FRIEND] == "leave"  # type: ignore[index]
    assert await harness.bridge.books.portal(CHAT) is None
    harness.network.say("chat", "friend", "I am back")
    await harness.settle()
    (other,) = (r for r in harness.homeserver.rooms if "I am back" in harness.homeserver.bodies(r))
    assert other != room
    # What is said of messages in the archive changes nothing there.
    harness.network.emit(react("m1", "👍", "1"))
    await harness.settle()
    assert reactions(harness, room) == [] and await harness.store.dead_letters() == []


async def test_other_logins_go_on() -> None:
    harness = Harness()
    await harness.start(login=Login(id=LoginID("one"), user=RemoteUserID("one"), name="One"))
    second = Login(id=LoginID("two"), user=RemoteUserID("two"))
    await harness.bridge.logins.add(LoginRecord(login=second, user_id=ALICE))
    room = await harness.portal()
    harness.network.say("chat", "friend", "and hello to the second")
    await harness.settle(30)
    await harness.settle()
    await harness.bridge.books.save(RelaySaved(CHAT, LoginID("one")))
    harness.network.emit(gone(), to=LoginID("one"))
    await harness.settle(30)
    await harness.settle()
    assert [each.login.id for each in await harness.bridge.books.portal_logins(CHAT)] == ["two"]
    assert harness.bridge.books.relay(CHAT) is None
    (notice,) = harness.homeserver.bodies(room, notices=True)
    assert notice == "One does not see this chat on Fake any more."
    more = RemoteMessage(portal=CHAT, id=RemoteMessageID("n1"), sender=OLD, timestamp=T0, text=Text("still here"))
    harness.network.emit(more, to=LoginID("two"))
    await harness.settle(30)
    assert "still here" in harness.homeserver.bodies(room)
    await harness.kill()


@pytest.mark.parametrize("call", ["send_event", "leave", "delete_alias"])
async def test_the_homeserver_is_away_while_a_chat_goes(harness: Harness, call: str) -> None:
    room = await harness.portal()
    harness.homeserver.fail(call, HomeserverUnreachable("away"), times=2, lost=True)
    harness.network.emit(gone())
    await harness.settle(120)
    assert len(harness.homeserver.bodies(room, notices=True)) == 1
    assert await harness.bridge.books.portal(CHAT) is None
    assert not [alias for alias, of in harness.homeserver.aliases.items() if of == room]


async def test_a_chat_that_was_never_bridged(harness: Harness) -> None:
    harness.network.emit(gone())
    await harness.settle()
    assert await harness.store.dead_letters() == []


# --- everybody --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("refused", [False, True])
async def test_who_may_notify_everybody_on_the_network_may_here(harness: Harness, refused: bool) -> None:
    room = await harness.portal()
    if refused:
        forbidden = MatrixRequestError(403, "M_FORBIDDEN", "no power")
        harness.homeserver.fail("send_state", forbidden, times=9, when=lambda call: "power" in call["type"])
    text = Text("@all look", mentions=(Mention(0, 4, MentionRoom()),))
    for number in range(2):
        harness.network.emit(
            RemoteMessage(portal=CHAT, id=RemoteMessageID(f"n{number}"), sender=OLD, timestamp=T0, text=text)
        )
    await harness.settle()
    *_, first, second = (e for e in harness.homeserver.rooms[room].timeline if e["type"] == "m.room.message")
    levels = harness.homeserver.rooms[room].state["m.room.power_levels", ""]
    assert levels.get("users", {}).get(FRIEND, 0) == (0 if refused else ROOM_LEVEL)
    for event in (first, second):
        assert event["content"]["m.mentions"] == ({} if refused else {"room": True})
        assert event["content"]["body"] == ("@all look" if refused else "@room look")


# --- threads and replies ----------------------------------------------------------------------------------------------
async def relation(harness: Harness, room: RoomID, **more: Any) -> dict[str, Any]:
    harness.network.say("chat", "friend", "answer", id="answer", **more)
    await harness.settle()
    (event,) = (each for each in harness.homeserver.rooms[room].timeline if each["content"].get("body") == "answer")
    found: dict[str, Any] = event["content"].get("m.relates_to", {})
    return found


async def test_a_message_in_a_thread(harness: Harness) -> None:
    room = await harness.portal()
    (root,) = (each["event_id"] for each in harness.homeserver.rooms[room].timeline if each["type"] == "m.room.message")
    assert await relation(harness, room, thread=RemoteMessageID("m1")) == {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": root},
    }


async def test_an_answer_in_a_thread(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.say("chat", "friend", "in it", id="in", thread=RemoteMessageID("m1"))
    found = await relation(harness, room, thread=RemoteMessageID("m1"), reply_to=RemoteMessageID("in"))
    assert found["rel_type"] == "m.thread" and found["is_falling_back"] is False
    assert found["m.in_reply_to"]["event_id"] != found["event_id"]


async def test_an_answer_to_what_is_elsewhere_or_nowhere(harness: Harness) -> None:
    room = await harness.portal()
    harness.network.say("another", "friend", "elsewhere", id="e1")
    await harness.settle()
    assert await relation(harness, room, reply_to=RemoteMessageID("e1"), thread=RemoteMessageID("never")) == {}


async def test_an_answer_notifies_whom_it_answers() -> None:
    harness = Harness(FakeNetwork(echo="none"))
    await harness.start()
    room = await harness.portal()
    typed = harness.homeserver.say(room, ALICE, "typed")
    await harness.settle()
    (record,) = await harness.bridge.books.messages_by_event(room, typed)
    harness.network.say("chat", "friend", "answer", reply_to=record.remote_id)
    await harness.settle()
    (event,) = (each for each in harness.homeserver.rooms[room].timeline if each["content"].get("body") == "answer")
    assert event["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": typed}}
    assert event["content"]["m.mentions"] == {"user_ids": [ALICE]}
    await harness.kill()
