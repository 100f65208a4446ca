"""The picture that somebody on Matrix gives a chat, and what the network makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridgekit.adapter.capabilities import CanSetAvatar
from bridgekit.errors import HomeserverUnreachable, Rejected, Transient
from bridgekit.model.ids import ChatID, ContentURI, PortalKey, RoomID, UserID
from bridgekit.model.remote import Avatar, RemoteChat, RemoteProfile
from bridgekit.runtime import points
from bridgekit.runtime.ghosts import MAX_AVATAR_BYTES
from bridgekit.testing.deeds import Deed, Outcome
from bridgekit.testing.harness import ALICE, Harness
from bridgekit.testing.network import FakeNetwork, able

AVATAR = "m.room.avatar"
CHAT = PortalKey(ChatID("chat"))
BOB = UserID("@bob:test")
SET: Deed = "set_avatar"
PNG, GIF = b"\x89PNG and so on" * 10, b"GIF89a and so on" * 10


async def begun(*lacks: type, network: FakeNetwork | None = None) -> tuple[Harness, RoomID]:
    """The network has given the chat a picture."""
    harness = Harness(network or FakeNetwork(lacks=lacks))
    harness.network.pictures["old"] = GIF
    await harness.start()
    room = await harness.portal()
    harness.network.emit(RemoteChat(portal=CHAT, avatar=Avatar("old")))
    await harness.settle(5)
    return harness, room


def file(harness: Harness, data: bytes | None = PNG) -> ContentURI:
    return harness.homeserver.add_file(data, owner=ALICE, mimetype="text/html")


def change(harness: Harness, room: RoomID, content: dict[str, Any], by: UserID = ALICE) -> None:
    harness.homeserver.set_state(room, by, AVATAR, content)


def shown(harness: Harness, room: RoomID) -> bytes | None:
    """The bytes of the room's picture."""
    uri = harness.homeserver.rooms[room].state[AVATAR, ""].get("url")
    return harness.homeserver.files[uri].data if uri else None


def notices(harness: Harness, room: RoomID) -> list[str]:
    return harness.homeserver.bodies(room, notices=True)


def writes(harness: Harness, room: RoomID) -> int:
    """How often our bot has set the room's picture."""
    timeline = harness.homeserver.rooms[room].timeline
    return sum(event["type"] == AVATAR and event["sender"] == "@bot:test" for event in timeline)


@pytest.mark.parametrize("echo", ["nonce", "none"])
@pytest.mark.parametrize("named", [True, False])
async def test_a_new_picture_reaches_the_network(echo: str, named: bool) -> None:
    harness, room = await begun(network=FakeNetwork(echo="nonce" if echo == "nonce" else "none"))
    harness.network.names_avatars = named
    before, uploads = writes(harness, room), harness.homeserver.calls.count("upload")
    uri = file(harness)
    change(harness, room, {"url": uri, "info": {"mimetype": "image/png", "size": len(PNG)}})
    await harness.settle(5)
    (given,) = harness.network.avatars_set
    assert (given.portal, given.data) == (CHAT, PNG)
    # The network shows it, under a name of its own: that is so already, and nothing is uploaded a second time.
    harness.network.emit(RemoteChat(portal=CHAT, avatar=Avatar(given.id)))
    await harness.settle(5)
    assert harness.homeserver.rooms[room].state[AVATAR, ""]["url"] == uri
    assert (writes(harness, room), harness.homeserver.calls.count("upload")) == (before, uploads)
    assert harness.network.pictures_opened.count(given.id) == (0 if named else 1)
    assert notices(harness, room) == []
    # And back to the old one there, which is known by its name.
    harness.network.emit(RemoteChat(portal=CHAT, avatar=Avatar("old")))
    await harness.settle(5)
    assert shown(harness, room) == GIF and harness.homeserver.calls.count("upload") == uploads
    await harness.kill()


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("later", [PNG + b"2", b"<html>", None])
async def test_an_echo_that_is_quicker_than_its_answer_undoes_no_later_picture(later: bytes | None, lost: bool) -> None:
    harness, room = await begun()
    answer = asyncio.Event()
    harness.network.next_deeds(SET, Outcome(ConnectionResetError() if lost else None, taken=True, gate=answer))
    uri = file(harness)
    change(harness, room, {"url": uri})
    await harness.settle()
    change(harness, room, {"url": file(harness, later)} if later is not None else {})
    await harness.settle(5)
    assert writes(harness, room) == 1, "only the network's first one"
    answer.set()
    await harness.settle(30)
    given = [each.data for each in harness.network.avatars_set]
    assert given == [PNG, *([] if later == b"<html>" else [later or b""])]
    assert shown(harness, room) == (PNG if later == b"<html>" else later)
    await harness.kill()


