"""Which events become entries, and that those which nobody carries out end without harm."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridgekit.model.ids import EventID, RemoteUserID, RoomID, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.testing.harness import ALICE, IDENTITY, Harness

BOT, BOB, FRIEND = IDENTITY.bot, UserID("@bob:test"), UserID("@fake_friend:test")

STATE: dict[str, dict[str, Any]] = {
    "m.room.name": {"name": "x"},
    "m.room.topic": {"topic": "x"},
    "m.room.avatar": {"url": "mxc://test/x"},
    "m.room.power_levels": {"users": {ALICE: 100}},
    "m.room.tombstone": {"body": "moved", "replacement_room": "!new"},
}
REACTION = {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$x", "key": "+"}}


@pytest.mark.parametrize(
    ("type", "state_key", "sender", "taken"),
    [
        ("m.room.message", None, ALICE, True),
        ("m.room.message", None, FRIEND, False),
        ("m.room.message", "", ALICE, False),
        ("m.reaction", None, ALICE, True),
        ("m.reaction", None, BOT, False),
        ("m.room.member", ALICE, ALICE, True),
        ("m.room.member", FRIEND, ALICE, True),
        ("m.room.member", BOT, ALICE, True),
        ("m.room.member", FRIEND, FRIEND, False),
        ("m.room.member", ALICE, BOT, False),
        ("m.room.member", None, ALICE, False),
        *((type, "", ALICE, True) for type in STATE),
        *((type, "", BOT, False) for type in STATE),
        *((type, "other", ALICE, False) for type in STATE),
        *((type, None, ALICE, False) for type in STATE),
        ("m.room.pinned_events", "", ALICE, False),
        ("x.y", None, ALICE, False),
    ],
)
async def test_what_is_taken_in(
    type: str, state_key: str | None, sender: UserID, taken: bool, harness: Harness
) -> None:
    event = RawEvent(
        raw=json.dumps({"content": {}}).encode(),
        event_id=EventID("$e"),
        room_id=RoomID("!r"),
        sender=sender,
        type=type,
        state_key=state_key,
    )
    assert (harness.bridge.inbox.entry(event) is not None) is taken


def everything(harness: Harness, room: RoomID) -> None:
    """One of each kind that is taken in, besides messages."""
    homeserver = harness.homeserver
    for type, content in STATE.items():
        homeserver.set_state(room, ALICE, type, content)
    for person in (BOB, FRIEND):
        for membership in ("invite", "leave", "ban", "leave"):
            homeserver.set_membership(room, ALICE, person, membership)
    homeserver.set_membership(room, BOB, BOB, "join")
    homeserver.emit(room, ALICE, "m.reaction", REACTION)


async def test_in_a_room_that_is_no_portal_nothing_is_done(harness: Harness) -> None:
    """What happens to people whom the bridge does not know, there, costs the homeserver nothing."""
    room = harness.homeserver.add_room(ALICE)
    await harness.settle(60)
    before = list(harness.homeserver.calls)
    for type, content in STATE.items():
        harness.homeserver.set_state(room, BOB, type, content)
    for membership in ("invite", "leave", "ban"):
        harness.homeserver.set_membership(room, ALICE, BOB, membership)
    harness.homeserver.emit(room, BOB, "m.reaction", REACTION)
    await harness.settle()
    assert harness.homeserver.calls == before
    assert await harness.store.lanes() == []
    assert await harness.store.dead_letters() == []


async def test_in_a_portal_what_follows_is_not_held_up(harness: Harness) -> None:
    room = await harness.portal()
    everything(harness, room)
    harness.homeserver.say(room, ALICE, "after all that")
    await harness.until(lambda: harness.network.texts("chat") == ["after all that"])
    await harness.settle()
    assert await harness.store.lanes() == []
    # Who reacts to something that is not on the network is told so.
    letters = [letter.code for letter in await harness.store.dead_letters() if letter.kind == "m.reaction"]
    assert letters == ["unknown_target"]


async def test_how_a_room_of_somebodys_own_came_to_be_is_not_taken_for_missing(harness: Harness) -> None:
    """It becomes a portal when a ghost is invited, and is compared from its beginning then."""
    homeserver = harness.homeserver
    harness.network.people = {"friend": RemoteUserID("friend")}
    room = homeserver.add_room(ALICE)
    homeserver.set_membership(room, ALICE, ALICE, "join")
    homeserver.set_state(room, ALICE, "m.room.name", {"name": "mine"})
    homeserver.lose_outbox()  # no user of ours is there yet: nothing is pushed
    homeserver.invite_ghost(ALICE, FRIEND, room=room)
    homeserver.say(room, ALICE, "hi")
    await harness.until(lambda: harness.network.texts("mine+friend") == ["hi"])
    await harness.settle()
    assert harness.bridge.gaps.missing == 0
    # Later changes are, if they are.
    homeserver.set_state(room, ALICE, "m.room.name", {"name": "ours"})
    homeserver.lose_outbox()
    harness.bridge.gaps.want_all()
    await harness.until(lambda: harness.bridge.gaps.missing == 1)
