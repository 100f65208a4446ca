"""Reactions from the network: what is there on the message is compared, and nothing is there twice."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import ChatID, LoginID, PortalKey, RemoteMessageID, RemoteUserID, RoomID
from bridgekit.model.records import LoginRecord, ReactionRemoved
from bridgekit.model.remote import Batch, Login, RemoteEvent
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import Echo, FakeNetwork, Outcome, able
from tests.runtime.changes import CHAT, NEVER_OLD, T0, event_of, react, reactions, says, unreact

FRIEND = "@fake_friend:test"
MY_GHOST = "@fake_mine:test"


async def ready(harness: Harness) -> RoomID:
    """The chat's room, with one message ``a`` in it."""
    room = await harness.portal()
    harness.network.say("chat", "friend", "one", id="a")
    await harness.settle()
    return room


def emoji(harness: Harness, room: RoomID) -> list[tuple[str, str]]:
    return [(who, key) for who, _, key in reactions(harness, room)]


async def test_react_and_take_it_back(harness: Harness) -> None:
    room = await ready(harness)
    one = event_of(harness, room, "one")
    harness.network.emit(react("a", "👍", "1"))
    harness.network.emit(react("a", "👍", "1"))
    harness.network.emit(react("a", "👍"))  # it is there
    harness.network.emit(react("a", "🎉", "2", sender="other"))
    await harness.settle()
    assert [(who, target, key.rstrip("\ufe0f")) for who, target, key in reactions(harness, room)] == [
        (FRIEND, one, "👍"),
        ("@fake_other:test", one, "🎉"),
    ]
    harness.network.emit(unreact("a", "👍", "3"))
    harness.network.emit(unreact("a", "👍"))  # it is gone
    await harness.settle()
    assert [who for who, _ in emoji(harness, room)] == ["@fake_other:test"]
    assert await harness.store.dead_letters() == []


async def test_react_unreact_react_are_three(harness: Harness) -> None:
    room = await ready(harness)
    for occurrence, change in enumerate((react, unreact, react, unreact, react)):
        harness.network.emit(change("a", "👍", str(occurrence)))
    for change in (unreact, react, unreact, react):  # without a word that tells them apart
        harness.network.emit(change("a", "👍"))
    await harness.settle()
    assert len(emoji(harness, room)) == 1
    sent = [event for event in harness.homeserver.rooms[room].timeline if event["type"] == "m.reaction"]
    assert len(sent) == 5 and len(harness.homeserver.redacted) == 4


@pytest.mark.parametrize("plain, selected", [("❤", "❤\ufe0f"), ("☺\ufe0f", "☺")])
async def test_variation_selectors_make_no_difference(harness: Harness, plain: str, selected: str) -> None:
    room = await ready(harness)
    harness.network.emit(react("a", plain, "1"))
    harness.network.emit(react("a", selected, "2"))
    await harness.settle()
    ((_, key),) = emoji(harness, room)
    assert key.endswith("\ufe0f")
    harness.network.emit(unreact("a", selected, "3"))
    await harness.settle()
    assert emoji(harness, room) == []


async def test_pictures_that_only_the_network_has(harness: Harness) -> None:
    room = await ready(harness)
    harness.network.emit(react("a", ":party:", "1", emoji_id="17"))
    harness.network.emit(react("a", ":party:", "2", emoji_id="18"))
    await harness.settle()
    assert [key for _, key in emoji(harness, room)][:1] == [":party:"]
    harness.network.emit(unreact("a", ":renamed:", "3", emoji_id="17"))
    await harness.settle()
    (left,) = await harness.bridge.books.reactions(CHAT, RemoteMessageID("a"))
    assert left.emoji_id == "18"


@pytest.mark.parametrize("says_removed", [True, False])
async def test_where_one_reaction_replaces_the_other(says_removed: bool) -> None:
    harness = Harness(FakeNetwork(limits=able(reactions_per_person=1)))
    await harness.start()
    room = await ready(harness)
    harness.network.emit(react("a", "👍", "1"))
    if says_removed:
        harness.network.emit(unreact("a", "👍", "2"))
    harness.network.emit(react("a", "🎉", "3"))
    harness.network.emit(react("a", "🎉", "4", sender="other"))
    await harness.settle()
    assert [(who, key) for who, key in emoji(harness, room)] == [(FRIEND, "🎉"), ("@fake_other:test", "🎉")]
    harness.network.emit(unreact("a", "", "5"))
    await harness.settle()
    assert [who for who, _ in emoji(harness, room)] == ["@fake_other:test"]
    await harness.kill()


