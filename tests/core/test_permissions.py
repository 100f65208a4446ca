"""Who may do what."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.core.permissions import BadPermission, Level, Permissions, default_permissions, may_change_state
from bridgekit.model.ids import UserID

LINES = {
    "*": "relay",
    "home.test": "user",
    "home.test:8448": "none",
    "[::1]:80": "user",
    "@root:home.test": "admin",
    "@spam:home.test": "none",
    "@Odd!#=/+x:1.2.3.4": "user",
}


@pytest.mark.parametrize(
    "user, level",
    [
        ("@root:home.test", Level.ADMIN),
        ("@spam:home.test", Level.NONE),
        ("@alice:home.test", Level.USER),
        ("@alice:HOME.test", Level.RELAY),  # spec: user ids are compared case-sensitively
        ("@Root:home.test", Level.USER),
        ("@alice:home.test:8448", Level.NONE),
        ("@alice:[::1]:80", Level.USER),
        ("@Odd!#=/+x:1.2.3.4", Level.USER),
        ("@alice:elsewhere.test", Level.RELAY),
        ("@alice:sub.home.test", Level.RELAY),
        ("*", Level.RELAY),
        ("", Level.RELAY),
    ],
)
def test_the_most_specific_line_wins(user: str, level: Level) -> None:
    assert Permissions(LINES).level(UserID(user)) is level


def test_what_no_line_names_may_nothing() -> None:
    permissions = Permissions({"@root:home.test": "admin"})
    assert permissions.level(UserID("@alice:home.test")) is Level.NONE
    assert permissions.has_admin()


def test_the_default_lets_the_own_people_log_in_and_others_be_relayed() -> None:
    permissions = Permissions(default_permissions("home.test"))
    assert permissions.level(UserID("@alice:home.test")) is Level.USER
    assert permissions.level(UserID("@alice:elsewhere.test")) is Level.RELAY
    assert not permissions.has_admin()


@pytest.mark.parametrize(
    "key, value",
    [
        ("@alice", "user"),
        ("@:home.test", "user"),
        ("@alice:", "user"),
        ("@al ice:home.test", "user"),
        ("@alice:home.test ", "user"),
        ("@ålice:home.test", "user"),
        ("alice:home.test", "user"),
        ("home test", "user"),
        ("home.test:port", "user"),
        ("*.home.test", "user"),
        ("", "user"),
        ("home.test\n", "user"),
        ("home.test", "root"),
        ("home.test", "Admin"),
        ("*", ""),
    ],
)
def test_a_line_that_cannot_be_meant_is_named(key: str, value: str) -> None:
    with pytest.raises(BadPermission) as bad:
        Permissions({"*": "relay", key: value})
    assert bad.value.key == key
    assert bad.value.what
    assert bad.value.fix.startswith("Write ")


@pytest.mark.parametrize(
    "levels, may",
    [
        (None, False),
        ({}, False),
        ({"users": {"@a:b": 50}}, True),
        ({"users": {"@a:b": 49}}, False),
        ({"users": {"@a:b": "50"}}, True),  # as room versions up to 9 have it
        ({"users": {"@a:b": 50}, "state_default": 60}, False),
        ({"users_default": 50}, True),
        ({"users_default": 50, "users": {"@a:b": 0}}, False),
        ({"state_default": 0}, True),
        ({"users": {"@a:b": "many"}, "state_default": []}, False),
        ({"users": [], "users_default": 100}, True),
    ],
)
def test_power_to_change_state(levels: dict[str, Any] | None, may: bool) -> None:
    assert may_change_state(levels, UserID("@a:b")) is may
