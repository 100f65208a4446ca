"""Pictures of people and chats: each is uploaded once, whoever has it, and over restarts."""

from __future__ import annotations

from bridgekit.model.ids import ChatID, PortalKey, RemoteUserID
from bridgekit.model.remote import Avatar, RemoteChat, RemoteProfile
from bridgekit.testing.harness import Harness

PNG = b"\x89PNG and so on"


def pictured(harness: Harness, user: str) -> str | None:
    """A ghost's picture at the homeserver."""
    found = [mxc for id, mxc in harness.homeserver.avatars.items() if id.startswith(f"@fake_{user}:")]
    return found[0] if found else None


async def until_pictured(harness: Harness, user: str) -> None:
    await harness.until(lambda: pictured(harness, user) is not None)


async def looks_like(harness: Harness, user: str, avatar: str) -> None:
    harness.network.emit(RemoteProfile(user=RemoteUserID(user), avatar=Avatar(avatar)))


async def people(harness: Harness, *names: str) -> None:
    for name in names:
        harness.network.say("chat", name, f"hello of {name}")
    await harness.until(lambda: harness.homeserver.calls.count("register") >= len(names))
    await harness.settle(1)


async def test_the_same_picture_is_uploaded_once(harness: Harness) -> None:
    await people(harness, "ann", "ben", "cat")
    harness.network.pictures.update({"a": PNG, "same bytes": PNG, "b": PNG + b"b"})
    for user, avatar in (("ann", "a"), ("ben", "a"), ("cat", "same bytes")):
        await looks_like(harness, user, avatar)
    await harness.until(lambda: pictured(harness, "cat") is not None and pictured(harness, "ben") is not None)
    assert pictured(harness, "ann") == pictured(harness, "ben") == pictured(harness, "cat")
    assert harness.homeserver.calls.count("upload") == 1
    assert harness.network.pictures_opened == ["a", "same bytes"]
    await looks_like(harness, "ben", "b")
    await harness.until(lambda: pictured(harness, "ben") != pictured(harness, "ann"))
    assert harness.homeserver.calls.count("upload") == 2


async def test_a_restart_does_not_upload_it_again() -> None:
    harness = Harness()
    await harness.start()
    await people(harness, "ann", "ben")
    harness.network.pictures["a"] = PNG
    await looks_like(harness, "ann", "a")
    await until_pictured(harness, "ann")
    await harness.kill()
    await harness.start()
    del harness.network.pictures["a"]  # nobody asks for it again
    await looks_like(harness, "ben", "a")
    harness.network.emit(RemoteChat(portal=PortalKey(ChatID("chat")), avatar=Avatar("a")))
    await until_pictured(harness, "ben")
    uri = pictured(harness, "ann")
    assert pictured(harness, "ben") == uri
    rooms = harness.homeserver.rooms.values()
    await harness.until(lambda: {"url": uri} in [room.state.get(("m.room.avatar", "")) for room in rooms])
    assert harness.homeserver.calls.count("upload") == 1
    await harness.kill()


async def test_a_picture_that_cannot_be_had_holds_up_nothing(harness: Harness) -> None:
    await people(harness, "ann")
    await looks_like(harness, "ann", "gone")
    harness.network.say("chat", "ann", "after")
    await harness.until(lambda: any("after" in harness.homeserver.bodies(room) for room in harness.homeserver.rooms))
    assert pictured(harness, "ann") is None


async def test_what_is_used_is_kept_and_the_rest_is_forgotten() -> None:
    harness = Harness()
    await harness.start()
    await people(harness, "ann", "ben", "cat", "dan")
    harness.network.pictures.update({"a": PNG, "same bytes": PNG, "b": PNG + b"b"})
    await looks_like(harness, "ann", "a")
    await looks_like(harness, "ben", "b")
    await harness.until(lambda: harness.homeserver.calls.count("upload") == 2)
    await harness.settle()
    await harness.kill()
    day = 86_400
    for days, user in ((100, "cat"), (100, "dan")):  # neither is as long as pictures are kept
        harness.clock.jump(days * day)
        await harness.start()
        await looks_like(harness, user, "a" if user == "cat" else "same bytes")
        await until_pictured(harness, user)
        await harness.settle(3700)  # it is cleaned up each hour
        await harness.kill()
    assert pictured(harness, "dan") == pictured(harness, "cat") == pictured(harness, "ann")
    assert harness.homeserver.calls.count("upload") == 2
    await harness.start()
    assert await harness.store.picture("id a") is not None
    assert await harness.store.picture("id b") is None
    await harness.kill()
