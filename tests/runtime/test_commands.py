"""People talk with the bot."""

from __future__ import annotations

import pytest

from bridgekit.adapter.prompt import Prompt
from bridgekit.errors import HomeserverUnreachable, MatrixRequestError
from bridgekit.model.ids import LoginID, RemoteUserID, RoomID, UserID
from bridgekit.model.remote import Login
from bridgekit.runtime import logins
from bridgekit.testing.harness import IDENTITY, Harness

BOB = UserID("@bob:test")


class Person:
    """Bob, in a room with the bot."""

    def __init__(self, harness: Harness, *, encrypted: bool = False) -> None:
        self.harness = harness
        self.room: RoomID = harness.homeserver.invite_bot(BOB, encrypted=encrypted)

    async def says(self, text: str) -> str:
        """What the bot answers, all of it."""
        before = len(self.heard())
        self.harness.homeserver.say(self.room, BOB, text)
        await self.harness.settle()
        return "\n".join(self.heard()[before:])

    def heard(self) -> list[str]:
        return self.harness.homeserver.bodies(self.room, notices=True)


@pytest.fixture
async def bob(harness: Harness) -> Person:
    await harness.settle(1)
    person = Person(harness)
    await harness.settle()
    return person


async def test_the_commands(bob: Person) -> None:
    assert "Hello" in bob.heard()[0]
    assert "login - " in await bob.says("help")
    assert "not logged in" in await bob.says("list")
    assert "is running" in await bob.says("status")
    assert "nothing to cancel" in await bob.says("cancel")
    assert "What is your token?" in await bob.says("login")
    assert "under way" not in await bob.says("bob")
    assert "You are logged in as Bob." in bob.heard()
    assert "Bob (bob)" in await bob.says("list")
    assert "connected" in await bob.says("status")
    assert "logged out of Bob" in await bob.says("logout")
    assert bob.harness.network.logged_out == [LoginID("bob")]
    assert await bob.harness.store.dead_letters() == []


async def test_answers_are_redacted_and_forgotten(bob: Person) -> None:
    await bob.says("login")
    event = bob.harness.homeserver.say(bob.room, BOB, "wrong")
    await bob.harness.settle()
    assert bob.harness.homeserver.redacted == [event]
    assert "The login failed: that token is not valid." in bob.heard()
    assert await bob.harness.store.dead_letters() == []


@pytest.mark.parametrize("call", ["redact", "send_event"])
@pytest.mark.parametrize(
    "error", [HomeserverUnreachable("gone"), MatrixRequestError(403, "M_FORBIDDEN", "no")], ids=["away", "403"]
)
async def test_a_secret_is_neither_repeated_nor_kept(
    bob: Person, call: str, error: HomeserverUnreachable | MatrixRequestError
) -> None:
    """Whatever fails when the answer is dealt with, it is not asked about, said aloud, or kept."""
    asked = []

    async def script(prompt: Prompt) -> Login:
        asked.append(await prompt.ask("Password?", secret=True))
        asked.append(await prompt.ask("Second factor?", secret=True))
        return Login(id=LoginID("bob"), user=RemoteUserID("bob"))

    bob.harness.network.login_script = script
    await bob.says("login")
    bob.harness.homeserver.fail("redact", error)
    bob.harness.homeserver.fail(call, error, times=3)
    await bob.says("hunter2")
    await bob.harness.settle(600)
    assert asked == ["hunter2"]
    assert not any("hunter2" in each for each in bob.heard())
    assert await bob.harness.store.dead_letters() == []


async def test_a_secret_after_a_restart_is_not_said_aloud(bob: Person) -> None:
    await bob.says("login")
    await bob.harness.kill()
    await bob.harness.start()
    await bob.harness.settle(1)
    answer = await bob.says("hunter2 is my password")
    assert answer and "hunter2" not in answer


async def test_cancel_ends_the_conversation(bob: Person) -> None:
    await bob.says("login")
    assert "cancelled" in await bob.says("cancel")
    assert "not logged in" in await bob.says("list")


async def test_nobody_answers(bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "ANSWER_WITHIN_S", 0.001)
    bob.harness.homeserver.say(bob.room, BOB, "login")
    while not any("nobody answered" in each for each in bob.heard()):
        await bob.harness.settle()
    assert "nothing to cancel" in await bob.says("cancel")


async def test_an_encrypted_room_gets_a_plain_one(harness: Harness) -> None:
    await harness.settle(1)
    bob = Person(harness, encrypted=True)
    await harness.settle()
    assert "encrypted" in bob.heard()[0]
    rooms = [room for room in harness.homeserver.rooms.values() if room.members.get(BOB) == "invite"]
    assert len(rooms) == 1
    harness.homeserver.emit(bob.room, BOB, "m.room.encrypted", {"algorithm": "x"})
    await harness.settle()
    assert len([room for room in harness.homeserver.rooms.values() if room.members.get(BOB) == "invite"]) == 1


async def test_rooms_without_the_bot_are_none_of_its_business(harness: Harness) -> None:
    await harness.settle(1)
    room = harness.homeserver.add_room(BOB, UserID("@fake_friend:test"))
    harness.homeserver.say(room, BOB, "a secret between us")
    await harness.settle(60)
    assert await harness.store.dead_letters() == []
    assert IDENTITY.bot not in harness.homeserver.rooms[room].members


async def test_the_bot_does_not_stay_where_others_are(harness: Harness) -> None:
    """Else anybody could have it listen to a whole public room."""
    await harness.settle(1)
    room = harness.homeserver.add_room(BOB, UserID("@carol:test"))
    harness.homeserver.rooms[room].members[IDENTITY.bot] = "invite"
    harness.homeserver.emit(room, BOB, "m.room.member", {"membership": "invite"}, state_key=IDENTITY.bot)
    await harness.settle()
    (said,) = harness.homeserver.bodies(room, notices=True)
    assert "one person at a time" in said
    assert harness.homeserver.rooms[room].members[IDENTITY.bot] == "leave"
    harness.homeserver.say(room, BOB, "help")
    await harness.settle()
    assert harness.homeserver.bodies(room, notices=True) == [said]
    assert await harness.store.dead_letters() == []


async def test_the_homeserver_is_away_for_a_command(bob: Person) -> None:
    bob.harness.homeserver.fail("send_event", HomeserverUnreachable("gone"), times=4)
    bob.harness.homeserver.say(bob.room, BOB, "help")
    await bob.harness.settle(120)
    assert sum("login - " in each for each in bob.heard()) == 1
