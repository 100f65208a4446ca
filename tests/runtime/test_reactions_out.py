"""Reactions from Matrix: what the network is told, what stays in the room, and that repeats do no harm."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.adapter.capabilities import CanReact
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError, Rejected, Transient, Uncertain
from bridgekit.model.ids import ChatID, EventID, PortalKey, RemoteMessageID, RemoteUserID, RoomID, UserID
from bridgekit.model.remote import RemoteReaction
from bridgekit.runtime import points
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import Echo, FakeNetwork, Outcome, able

BOB = UserID("@bob:test")
CHAT = PortalKey(ChatID("chat"))
HEART, BARE_HEART = "\u2764\ufe0f", "\u2764"


async def started(network: FakeNetwork | None = None, **options: Any) -> tuple[Harness, RoomID, EventID]:
    """A room with a message of a friend."""
    harness = Harness(network, **options)
    await harness.start()
    room = await harness.portal()
    (event,) = (e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "hello")
    return harness, room, EventID(event["event_id"])


def react(harness: Harness, room: RoomID, target: EventID, key: str, user: UserID = ALICE) -> EventID:
    relation = {"rel_type": "m.annotation", "event_id": target, "key": key}
    return harness.homeserver.emit(room, user, "m.reaction", {"m.relates_to": relation})


def redact(harness: Harness, room: RoomID, target: EventID, user: UserID = ALICE) -> EventID:
    return harness.homeserver.emit(room, user, "m.room.redaction", {"redacts": target})


def reactions(harness: Harness, room: RoomID) -> list[Any]:
    return [e for e in harness.homeserver.rooms[room].timeline if e["type"] == "m.reaction"]


def notices(harness: Harness, room: RoomID) -> list[str]:
    return harness.homeserver.bodies(room, notices=True)


def deeds(harness: Harness) -> list[tuple[str, str]]:
    """What the network took, in order."""
    return [
        (call.deed, call.value.emoji)  # type: ignore[union-attr]
        for call in harness.network.done
        if call.deed in ("react", "unreact")
    ]


@pytest.mark.parametrize("echo", ["nonce", "plain", "none"])
async def test_react_unreact_react(echo: Echo) -> None:
    harness, room, hello = await started(FakeNetwork(echo=echo))
    first = react(harness, room, hello, HEART)
    redact(harness, room, first)
    second = react(harness, room, hello, HEART)
    await harness.settle(5)
    # The first was taken back before its turn, or both crossed: what is there in the end is the same.
    assert deeds(harness)[-1] == ("react", HEART)
    assert [each[0] for each in deeds(harness)] in (["react"], ["react", "unreact", "react"])
    (record,) = await harness.store.reactions(CHAT, harness.network.reactions[-1].target)
    assert (record.event_id, record.sender) == (second, ALICE)
    redact(harness, room, second)
    await harness.settle(5)
    assert deeds(harness)[-1] == ("unreact", HEART)
    assert await harness.store.reactions(CHAT, record.target) == []
    assert len(reactions(harness, room)) == 2  # no echo shows up as anybody else's
    assert notices(harness, room) == []
    await harness.kill()


async def test_on_the_way_all_three_cross_in_order() -> None:
    harness, room, hello = await started()
    first = react(harness, room, hello, HEART)
    await harness.settle(1)
    redact(harness, room, first)
    await harness.settle(1)
    react(harness, room, hello, HEART)
    await harness.settle(5)
    assert deeds(harness) == [("react", HEART), ("unreact", HEART), ("react", HEART)]
    await harness.kill()


async def test_a_reaction_to_what_is_just_being_sent() -> None:
    harness, room, _ = await started()
    harness.network.next_sends(Transient("busy", retry_after=20))
    event = harness.homeserver.say(room, ALICE, "mine")
    react(harness, room, event, HEART)
    await harness.settle(60)
    assert deeds(harness) == [("react", HEART)]
    assert harness.network.reactions[0].target in harness.network._nonces.values()
    await harness.kill()


async def test_the_same_once_more_changes_nothing() -> None:
    """Variation selectors make no difference."""
    harness, room, hello = await started()
    react(harness, room, hello, HEART)
    await harness.settle(1)
    second = react(harness, room, hello, BARE_HEART)
    await harness.settle(5)
    redact(harness, room, second)
    await harness.settle(5)
    assert [each[0] for each in deeds(harness)] == ["react"]
    assert notices(harness, room) == []
    await harness.kill()


async def test_the_network_writes_its_emoji_as_it_likes() -> None:
    harness, room, hello = await started(FakeNetwork(limits=able(reactions=frozenset({BARE_HEART, "+"}))))
    react(harness, room, hello, HEART)
    await harness.settle(5)
    assert deeds(harness) == [("react", BARE_HEART)]
    await harness.kill()


async def test_an_emoji_that_the_network_does_not_take_disappears() -> None:
    harness, room, hello = await started(FakeNetwork(limits=able(reactions=frozenset({"+"}))))
    event = react(harness, room, hello, HEART)
    await harness.settle(5)
    assert deeds(harness) == []
    assert harness.homeserver.redacted == [event]
    (notice,) = notices(harness, room)
    assert notice == "Your reaction was not sent: the network takes only these reactions: +."
    await harness.kill()


async def test_a_picture_that_somebody_reacted_with_can_be_used_too() -> None:
    harness, room, hello = await started()
    (record,) = await harness.store.messages_by_event(room, hello)
    harness.network.emit(
        RemoteReaction(
            portal=CHAT,
            target=record.remote_id,
            sender=RemoteUserID("friend"),
            timestamp=1,
            emoji=":party:",
            emoji_id="p1",
        )
    )
    await harness.settle(5)
    (theirs,) = reactions(harness, room)
    react(harness, room, hello, theirs["content"]["m.relates_to"]["key"])
    react(harness, room, hello, "mxc://test/picture")
    await harness.settle(5)
    assert [(each.emoji, each.emoji_id) for each in harness.network.reactions] == [(":party:", "p1")]
    assert len(harness.homeserver.redacted) == 1
    await harness.kill()


async def test_one_reaction_for_each_person() -> None:
    """The new one replaces the old, as on the network."""
    harness, room, hello = await started(FakeNetwork(limits=able(reactions_per_person=1)))
    first = react(harness, room, hello, "+")
    await harness.settle(1)
    second = react(harness, room, hello, HEART)
    await harness.settle(5)
    assert deeds(harness) == [("react", "+"), ("react", HEART)]
    assert set(harness.homeserver.redacted) == {first}
    (record,) = await harness.store.reactions(CHAT, harness.network.reactions[0].target)
    assert record.event_id == second
    redact(harness, room, first)  # the echo of our own redaction, say: it is known no more
    await harness.settle(5)
    assert [each[0] for each in deeds(harness)] == ["react", "react"]
    await harness.kill()


async def test_more_reactions_than_the_network_takes() -> None:
    harness, room, hello = await started(FakeNetwork(limits=able(reactions_per_person=2)))
    events = [react(harness, room, hello, key) for key in ("+", "-", HEART)]
    await harness.settle(5)
    assert deeds(harness) == [("react", "+"), ("react", "-")]
    assert harness.homeserver.redacted == [events[2]]
    assert "takes 2 reactions of one person" in notices(harness, room)[0]
    await harness.kill()


async def test_a_network_without_reactions_says_so_once() -> None:
    harness, room, hello = await started(FakeNetwork(lacks=[CanReact]))
    first = react(harness, room, hello, "+")
    await harness.settle(1)
    harness.homeserver.say(room, ALICE, "pity")
    second = react(harness, room, hello, HEART)
    await harness.settle(5)
    assert notices(harness, room) == ["Your reaction was not sent: this network has no reactions."]
    assert set(harness.homeserver.redacted) == {first, second}
    await harness.kill()


async def test_a_relay_does_not_react() -> None:
    harness, room, hello = await started()
    harness.homeserver.join_person(room, BOB)
    harness.homeserver.say(room, ALICE, "!fake set-relay")
    await harness.settle(1)
    before = len(notices(harness, room))
    for key in ("+", HEART):
        react(harness, room, hello, key, BOB)
        harness.homeserver.say(room, BOB, "hi")
        await harness.settle(5)
    assert deeds(harness) == []
    (said,) = notices(harness, room)[before:]
    assert "without a login of your own your reactions do not reach Fake" in said
    assert harness.homeserver.redacted == []  # the others in the room may see it
    await harness.kill()


async def test_a_moderator_takes_a_reaction_away() -> None:
    harness, room, hello = await started()
    harness.homeserver.join_person(room, BOB)
    event = react(harness, room, hello, "+")
    await harness.settle(1)
    redact(harness, room, event, BOB)
    await harness.settle(5)
    assert deeds(harness) == [("react", "+"), ("unreact", "+")]
    await harness.kill()


async def test_other_peoples_reactions_stay_on_the_network() -> None:
    harness, room, hello = await started()
    (record,) = await harness.store.messages_by_event(room, hello)
    harness.network.emit(
        RemoteReaction(portal=CHAT, target=record.remote_id, sender=RemoteUserID("friend"), timestamp=1, emoji="+")
    )
    await harness.settle(5)
    (theirs,) = reactions(harness, room)
    redact(harness, room, theirs["event_id"])
    await harness.settle(5)
    assert deeds(harness) == []
    assert "Your deletion was not carried out: other people's reactions" in notices(harness, room)[0]
    await harness.kill()


@pytest.mark.parametrize("content", [{}, {"m.relates_to": 1}, {"m.relates_to": {"rel_type": "m.annotation"}}])
async def test_malformed_or_taken_back(content: dict[str, Any]) -> None:
    harness, room, _ = await started()
    harness.homeserver.emit(room, ALICE, "m.reaction", content)
    await harness.settle(5)
    assert deeds(harness) == []
    assert len(notices(harness, room)) == bool(content)
    await harness.kill()


async def test_reactions_to_what_is_not_on_the_network() -> None:
    """What the bot has said is nothing that anybody there could react to; of the rest the person is told."""
    harness, room, _ = await started()
    harness.network.next_sends(Rejected("too rude"))
    event = harness.homeserver.say(room, ALICE, "one")
    await harness.settle(1)
    (answer,) = (e for e in harness.homeserver.rooms[room].timeline if e["content"].get("msgtype") == "m.notice")
    react(harness, room, answer["event_id"], "+")
    await harness.settle(5)
    assert (len(notices(harness, room)), harness.homeserver.redacted) == (1, [])
    lost = react(harness, room, event, "+")
    await harness.settle(5)
    assert "is not on the network" in notices(harness, room)[1]
    assert harness.homeserver.redacted == [lost]
    await harness.kill()


FAULTS = {
    "transient": (Outcome(Transient("busy")), True),
    "reset before": (Outcome(ConnectionResetError()), True),
    "reset after": (Outcome(ConnectionResetError(), taken=True), True),
    "rejected": (Outcome(Rejected("too rude")), False),
    "uncertain": (Outcome(Uncertain("no receipt")), False),
    "bug": (Outcome(KeyError("oops")), False),
}


@pytest.mark.parametrize("outcome, arrives", FAULTS.values(), ids=FAULTS)
async def test_faults(outcome: Outcome, arrives: bool) -> None:
    harness, room, hello = await started(FakeNetwork(dedupes=False, echo="none"))
    harness.network.next_deeds("react", outcome)
    react(harness, room, hello, "+")
    harness.homeserver.say(room, ALICE, "next")
    await harness.settle(60)
    assert len(harness.network.tries_of("react")) == (2 if arrives else 1)
    assert len(notices(harness, room)) == (0 if arrives else 1)
    uncertain = isinstance(outcome.error, Uncertain)
    assert len(harness.homeserver.redacted) == (0 if arrives or uncertain else 1)
    assert harness.network.texts("chat") == ["next"]
    await harness.kill()


@pytest.mark.parametrize("limit", [None, 1])
async def test_killed_after_the_network_has_taken_it(limit: int | None) -> None:
    harness, room, hello = await started(FakeNetwork(limits=able(reactions_per_person=limit)))
    react(harness, room, hello, "-")
    await harness.settle(1)
    dead = harness.kill_at(points.NETWORK_SENT)
    event = react(harness, room, hello, "+")
    await harness.until(dead.is_set)
    await harness.kill()
    await harness.start()
    await harness.settle(30)
    target: RemoteMessageID = harness.network.reactions[0].target
    there = {each.emoji: each.event_id for each in await harness.store.reactions(CHAT, target)}
    assert there["+"] == event
    assert len(there) == (1 if limit else 2)
    assert notices(harness, room) == []
    await harness.kill()


async def test_to_a_message_whose_crossing_the_last_process_did_not_write_down() -> None:
    """It is in the room, and the process that put it there was killed before it knew. People react to it; its lane,
    begun anew, is slow to come to it."""
    harness, room, _ = await started()
    dead = harness.kill_at(points.MATRIX_SENT, after=2)
    for number in range(3):
        harness.network.say("chat", "friend", f"message {number}", id=f"n{number}")
    await harness.until(dead.is_set)
    await harness.kill()
    (last,) = (e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "message 2")
    react(harness, room, last["event_id"], HEART)
    stumbles = HomeserverUnreachable("away")
    harness.homeserver.fail("send_event", stumbles, times=2, when=lambda call: call["user"] == "@fake_friend:test")
    await harness.start()
    await harness.settle(30)
    assert deeds(harness) == [("react", HEART)]
    assert notices(harness, room) == []
    await harness.kill()


async def test_to_a_message_whose_answer_the_homeserver_has_lost() -> None:
    """It is in the room, and will be sent again under the same transaction id; until then nobody knows which it is."""
    harness, room, _ = await started()
    harness.homeserver.fail("send_event", HomeserverUnreachable("no answer"), times=1, lost=True)
    harness.network.say("chat", "friend", "there", id="there")
    await harness.until(lambda: "there" in harness.homeserver.bodies(room))
    (there,) = (e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body") == "there")
    react(harness, room, there["event_id"], HEART)
    await harness.settle(30)
    assert deeds(harness) == [("react", HEART)]
    assert notices(harness, room) == []
    await harness.kill()


@pytest.mark.parametrize("sender", ["friend", "mine"])
@pytest.mark.parametrize("killed", [False, True])
async def test_a_reaction_to_the_part_that_is_there_while_the_next_one_backs_off(sender: str, killed: bool) -> None:
    """The room shows the first part, so people may speak of it, however long the homeserver refuses the second."""
    harness, room, _ = await started(FakeNetwork(echo="plain"))

    def is_second(arguments: Any) -> bool:
        return "second" in arguments["content"].get("body", "")

    harness.homeserver.fail("send_event", MatrixRequestError(500, "M_UNKNOWN", "ill"), times=1_000, when=is_second)
    harness.network.say("chat", sender, f"first {'a ' * 26_000}\n\nsecond {'b ' * 10_000}", id="long")
    await harness.settle(5)
    (part,) = (e for e in harness.homeserver.rooms[room].timeline if e["content"].get("body", "").startswith("first"))
    if killed:
        await harness.kill()
        await harness.start()
        await harness.settle(5)
    assert not any("second" in body for body in harness.homeserver.bodies(room))
    react(harness, room, part["event_id"], HEART)
    await harness.settle(60)
    assert deeds(harness) == [("react", HEART)] and harness.network.reactions[0].target == "long"
    assert notices(harness, room) == []
    harness.homeserver.mend()
    await harness.settle(600)
    assert [body[:6] for body in harness.homeserver.bodies(room)] == ["hello", "first ", "second"]
    records = await harness.store.message_by_remote(CHAT, RemoteMessageID("long"))
    assert [record.part for record in records] == [0, 1]
    await harness.kill()
