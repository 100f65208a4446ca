"""Who may notify a whole room."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridgekit.core.power import ROOM_LEVEL, with_roles
from bridgekit.core.room_power import create_event, is_creator, may_mention_room, raised
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.raw import RawEvent
from bridgekit.model.remote import Role

ALICE = UserID("@alice:test")


@pytest.mark.parametrize(
    "levels, may",
    [
        (None, False),
        ({}, False),
        ({"users": {ALICE: 50}}, True),
        ({"users": {ALICE: "50"}}, True),
        ({"users": {ALICE: 49}}, False),
        ({"users": {ALICE: True}}, False),
        ({"users_default": 50}, True),
        ({"users_default": 50, "users": {ALICE: 0}}, False),
        ({"notifications": {"room": 0}}, True),
        ({"notifications": {"room": 100}, "users": {ALICE: 50}}, False),
        ({"notifications": 7, "users": []}, False),
        ({"users": {ALICE: "many"}}, False),
    ],
)
def test_may_mention_room(levels: dict[str, Any] | None, may: bool) -> None:
    assert may_mention_room(levels, ALICE) is may


def created(content: object, sender: UserID = ALICE) -> RawEvent:
    raw = msgspec.json.encode({"type": "m.room.create", "sender": sender, "content": content})
    return RawEvent(
        raw=raw, event_id=EventID("$x"), room_id=RoomID("!x"), sender=sender, type="m.room.create", state_key="",
        redacts=None, origin_server_ts=1,
    )  # fmt: skip


def test_the_creators_of_a_room_since_version_12() -> None:
    carl = UserID("@carl:test")
    assert is_creator(created({"room_version": "12"}), ALICE)
    assert not is_creator(created({"room_version": "12"}), carl)
    assert is_creator(created({"additional_creators": [5, carl]}), carl)
    for odd in ("@carl:test", {carl: 1}, None, [[carl]]):
        assert not is_creator(created({"additional_creators": odd}), carl)
    assert is_creator(created([]), ALICE) and not is_creator(created([]), carl)
    assert not is_creator(None, ALICE)
    assert create_event(RoomID("!abc")) == "$abc"
    assert create_event(RoomID("!abc:test")) is None


BOT, ADA = UserID("@bot:test"), UserID("@g_ada:test")


def test_what_others_have_stays() -> None:
    now = raised({"notifications": {"other": 1}, "users": {ALICE: 7}}, ADA)
    assert now == {"notifications": {"other": 1, "room": ROOM_LEVEL}, "users": {ALICE: 7, ADA: ROOM_LEVEL}}


@pytest.mark.parametrize(
    ("levels", "needed"),
    [
        ({}, ROOM_LEVEL),
        ({"notifications": {"room": 50, "other": 1}, "users": {ALICE: 7}}, ROOM_LEVEL),
        ({"notifications": {"room": 20}}, 20),
        ({"notifications": {"room": "60"}}, ROOM_LEVEL),
        ({"notifications": 7, "users": "all"}, ROOM_LEVEL),
        ({"users_default": 10, "events_default": 0}, ROOM_LEVEL),
    ],
)
def test_a_ghost_that_may_notify_is_given_that_and_keeps_it(levels: dict[str, Any], needed: int) -> None:
    now = raised(levels, ADA)
    assert (now["users"][ADA], now["notifications"]["room"]) == (needed, needed)
    assert may_mention_room(now, ADA)
    others = {key: value for key, value in levels.items() if key not in ("users", "notifications")}
    assert others.items() <= now.items()
    # A role update takes nothing away again, and what a moderator has is a moderator's.
    is_ghost = ADA.__eq__
    assert with_roles(now, {}, bot=BOT, is_ghost=is_ghost) is None
    promoted = with_roles(now, {ADA: Role.MODERATOR}, bot=BOT, is_ghost=is_ghost)
    assert promoted is not None and promoted["users"][ADA] == 50
    demoted = with_roles(promoted, {}, bot=BOT, is_ghost=is_ghost)
    assert demoted is not None and demoted["users"].get(ADA, 0) == 0