@pytest.mark.parametrize("content", [{}, {"url": ""}, {"url": None}])
async def test_a_picture_that_is_taken_away(content: dict[str, Any]) -> None:
    harness, room = await begun()
    change(harness, room, content)
    await harness.settle(5)
    assert [(each.data, each.id) for each in harness.network.avatars_set] == [(b"", "")]
    assert shown(harness, room) is None and notices(harness, room) == []
    # The network gives it one again.
    harness.network.emit(RemoteChat(portal=CHAT, avatar=Avatar("old")))
    await harness.settle(5)
    assert shown(harness, room) == GIF
    await harness.kill()


async def test_a_file_of_another_server_is_shown_nowhere_else() -> None:
    """That server may answer with another picture tomorrow."""
    harness, room = await begun()
    theirs = ContentURI("mxc://evil.test/1")
    harness.homeserver.files[theirs] = harness.homeserver.files[file(harness)]
    harness.network.echo = "none"
    change(harness, room, {"url": theirs})
    await harness.settle(5)
    (given,) = harness.network.avatars_set
    for avatar in (given.id, "the same bytes"):
        harness.network.pictures[avatar] = PNG
        harness.network.emit(RemoteProfile(user=harness.network.say("chat", "ben", "hi").sender, avatar=Avatar(avatar)))
        await harness.settle(5)
        mxc = harness.homeserver.avatars[UserID("@fake_ben:test")]
        assert mxc.startswith("mxc://test/") and harness.homeserver.files[ContentURI(mxc)].data == PNG
    assert harness.homeserver.rooms[room].state[AVATAR, ""]["url"] == theirs
    await harness.kill()


# --- put back ---------------------------------------------------------------------------------------------------------
LARGE = b"\x89PNG" + bytes(MAX_AVATAR_BYTES + (1 << 20))

BAD: dict[str, tuple[Any, bytes | None, str]] = {
    "an address of the web": ("https://evil.test/1.png", None, "has to begin with mxc://"),
    "a path": ("mxc://../admin", None, "has to begin with mxc://"),
    "a number": (7, None, "has to begin with mxc://"),
    "a list": (["mxc://test/1"], None, "has to begin with mxc://"),
    "no such file": ("mxc://test/none", None, "not on the homeserver any more"),
    "a page": (None, b"<html><script>alert(1)</script>", "no PNG, JPEG, GIF or WebP picture"),
    "a drawing that is a document": (None, b"<svg onload='alert(1)'/>", "no PNG, JPEG, GIF or WebP picture"),
    "nothing": (None, b"", "no PNG, JPEG, GIF or WebP picture"),
    "too large": (None, LARGE, "has 9.0 MiB, and this network takes at most 8.0 MiB"),
}


@pytest.mark.parametrize("url, data, words", BAD.values(), ids=BAD)
async def test_what_is_no_picture_is_put_back(url: Any, data: bytes | None, words: str) -> None:
    harness, room = await begun()
    change(harness, room, {"url": url if url is not None else file(harness, data)})
    harness.homeserver.say(room, ALICE, "behind it")
    await harness.settle(5)
    assert harness.network.avatars_set == [] and harness.network.texts("chat") == ["behind it"]
    assert shown(harness, room) == GIF
    (notice,) = notices(harness, room)
    assert notice.startswith("Your change of the chat's picture was not carried out: ") and words in notice
    await harness.kill()


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"mimetype": "text/html"}, "no PNG, JPEG, GIF or WebP picture"),
        ({"mimetype": "image/svg+xml"}, "no PNG, JPEG, GIF or WebP picture"),
        ({"size": 51}, "the file has 51 bytes, and this network takes at most 50 bytes"),
    ],
)
async def test_what_says_that_it_is_none_is_not_even_read(info: dict[str, Any], words: str) -> None:
    harness, room = await begun(network=FakeNetwork(limits=able(max_media_size=50)))
    change(harness, room, {"url": file(harness), "info": info})
    await harness.settle(5)
    assert harness.network.tried == [] and "open_media" not in harness.homeserver.calls
    assert shown(harness, room) == GIF and words in notices(harness, room)[0]
    await harness.kill()