async def test_two_of_three_allowed(harness: Harness) -> None:
    harness.network.limits = able(reactions_per_person=2)
    room = await ready(harness)
    for number, each in enumerate("👍🎉🚀"):
        harness.network.emit(react("a", each, str(number), timestamp=T0 + number))
    await harness.settle()
    assert [key.rstrip("\ufe0f") for _, key in emoji(harness, room)] == ["🎉", "🚀"]


@pytest.mark.parametrize("echo", ["nonce", "plain", "none"])
@pytest.mark.parametrize("early", [True, False], ids=["the echo before the answer", "after it"])
async def test_the_echo_of_our_own(echo: Echo, early: bool) -> None:
    harness = Harness(FakeNetwork(echo=echo))
    await harness.start()
    room = await ready(harness)
    gate = asyncio.Event()
    if early:
        harness.network.next_deeds("react", Outcome(gate=gate))
        harness.network.next_deeds("unreact", Outcome(gate=gate))
    ours = react_here(harness, room, "👍")
    await harness.settle()
    gate.set()
    await harness.settle()
    assert [who for who, _ in emoji(harness, room)] == [ALICE]
    gate.clear()
    harness.homeserver.emit(room, ALICE, "m.room.redaction", {}, redacts=ours)
    harness.homeserver.redacted.append(ours)
    await harness.settle()
    gate.set()
    await harness.settle()
    assert emoji(harness, room) == []
    assert len(harness.network.reactions) == len(harness.network.unreactions) == 1
    assert harness.homeserver.redacted == [ours]
    await harness.kill()


async def test_the_echoes_of_a_change_of_mind_come_late() -> None:
    """The network shows what we did only when all of it is done: nothing flickers, and nothing of it is undone."""
    harness = Harness(FakeNetwork(echo="none", limits=able(reactions_per_person=1)))
    await harness.start()
    room = await ready(harness)
    for key in ("👍", "🎉"):
        react_here(harness, room, key)
        await harness.settle()
    assert [key for _, key in emoji(harness, room)] == ["🎉"]
    redacted = list(harness.homeserver.redacted)
    harness.network.emit(react("a", "👍", "1", sender="mine"))
    harness.network.emit(unreact("a", "👍", "2", sender="mine"))
    harness.network.emit(react("a", "🎉", "3", sender="mine"))
    await harness.settle()
    assert emoji(harness, room) == [(ALICE, "🎉")]
    assert harness.homeserver.redacted == redacted
    await harness.kill()


@pytest.mark.parametrize("shown_before", [0, 1, 2])
async def test_the_echoes_of_a_change_of_mind_come_after_a_crash(shown_before: int) -> None:
    """React, take it back, react: the echo of the second, which the next process is shown, must not undo the third."""
    harness = Harness(FakeNetwork(echo="none"))
    await harness.start()
    room = await ready(harness)
    for _ in range(2):
        ours = react_here(harness, room, "👍")
        await harness.settle()
        if not harness.homeserver.redacted:
            harness.homeserver.emit(room, ALICE, "m.room.redaction", {}, redacts=ours)
            harness.homeserver.redacted.append(ours)
            await harness.settle()
    redacted = list(harness.homeserver.redacted)
    echoes = [change("a", "👍", str(number), sender="mine") for number, change in enumerate((react, unreact, react))]
    for each in echoes[:shown_before]:
        harness.network.emit(each)
    await harness.settle()
    await harness.kill()
    await harness.start()
    for each in echoes[shown_before:]:
        harness.network.emit(each)
    await harness.settle()
    assert emoji(harness, room) == [(ALICE, "👍")]
    assert harness.homeserver.redacted == redacted
    # What comes now is from her phone.
    harness.network.emit(unreact("a", "👍", "3", sender="mine"))
    await harness.settle()
    assert emoji(harness, room) == []
    await harness.kill()


async def test_from_the_phone_of_somebody_who_is_logged_in(harness: Harness) -> None:
    room = await ready(harness)
    harness.network.emit(react("a", "👍", "1", sender="mine"))
    await harness.settle()
    assert [who for who, _ in emoji(harness, room)] == [MY_GHOST]
    harness.network.emit(unreact("a", "👍", "2", sender="mine"))
    await harness.settle()
    assert emoji(harness, room) == []


