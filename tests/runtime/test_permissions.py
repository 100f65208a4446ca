"""Every door asks who may pass."""

from __future__ import annotations

import pytest

from bridgekit.errors import Transient
from bridgekit.model.ids import LoginID, RemoteUserID, RoomID, UserID
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login
from bridgekit.testing.harness import ALICE, IDENTITY, MINE, Harness

NOBODY, GUEST, ROOT = UserID("@nobody:bad.test"), UserID("@guest:elsewhere.test"), UserID("@root:test")
LINES = {"*": "relay", "test": "user", "bad.test": "none", ROOT: "admin"}
LOGIN = LoginID(MINE)


async def started(lines: dict[str, str] | None = None) -> Harness:
    harness = Harness(permissions=lines or LINES)
    await harness.start()
    await harness.settle(1)
    return harness


class Person:
    """Somebody in a room with the bot, or trying to be."""

    def __init__(self, harness: Harness, user: UserID) -> None:
        self.harness, self.user = harness, user
        self.room: RoomID = harness.homeserver.invite_bot(user)

    async def says(self, words: str, room: RoomID | None = None) -> str:
        """What the bot answers."""
        room = room or self.room
        before = len(self.harness.homeserver.bodies(room, notices=True))
        self.harness.homeserver.say(room, self.user, words)
        await self.harness.settle(1)
        return "\n".join(self.harness.homeserver.bodies(room, notices=True)[before:])

    def heard(self) -> list[str]:
        return self.harness.homeserver.bodies(self.room, notices=True)


async def person(harness: Harness, user: UserID) -> Person:
    someone = Person(harness, user)
    await harness.settle(1)
    return someone


async def test_who_may_nothing_is_told_so_once() -> None:
    harness = await started()
    nobody = await person(harness, NOBODY)
    assert nobody.heard() == ["I am sorry, but you may not use this bridge; its admin can allow it."]
    assert harness.homeserver.rooms[nobody.room].members[IDENTITY.bot] == "leave"
    await harness.kill()
    await harness.start()
    again = await person(harness, NOBODY)
    assert again.heard() == []
    assert harness.homeserver.rooms[again.room].members[IDENTITY.bot] == "leave"
    await harness.kill()


async def test_who_may_nothing_any_more_in_a_room_that_is_there() -> None:
    harness = await started({"bad.test": "user"})
    nobody = await person(harness, NOBODY)
    assert "Hello" in nobody.heard()[0]
    await harness.kill()
    harness.permissions = LINES
    await harness.start()
    assert "may not use this bridge" in await nobody.says("help")
    assert await nobody.says("help") == ""
    assert await nobody.says("login") == ""
    await harness.kill()


@pytest.mark.parametrize(
    "user, words, answer",
    [
        (GUEST, "login", "You may not log in to this bridge; its admin can allow it."),
        (GUEST, "pm friend", "You may not log in to this bridge; its admin can allow it."),
        (GUEST, "list", "You are not logged in."),
        (GUEST, "logins", "Only admins of the bridge may do that."),
        (ALICE, "logins", "Only admins of the bridge may do that."),
        (ALICE, "portals", "Only admins of the bridge may do that."),
        (ALICE, "dead", "Only admins of the bridge may do that."),
        (ALICE, "dead drop 1", "Only admins of the bridge may do that."),
        (ALICE, "login", "What is your token?"),
        (ROOT, "logins", "Logins: 1"),
        (ROOT, "login", "What is your token?"),
    ],
)
async def test_commands_ask_for_their_level(user: UserID, words: str, answer: str) -> None:
    harness = await started()
    assert answer in await (await person(harness, user)).says(words)
    await harness.kill()


async def test_help_shows_what_one_may() -> None:
    harness = await started()
    shown = {user: await (await person(harness, user)).says("help") for user in (GUEST, ALICE, ROOT)}
    for command, users in {
        "logout [account]": {GUEST, ALICE, ROOT},
        "login": {ALICE, ROOT},
        "set-relay ROOM [login]": {ALICE, ROOT},
        "logins [page]": {ROOT},
        "dead [list AFTER": {ROOT},
    }.items():
        assert {user for user, help in shown.items() if f"\n{command}" in help} == users
    await harness.kill()


