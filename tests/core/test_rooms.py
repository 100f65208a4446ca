"""What a portal's room is made of."""

from __future__ import annotations

from typing import Any

import pytest

from bridgekit.core.rooms import (
    RoomShape,
    bridge_state_key,
    clean,
    create_body,
    is_wanted,
    known_room,
    power_levels,
    wanted_state,
)
from bridgekit.model.ids import ChatID, ContentURI, LoginID, PortalKey, UserID

BOT = UserID("@bot:hs")


def shape(**changes: Any) -> RoomShape:
    values: dict[str, Any] = {"key": PortalKey(ChatID("c1")), "bot": BOT, "network_id": "net", "network_name": "Net"}
    return RoomShape(**values | changes)


@pytest.mark.parametrize(("version", "users"), [("1", {BOT: 100}), ("11", {BOT: 100}), ("12", {}), ("99", {})])
def test_the_creator_is_named_only_where_that_is_allowed(version: str, users: dict[str, int]) -> None:
    assert power_levels(shape(room_version=version))["users"] == users


@pytest.mark.parametrize("version", ["10", "12"])
def test_people_cannot_switch_encryption_on(version: str) -> None:
    levels = power_levels(shape(room_version=version))
    assert levels["events"]["m.room.encryption"] > levels["users_default"]
    assert levels["events"]["m.room.encryption"] >= 100


def test_the_preset_makes_nobody_a_creator_but_the_bot() -> None:
    body = create_body(shape(dm=True, name="Vera", topic="t"), "net_abc", [UserID("@a:hs")])
    assert body["preset"] == "private_chat"
    assert (body["room_alias_name"], body["invite"], body["is_direct"]) == ("net_abc", ["@a:hs"], True)
    assert (body["name"], body["topic"]) == ("Vera", "t")
    assert {state["type"] for state in body["initial_state"]} == {
        "m.bridge",
        "uk.half-shot.bridge",
        "io.element.functional_members",
    }


def test_the_bridge_state_names_network_and_chat() -> None:
    picture = ContentURI("mxc://hs/x")
    state = {type: content for type, _, content in wanted_state(shape(name="N", topic="T", avatar_mxc=picture))}
    assert state["m.bridge"] == state["uk.half-shot.bridge"]
    assert state["m.bridge"] == {
        "bridgebot": BOT,
        "creator": BOT,
        "protocol": {"id": "net", "displayname": "Net"},
        "channel": {"id": "c1", "displayname": "N", "avatar_url": picture},
    }
    assert (state["m.room.name"], state["m.room.topic"]) == ({"name": "N"}, {"topic": "T"})
    assert state["m.room.avatar"] == {"url": picture}


def test_state_keys_differ_by_receiver_and_are_bounded() -> None:
    one = PortalKey(ChatID("c"), LoginID("l"))
    assert bridge_state_key("net", one) != bridge_state_key("net", PortalKey(ChatID("c")))
    assert len(bridge_state_key("net", PortalKey(ChatID("x" * 5000)))) <= 255


def test_state_is_compared_before_it_is_written() -> None:
    assert is_wanted({"name": "a", "other": 1}, {"name": "a"})
    assert not is_wanted({"name": "b"}, {"name": "a"})
    assert not is_wanted(None, {})


def test_text_that_a_homeserver_cannot_take_is_cleaned() -> None:
    assert clean("a\x00b\ud800c") == "a\ufffdb?c"


def test_a_portal_without_a_room_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no room"):
        known_room(None)