@pytest.mark.parametrize("echo", ["nonce", "none"])
@pytest.mark.parametrize("where", ["phone", "here"])
async def test_the_same_on_the_phone_and_then_here(echo: Echo, where: str) -> None:
    """The network has it once; taken back on either side, it is gone on both."""
    harness = Harness(FakeNetwork(echo=echo))
    await harness.start()
    room = await ready(harness)
    harness.network.emit(react("a", "👍", "1", sender="mine"))
    await harness.settle()
    ours = react_here(harness, room, "👍")
    await harness.settle()
    assert [who for who, _ in emoji(harness, room)] == [MY_GHOST, ALICE]
    assert harness.network.reactions == []
    if where == "here":
        harness.homeserver.emit(room, ALICE, "m.room.redaction", {}, redacts=ours)
        harness.homeserver.redacted.append(ours)
        await harness.settle()
        assert len(harness.network.unreactions) == 1
    if where == "phone" or echo == "none":
        harness.network.emit(unreact("a", "👍", "2", sender="mine"))
    await harness.settle()
    assert emoji(harness, room) == []
    await harness.kill()


async def test_the_phone_takes_back_what_was_left_here() -> None:
    harness = Harness(FakeNetwork(echo="none"))
    await harness.start()
    room = await ready(harness)
    ours = react_here(harness, room, "👍")
    await harness.settle()
    harness.network.emit(unreact("a", "👍", "1", sender="mine"))
    await harness.settle()
    assert harness.homeserver.redacted == [ours]
    await harness.kill()


@pytest.mark.parametrize("restarted", [True, False])
async def test_the_phone_takes_back_and_leaves_again_what_was_left_here(*, restarted: bool) -> None:
    """Where nothing comes back of what was told, what the phone does after is no echo, however soon."""
    harness = Harness(FakeNetwork(echo="none"))
    await harness.start()
    room = await ready(harness)
    react_here(harness, room, "👍")
    await harness.settle()
    harness.network.emit(unreact("a", "👍", "1", sender="mine"))
    await harness.settle(1)
    if restarted:
        await harness.kill()
        await harness.start()
    harness.network.emit(react("a", "👍", "2", sender="mine"))
    await harness.settle()
    assert emoji(harness, room) == [(MY_GHOST, "👍\ufe0f")]
    await harness.kill()


async def test_of_several_logins_one_counts() -> None:
    harness = Harness()
    await harness.start(login=Login(id=LoginID("one"), user=RemoteUserID("one")))
    second = Login(id=LoginID("two"), user=RemoteUserID("two"))
    await harness.bridge.logins.add(LoginRecord(login=second, user_id=ALICE))
    room = await ready(harness)
    harness.network.emit(react("a", "👍", "1"))
    harness.network.emit(unreact("a", "👍", "2"))
    harness.network.emit(react("a", "🎉", "3"), to=LoginID("two"))  # the source does not see it
    harness.network.emit(react("a", "🚀"), to=LoginID("two"))  # and nothing tells this from a late copy
    await harness.settle(60)
    assert [key for _, key in emoji(harness, room)] == ["🎉"]
    await harness.kill()


@pytest.mark.parametrize("occurrences", [True, False])
@pytest.mark.parametrize("order", ["+m-", "+-m", "+-m+", "+m-+", "+m-+-", "m+-"])
async def test_what_came_before_its_message_keeps_its_order(harness: Harness, order: str, *, occurrences: bool) -> None:
    """A reaction that is put behind its message may stand behind its own taking back."""
    room = await harness.portal()
    message = harness.network.say("chat", "friend", "one", id="never", at=T0)
    await harness.settle()
    said: list[RemoteEvent] = []
    for number, each in enumerate(order):
        occurrence = str(number) if occurrences else ""
        if each == "m":
            said.append(msgspec.structs.replace(message, id=RemoteMessageID("a")))
        else:
            said.append((react if each == "+" else unreact)("a", "👍", occurrence))
    harness.network.emit(Batch(events=tuple(said)))
    await harness.settle()
    assert len(reactions(harness, room)) == (order.replace("m", "")[-1] == "+")


async def test_to_what_is_not_there(harness: Harness) -> None:
    room = await ready(harness)
    harness.network.emit(react("unknown", "👍", "1"))
    harness.network.emit(react("a", "👍", "1", portal=PortalKey(ChatID("nowhere"))))
    # The message waits behind the reaction: both come at once, the wrong way round.
    harness.homeserver.gate("send_event")
    harness.network.say("chat", "friend", "busy")
    harness.network.emit(Batch(events=(react("late", "👍", "1"),)))
    harness.network.say("chat", "friend", "late", id="late")
    await harness.settle()
    harness.homeserver.gate("send_event").set()
    await harness.settle()
    ((_, target, _),) = reactions(harness, room)
    assert target == event_of(harness, room, "late")
    assert await harness.store.dead_letters() == []


