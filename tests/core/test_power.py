"""A chat's roles as power levels: each row of docs/mappings/members.md's table of roles, and the limits."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.core.power import ADMIN_LEVEL, level_of, may_lead, needed, with_roles
from bridgekit.core.room_power import may_mention_room
from bridgekit.model.ids import UserID
from bridgekit.model.remote import Role

BOT, ALICE = UserID("@bot:test"), UserID("@alice:test")
ADA, BEN = UserID("@fake_ada:test"), UserID("@fake_ben:test")

NAMED = {BOT: 100}


def roles(users: dict[UserID, Any], said: dict[UserID, Role], **more: Any) -> dict[UserID, int] | None:
    found = with_roles({"users": users, **more}, said, bot=BOT, is_ghost=lambda user: user.startswith("@fake_"))
    return None if found is None else found["users"]


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        ({}, {ADA: Role.MEMBER}, None),
        ({}, {ADA: Role.MODERATOR}, {ADA: 50}),
        ({}, {ADA: Role.ADMIN}, {ADA: ADMIN_LEVEL}),
        (NAMED, {ADA: Role.ADMIN, BEN: Role.MODERATOR}, {BOT: 100, ADA: ADMIN_LEVEL, BEN: 50}),
        (NAMED | {ADA: 50}, {ADA: Role.MODERATOR}, None),
        # A ghost follows its role down, also by being in the list no more.
        (NAMED | {ADA: ADMIN_LEVEL}, {ADA: Role.MODERATOR}, {BOT: 100, ADA: 50}),
        (NAMED | {ADA: 50}, {ADA: Role.MEMBER}, NAMED),
        (NAMED | {ADA: 50}, {}, NAMED),
        # A person is raised and never lowered.
        (NAMED, {ALICE: Role.MODERATOR}, {BOT: 100, ALICE: 50}),
        (NAMED | {ALICE: 75}, {ALICE: Role.MEMBER}, None),
        (NAMED | {ALICE: 75}, {}, None),
        # The bot is left alone, and nobody is as high.
        (NAMED, {BOT: Role.MEMBER}, None),
        ({BOT: 60}, {ADA: Role.ADMIN}, {BOT: 60, ADA: 59}),
        ({BOT: 100, ADA: 100}, {ADA: Role.MEMBER}, None),
        ({BOT: "100"}, {ADA: Role.MODERATOR}, {BOT: "100", ADA: 50}),
    ],
)
def test_roles(before: dict[UserID, Any], said: dict[UserID, Role], after: dict[UserID, Any] | None) -> None:
    assert roles(before, said) == after
    assert after is None or roles(after, said) is None, "a repeat changes nothing"


def test_what_else_the_content_says_stays() -> None:
    content = {"users": {}, "kick": 10, "events": {"m.room.name": 90}, "io.else": [1]}
    assert with_roles(content, {ADA: Role.ADMIN}, bot=BOT, is_ghost=lambda user: True) == {
        **content,
        "users": {ADA: ADMIN_LEVEL},
    }


@pytest.mark.parametrize("content", [{}, {"users": None}, {"users": ["x"], "users_default": None}])
def test_odd_contents(content: dict[str, Any]) -> None:
    found = with_roles(content, {ADA: Role.MODERATOR}, bot=BOT, is_ghost=lambda user: True)
    assert found is not None and found["users"] == {ADA: 50}


@pytest.mark.parametrize(("role", "may"), [(Role.MEMBER, False), (Role.MODERATOR, True), (Role.ADMIN, True)])
def test_who_may_mention_the_room(role: Role, may: bool) -> None:
    content = {"users": NAMED}
    content = with_roles(content, {ADA: role}, bot=BOT, is_ghost=lambda user: True) or content
    assert may_mention_room(content, ADA) is may


@pytest.mark.parametrize(
    ("content", "may"),
    [
        (None, False),
        ({"users": {BOT: 100}}, True),
        ({"users": {BOT: 50}}, True),
        ({"users": {BOT: 50}, "events": {"m.room.name": 51}}, False),
        ({"users": {BOT: 40}}, False),
        ({"users": {BOT: 100}, "invite": 101}, False),
        ({"users_default": 50}, True),
    ],
)
def test_whether_the_bot_can_keep_a_room(content: dict[str, Any] | None, may: bool) -> None:
    assert may_lead(content, BOT) is may
    assert may_lead(content, BOT, [BOT])


def test_levels_that_are_not_said() -> None:
    assert level_of(None, ALICE) == 0
    # Rooms before version 10 let people write what they like.
    for words in ("+-5", "--5", "5 0", "9" * 5000, "٥", ""):
        assert level_of({"users": {ALICE: words}}, ALICE) == 0
        assert needed({"events": {"m.room.name": words}}, "m.room.name") == 50
    assert level_of({"users": {ALICE: " +50 "}}, ALICE) == 50
    assert (needed(None, "kick"), needed(None, "invite"), needed({"state_default": 7}, "m.room.topic")) == (50, 0, 7)
