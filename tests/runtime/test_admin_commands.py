"""What admins may ask the bot."""

from __future__ import annotations

import pytest

from bridgekit.errors import Rejected
from bridgekit.model.ids import LoginID, RemoteUserID, UserID
from bridgekit.model.records import LoginRecord
from bridgekit.model.remote import Login
from bridgekit.runtime.commands import admin
from bridgekit.testing.harness import ALICE, Harness
from tests.runtime.test_permissions import LINES, ROOT, Person, person


@pytest.fixture
async def root() -> Person:
    harness = Harness(permissions=LINES)
    await harness.start()
    await harness.settle(1)
    return await person(harness, ROOT)


async def test_logins_and_status(root: Person) -> None:
    table = await root.says("logins")
    assert table.splitlines() == [
        "Logins: 1",
        "person       account  id    state",
        "@alice:test  Mine     mine  connected",
    ]
    event = root.harness.homeserver.rooms[root.room].timeline[-1]
    assert event["content"]["format"] == "org.matrix.custom.html"
    assert "<td>@alice:test</td>" in event["content"]["formatted_body"]
    status = await root.says("status")
    assert "Logins: 1, connected: 1" in status
    assert "Dead letters: 0" in status
    await root.harness.kill()


async def test_portals_page_by_page(root: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ROWS", 2)
    assert await root.says("portals") == "There are no portals."
    rooms = [await root.harness.portal(chat) for chat in ("a", "b", "c")]
    await root.says(f"set-relay {rooms[0]} mine")
    assert [" ".join(line.split()) for line in (await root.says("portals")).splitlines()] == [
        "Portals: 3",
        "chat room logins relay",
        f"Chat a {rooms[0]} mine mine",
        f"Chat b {rooms[1]} mine",
        "Page 1 of 2. For another, say the command and its number.",
    ]
    assert f"Chat c  {rooms[2]}" in await root.says("portals 2")
    await root.harness.kill()


async def test_dead_letters(root: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ROWS", 2)
    harness = root.harness
    assert await root.says("dead") == "There are no dead letters."
    room = await harness.portal()
    harness.network.next_sends(*(Rejected("too rude") for _ in range(3)))
    for number in range(3):
        harness.homeserver.say(room, ALICE, f"secret {number}")
        await harness.settle(1)
    listed = await root.says("dead list")
    assert listed.splitlines()[0] == "Dead letters"
    assert "too rude" in listed and "secret" not in listed
    assert 'say "dead list 2"' in listed
    assert "too rude" in await root.says("dead list 2")
    assert await root.says("dead list 3") == "There are no more."

    shown = await root.says("dead show 1")
    assert "rejected" in shown and room in shown and "secret" not in shown
    assert "tried again" in await root.says("dead retry 1")
    assert harness.network.texts("chat") == ["secret 0"]
    assert await root.says("dead drop #2") == "Dead letter 2 is gone."
    assert [letter.id for letter in await harness.store.dead_letters()] == [3]
    for words in ("dead show 1", "dead retry 1", "dead drop 2"):
        assert "There is no dead letter" in await root.says(words)
    for words in ("dead drop", "dead show x", "dead bury 3", "dead retry -1", "dead retry 99999999999999999999"):
        assert await root.says(words) == admin.USAGE
    await harness.kill()


async def test_what_could_not_be_read_is_not_tried_again(root: Person) -> None:
    harness = root.harness
    await harness.bridge.logins.add(
        LoginRecord(login=Login(id=LoginID("bob"), user=RemoteUserID("bob")), user_id=UserID("@bob:test"))
    )
    message = harness.network.say("chat", "friend", "hello", reply_to=object())
    assert message.reply_to is not None
    await harness.settle(60)
    letters = await harness.store.dead_letters()
    assert letters and letters[0].lane is None
    assert "could not even be read" in await root.says(f"dead retry {letters[0].id}")
    assert "bytes" in await root.says(f"dead show {letters[0].id}")
    await harness.kill()