async def test_a_guest_is_relayed_and_who_may_nothing_is_not() -> None:
    harness = await started()
    room = await harness.portal()
    alice, guest, nobody = [await person(harness, user) for user in (ALICE, GUEST, NOBODY)]
    for user in (GUEST, NOBODY):
        harness.homeserver.join_person(room, user)
    await alice.says("!fake set-relay", room)
    assert await guest.says("hi", room) == ""
    assert "may not use this bridge" in await nobody.says("me too", room)
    assert await nobody.says("and again", room) == ""
    assert await nobody.says("!fake help", room) == ""
    assert harness.network.texts("chat") == [f"{GUEST}: hi"]
    assert "may not use this bridge" in await alice.says(f"!fake invite {NOBODY}", room)
    await harness.kill()


async def test_a_permission_that_is_taken_away() -> None:
    """The login stays, but is not connected; what its person says is refused in words, and nobody else is."""
    harness = await started()
    bob = UserID("@bob:test")
    record = LoginRecord(login=Login(id=LoginID("bob"), user=RemoteUserID("bob"), name="Bob"), user_id=bob)
    await harness.bridge.logins.add(record)
    room = await harness.portal()
    harness.network.say("chat", "friend", "both see this")
    await harness.settle(60)
    alice, root = await person(harness, ALICE), await person(harness, ROOT)
    harness.network.next_sends(*(Transient() for _ in range(3)))
    harness.homeserver.say(room, ALICE, "waits")
    await harness.settle(1)
    await harness.kill()
    harness.permissions = {**LINES, ALICE: "none"}
    harness.network.say("chat", "friend", "meanwhile")
    await harness.start()
    await harness.settle(60)
    assert harness.bridge.sessions.session(LOGIN) is None
    assert harness.bridge.sessions.session(LoginID("bob")) is not None
    assert harness.network.texts("chat") == []
    assert "may not use this bridge" in harness.homeserver.bodies(room, notices=True)[-1]
    # Bob sees the chat too, so it goes on for him, in the same room.
    assert harness.homeserver.bodies(room) == ["hello", "both see this", "meanwhile"]
    assert "not connected, because its person may not use this bridge" in await root.says("logins")
    assert "may not use this bridge" in await alice.says("list")

    # And back: what was refused can be tried again.
    await harness.kill()
    harness.permissions = LINES
    await harness.start()
    await harness.settle(60)
    assert await alice.says("now", room) == ""
    (letter,) = await harness.store.dead_letters()
    assert "is tried again" in await root.says(f"dead retry {letter.id}")
    await harness.settle(60)
    assert harness.network.texts("chat") == ["now", "waits"]
    await harness.kill()


async def test_reduced_to_a_guest_one_speaks_through_the_relay() -> None:
    harness = await started()
    record = LoginRecord(login=Login(id=LoginID("bob"), user=RemoteUserID("bob")), user_id=UserID("@bob:test"))
    await harness.bridge.logins.add(record)
    room = await harness.portal()
    harness.network.say("chat", "friend", "both see this")
    await harness.settle(60)
    root = await person(harness, ROOT)
    assert "Done" in await root.says(f"set-relay {room} bob")
    await harness.kill()
    harness.permissions = {**LINES, ALICE: "relay"}
    await harness.start()
    await harness.settle(60)
    harness.homeserver.names[ALICE] = "Alice"
    harness.homeserver.say(room, ALICE, "hi")
    await harness.until(lambda: harness.network.texts("chat") == ["Alice: hi"])
    assert harness.network.spoken[0][0] == "bob"
    await harness.kill()


async def test_a_relay_whose_person_may_not_any_more_is_none() -> None:
    harness = await started()
    room = await harness.portal()
    alice = await person(harness, ALICE)
    await alice.says("!fake set-relay", room)
    await harness.kill()
    harness.permissions = {**LINES, ALICE: "relay"}
    await harness.start()
    harness.homeserver.join_person(room, GUEST)
    guest = await person(harness, GUEST)
    assert "no relay is set here" in await guest.says("hi", room)
    await harness.kill()


async def test_no_room_is_made_for_who_may_not_any_more() -> None:
    harness = await started()
    harness.homeserver.gate("create_room")
    harness.network.say("new", "friend", "hello")
    await harness.settle(1)
    await harness.kill()
    harness.permissions = {**LINES, ALICE: "none"}
    await harness.start()
    harness.homeserver.gate("create_room").set()
    await harness.settle(120)
    assert [letter.code for letter in await harness.store.dead_letters()] == ["forbidden"]
    assert not any(ALICE in room.members for room in harness.homeserver.rooms.values())
    await harness.kill()
