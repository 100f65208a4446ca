"""A reaction of one person that comes both ways, while answers are lost: in the end the room shows what the network
has, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridgekit.errors import HomeserverUnreachable
from bridgekit.model.ids import EventID, RoomID
from bridgekit.model.remote import RemoteReaction
from bridgekit.testing.harness import ALICE, MINE, Harness
from bridgekit.testing.network import Echo, FakeNetwork, able
from tests.runtime.changes import event_of, react, reactions, unreact

MY_GHOST = "@fake_mine:test"
PARTY, UP = "\U0001f389", "+"


async def begun(network: FakeNetwork | None = None) -> tuple[Harness, RoomID]:
    """The chat's room, with one message ``a`` in it. The test says what the network shows of what it was told."""
    harness = Harness(network or FakeNetwork(echo="none"))
    await harness.start()
    room = await harness.portal()
    harness.network.say("chat", "friend", "one", id="a")
    await harness.settle(5)
    return harness, room


def react_here(harness: Harness, room: RoomID, key: str) -> EventID:
    relation = {"rel_type": "m.annotation", "event_id": event_of(harness, room, "one"), "key": key}
    return harness.homeserver.emit(room, ALICE, "m.reaction", {"m.relates_to": relation})


def from_me(change: Callable[..., RemoteReaction], key: str, occurrence: str) -> RemoteReaction:
    """The network shows what the account has done that Alice is logged in to."""
    return change("a", key, occurrence, sender=MINE)


def redact_here(harness: Harness, room: RoomID, event_id: EventID) -> None:
    harness.homeserver.redacted.append(event_id)
    harness.homeserver.emit(room, ALICE, "m.room.redaction", {"redacts": event_id})


def shown(harness: Harness, room: RoomID) -> list[tuple[str, str]]:
    return [(who, key) for who, _, key in reactions(harness, room)]


@pytest.mark.parametrize("echoed", [False, True])
@pytest.mark.parametrize("killed", [False, True])
async def test_it_was_put_into_the_room_unknown_to_us_before_the_person_left_it_there(
    *, killed: bool, echoed: bool
) -> None:
    """On the phone, then here. Nothing could take the first one away again."""
    harness, room = await begun()
    harness.homeserver.fail("send_event", HomeserverUnreachable("gone"), lost=True)
    harness.network.emit(from_me(react, PARTY, "1"))
    await harness.settle()
    assert [who for who, _ in shown(harness, room)] == [MY_GHOST]
    mine = react_here(harness, room, PARTY)
    await harness.until(lambda: len(harness.network.reactions) == 1, within_s=0.5)
    if killed:
        await harness.kill()
        await harness.start()
    await harness.settle(60)
    if echoed:
        harness.network.emit(from_me(react, PARTY, "2"))
        await harness.settle(5)
    assert [who for who, _ in shown(harness, room)] == [ALICE]
    redact_here(harness, room, mine)
    await harness.settle(5)
    assert [reaction.emoji for reaction in harness.network.unreactions] == [PARTY]
    assert shown(harness, room) == []
    await harness.kill()


@pytest.mark.parametrize("taken_back", [False, True])
async def test_a_repeat_that_the_network_shows_twice_brings_back_nothing_that_was_replaced(taken_back: bool) -> None:
    """After a crash a reaction is told once more; where the network drops no repeats it may show it once more, too. It
    keeps one of each person, and the next one was told meanwhile."""
    harness, room = await begun(FakeNetwork(echo="none", dedupes=False, limits=able(reactions_per_person=1)))
    react_here(harness, room, PARTY)
    await harness.settle(1)
    second = react_here(harness, room, UP)
    await harness.settle(1)
    if taken_back:
        redact_here(harness, room, second)
        await harness.settle(1)
    for event in (from_me(react, PARTY, "1"), from_me(react, PARTY, "2"), from_me(react, UP, "3")):
        harness.network.emit(event)
        await harness.settle(1)
    if taken_back:
        harness.network.emit(from_me(unreact, UP, "4"))
        await harness.settle(1)
    assert shown(harness, room) == ([] if taken_back else [(MY_GHOST, UP)])
    await harness.kill()


async def test_what_the_phone_left_before_is_replaced_by_what_was_told_meanwhile() -> None:
    harness, room = await begun(FakeNetwork(echo="none", limits=able(reactions_per_person=1)))
    harness.homeserver.gate("send_event")
    harness.network.emit(from_me(react, PARTY, "1"))
    await harness.settle(1)
    mine = react_here(harness, room, UP)
    await harness.settle(1)
    harness.homeserver.gate("send_event").set()
    harness.network.emit(from_me(react, UP, "2"))
    await harness.settle(5)
    assert shown(harness, room) == [(ALICE, UP)]
    redact_here(harness, room, mine)
    await harness.settle(5)
    assert [each.emoji for each in harness.network.unreactions] == [UP] and shown(harness, room) == []
    await harness.kill()


@pytest.mark.parametrize("echo", ["nonce", "none"])
async def test_what_is_taken_back_here_was_left_on_the_phone_too(echo: Echo) -> None:
    """The network has it once; left again here, it has to be told."""
    harness, room = await begun()
    harness.network.emit(from_me(react, PARTY, "1"))
    await harness.settle(1)
    mine = react_here(harness, room, PARTY)
    await harness.settle(1)
    assert harness.network.reactions == [] and len(shown(harness, room)) == 2
    harness.network.echo = echo
    redact_here(harness, room, mine)
    await harness.settle(5)
    assert len(harness.network.unreactions) == 1 and shown(harness, room) == []
    react_here(harness, room, PARTY)
    await harness.settle(5)
    assert len(harness.network.reactions) == 1 and [who for who, _ in shown(harness, room)] == [ALICE]
    await harness.kill()


async def test_what_the_room_shows_of_the_phone_is_not_believed_while_an_echo_is_due() -> None:
    """The phone's came before what was told; the network has replaced it."""
    harness, room = await begun(FakeNetwork(echo="none", limits=able(reactions_per_person=1)))
    harness.homeserver.gate("send_event")
    harness.network.emit(from_me(react, PARTY, "1"))
    await harness.settle(1)
    react_here(harness, room, UP)
    await harness.settle(1)
    harness.homeserver.gate("send_event").set()
    await harness.settle(1)
    react_here(harness, room, PARTY)
    await harness.settle(5)
    assert [each.emoji for each in harness.network.reactions] == [UP, PARTY]
    for event in (from_me(react, UP, "2"), from_me(react, PARTY, "3")):
        harness.network.emit(event)
        await harness.settle(1)
    assert [key for _, key in shown(harness, room)] == [PARTY]
    await harness.kill()
