"""Which rooms may become portals."""

from __future__ import annotations

import pytest

from bridgekit.core.fresh import is_for_two, is_unused, without_making
from bridgekit.model.ids import EventID, RoomID, UserID
from bridgekit.model.raw import RawEvent

ALICE, GHOST, BOT, BOB = (UserID(f"@{name}:hs") for name in ("alice", "ghost", "bot", "bob"))


@pytest.mark.parametrize(
    "members, fits",
    [
        ([ALICE, GHOST], True),
        ([ALICE, GHOST, BOT], True),
        ([ALICE], True),
        ([ALICE, GHOST, BOB], False),
        ([GHOST], False),  # the inviter has left meanwhile
        ([GHOST, BOT], False),
        ([], False),
    ],
)
def test_for_two(members: list[UserID], fits: bool) -> None:
    assert is_for_two(members, inviter=ALICE, ghost=GHOST, bot=BOT) is fits


@pytest.mark.parametrize(
    "newest_first, unused",
    [
        (["invite", "m.room.name", "m.room.create"], True),
        (["m.room.message", "invite", "m.room.create"], True),  # said to the ghost
        (["m.room.message", "invite", "m.room.message", "m.room.create"], False),
        (["invite", "m.room.encrypted"], False),
        (["invite", "m.sticker"], False),
        (["m.room.message", "m.room.name"], False),  # the invitation is further back, or cannot be seen
        ([], False),
    ],
)
def test_unused(newest_first: list[str], unused: bool) -> None:
    events = [
        RawEvent(
            raw=b"{}",
            event_id=EventID("$invite" if kind == "invite" else f"${index}"),
            room_id=RoomID("!room"),
            sender=ALICE,
            type="m.room.member" if kind == "invite" else kind,
        )
        for index, kind in enumerate(newest_first)
    ]
    assert is_unused(events, invitation=EventID("$invite")) is unused


@pytest.mark.parametrize(
    ("sender", "state_key", "is_ours"),
    [(ALICE, GHOST, True), (GHOST, GHOST, True), (BOT, "", True), (ALICE, BOB, False)],
)
def test_how_a_room_came_to_be_is_no_change(sender: UserID, state_key: str, is_ours: bool) -> None:
    def event(name: str, sender: UserID = ALICE, state_key: str | None = None) -> RawEvent:
        return RawEvent(
            raw=b"", event_id=EventID(name), room_id=RoomID("!r"), sender=sender, type="t", state_key=state_key
        )

    events = [event("made", state_key=""), event("said"), event("joined", state_key=ALICE)]
    events += [event("came", sender, state_key), event("named", state_key=""), event("said too")]
    kept = [each.event_id for each in without_making(events, lambda user: user in (GHOST, BOT))]
    assert kept == (["said", "came", "named", "said too"] if is_ours else ["said", "said too"])
