"""Who may do what in a portal's room, as people change it, and what the network makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridgekit.adapter.capabilities import CanSetRole
from bridgekit.core.power import ADMIN_LEVEL
from bridgekit.errors import AuthFailed, HomeserverUnreachable, Rejected, Transient
from bridgekit.model.ids import ChatID, LoginID, PortalKey, RemoteUserID, RoomID, UserID
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login, RemoteChat, Role, Sent
from bridgekit.runtime import points
from bridgekit.testing.deeds import Deed, Echo, Outcome, RoleGiven, Told
from bridgekit.testing.harness import ALICE, MINE, Harness
from bridgekit.testing.network import FakeNetwork

POWER = "m.room.power_levels"
CHAT = PortalKey(ChatID("chat"))
ADA, BEN, CLEO = (UserID(f"@fake_{name}:test") for name in ("ada", "ben", "cleo"))
BOB = UserID("@bob:test")
NAMES = ("ada", "ben", "cleo")


async def begun(*lacks: type, echo: Echo = "nonce", network: FakeNetwork | None = None) -> tuple[Harness, RoomID]:
    harness = Harness(network or FakeNetwork(lacks=lacks, echo=echo))
    await harness.start()
    room = await harness.portal()
    for name in NAMES:
        harness.network.say("chat", name, f"hello of {name}")
    await harness.settle(5)
    return harness, room


def levels(harness: Harness, room: RoomID) -> dict[str, Any]:
    content = harness.homeserver.rooms[room].state[POWER, ""]
    assert isinstance(content["users"], dict)
    return content["users"]


def change(harness: Harness, room: RoomID, by: UserID = ALICE, /, **users: object) -> None:
    """Somebody gives people these levels; None: takes them away."""
    content = harness.homeserver.rooms[room].state[POWER, ""]
    now = {**content["users"], **{f"@{name}:test": level for name, level in users.items()}}
    now = {user: level for user, level in now.items() if level is not None}
    harness.homeserver.set_state(room, by, POWER, {**content, "users": now})


def given(harness: Harness) -> list[tuple[str, Role]]:
    assert all(each.portal == CHAT for each in harness.network.roles_given)
    return [(each.user, each.role) for each in harness.network.roles_given]


def role_calls(harness: Harness) -> list[RoleGiven]:
    """Everything that the network was told, repeats included."""
    return [call for call in harness.network.tries_of("set_role") if isinstance(call, RoleGiven)]


def notices(harness: Harness, room: RoomID) -> list[str]:
    return harness.homeserver.bodies(room, notices=True)


@pytest.mark.parametrize("echo", ["nonce", "none"])
async def test_the_network_is_told_whose_role_changed(echo: Echo) -> None:
    harness, room = await begun(echo=echo)
    change(harness, room, fake_ben=50, fake_ada=ADMIN_LEVEL, fake_cleo=40)
    await harness.settle(5)
    assert given(harness) == [("ada", Role.ADMIN), ("ben", Role.MODERATOR)]
    assert levels(harness, room) == {ADA: ADMIN_LEVEL, BEN: 50, CLEO: 40}
    change(harness, room, fake_ben=60, fake_ada=None)
    await harness.settle(5)
    assert given(harness)[2:] == [("ada", Role.MEMBER)]
    # What the network then says is so already, but for a level that none of its roles has.
    assert levels(harness, room) == {BEN: 60, CLEO: 40}
    assert notices(harness, room) == [] and await harness.store.dead_letters() == []
    await harness.kill()


async def test_a_person_with_a_login_has_a_role_too() -> None:
    harness, room = await begun()
    bob = Login(id=LoginID("bob"), user=RemoteUserID("bobby"), name="Bob")
    await harness.bridge.logins.add(LoginRecord(login=bob, user_id=BOB))
    await harness.settle(5)
    harness.network.say("chat", "ada", "hello Bob")
    await harness.settle(5)
    change(harness, room, bob=50, alice=95, carol=90)
    await harness.settle(5)
    # Nobody knows who Carol would be there.
    assert given(harness) == [(MINE, Role.ADMIN), ("bobby", Role.MODERATOR)]
    assert levels(harness, room)[UserID("@carol:test")] == 90
    await harness.kill()


async def test_what_the_network_says_meanwhile_undoes_no_other_change() -> None:
    harness, room = await begun()
    harness.network.emit(RemoteChat(portal=CHAT, roles={RemoteUserID("cleo"): Role.MODERATOR}))
    await harness.settle(5)
    harness.network.roles[CHAT] = {RemoteUserID("cleo"): Role.MODERATOR}
    harness.network.next_deeds("set_role", Transient("busy"))
    change(harness, room, fake_ada=50)
    await harness.settle(0)
    # It gives Ben a role itself, and says who has one; Ada's has not got there yet.
    harness.network.emit(RemoteChat(portal=CHAT, roles={RemoteUserID(n): Role.MODERATOR for n in ("ben", "cleo")}))
    harness.network.roles[CHAT][RemoteUserID("ben")] = Role.MODERATOR
    await harness.settle(60)
    assert given(harness) == [("ada", Role.MODERATOR)]
    assert levels(harness, room) == {ADA: 50, BEN: 50, CLEO: 50}
    await harness.kill()


@pytest.mark.parametrize("lost", [False, True])
async def test_an_echo_that_is_quicker_than_its_answer_undoes_no_later_role(*, lost: bool) -> None:
    harness, room = await begun(echo="none")
    answer = asyncio.Event()
    harness.network.next_deeds("set_role", Outcome(ConnectionResetError() if lost else None, taken=True, gate=answer))
    change(harness, room, fake_ben=50)
    await harness.settle()
    change(harness, room, fake_ben=90)
    harness.network.emit(RemoteChat(portal=CHAT, roles={RemoteUserID("ben"): Role.MODERATOR}))
    await harness.settle(5)
    assert levels(harness, room) == {BEN: 90}
    answer.set()
    await harness.settle(30)
    assert given(harness)[0] == ("ben", Role.MODERATOR) and given(harness)[-1] == ("ben", Role.ADMIN)
    assert levels(harness, room) == {BEN: 90}
    # Once it has answered, its word counts.
    harness.network.emit(RemoteChat(portal=CHAT, roles={RemoteUserID("ben"): Role.MODERATOR}))
    await harness.settle(5)
    assert levels(harness, room) == {BEN: 50}
    await harness.kill()


async def test_what_is_no_role_is_not_told() -> None:
    harness, room = await begun()
    content = harness.homeserver.rooms[room].state[POWER, ""]
    wild = {**content, "users_default": 10, "events_default": 5, "events": {"m.room.name": 0}, "kick": "x"}
    harness.homeserver.set_state(room, ALICE, POWER, wild)
    # Nobody has ever seen this person: what that is worth shows when they come.
    change(harness, room, fake_nobody=90, **{"fake_==hashed": 90})
    await harness.settle(5)
    assert harness.network.tried == []
    now = harness.homeserver.rooms[room].state[POWER, ""]
    assert {**now, "users": {}} == {**wild, "users": {}}
    await harness.kill()


@pytest.mark.parametrize(
    "users",
    [
        [ADA, 90],
        None,
        "everybody",
        {ADA: "90"},
        {ADA: True},
        {ADA: 90.5},
        {ADA: {"level": 90}},
        {ADA: 10**30},
        {ADA: [[[[90]]]]},
    ],
)
@pytest.mark.parametrize("before", [None, 7, {"users": ["x"]}])
async def test_hostile_levels_raise_nobody(users: object, before: object) -> None:
    harness, room = await begun()
    content = {"users": users, "events": 7, "users_default": 0}
    harness.homeserver.rooms[room].state[POWER, ""] = content
    harness.homeserver.emit(room, ALICE, POWER, content, state_key="", unsigned={"prev_content": before})
    harness.homeserver.say(room, ALICE, "behind it")
    await harness.settle(5)
    assert harness.network.roles_given == [] and harness.network.texts("chat") == ["behind it"]
    assert await harness.store.dead_letters() == []
    await harness.kill()


@pytest.mark.parametrize("unsigned", [{}, None, [], {"prev_content": None}])
async def test_without_the_content_before_the_networks_roles_count(unsigned: object) -> None:
    harness, room = await begun()
    harness.network.emit(RemoteChat(portal=CHAT, roles={RemoteUserID("ben"): Role.MODERATOR}))
    await harness.settle(5)
    content = harness.homeserver.rooms[room].state[POWER, ""]
    content = {**content, "users": {ADA: 50, BEN: 50, ALICE: 95}}
    harness.homeserver.rooms[room].state[POWER, ""] = content
    harness.homeserver.emit(room, ALICE, POWER, content, state_key="", unsigned=unsigned)
    await harness.settle(5)
    assert given(harness) == [("ada", Role.MODERATOR)]
    await harness.kill()


# --- refused ----------------------------------------------------------------------------------------------------------
async def test_without_the_capability_all_are_put_back() -> None:
    harness, room = await begun(CanSetRole)
    harness.homeserver.rooms[room].state[POWER, ""]["users"] = {BEN: 40}
    change(harness, room, fake_ada=50, fake_ben=90, carol=70)
    await harness.settle(5)
    assert levels(harness, room) == {BEN: 40, UserID("@carol:test"): 70}
    (notice,) = notices(harness, room)
    assert notice == (
        "Your change of people's roles was not carried out: this network does not let roles be given from here."
    )
    await harness.kill()


async def test_whom_the_network_refuses_is_put_back_and_the_others_stay() -> None:
    harness, room = await begun()
    harness.network.next_deeds("set_role", Outcome(), Rejected("Ben is no grown-up"))
    change(harness, room, fake_ada=50, fake_ben=50, fake_cleo=50)
    await harness.settle(5)
    assert given(harness) == [("ada", Role.MODERATOR), ("cleo", Role.MODERATOR)]
    assert levels(harness, room) == {ADA: 50, CLEO: 50}
    (notice,) = notices(harness, room)
    assert notice == (
        "Your change of people's roles was not carried out: Name of ben stays as before (Ben is no grown-up)."
        " The others have their new roles."
    )
    (letter,) = await harness.store.dead_letters()
    assert letter.code == "rejected"
    await harness.kill()


async def test_who_was_refused_and_changed_again_is_left_to_that() -> None:
    harness, room = await begun()
    harness.network.next_deeds("set_role", Rejected("no"))
    change(harness, room, fake_ada=50)
    change(harness, room, fake_ada=90)
    change(harness, room, fake_ben=50)
    await harness.settle(5)
    # The first of the three was no longer so when its turn came.
    assert [(each.user, each.role) for each in role_calls(harness)] == [
        ("ada", Role.ADMIN),
        ("ben", Role.MODERATOR),
    ]
    assert levels(harness, room) == {BEN: 50}
    await harness.kill()


async def test_only_ones_own_login_gives_roles() -> None:
    harness, room = await begun()
    harness.homeserver.rooms[room].members[BOB] = "join"
    change(harness, room, BOB, fake_ada=50)
    change(harness, room, UserID("@telegram_bot:test"), fake_ben=50)
    await harness.settle(5)
    assert harness.network.tried == [] and levels(harness, room) == {}
    (notice,) = notices(harness, room)
    assert "log in to the network for that" in notice
    await harness.kill()


async def test_where_the_bot_has_no_power_it_stays() -> None:
    harness, room = await begun(CanSetRole)
    harness.homeserver.rooms[room].creator = ALICE
    change(harness, room, fake_ada=50)
    await harness.settle(5)
    assert levels(harness, room) == {ADA: 50}
    assert len(notices(harness, room)) == 1
    await harness.kill()


# --- faults -----------------------------------------------------------------------------------------------------------
async def test_it_waits_for_the_network_and_repeats_nobody_who_was_told() -> None:
    harness, room = await begun()
    harness.network.next_deeds("set_role", Outcome(), Transient("later"), ConnectionResetError())
    change(harness, room, fake_ada=50, fake_ben=50)
    await harness.settle(60)
    assert [each.user for each in role_calls(harness)] == ["ada", "ben", "ben", "ben"]
    assert given(harness) == [("ada", Role.MODERATOR), ("ben", Role.MODERATOR)]
    assert levels(harness, room) == {ADA: 50, BEN: 50}
    await harness.kill()


class Fussy(FakeNetwork):
    """Nobody gives Ben a role."""

    async def be_told(self, login: Login, deed: Deed, value: Told) -> Sent:
        if isinstance(value, RoleGiven) and value.user == "ben":
            self.next_deeds("set_role", Rejected("not Ben"))
        return await super().be_told(login, deed, value)


@pytest.mark.parametrize("after", range(3))
async def test_killed_behind_any_call(after: int) -> None:
    harness, room = await begun(network=Fussy())
    dead = harness.kill_at(points.NETWORK_SENT, after=after)
    change(harness, room, fake_ada=50, fake_ben=50, fake_cleo=50, alice=60)
    await harness.settle(5)
    assert dead.is_set()
    await harness.kill()
    await harness.start()
    await harness.settle(5)
    tries = [each.user for each in role_calls(harness)]
    died = ("mine", "ada", "cleo")[after]
    assert tries == [user for each in ("mine", "ada", "ben", "cleo") for user in [each] * (1 + (each == died))]
    assert levels(harness, room) == {ALICE: 60, ADA: 50, CLEO: 50}
    (notice,) = notices(harness, room)
    assert "Name of ben stays as before (not Ben)" in notice
    await harness.kill()


async def test_a_crash_behind_a_refusal_puts_back_and_says_it_once() -> None:
    harness, room = await begun()
    harness.network.next_deeds("set_role", Rejected("no"))
    harness.homeserver.fail("send_state", HomeserverUnreachable("gone"), times=1)
    change(harness, room, fake_ada=50)
    await harness.settle(1)
    await harness.kill()
    await harness.start()
    await harness.settle(60)
    assert len(harness.network.tries_of("set_role")) == 1
    assert levels(harness, room) == {} and len(notices(harness, room)) == 1
    await harness.kill()


async def test_who_has_to_log_in_again_finds_it_still_to_be_told() -> None:
    harness, room = await begun()
    harness.network.next_deeds("set_role", Outcome(), AuthFailed("token revoked"))
    change(harness, room, fake_ada=50, fake_ben=50)
    await harness.settle(5)
    assert given(harness) == [("ada", Role.MODERATOR)] and levels(harness, room) == {ADA: 50, BEN: 50}
    again = Login(id=LoginID(MINE), user=MINE, name="Mine")
    await harness.bridge.logins.add(LoginRecord(login=again, user_id=ALICE))
    await harness.settle(5)
    assert given(harness) == [("ada", Role.MODERATOR), ("ben", Role.MODERATOR)]
    await harness.kill()
