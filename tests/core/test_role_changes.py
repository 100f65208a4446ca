"""Whose role somebody's change of the power levels is about, and how it is undone; and what is none of it."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.core.power import LEVELS, role_of
from bridgekit.core.role_changes import RoleChange, role_changes, undone
from bridgekit.model.ids import UserID
from bridgekit.model.remote import Role

BOT, ALICE = UserID("@bot:test"), UserID("@alice:test")
ADA, BEN = UserID("@fake_ada:test"), UserID("@fake_ben:test")
JSON = dict[str, Any]
HUGE = 10**400


def changes(now: JSON, before: object, known: dict[UserID, Role] | None = None) -> list[tuple[UserID, Role, int]]:
    # Unless a test says otherwise, the network says what the room said.
    said = {user: role_of(level) for user, level in levels_of(before).items()}
    found = role_changes(
        now,
        before,
        bot=BOT,
        is_ghost=lambda user: user.startswith("@fake_"),
        known=lambda user: (known or said).get(user, Role.MEMBER),
    )
    return [(each.user, each.role, each.back) for each in found]


def levels_of(content: object) -> dict[UserID, int]:
    levels = content.get("users") if isinstance(content, dict) else None
    return {user: level for user, level in levels.items() if type(level) is int} if isinstance(levels, dict) else {}


def users(**levels: Any) -> JSON:
    return {
        "users": {f"@fake_{name}:test" if name in ("ada", "ben") else f"@{name}:test": levels[name] for name in levels}
    }


@pytest.mark.parametrize(
    ("level", "role"),
    [(-1, "member"), (40, "member"), (49, "member"), (50, "moderator"), (89, "moderator"), (90, "admin")],
)
def test_thresholds(level: int, role: str) -> None:
    assert role_of(level) == role
    assert all(role_of(LEVELS[each]) is each for each in Role)


@pytest.mark.parametrize(
    ("now", "before", "found"),
    [
        (users(ada=50), users(), [(ADA, Role.MODERATOR, 0)]),
        (users(ada=50), {}, [(ADA, Role.MODERATOR, 0)]),
        (users(), users(ada=50), [(ADA, Role.MEMBER, 50)]),
        ({}, users(ada=95), [(ADA, Role.MEMBER, 95)]),
        (users(ada=90), users(ada=50), [(ADA, Role.ADMIN, 50)]),
        # Within a role, also from and to what a ghost is given for @room.
        (users(ada=60), users(ada=50), []),
        (users(ada=40), users(), []),
        (users(ada=50), users(ada=40), [(ADA, Role.MODERATOR, 40)]),
        (users(ada=40), users(ada=50), [(ADA, Role.MEMBER, 50)]),
        # Several, in the order of their ids; people too; never the bot.
        (
            users(ben=50, ada=90, alice=50),
            users(alice=100),
            [(ALICE, Role.MODERATOR, 100), (ADA, Role.ADMIN, 0), (BEN, Role.MODERATOR, 0)],
        ),
        (users(bot=0), users(bot=100), []),
        # Levels that are nobody's.
        (users(ada=50) | {"users_default": 90, "events_default": 10}, users(ada=50), []),
        (users() | {"users_default": 50}, users(), []),
        (users() | {"users_default": 50}, users(ada=50), []),
        (users(ada=0) | {"users_default": 50}, {"users_default": 50}, [(ADA, Role.MEMBER, 0)]),
        # What is no level gives nothing, and takes nothing away.
        (users(ada="90"), users(), []),
        (users(ada="90"), users(ada=50), []),
        (users(ada=True), users(), []),
        (users(ada=90.0), users(), []),
        (users(ada=None), users(ada=50), []),
        (users(ada=[90]), users(ada=50), []),
        (users(ada=HUGE), users(), []),
        (users(ada=-HUGE), users(ada=50), []),
        ({"users": [ADA]}, users(ada=50), []),
        ({"users": None}, users(ada=50), []),
        ({"users_default": "90"}, users(ada=50), []),
        ({"users_default": True}, users(ada=50), []),
        (users(ada=50) | {"events": [], "notifications": 7}, users(), [(ADA, Role.MODERATOR, 0)]),
    ],
)
def test_whose_role_changed(now: JSON, before: object, found: list[tuple[UserID, Role, int]]) -> None:
    assert changes(now, before) == found


@pytest.mark.parametrize("before", [None, [], "x", {"users": []}, {"users": 7}, users(ada="50", ben=False, alice={})])
def test_without_what_was_before_the_networks_roles_count(before: object) -> None:
    known = {ADA: Role.MODERATOR, BEN: Role.ADMIN}
    # Of people nobody knows whether their level is new: it is not the network's.
    now = users(ada=50, ben=0, alice=100)
    assert changes(now, before, known) == [(BEN, Role.MEMBER, 90)]
    # As high as the bot they are without the network, which is not told that they are admins.
    assert changes(users(ada=100, bot=100), before) == []
    assert changes(users(ada=60, bot=60), before) == []
    assert changes(users(ada=59, bot=60), before) == [(ADA, Role.MODERATOR, 0)]


def test_a_ghost_goes_back_to_what_the_network_says() -> None:
    """Two changes, one behind the other, of which the network has heard neither."""
    assert changes(users(ada=90), users(ada=50), {BEN: Role.ADMIN}) == [(ADA, Role.ADMIN, 0)]
    assert changes(users(ada=0), users(ada=50), {ADA: Role.ADMIN}) == [(ADA, Role.MEMBER, 90)]
    # A level that is none of the network's, but of the same role, is what it was.
    assert changes(users(ada=0), users(ada=70), {ADA: Role.MODERATOR}) == [(ADA, Role.MEMBER, 70)]
    assert changes(users(alice=0), users(alice=70), {BEN: Role.ADMIN}) == [(ALICE, Role.MEMBER, 70)]


def test_ten_thousand_people() -> None:
    many = {UserID(f"@fake_{number}:test"): 50 for number in range(10_000)}
    assert len(changes({"users": many}, {})) == 10_000
    assert changes({"users": many}, {"users": many}) == []


@pytest.mark.parametrize(
    ("now", "change", "after"),
    [
        (users(ada=50, ben=50), RoleChange(ADA, Role.MODERATOR, 0), users(ben=50)),
        (users(ada=50), RoleChange(ADA, Role.MODERATOR, 40), users(ada=40)),
        (users(), RoleChange(ADA, Role.MEMBER, 50), users(ada=50)),
        (
            users(ada=50) | {"users_default": 10},
            RoleChange(ADA, Role.MODERATOR, 10),
            {"users": {}, "users_default": 10},
        ),
        (users(ada=60) | {"kick": 7}, RoleChange(ADA, Role.MODERATOR, 0), users() | {"kick": 7}),  # still one
        # Changed again since: that has its own turn.
        (users(ada=90), RoleChange(ADA, Role.MODERATOR, 0), None),
        (users(), RoleChange(ADA, Role.MODERATOR, 0), None),
        (users(ada="x"), RoleChange(ADA, Role.MODERATOR, 0), None),
        ({"users": 7}, RoleChange(ADA, Role.MEMBER, 50), None),
        ({"users_default": 0}, RoleChange(ADA, Role.MEMBER, 0), None),  # it was none for the network
        # Nobody gets what the bot has.
        (users(bot=100), RoleChange(ADA, Role.MEMBER, 100), users(bot=100, ada=99)),
    ],
)
def test_undone(now: JSON, change: RoleChange, after: JSON | None) -> None:
    assert undone(now, [change], bot=BOT) == after
    assert after is None or undone(after, [change], bot=BOT) is None, "a repeat changes nothing"
