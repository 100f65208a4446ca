"""Who may notify a whole room."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.core.room_power import may_mention_room
from bridgekit.model.ids import UserID

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