# --- faults -----------------------------------------------------------------------------------------------------------
async def test_it_is_there_and_the_bridge_has_forgotten(harness: Harness) -> None:
    room = await ready(harness)
    harness.homeserver.fail("send_event", MatrixRequestError(400, "M_DUPLICATE_ANNOTATION", "again"), lost=True)
    harness.network.emit(react("a", "👍", "1"))
    await harness.settle()
    harness.network.emit(unreact("a", "👍", "2"))
    await harness.settle()
    assert emoji(harness, room) == []
    assert await harness.store.dead_letters() == []


async def test_the_one_that_is_there_was_left_under_another_key(harness: Harness) -> None:
    """Whatever made the bridge forget it, it is known again, and can be taken back."""
    room = await ready(harness)
    harness.network.emit(react("a", "👍", "1"))
    await harness.settle()
    (record,) = await harness.store.reactions(CHAT, RemoteMessageID("a"))
    await harness.bridge.books.save(ReactionRemoved(CHAT, record.target, record.sender, record.emoji))
    harness.homeserver.fail("send_event", MatrixRequestError(400, "M_DUPLICATE_ANNOTATION", "again"))
    harness.network.emit(react("a", "👍", "2"))
    await harness.settle()
    (again,) = await harness.store.reactions(CHAT, RemoteMessageID("a"))
    assert again.event_id == record.event_id
    harness.network.emit(unreact("a", "👍", "3"))
    await harness.settle()
    assert emoji(harness, room) == []


@pytest.mark.parametrize("lost", [True, False])
async def test_the_homeserver_is_away(harness: Harness, lost: bool) -> None:
    room = await ready(harness)
    harness.homeserver.fail("send_event", HomeserverUnreachable("away"), times=3, lost=lost)
    harness.homeserver.fail("redact", HomeserverUnreachable("away"), times=3, lost=lost)
    for occurrence, change in enumerate((react, unreact, react)):
        harness.network.emit(change("a", "👍", str(occurrence)))
    await harness.settle(300)
    assert len(emoji(harness, room)) == 1


@pytest.mark.parametrize("forgets", [True, False])
@pytest.mark.parametrize("point", [points.PULL_BEFORE, points.PULL_AFTER, points.MATRIX_SENT])
async def test_killed_anywhere(point: str, forgets: bool) -> None:
    hits = 0
    for after in range(6):
        harness = Harness(FakeNetwork(limits=able(reactions_per_person=1)), seed=after, catch_up=NEVER_OLD)
        await harness.start()
        room = await ready(harness)
        dead = harness.kill_at(point, after=after)
        changes: list[Any] = [
            react("a", "👍", "1"),
            react("a", "🎉", "2"),
            unreact("a", "🎉", "3"),
            react("a", "🎉", "4"),
        ]
        for change in changes:
            harness.network.emit(change)
        harness.network.say("chat", "friend", "the end", id="end")
        await harness.until(says(harness, room, "the end", unless=dead))
        hits += dead.is_set()
        await harness.kill()
        if forgets:
            harness.clock.jump(25 * 3600)
            harness.homeserver.forget_transactions()
        await harness.start()
        await harness.until(says(harness, room, "the end"))
        await harness.settle(60)
        assert emoji(harness, room) == [(FRIEND, "🎉")], (point, after)
        sent = [event for event in harness.homeserver.rooms[room].timeline if event["type"] == "m.reaction"]
        assert len(sent) == 3, (point, after)
        assert await harness.store.dead_letters() == []
        await harness.kill()
    assert hits >= 2


def react_here(harness: Harness, room: RoomID, key: str) -> Any:
    """Alice reacts to the message in the room."""
    annotation = {"rel_type": "m.annotation", "event_id": event_of(harness, room, "one"), "key": key}
    return harness.homeserver.emit(room, ALICE, "m.reaction", {"m.relates_to": annotation})


async def test_which_replaces_which_is_asked_of_the_session() -> None:
    """It is on disk, the process dies, and the network is not there yet when the next one begins."""
    harness = Harness(FakeNetwork(limits=able(reactions_per_person=1)))
    await harness.start()
    room = await ready(harness)
    harness.network.emit(react("a", "👍", "1"))
    await harness.settle()
    dead = harness.kill_at(points.PULL_AFTER)
    harness.network.emit(react("a", "🎉", "2"))
    await harness.until(dead.is_set)
    await harness.kill()
    harness.network.connect_errors.extend(OSError("not there") for _ in range(3))
    await harness.start()
    await harness.settle(120)
    await harness.settle()
    assert emoji(harness, room) == [(FRIEND, "🎉")]
    await harness.kill()