async def test_what_lies_about_its_size_is_not_read_to_its_end() -> None:
    harness, room = await begun(network=FakeNetwork(limits=able(max_media_size=50)))
    change(harness, room, {"url": file(harness), "info": {"size": 10, "w": "x", "mimetype": ["image/png"]}})
    await harness.settle(5)
    assert harness.network.avatars_set == [] and shown(harness, room) == GIF
    assert "takes at most 50 bytes" in notices(harness, room)[0]
    await harness.kill()


@pytest.mark.parametrize("refused", [False, True])
async def test_a_picture_that_the_network_does_not_take_is_put_back(refused: bool) -> None:
    harness, room = await begun(*(() if refused else (CanSetAvatar,)))
    harness.network.next_deeds(SET, Rejected("you are no admin"))
    change(harness, room, {"url": file(harness)})
    await harness.settle(5)
    assert shown(harness, room) == GIF
    (notice,) = notices(harness, room)
    assert ("you are no admin" if refused else "does not let it be changed from here") in notice
    # The old one is still the network's, and nobody fetches it again.
    harness.network.emit(RemoteChat(portal=CHAT, avatar=Avatar("old")))
    await harness.settle(5)
    assert harness.network.pictures_opened == ["old"]
    await harness.kill()


async def test_only_ones_own_login_changes_it_and_only_what_still_stands_is_told() -> None:
    harness, room = await begun()
    harness.homeserver.rooms[room].members[BOB] = "join"
    change(harness, room, {"url": file(harness)}, BOB)
    await harness.settle(5)
    assert harness.network.tried == [] and shown(harness, room) == GIF
    assert "log in to the network for that" in notices(harness, room)[0]
    change(harness, room, {"url": file(harness, PNG)})
    change(harness, room, {"url": file(harness, PNG + b"2")})
    await harness.settle(5)
    assert [each.data for each in harness.network.avatars_set] == [PNG + b"2"]
    await harness.kill()


# --- faults -----------------------------------------------------------------------------------------------------------
async def test_it_waits_for_the_network_and_the_homeserver() -> None:
    harness, room = await begun()
    harness.network.next_deeds(SET, Transient("later"), ConnectionResetError(), Outcome())
    harness.homeserver.fail("read_media", HomeserverUnreachable("gone"), times=2)
    change(harness, room, {"url": file(harness)})
    await harness.settle(60)
    assert [each.data for each in harness.network.avatars_set] == [PNG]
    assert notices(harness, room) == [] and await harness.store.dead_letters() == []
    await harness.kill()


async def test_a_file_that_its_client_never_brings_holds_nobody_up_for_long() -> None:
    harness, room = await begun()
    change(harness, room, {"url": file(harness, None)})
    harness.homeserver.say(room, ALICE, "behind it")
    await harness.settle(15 * 60)
    assert harness.network.texts("chat") == ["behind it"]
    assert shown(harness, room) == GIF
    assert "could not be read for 10 minutes" in notices(harness, room)[-1]
    await harness.kill()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("echo", ["nonce", "none"])
async def test_killed_when_the_network_has_it(echo: str, named: bool) -> None:
    harness, room = await begun(network=FakeNetwork(echo="nonce" if echo == "nonce" else "none"))
    harness.network.names_avatars = named
    uploads = harness.homeserver.calls.count("upload")
    dead = harness.kill_at(points.NETWORK_SENT)
    uri = file(harness)
    change(harness, room, {"url": uri})
    await harness.settle(5)
    assert dead.is_set()
    await harness.kill()
    await harness.start()
    await harness.settle(5)
    assert [each.data for each in harness.network.avatars_set] in ([PNG], [PNG, PNG])
    assert harness.homeserver.rooms[room].state[AVATAR, ""]["url"] == uri
    assert harness.homeserver.calls.count("upload") == uploads and notices(harness, room) == []
    await harness.kill()


async def test_killed_before_it_was_put_back() -> None:
    harness, room = await begun()
    harness.network.next_deeds(SET, Rejected("no"))
    harness.homeserver.fail("send_state", HomeserverUnreachable("gone"))
    change(harness, room, {"url": file(harness)})
    await harness.settle(0.5)
    assert shown(harness, room) == PNG
    await harness.kill()
    await harness.start()
    await harness.settle(60)
    assert shown(harness, room) == GIF and harness.network.avatars_set == []
    assert len(harness.network.tries_of(SET)) == 1 and len(notices(harness, room)) == 1
    await harness.kill()
